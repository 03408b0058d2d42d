"""``heliograph doctor``: what is installed, what is missing, and which command brings it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from heliograph.model.errors import HeliographError, WeightsError

NEEDED = (
    "av diffusers huggingface-hub langchain-core langgraph langgraph-checkpoint-sqlite numpy peft "
    "pillow pydantic rich safetensors scipy simpleeval soundfile torch transformers typer"
).split()
EXTRAS = {
    "train": ["tensorboard"],
    "import": ["protobuf", "sentencepiece"],
    "data": ["datasets", "pyyaml"],
    "llm": ["langchain"],
    "eval": "ijson matplotlib pycocoevalcap sacrebleu torchmetrics".split(),
    "quant": ["bitsandbytes"],
    "dev": ["hypothesis", "mypy", "pytest", "ruff"],
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    good: bool
    found: str
    needed: bool = True
    """Whether the assistant can't work without it."""
    remedy: str = ""
    """What to do where it isn't good."""


def doctor(
    weights: Annotated[
        Path | None, typer.Option(help="Directory of a core. (default: the bundled one)")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output.")
    ] = False,
) -> None:
    """Look at the installation, the weights and the data directory."""
    findings = [*packages(), _weights(weights), _home()]
    if as_json:
        print(json.dumps({"findings": [asdict(finding) for finding in findings]}))
    else:
        _show(findings)
    if not all(finding.good for finding in findings if finding.needed):
        raise typer.Exit(1)


def packages() -> list[Finding]:
    """Python, and what is installed beside it."""
    version = platform.python_version()
    findings = [
        Finding(
            "python",
            sys.version_info >= (3, 11),
            f"{version} on {platform.machine()}, {os.cpu_count()} cores",
        )
    ]
    repair = "pip install --upgrade heliograph"
    findings += [_package(name, True, repair) for name in NEEDED]
    for extra, names in EXTRAS.items():
        remedy = f"pip install 'heliograph[{extra}]'"
        findings += [_package(name, False, remedy) for name in names]
    return findings


def _package(name: str, needed: bool, remedy: str) -> Finding:
    try:
        return Finding(name, True, metadata.version(name), needed)
    except metadata.PackageNotFoundError:
        return Finding(name, False, "missing", needed, remedy)


def _weights(weights: Path | None) -> Finding:
    """Whether the weights load; the encoders and decoders too."""
    from heliograph.agent.settings import Settings

    remedy = "heliograph train all --preset primer"
    try:
        folder = Settings.of(weights=weights).weights_dir()
        if not folder.is_dir():
            raise WeightsError(f"{folder} is missing.")
        from heliograph.model.core import AnyToAny

        core = AnyToAny.from_pretrained(folder)
        for modality in core.sees:
            core.encoder(modality)
        for modality in core.makes:
            core.decoder(modality)
    except HeliographError as error:
        return Finding("weights", False, str(error), True, remedy)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    kinds = f"reads {', '.join(core.sees)}; makes {', '.join(core.makes)}"
    return Finding("weights", True, f"{folder}, {size / 1e6:.0f} MB: {kinds}")


def _home() -> Finding:
    """Whether conversations and media can be kept."""
    from heliograph.agent.settings import Settings

    home = Settings.of().home
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / f".doctor-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        remedy = "set HELIOGRAPH_HOME to a directory that can be written"
        return Finding("data directory", False, f"{home}: {error.strerror}", True, remedy)
    return Finding(
        "data directory", True, f"{home}, {shutil.disk_usage(home).free / 1e9:.1f} GB free"
    )


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False)
    for finding in findings:
        mark, style = ("✓", "green") if finding.good else ("–", "yellow")
        if finding.needed and not finding.good:
            mark, style = "✗", "red"
        remedy = "" if finding.good else finding.remedy
        cells = (finding.name, finding.found, remedy)
        table.add_row(Text(mark, style), *(Text(cell) for cell in cells))
    Console().print(table)
