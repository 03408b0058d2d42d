#!/bin/sh
# Draws each .dot file of this folder as .svg (graphviz); `make docs` calls it. The hash of the
# source at the end of a drawing is how a test sees that it has fallen behind.
set -eu
cd "$(dirname "$0")"
command -v dot >/dev/null || { echo "Install graphviz to draw the diagrams." >&2; exit 1; }
for source in *.dot; do
    drawing="${source%.dot}.svg"
    dot -Tsvg "$source" -o "$drawing"
    echo "<!-- sha256 of $source: $(sha256sum "$source" | cut -d' ' -f1) -->" >> "$drawing"
    echo "docs/diagrams/$drawing"
done
