"""The artifact store: what is put in comes out, or one sentence says why not."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.memory.artifacts import ArtifactStore
from heliograph.model import media
from heliograph.model.errors import MediaError, StoreError
from heliograph.model.parts import Media

DATA = b"heliograph"
DIGEST = hashlib.sha256(DATA).hexdigest()
REF = f"sha256:{DIGEST}"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def files(store: ArtifactStore) -> list[str]:
    return sorted(str(p.relative_to(store.root)) for p in store.root.rglob("*") if p.is_file())


def picture(caption: str | None = None) -> Media:
    return media.write(media.Image(np.zeros((4, 4, 3), np.uint8)), caption=caption)


def test_bytes_come_back_under_their_hash(store: ArtifactStore) -> None:
    assert not store.has(REF)
    assert store.put(DATA, ".bin") == REF
    assert store.has(REF) and store.get(REF) == DATA
    assert store.path(REF) == store.root / "sha256" / DIGEST[:2] / f"{DIGEST[2:]}.bin"
    assert store.get(f"heliograph://sha256/{DIGEST}") == DATA


def test_the_same_bytes_are_stored_once(store: ArtifactStore) -> None:
    store.put(DATA, ".bin")
    assert store.put(DATA, ".txt") == store.put(DATA) == REF
    assert files(store) == [f"sha256/{DIGEST[:2]}/{DIGEST[2:]}.bin"]


def test_suffixes_may_be_missing_or_double(store: ArtifactStore) -> None:
    assert store.get(store.put(b"")) == b""
    assert store.get(store.put(b"1", ".tar.gz")) == b"1"


@given(st.binary(max_size=64))
def test_any_bytes_come_back(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    store = ArtifactStore(tmp_path_factory.getbasetemp() / "any")
    assert store.get(store.put(data)) == data


def test_what_is_not_there_is_said_so(store: ArtifactStore) -> None:
    for ask in (store.get, store.path, store.get_media):
        with pytest.raises(StoreError, match=rf"The artifact {REF} is not in the store .+\."):
            ask(REF)


@pytest.mark.parametrize(
    "ref", ["", "sha256:", f"sha256:{DIGEST}0", f"sha256:{DIGEST.upper()}", f"md5:{DIGEST}",
            "sha256:../../../etc/passwd", f"{REF}\n", "https://example.org/a.png"]
)  # fmt: skip
def test_what_is_no_reference_is_refused(store: ArtifactStore, ref: str) -> None:
    with pytest.raises(StoreError, match="is not a reference to an artifact"):
        store.get(ref)


def test_damaged_bytes_are_refused_and_mended(store: ArtifactStore) -> None:
    path = store.path(store.put(DATA, ".bin"))
    path.write_bytes(DATA[:-1])
    with pytest.raises(StoreError, match="is damaged: its content has another hash"):
        store.get(REF)
    store.put(DATA)
    assert store.get(REF) == DATA and len(files(store)) == 1


def test_a_full_disk_leaves_nothing_behind(store: ArtifactStore) -> None:
    store.put(DATA)
    before, limit = files(store), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, limit[1]))
    try:
        with pytest.raises(StoreError, match=r"The artifact store .+ can't be written: .+\."):
            store.put(bytes(4096))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert files(store) == before


def test_a_root_that_is_a_file_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "root").touch()
    with pytest.raises(StoreError, match=r"can't be (read|written): Not a directory\."):
        ArtifactStore(tmp_path / "root").put(DATA)


def test_an_interrupted_write_is_not_taken_for_an_artifact(store: ArtifactStore) -> None:
    folder = store.path(store.put(DATA)).parent
    (folder / store.path(REF).name).rename(folder / ".0123.tmp")
    assert not store.has(REF)


def test_a_medium_comes_back_from_its_block(store: ArtifactStore) -> None:
    said = picture(caption="a dark square")
    block = store.put_media(said)
    assert block == {
        "type": "image",
        "url": f"heliograph://sha256/{said.sha256}",
        "mime_type": "image/png",
        "extras": {"caption": "a dark square"},
    }
    assert store.get_media(block) == said
    assert store.path(block["url"]).suffix == ".png"


def test_a_medium_without_a_caption(store: ArtifactStore) -> None:
    block = store.put_media(picture())
    assert "extras" not in block
    assert store.get_media(block) == picture()
    assert store.get_media(f"sha256:{picture().sha256}") == picture()


def test_the_same_bytes_may_be_said_in_two_ways(store: ArtifactStore) -> None:
    blocks = [store.put_media(picture(caption)) for caption in ("night", "nothing")]
    assert [store.get_media(block).caption for block in blocks] == ["night", "nothing"]
    assert len(files(store)) == 1


def test_bytes_that_are_no_medium_are_no_medium(store: ArtifactStore) -> None:
    with pytest.raises(MediaError, match="is not a picture, a sound or a film"):
        store.get_media(store.put(DATA))


HAMMER = """
import sys
from pathlib import Path
from heliograph.memory.artifacts import ArtifactStore
store = ArtifactStore(Path(sys.argv[1]))
for _ in range(3):
    for number in range(20):
        data = bytes([number]) * 50_000
        ref = store.put(data, sys.argv[2])
        assert store.get(ref) == data
"""


def test_processes_share_a_store(store: ArtifactStore) -> None:
    links = Path(__file__).resolve().parents[2] / ".links"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", HAMMER, str(store.root), ".bin"],
            env={**os.environ, "PYTHONPATH": str(links)},
        )
        for _ in range(3)
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert len(files(store)) == 20
