"""What is shipped: the wheel of the tree and the wheel of the sdist hold every file.

Built by the hatchling of this environment, without isolation, so that no network is used.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("agent", "graphs", "memory", "model", "tools")
MEGABYTE = 1_000_000


def build(target: str, project: Path, out: Path) -> Path:
    """Build the sdist or the wheel of a project into ``out``."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)],
        cwd=project,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (built,) = out.iterdir()
    return built


def contents(wheel: Path) -> dict[str, str]:
    """SHA-256 of each file in the wheel, by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {n: hashlib.sha256(archive.read(n)).hexdigest() for n in archive.namelist()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def wheel_of_sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sdist = build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (project,) = unpacked.iterdir()
    return build("wheel", project, tmp_path_factory.mktemp("wheel_of_sdist"))


def test_both_wheels_hold_the_same_files(wheel: Path, wheel_of_sdist: Path) -> None:
    assert contents(wheel) == contents(wheel_of_sdist)


def test_the_wheel_holds_every_file_of_the_five_folders(wheel: Path) -> None:
    in_tree = {
        "heliograph/" + file.relative_to(ROOT).as_posix(): hashlib.sha256(
            file.read_bytes()
        ).hexdigest()
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    shipped = contents(wheel)
    assert {n: h for n, h in shipped.items() if n.startswith("heliograph/")} == in_tree
    assert "heliograph/model/primer/sprites.png" in shipped
    assert "heliograph/model/primer/vocabulary.json" in shipped


def test_the_wheel_puts_nothing_else_into_site_packages(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in contents(wheel)}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"heliograph"}
    # A namespace: other distributions may add to it.
    assert "heliograph/__init__.py" not in contents(wheel)


def test_the_licences_are_shipped(wheel: Path) -> None:
    names = contents(wheel)
    assert any(n.endswith(".dist-info/licenses/LICENSE") for n in names)
    assert any(n.endswith(".dist-info/licenses/NOTICE") for n in names)
    assert "heliograph/model/primer/sprites.LICENSE.txt" in names


def test_the_command_is_declared(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        assert b"heliograph = heliograph.agent.cli:main" in archive.read(name)


def test_the_bundled_weights_stay_small() -> None:
    sizes = [f.stat().st_size for f in (ROOT / "model/primer/weights").rglob("*.safetensors")]
    assert sum(sizes) <= 60 * MEGABYTE
    assert max(sizes, default=0) <= 16 * MEGABYTE
