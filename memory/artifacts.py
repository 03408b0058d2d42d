"""Media and hidden states under the hash of their bytes; a conversation only refers to them.

    <root>/sha256/ab/cdef….png      the bytes whose SHA-256 is abcdef…

There is no index and no lock: a file's name says what must be in it, a write is a rename, and
what is there is never changed. So any number of threads and processes may share a root, and a
crash leaves at most a hidden ``.….tmp`` file. The suffix serves people and other programs; the
store finds a file by its hash alone.

What was read is hashed again, and what doesn't have its hash is refused (and mended by the next
``put`` of the same bytes). Nothing is ever removed: that a store can't know who refers to it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heliograph.model.errors import StoreError
from heliograph.model.files import write_atomically
from heliograph.model.media import SUFFIXES, sniff
from heliograph.model.parts import Media

_REF = re.compile(r"(?:sha256:|heliograph://sha256/)([0-9a-f]{64})")


class ArtifactStore:
    """Bytes by their content, in the folder ``root``, which the first ``put`` makes.

    A *reference* is ``sha256:<64 hexadecimal digits>``; the address
    ``heliograph://sha256/<digits>`` of a content block is understood wherever one is asked for.
    Every method raises ``StoreError`` where a reference is no reference, or the disk fails.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, data: bytes, suffix: str = "") -> str:
        """Store ``data`` and return its reference; ``suffix`` (".png") ends the file's name.

        Bytes that are there already are left as they are, under the suffix that they have.
        """
        digest = hashlib.sha256(data).hexdigest()
        found = self._find(digest)
        path = found or self._folder(digest) / f"{digest[2:]}{suffix}"
        try:
            if found is None or found.read_bytes() != data:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, data)
        except OSError as error:
            raise StoreError(
                f"The artifact store {self.root} can't be written: {error.strerror}."
            ) from error
        return f"sha256:{digest}"

    def get(self, ref: str) -> bytes:
        """The bytes that ``ref`` refers to.

        Raises:
            StoreError: they are not in the store, or are damaged.
        """
        path = self.path(ref)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreError(f"The artifact {path} can't be read: {error.strerror}.") from error
        if hashlib.sha256(data).hexdigest() != _digest(ref):
            raise StoreError(f"The artifact {path} is damaged: its content has another hash.")
        return data

    def path(self, ref: str) -> Path:
        """Where the bytes of ``ref`` lie, for programs that want a file; never write to it.

        Raises:
            StoreError: they are not in the store.
        """
        digest = _digest(ref)
        found = self._find(digest)
        if found is None:
            raise StoreError(f"The artifact sha256:{digest} is not in the store {self.root}.")
        return found

    def has(self, ref: str) -> bool:
        """Whether the bytes of ``ref`` are in the store (damaged ones too)."""
        return self._find(_digest(ref)) is not None

    def put_media(self, media: Media) -> dict[str, Any]:
        """Store the bytes of ``media`` and return the content block that refers to them.

        ``{"type": "image", "url": "heliograph://sha256/…", "mime_type": "image/png"}``, in
        LangChain's form; the caption, where there is one, is ``block["extras"]["caption"]``,
        since the same bytes may be said with other words elsewhere.
        """
        self.put(media.data, SUFFIXES.get(media.mime_type, ""))
        block: dict[str, Any] = {
            "type": media.modality,
            "url": f"heliograph://sha256/{media.sha256}",
            "mime_type": media.mime_type,
        }
        if media.caption is not None:
            block["extras"] = {"caption": media.caption}
        return block

    def get_media(self, block: Mapping[str, Any] | str) -> Media:
        """The medium of a content block, or of a bare reference (then without a caption).

        Raises:
            StoreError: the bytes are not in the store, or are damaged.
            MediaError: they are no picture, sound or film.
        """
        ref = block if isinstance(block, str) else block.get("url", "")
        caption = None if isinstance(block, str) else block.get("extras", {}).get("caption")
        data = self.get(ref)
        modality, mime_type = sniff(data)
        return Media(modality, mime_type, data, caption)

    def _folder(self, digest: str) -> Path:
        return self.root / "sha256" / digest[:2]

    def _find(self, digest: str) -> Path | None:
        """The file of ``digest``, whatever its suffix."""
        try:
            for path in self._folder(digest).iterdir():
                if path.name.partition(".")[0] == digest[2:]:
                    return path
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(
                f"The artifact store {self.root} can't be read: {error.strerror}."
            ) from error
        return None


def _digest(ref: str) -> str:
    match = _REF.fullmatch(ref)
    if match is None:
        raise StoreError(f"{ref!r} is not a reference to an artifact.")
    return match[1]
