#!/bin/sh
# Installs the Debian packages that tests need, where it may; names them in one line where not.
# A test whose package is missing skips itself and says so.
missing=""
test -e /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf || missing="$missing fonts-noto-color-emoji"
command -v java >/dev/null || missing="$missing default-jre-headless"
test -z "$missing" && exit 0

as_root=""
test "$(id -u)" = 0 || as_root="sudo -n"
if command -v apt-get >/dev/null && $as_root true 2>/dev/null \
    && $as_root apt-get install -y -q $missing >/dev/null 2>&1; then
    echo "Installed$missing."
elif command -v apt-get >/dev/null && $as_root true 2>/dev/null \
    && $as_root apt-get update -q >/dev/null 2>&1 \
    && $as_root apt-get install -y -q $missing >/dev/null 2>&1; then
    echo "Installed$missing."
else
    echo "Some tests will be skipped; install these system packages to run them:$missing"
fi
