"""Which kind of file some bytes are, by their content, and whether their end is missing."""

from __future__ import annotations

import io
from types import MappingProxyType

from heliograph.model.errors import MediaError
from heliograph.model.parts import Modality

SUFFIXES = MappingProxyType(
    {
        "image/png": ".png",
        "image/jpeg": ".jpg",
        "image/webp": ".webp",
        "image/gif": ".gif",
        "audio/wav": ".wav",
        "audio/flac": ".flac",
        "audio/ogg": ".ogg",
        "audio/mpeg": ".mp3",
        "audio/mp4": ".m4a",
        "audio/webm": ".weba",
        "video/mp4": ".mp4",
        "video/webm": ".webm",
    }
)
"""Every MIME type that can be read, and how the names of such files end."""

READERS = MappingProxyType(
    {"mp4": "mov,mp4,m4a,3gp,3g2,mj2", "webm": "matroska,webm", "mpeg": "mp3"}
)
"""FFmpeg's names of its readers, by the second half of the MIME type."""

_UNKNOWN = (
    "The file is not a picture, a sound or a film that can be read "
    "(png, jpeg, webp, gif, wav, flac, ogg, mp3, mp4 and webm can)."
)
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")
_STREAMED = 0x7FFF0000  # what writes to a pipe can't go back to fill a size in, and leaves ~2**31


def sniff(data: bytes) -> tuple[Modality, str]:
    """The modality and MIME type of ``data``, by its first bytes.

    An mp4 or webm that holds only sound is a sound (``audio/mp4``, ``audio/webm``).

    Raises:
        MediaError: ``data`` is empty, or none of the kinds in ``SUFFIXES``.
    """
    if not data:
        raise MediaError("The file is empty.")
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image", "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image", "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image", "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image", "image/webp"
    if data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE":
        return "audio", "audio/wav"
    if data.startswith(b"fLaC"):
        return "audio", "audio/flac"
    if data.startswith(b"OggS") and b"theora" not in data[:64]:
        return "audio", "audio/ogg"
    if data.startswith(b"ID3") or _is_mp3_frame(data):
        return "audio", "audio/mpeg"
    if data[4:8] == b"ftyp" and data[8:12] not in (*_STILL_BRANDS, b"qt  "):
        return _look_inside(data, "mp4")
    if data.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in data[:64]:
        return _look_inside(data, "webm")
    raise MediaError(_UNKNOWN)


def is_cut_short(data: bytes, mime_type: str) -> bool:
    """Whether the file says that it is longer than ``data``.

    Decoders notice a missing end in some formats only; those that would quietly return less are
    checked here, by the sizes that the containers state.
    """
    if mime_type == "image/png":
        return _png_is_cut(data)
    if mime_type == "audio/wav":
        return _wav_is_cut(data)
    if mime_type == "image/webp":
        return 8 + int.from_bytes(data[4:8], "little") > len(data)
    if mime_type == "audio/mpeg":
        return _mp3_is_cut(data)
    if mime_type == "audio/ogg":
        return _ogg_is_cut(data)
    if mime_type.endswith("/mp4"):
        return _mp4_is_cut(data)
    if mime_type.endswith("/webm"):
        return _webm_is_cut(data)
    return False


def _is_mp3_frame(data: bytes) -> bool:
    """Whether ``data`` starts with the header of an MPEG Layer III frame."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return False
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    bitrate, rate = data[2] >> 4, data[2] >> 2 & 3
    return version != 1 and layer == 1 and bitrate != 15 and rate != 3


def _look_inside(data: bytes, container: str) -> tuple[Modality, str]:
    """Whether a container holds a film or only sound."""
    import av
    from av.stream import Disposition

    try:
        # The reader is named, so that FFmpeg never takes the bytes for a playlist of other files.
        with av.open(io.BytesIO(data), format=READERS[container]) as opened:
            moving = [
                stream
                for stream in opened.streams.video
                if not stream.disposition & Disposition.attached_pic  # the cover of a song
            ]
            audible = bool(opened.streams.audio)
    except Exception as error:  # FFmpeg raises dozens of kinds on damaged bytes
        raise MediaError(f"The {container} file is damaged, cut short or empty.") from error
    if moving:
        return "video", f"video/{container}"
    if audible:
        return "audio", f"audio/{container}"
    raise MediaError(f"The {container} file holds neither a film nor a sound.")


def _png_is_cut(data: bytes) -> bool:
    at = 8
    while at + 12 <= len(data):
        if data[at + 4 : at + 8] == b"IEND":
            return False
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return True


def _wav_is_cut(data: bytes) -> bool:
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"data":
            return size < _STREAMED and at + 8 + size > len(data)
        at += 8 + size + size % 2
    return True


def _mp3_is_cut(data: bytes) -> bool:
    at = 0
    if data.startswith(b"ID3"):  # a tag, whose size has seven bits in each byte
        at = 10 + sum((byte & 127) << 7 * (3 - place) for place, byte in enumerate(data[6:10]))
    for name in (b"Xing", b"Info"):  # the first frame of most files states the length of all
        mark = data.find(name, at, at + 64)
        if mark >= 0 and data[mark + 7 : mark + 8] and data[mark + 7] & 2:
            size_at = mark + 8 + (4 if data[mark + 7] & 1 else 0)
            return at + int.from_bytes(data[size_at : size_at + 4], "big") > len(data)
    return at >= len(data)


def _ogg_is_cut(data: bytes) -> bool:
    at = 0
    while at < len(data):
        if data[at : at + 4] != b"OggS":
            return False  # something else behind the last page: tags, padding
        table = data[at + 27 : at + 27 + data[at + 26]] if at + 26 < len(data) else b""
        at += 27 + len(table) + sum(table)
        if not table or at > len(data):
            return True
    return False


def _mp4_is_cut(data: bytes) -> bool:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 0:  # up to the end of the file
            return False
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:
            return False  # padding
        at += size
    return at > len(data)


def _webm_is_cut(data: bytes) -> bool:
    size, at = _ebml_size(data, 4)
    at += size
    if data[at : at + 4] != b"\x18\x53\x80\x67":  # the segment, which holds everything else
        return True
    if data[at + 4 : at + 5] in (b"\xff", b"\x01") and not data[at + 5 : at + 12].strip(b"\xff"):
        return False  # of unknown size: written to a pipe
    size, at = _ebml_size(data, at + 4)
    return at + size > len(data)


def _ebml_size(data: bytes, at: int) -> tuple[int, int]:
    """The number of variable length at ``at``, and where it ends."""
    first = data[at] if at < len(data) else 0xFF
    length = 9 - first.bit_length()
    number = int.from_bytes(data[at : at + length], "big") & ~(1 << 7 * length)
    return number, at + length
