"""Pictures, sounds and films: what is written comes back, and what is bad is refused in words."""

from __future__ import annotations

import io
import os
import resource
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from heliograph.model import media
from heliograph.model.errors import MediaError
from heliograph.model.media import Film, Image, MediaLimits, Sound
from heliograph.model.parts import Media

PICTURES = ("image/png", "image/jpeg", "image/webp", "image/gif")
SOUNDS = ("audio/wav", "audio/flac", "audio/ogg", "audio/mpeg")
FILMS = ("video/mp4", "video/webm")


def picture(height: int = 48, width: int = 64) -> Image:
    down, across = np.mgrid[0:height, 0:width]
    pixels = np.stack([down * 3 % 256, across * 3 % 256, (down + across) % 256], -1)
    return Image(pixels.astype(np.uint8))


def tone(seconds: float = 0.5, rate: int = 16000) -> Sound:
    time = np.arange(int(seconds * rate)) / rate
    return Sound((0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32), rate)


def film(count: int = 8, height: int = 48, width: int = 64, fps: float = 8) -> Film:
    still = picture(height, width).pixels
    return Film(np.stack([np.roll(still, 2 * at, axis=1) for at in range(count)]), fps)


def example(mime_type: str) -> Media:
    clips = {"image": picture, "audio": tone, "video": film}
    return media.write(clips[mime_type.partition("/")[0]](), mime_type)


def error_of(data: bytes, limits: MediaLimits = media.DEFAULT_LIMITS) -> str:
    """The sentence with which ``data`` is refused."""
    with pytest.raises(MediaError) as raised:
        media.from_bytes(data, limits)
    sentence = str(raised.value)
    assert sentence[0].isupper() and sentence.endswith(".") and "\n" not in sentence
    return sentence


