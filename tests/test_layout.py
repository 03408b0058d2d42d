"""The shape of the repository: five folders, imports in one direction, light to import."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("agent", "graphs", "memory", "model", "tools")
MAY_IMPORT = {
    "agent": {"agent", "graphs", "tools", "memory", "model"},
    "graphs": {"graphs", "tools", "memory", "model"},
    "tools": {"tools", "model"},
    "memory": {"memory", "model"},
    "model": {"model"},
}
NOT_IN_MODEL = ("langchain", "langgraph", "langsmith", "chromadb")
HEAVY = ("torch", "transformers", "diffusers", "peft", "langgraph", "scipy")


def imported_modules(source: str, package: str) -> list[str]:
    """Full names of what a file of ``package`` imports, wherever in the file it does."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                found += [alias.name for alias in node.names]
            case ast.ImportFrom(level=0):
                # `from heliograph import agent` imports heliograph.agent.
                found += [f"{node.module}.{alias.name}" for alias in node.names]
            case ast.ImportFrom():
                base = package.split(".")[: len(package.split(".")) - node.level + 1]
                found += [
                    ".".join([*base, *(node.module or "").split("."), alias.name])
                    for alias in node.names
                ]
    return found


def wrong_imports(source: str, package: str) -> list[str]:
    """The imports of a file that go against the direction."""
    folder = package.split(".")[1]
    wrong = []
    for name in imported_modules(source, package):
        head, _, rest = name.partition(".")
        against = head == "heliograph" and rest.split(".")[0] not in MAY_IMPORT[folder]
        bare = head in FOLDERS
        heavy_handed = folder == "model" and head.startswith(NOT_IN_MODEL)
        if against or bare or heavy_handed:
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_run_in_one_direction(folder: str) -> None:
    wrong = {
        str(file.relative_to(ROOT)): names
        for file in sorted((ROOT / folder).rglob("*.py"))
        if (names := wrong_imports(file.read_text(), package_of(file)))
    }
    assert wrong == {}


def package_of(file: Path) -> str:
    return ".".join(["heliograph", *file.relative_to(ROOT).parent.parts])


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("heliograph.model", "from heliograph.memory.artifacts import ArtifactStore"),
        ("heliograph.model.primer", "def f():\n    import langgraph.graph"),
        ("heliograph.model.primer", "from ...graphs import turn"),
        ("heliograph.memory", "from heliograph import graphs"),
        ("heliograph.tools", "import heliograph.memory.artifacts"),
        ("heliograph.graphs", "from agent import cli"),
    ],
)
def test_the_direction_test_sees_a_wrong_import(package: str, source: str) -> None:
    assert len(wrong_imports(source, package)) == 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_folder_is_linked_under_its_installed_name(folder: str) -> None:
    link = ROOT / ".links" / "heliograph" / folder
    assert link.is_symlink()
    assert not Path(os.readlink(link)).is_absolute()
    assert link.resolve() == ROOT / folder


def test_there_are_no_other_links() -> None:
    links = {path.name for path in (ROOT / ".links" / "heliograph").iterdir() if path.is_symlink()}
    assert links == set(FOLDERS)


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_folder_says_that_it_is_typed(folder: str) -> None:
    assert (ROOT / folder / "py.typed").is_file()


@pytest.mark.parametrize(
    "module",
    [
        "heliograph.agent",
        "heliograph.agent.cli",
        "heliograph.memory.artifacts",
        "heliograph.model.errors",
        "heliograph.model.media",
        "heliograph.model.parts",
        "heliograph.model.primer.scenes",
    ],
)
def test_importing_loads_nothing_heavy(module: str) -> None:
    """Those who only ask for help, or embed the parts, don't wait for torch."""
    code = f"import sys, {module}; print(*(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / ".links")},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
