"""The page of a conversation: complete in itself, and nothing in it but what was said."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from heliograph.agent.page import page, write_page
from heliograph.graphs.events import Entry, Failure
from heliograph.model.media import Film, Image, Sound, write
from heliograph.model.parts import Media, Text, ToolCall

CLIPS = (
    Image(np.full((8, 8, 3), 200, dtype=np.uint8)),
    Sound(np.zeros(800, dtype=np.float32), 16000),
    Film(np.zeros((4, 16, 16, 3), dtype=np.uint8), 8.0),
)


class Read(HTMLParser):
    """Collects tags with their attributes, and text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def told(*parts: Text | Media | ToolCall | Failure, role: str = "assistant") -> Read:
    entry = Entry("user" if role == "user" else "assistant", parts)
    return Read(page([("Talk", [entry])]))


def test_media_are_in_the_page() -> None:
    media = [write(clip, caption=f"clip {i}") for i, clip in enumerate(CLIPS)]
    read = told(*media)
    for medium, tag in zip(media, ("img", "audio", "video"), strict=True):
        (found,) = read.of(tag)
        head, _, data = (found["src"] or "").partition(",")
        assert head == f"data:{medium.mime_type};base64"
        assert base64.b64decode(data) == medium.data
        assert medium.caption is not None and medium.caption in read.text


def test_the_page_asks_for_nothing_and_runs_nothing() -> None:
    read = told(*(write(clip) for clip in CLIPS))
    assert not read.of("script") and not read.of("link")
    sources = [a[k] or "" for _, a in read.tags for k in ("src", "href") if k in a]
    assert all(source.startswith("data:") for source in sources)
    assert "default-src 'none'" in str(read.of("meta"))


@given(st.text())
def test_text_is_text(text: str) -> None:
    """Whatever is said brings no tag and no attribute, and comes back as it was."""
    plain = [tag for tag, _ in told(Text("words")).tags]
    read = told(Text(f"[{text}]"))
    assert [tag for tag, _ in read.tags] == plain
    # A parser reads a carriage return as a line feed, and a page holds no NUL.
    kept = re.sub("\r\n?", "\n", text.replace("\0", ""))
    assert f"[{kept}]" in re.sub("\r\n?", "\n", read.text)


def test_a_caption_stays_in_its_attribute() -> None:
    read = told(write(CLIPS[0], caption='"><script>alert(1)</script>'))
    assert not read.of("script")
    assert read.of("img")[0]["alt"] == '"><script>alert(1)</script>'


def test_arabic_runs_from_the_right() -> None:
    read = told(Text("ارسم قطة."), Text("Draw a cat."), Text("42: قطة"))
    assert [attributes.get("dir") for attributes in read.of("p")] == ["rtl", None, "rtl"]


def test_calls_and_failures_are_shown() -> None:
    call = ToolCall("calculate", {"expression": "2 < 3"}, "true")
    read = told(call, Failure("image", "a cat", "The image could not be made: no luck."))
    assert 'calculate({"expression": "2 < 3"}) → true' in read.text
    assert "no luck" in read.text


def test_both_colour_schemes_are_there() -> None:
    assert "prefers-color-scheme: dark" in page([])


def test_speakers_are_told_apart() -> None:
    assert "entry user" in str(told(Text("Hi"), role="user").of("div"))
    assert "entry assistant" in str(told(Text("Hi")).of("div"))


def test_a_page_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "index.html"
    write_page(path, [("é", [Entry("user", (Text("\ud800"),))])])
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