def pillow_bytes(image: PillowImage.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def sound_bytes(samples: np.ndarray, rate: int, **options: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, **({"format": "WAV"} | options))
    return buffer.getvalue()


# --- there and back ----------------------------------------------------------------------------


@pytest.mark.parametrize("mime_type", PICTURES)
def test_a_picture_comes_back(mime_type: str) -> None:
    written = media.write(picture(), mime_type, caption="a gradient")
    assert (written.modality, written.mime_type, written.caption) == (
        "image",
        mime_type,
        "a gradient",
    )
    assert media.sniff(written.data) == ("image", mime_type)
    pixels = media.read(written).pixels
    assert pixels.shape == (48, 64, 3) and pixels.dtype == np.uint8 and pixels.flags.writeable
    assert np.abs(pixels.astype(int) - picture().pixels).mean() < 6


@pytest.mark.parametrize("mime_type", SOUNDS)
def test_a_sound_comes_back(mime_type: str) -> None:
    written = media.write(tone(), mime_type)
    assert media.sniff(written.data) == ("audio", mime_type)
    sound = media.read(written)
    assert sound.rate == 16000 and sound.samples.dtype == np.float32
    assert sound.samples.shape == (8000,) and sound.seconds == 0.5
    assert np.abs(sound.samples - tone().samples).mean() < 0.02


@pytest.mark.parametrize("mime_type", FILMS)
def test_a_film_comes_back(mime_type: str) -> None:
    written = media.write(film(), mime_type)
    assert media.sniff(written.data) == ("video", mime_type)
    read = media.read(written)
    assert read.frames.shape == (8, 48, 64, 3) and read.frames.dtype == np.uint8
    assert read.fps == 8 and read.seconds == 1
    assert np.abs(read.frames.astype(int) - film().frames).mean() < 4


@pytest.mark.parametrize("mime_type", [*PICTURES, "audio/wav", "audio/flac", *FILMS])
def test_the_same_array_has_the_same_identity(mime_type: str) -> None:
    assert example(mime_type).sha256 == example(mime_type).sha256


def test_defaults_are_png_wav_and_mp4() -> None:
    kinds = [media.write(clip).mime_type for clip in (picture(), tone(), film())]
    assert kinds == ["image/png", "audio/wav", "video/mp4"]


def test_a_clip_is_only_written_as_what_it_is() -> None:
    with pytest.raises(MediaError, match=r"A sound can't be written as image/png, only as audio/"):
        media.write(tone(), "image/png")


@pytest.mark.parametrize(
    "clip", [Sound(np.zeros(0, np.float32), 16000), Film(film().frames[:0], 8)]
)
def test_nothing_can_not_be_written(clip: media.Clip) -> None:
    with pytest.raises(MediaError, match=r"can't be written as .*: it has no (samples|frames)\."):
        media.write(clip)


@pytest.mark.parametrize("mime_type", FILMS)
def test_films_of_odd_size_and_of_one_frame_are_written(mime_type: str) -> None:
    read = media.read(media.write(film(1, 31, 33), mime_type))
    assert read.frames.shape == (1, 32, 34, 3) and read.fps == 8


def test_a_long_ogg_is_written() -> None:
    sound = media.read(media.write(tone(20, 44100), "audio/ogg"))
    assert len(sound.samples) == 20 * 44100


# --- pictures that are not plain ---------------------------------------------------------------


def test_cmyk_becomes_rgb() -> None:
    cmyk = PillowImage.new("CMYK", (8, 8), (0, 255, 255, 0))
    pixels = media.read(media.from_bytes(pillow_bytes(cmyk, format="JPEG"))).pixels
    assert pixels.shape == (8, 8, 3)
    assert pixels[4, 4, 0] > 240 and pixels[4, 4, 1:].max() < 16  # red


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animated_picture_is_its_first_frame(kind: str) -> None:
    red, blue = (PillowImage.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    data = pillow_bytes(red, format=kind, save_all=True, append_images=[blue], duration=100)
    pixels = media.read(media.from_bytes(data)).pixels
    assert pixels[4, 4, 0] > 240 and pixels[4, 4, 2] < 16


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_on_white(mode: str) -> None:
    clear = PillowImage.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode)
    options = {"transparency": clear.getpixel((0, 0))} if mode == "P" else {}
    pixels = media.read(media.from_bytes(pillow_bytes(clear, format="PNG", **options))).pixels
    assert (pixels == 255).all()


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_becomes_rgb(mode: str) -> None:
    white = PillowImage.new(mode, (8, 8), 255)
    assert (media.read(media.from_bytes(pillow_bytes(white, format="PNG"))).pixels == 255).all()


def test_sixteen_bits_of_grey_keep_their_shades() -> None:
    grey = PillowImage.fromarray(np.full((8, 8), 128 * 257, np.uint16))
    assert (media.read(media.from_bytes(pillow_bytes(grey, format="PNG"))).pixels == 128).all()


def test_photographs_come_upright() -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    data = pillow_bytes(PillowImage.new("RGB", (16, 8)), format="JPEG", exif=exif)
    assert media.read(media.from_bytes(data)).pixels.shape == (16, 8, 3)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_is_no_reason_to_refuse() -> None:
    data = pillow_bytes(
        PillowImage.new("RGB", (16, 8)), format="JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"
    )
    assert media.read(media.from_bytes(data)).pixels.shape == (8, 16, 3)


# --- sounds that are not plain -----------------------------------------------------------------


def test_silence_and_one_sample_are_sounds() -> None:
    silence = media.read(media.from_bytes(sound_bytes(np.zeros(800), 8000)))
    assert silence.samples.shape == (800,) and not silence.samples.any()
    one = media.read(media.from_bytes(sound_bytes(np.array([0.25]), 8000)))
    assert one.samples.shape == (1,)
    assert media.resampled(one, 16000).samples.shape == (2,)


def test_channels_are_mixed() -> None:
    stereo = np.stack([np.full(800, 0.5), np.zeros(800)], axis=1)  # (S, 2)
    sound = media.read(media.from_bytes(sound_bytes(stereo, 8000)))
    assert sound.rate == 8000 and sound.samples.shape == (800,)
    assert np.allclose(sound.samples, 0.25, atol=1e-3)


def test_numbers_that_are_none_and_too_loud_ones_are_tamed() -> None:
    wild = np.array([np.nan, np.inf, -np.inf, 3.0, -3.0, 0.5], np.float32)
    sound = media.read(media.from_bytes(sound_bytes(wild, 8000, subtype="FLOAT")))
    assert sound.samples.tolist() == [0.0, 1.0, -1.0, 1.0, -1.0, 0.5]


def test_a_wav_from_a_pipe_states_no_size() -> None:
    data = bytearray(media.write(tone()).data)
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    assert len(media.read(media.from_bytes(bytes(data))).samples) == 8000


@pytest.mark.parametrize("container, codec", [("mp4", "aac"), ("webm", "libopus")])
def test_a_container_with_only_sound_is_a_sound(container: str, codec: str) -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=48000, layout="stereo")
        samples = np.tile(tone(1, 48000).samples, (2, 1))  # (2, S)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate = 48000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    loaded = media.from_bytes(buffer.getvalue())
    assert (loaded.modality, loaded.mime_type) == ("audio", f"audio/{container}")
    sound = media.read(loaded)
    assert sound.rate == 48000 and 0.95 < sound.seconds < 1.1
    assert 0.3 < np.abs(sound.samples).max() < 0.7


