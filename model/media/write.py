"""From arrays to the bytes of a file, and from there to the disk."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from heliograph.model.errors import MediaError
from heliograph.model.files import write_atomically
from heliograph.model.media.sniff import SUFFIXES
from heliograph.model.media.values import NOUNS, Clip, Film, Image, Sound
from heliograph.model.parts import Media, Modality

_BLOCK = 2**14  # samples

_PICTURES: dict[str, dict[str, Any]] = {  # how Pillow is to write each
    "image/png": {"format": "PNG"},
    "image/jpeg": {"format": "JPEG", "quality": 92},
    "image/webp": {"format": "WEBP", "quality": 90},
    "image/gif": {"format": "GIF"},
}
_SOUNDS = {  # libsndfile's names
    "audio/wav": ("WAV", "PCM_16"),
    "audio/flac": ("FLAC", "PCM_16"),
    "audio/ogg": ("OGG", "VORBIS"),
    "audio/mpeg": ("MP3", "MPEG_LAYER_III"),
}
_FILMS: dict[
    str, tuple[str, str, dict[str, object]]
] = {  # FFmpeg's container, codec and its options; one thread, so that bytes are reproducible
    "video/mp4": ("mp4", "libx264", {"crf": "12", "bf": "0", "threads": "1"}),
    "video/webm": ("webm", "libvpx-vp9", {"crf": "12", "b": "0", "cpu-used": "5", "threads": "1"}),
}


def write(clip: Clip, mime_type: str | None = None, caption: str | None = None) -> Media:
    """``clip`` as the bytes of a file: png, wav or mp4 where ``mime_type`` doesn't say otherwise.

    The same array gives the same bytes (so the same identity) in all formats but ogg. Films of an
    odd width or height are made even by repeating the last column or row.

    Raises:
        MediaError: such a clip can't be written as ``mime_type``, or has nothing in it.
    """
    modality: Modality
    known: tuple[str, ...]
    if isinstance(clip, Image):
        modality, default, known = "image", "image/png", tuple(_PICTURES)
    elif isinstance(clip, Sound):
        modality, default, known = "audio", "audio/wav", tuple(_SOUNDS)
    else:
        modality, default, known = "video", "video/mp4", tuple(_FILMS)
    mime_type = mime_type or default
    if mime_type not in known:
        raise MediaError(
            f"A {NOUNS[modality]} can't be written as {mime_type}, only as {', '.join(known)}."
        )
    try:
        if isinstance(clip, Image):
            data = _image_bytes(clip, mime_type)
        elif isinstance(clip, Sound):
            data = _sound_bytes(clip, mime_type)
        else:
            data = _film_bytes(clip, mime_type)
    except Exception as error:  # each library has its own kinds
        raise MediaError(
            f"The {NOUNS[modality]} can't be written as {mime_type}: {error}."
        ) from error
    return Media(modality, mime_type, data, caption)


def save(media: Media, directory: Path, name: str) -> Path:
    """Write ``media`` to ``directory / name`` with the suffix of its kind, and return that path.

    The directory is made where it is missing, and a file that is there is replaced; nobody ever
    sees half of one.

    Raises:
        MediaError: the disk is full, the directory may not be written, and the like.
    """
    path = directory / f"{name}{SUFFIXES[media.mime_type]}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(path, media.data)
    except OSError as error:
        raise MediaError(f"{path} can't be written: {error.strerror}.") from error
    return path


def _image_bytes(clip: Image, mime_type: str) -> bytes:
    from PIL import Image as PillowImage

    buffer = io.BytesIO()
    PillowImage.fromarray(clip.pixels).save(buffer, **_PICTURES[mime_type])
    return buffer.getvalue()


def _sound_bytes(clip: Sound, mime_type: str) -> bytes:
    import soundfile

    if not len(clip.samples):
        raise ValueError("it has no samples")
    container, coding = _SOUNDS[mime_type]
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", samplerate=clip.rate, channels=1, format=container, subtype=coding
    ) as file:
        for at in range(0, len(clip.samples), _BLOCK):  # libsndfile's Vorbis dies of long ones
            file.write(clip.samples[at : at + _BLOCK])
    return buffer.getvalue()


def _film_bytes(clip: Film, mime_type: str) -> bytes:
    import av

    if not len(clip.frames):
        raise ValueError("it has no frames")
    frames = clip.frames  # (T, H, W, 3)
    odd_height, odd_width = frames.shape[1] % 2, frames.shape[2] % 2
    frames = np.pad(frames, ((0, 0), (0, odd_height), (0, odd_width), (0, 0)), mode="edge")
    container, codec, options = _FILMS[mime_type]
    buffer = io.BytesIO()
    # Without "bitexact" a webm holds a random number.
    with av.open(buffer, "w", format=container, options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream(codec, rate=Fraction(clip.fps).limit_denominator(1001))
        assert isinstance(stream, av.VideoStream)  # for the type checker
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.options = "yuv420p", options
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode(None))
    return buffer.getvalue()
