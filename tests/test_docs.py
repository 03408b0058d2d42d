"""The examples of the README and of docs/ run, and what these pages point to is there.

Each page is one session in an empty directory of its own that holds a link to
``examples/``; where no weights are bundled, a tiny core of the same classes answers. Its
Python blocks share their names, and the ``$ heliograph …`` lines of its console blocks are
run by the shell. Other commands (git, make, pip) are not run, and neither is a block whose
info string has the word ``no-run``.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)|(?:src|href)=\"(?!https?:|#)([^\"#]+)\"")


@dataclass(frozen=True)
class Block:
    """One runnable block of a page."""

    page: Path
    line: int
    """Of its first line of code, counted from 1."""
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page that are to be run."""
    text = page.read_text()
    for match in BLOCK.finditer(text):
        language, info, code = match.groups()
        if "no-run" in info.split():
            continue
        line = text.count("\n", 0, match.start(3)) + 1
        if language == "python":
            yield Block(page, line, language, code)
        if language == "console" and (commands := heliograph_commands(code)):
            yield Block(page, line, language, commands)


def heliograph_commands(code: str) -> str:
    """The ``$ heliograph …`` lines of a console block, with the lines that they go on to."""
    commands, going_on = [], False
    for line in code.splitlines():
        if going_on or line.startswith("$ heliograph "):
            commands.append(line.removeprefix("$ "))
            going_on = line.endswith("\\")
    return "\n".join(commands)


class Session:
    """One page's directory, Python names and command path."""

    def __init__(self, directory: Path, tiny_core: Path) -> None:
        self.directory = directory
        self.names: dict[str, Any] = {"__name__": "__main__"}
        (directory / "examples").symlink_to(ROOT / "examples")
        command = directory / ".bin" / "heliograph"
        command.parent.mkdir()
        command.write_text(
            f"#!{sys.executable}\nfrom heliograph.agent.cli import main\n\nmain()\n",
        )
        command.chmod(0o755)
        self.environment = {
            "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / ".links"),
            "HOME": str(directory),
            "XDG_DATA_HOME": str(directory / ".data"),
            "XDG_CACHE_HOME": str(directory / ".cache"),
        }
        if not (ROOT / "model" / "primer" / "weights" / "config.json").exists():
            self.environment["HELIOGRAPH_WEIGHTS"] = str(tiny_core)

    def run(self, block: Block, patch: pytest.MonkeyPatch) -> None:
        patch.chdir(self.directory)
        for name, value in self.environment.items():
            patch.setenv(name, value)
        if block.language == "python":
            # Empty lines in front, so that a traceback shows the page's own line numbers.
            code = "\n" * (block.line - 1) + block.code
            exec(compile(code, str(block.page), "exec"), self.names)
        else:
            done = subprocess.run(
                ["sh", "-e", "-c", block.code], capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, f"{block.code}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory, tiny_core_dir: Path) -> dict[Path, Session]:
    return {page: Session(tmp_path_factory.mktemp(page.stem), tiny_core_dir) for page in PAGES}


@pytest.mark.parametrize("block", [b for page in PAGES for b in blocks(page)], ids=str)
def test_the_example_runs(
    block: Block, sessions: dict[Path, Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions[block.page].run(block, monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_pages_links_lead_somewhere(page: Path) -> None:
    targets = [a or b for a, b in LINK.findall(page.read_text())]
    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_each_file_of_the_readmes_tree_exists() -> None:
    """The tree is the block that starts with ``agent/``; indentation is depth."""
    (tree,) = re.findall(r"^```text\n(agent/.*?)^```$", README, re.MULTILINE | re.DOTALL)
    missing, folders = [], [""]
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        path = folders[depth] + line.split()[0]
        folders[depth + 1 :] = [path]
        missing += [path] if not (ROOT / path).exists() else []
    assert missing == []


README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("source", sorted((ROOT / "docs").rglob("*.dot")), ids=lambda p: p.name)
def test_the_drawing_is_that_of_its_source(source: Path) -> None:
    """``make docs`` draws them; the drawing's last line names the source that it was drawn from."""
    drawing = source.with_suffix(".svg").read_text()
    assert hashlib.sha256(source.read_bytes()).hexdigest() in drawing.splitlines()[-1]


def test_only_heliograph_commands_of_a_console_block_are_run() -> None:
    code = "$ make demo\nsome output\n$ heliograph ask 'Hi' \\\n    --seed 1\nHello.\n$ pip list\n"
    assert heliograph_commands(code) == "heliograph ask 'Hi' \\\n    --seed 1"