# --- films that are not plain ------------------------------------------------------------------


@pytest.mark.parametrize("mime_type", FILMS)
def test_a_long_film_is_thinned_evenly(mime_type: str) -> None:
    written = media.write(film(45, fps=30), mime_type)
    read = media.read(written, MediaLimits(max_frames=16))
    assert len(read.frames) == 12 and read.fps == 7.5  # every fourth of 45
    expected = film(45).frames[::4]
    assert np.abs(read.frames.astype(int) - expected).mean() < 6


def test_large_frames_are_made_smaller_to_fit_together() -> None:
    written = media.write(film(8, 120, 160))
    read = media.read(written, MediaLimits(max_pixels=8 * 60 * 80))
    assert read.frames.shape == (8, 60, 80, 3)


def test_films_from_a_telephone_come_upright() -> None:
    data = bytearray(media.write(film()).data)
    matrix = data.index(b"tkhd") + 4 + 40  # version, flags, times, ids, layer, volume
    quarter = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    data[matrix : matrix + 36] = quarter  # turn by 90 degrees, clockwise
    frames = media.read(media.from_bytes(bytes(data))).frames
    assert frames.shape == (8, 64, 48, 3)
    assert np.abs(np.rot90(frames[0]).astype(int) - film().frames[0]).mean() < 4


def test_a_film_without_frames_is_refused() -> None:
    whole = bytearray(media.write(film()).data)
    at = whole.index(b"stsz") + 4 + 8  # the number of frames in the index
    whole[at : at + 4] = bytes(4)
    assert error_of(bytes(whole)) == "The film has no frames."
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm") as file:
        stream = file.add_stream("libvpx-vp9", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        file.start_encoding()
    assert error_of(buffer.getvalue()) == "The webm file is damaged, cut short or empty."


# --- files that are bad ------------------------------------------------------------------------


def load_error(path: Path, limits: MediaLimits = media.DEFAULT_LIMITS) -> str:
    with pytest.raises(MediaError) as raised:
        media.load(path, limits)
    return str(raised.value)


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(example("image/webp").data)
    loaded = media.load(path)
    assert (loaded.modality, loaded.mime_type, loaded.caption) == ("image", "image/webp", None)


def test_missing_and_empty_files_folders_and_pipes(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.png"
    assert load_error(missing) == f"There is no file {missing}."
    assert load_error(tmp_path) == f"{tmp_path} is a folder, not a file."
    empty = tmp_path / "empty.png"
    empty.touch()
    assert load_error(empty) == f"{empty}: the file is empty."
    os.mkfifo(tmp_path / "pipe")
    assert load_error(tmp_path / "pipe") == f"{tmp_path / 'pipe'} is not an ordinary file."
    assert "There can be no file of this name" in load_error(Path("a\0b"))
    assert "\\udc80" in load_error(tmp_path / "\udc80.png")
    assert "can't be read: File name too long." in load_error(tmp_path / ("x" * 300))


def test_text_under_a_picture_s_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_text("not a picture")
    assert load_error(path).startswith(f"{path}: the file is not a picture, a sound or a film")


def test_a_medium_of_another_modality_than_it_says_is_refused() -> None:
    with pytest.raises(MediaError, match=r"said to be a film, but is a picture\."):
        media.read(Media("video", "video/mp4", example("image/png").data))


def test_a_large_file_is_not_even_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.wav"
    with open(path, "wb") as file:
        file.truncate(2**40)  # a tebibyte of nothing
    assert load_error(path, MediaLimits(max_bytes=2**20)) == (
        f"{path}: the file is larger than 1 MiB."
    )


@pytest.mark.parametrize("mime_type", [*PICTURES, *SOUNDS, *FILMS])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated_files_are_refused(mime_type: str, share: float, tmp_path: Path) -> None:
    data = example(mime_type).data
    path = tmp_path / "cut"
    path.write_bytes(data[: max(1, int(len(data) * share))])
    assert load_error(path).startswith(f"{path}: the ")


@pytest.mark.parametrize(
    "mime_type, limits, sentence",
    [
        ("image/png", MediaLimits(max_pixels=3000), "The picture is 64 x 48 pixels; at most"),
        ("video/mp4", MediaLimits(max_pixels=3000), "The film is 64 x 48 pixels; at most"),
        ("audio/flac", MediaLimits(max_seconds=0.25), "The sound is longer than 0.25 seconds."),
        ("video/webm", MediaLimits(max_seconds=0.25), "The film is longer than 0.25 seconds."),
        ("image/gif", MediaLimits(max_bytes=100), "The file is larger than 0 MiB."),
    ],
)
def test_limits(mime_type: str, limits: MediaLimits, sentence: str) -> None:
    assert error_of(example(mime_type).data, limits).startswith(sentence)


def png_bomb() -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(10**6))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def gif_bomb() -> bytes:
    data = bytearray(example("image/gif").data)
    data[6:10] = b"\xff\xff\xff\xff"
    return bytes(data)


def jpeg_bomb() -> bytes:
    data = bytearray(example("image/jpeg").data)
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xff\xff\xff"
    return bytes(data)


def flac_bomb() -> bytes:
    return media.write(Sound(np.zeros(400 * 16000, np.float32), 16000), "audio/flac").data


@pytest.mark.parametrize("bomb", [png_bomb, gif_bomb, jpeg_bomb, flac_bomb])
def test_decompression_bombs_are_refused(bomb: Callable[[], bytes]) -> None:
    assert "at most 50 million can be read" in error_of(bomb()) or "longer than" in error_of(bomb())


def test_absurd_sample_rates_are_refused() -> None:
    data = bytearray(media.write(tone()).data)
    data[24:28] = struct.pack("<I", 2**32 - 5)
    error_of(bytes(data))


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from([*PICTURES, *SOUNDS, *FILMS]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    early=st.booleans(),
)
def test_damage_is_survived_or_refused_and_nothing_else(
    kind: str, changes: list[tuple[float, int]], early: bool
) -> None:
    data = bytearray(DAMAGEABLE.setdefault(kind, example(kind).data))
    for where, value in changes:
        data[int(where * (min(len(data), 100) if early else len(data) - 1)) % len(data)] = value
    try:
        media.from_bytes(bytes(data), MediaLimits(max_pixels=10**6))
    except MediaError as error:
        assert str(error).endswith(".")


DAMAGEABLE: dict[str, bytes] = {}


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    for start in (
        b"",
        b"RIFF\0\0\0\0WAVE",
        b"\x1a\x45\xdf\xa3webm",
        b"\0\0\0\x10ftypisom",
        b"OggS",
    ):
        error_of(start + data)


# --- saving ------------------------------------------------------------------------------------


@contextmanager
def full_disk() -> Iterator[None]:
    """As if the disk filled up after 512 bytes of any file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_save_makes_the_folder_and_names_the_kind(tmp_path: Path) -> None:
    path = media.save(example("audio/mpeg"), tmp_path / "a" / "b", "answer")
    assert path == tmp_path / "a" / "b" / "answer.mp3"
    assert media.load(path) == example("audio/mpeg")
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_full_disk_leaves_the_old_file_and_no_half_of_the_new(tmp_path: Path) -> None:
    old = media.save(media.write(Image(picture().pixels[:2, :2])), tmp_path, "answer")
    before = old.read_bytes()
    with full_disk(), pytest.raises(MediaError, match=r"answer\.png can't be written: .+\."):
        media.save(Media("image", "image/png", bytes(4096)), tmp_path, "answer")
    assert os.listdir(tmp_path) == ["answer.png"] and old.read_bytes() == before


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(MediaError, match=r"can't be written: (Not a directory|File exists)\."):
        media.save(example("image/png"), tmp_path / "out", "answer")


# --- sampling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000, 15999])
def test_resampling_keeps_pitch_and_length(rate: int) -> None:
    sound = media.resampled(tone(1.0, rate), 16000)
    assert sound.rate == 16000 and sound.samples.dtype == np.float32
    assert abs(len(sound.samples) - 16000) <= 2
    spectrum = np.abs(np.fft.rfft(sound.samples[:15998]))
    assert abs(int(spectrum.argmax()) * 16000 / 15998 - 440) < 1


def test_resampling_takes_rates_that_no_filter_fits() -> None:
    assert len(media.resampled(Sound(np.ones(5, np.float32), 383_987), 16000).samples) == 1
    assert len(media.resampled(Sound(np.ones(2, np.float32), 1), 8000).samples) == 16000


@given(total=st.integers(1, 40), count=st.integers(1, 40))
def test_sampling_keeps_order_and_length(total: int, count: int) -> None:
    numbered = np.broadcast_to(
        np.arange(total, dtype=np.uint8)[:, None, None, None], (total, 2, 2, 3)
    )
    chosen = media.sampled(Film(numbered, 10.0), count)
    order = chosen.frames[:, 0, 0, 0].astype(int)
    assert len(order) == count and (np.diff(order) >= 0).all()
    assert chosen.seconds == pytest.approx(total / 10)
    if count == total:
        assert (order == np.arange(total)).all()
    if count < total:
        assert (np.diff(order) > 0).all()
