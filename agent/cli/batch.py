"""``heliograph batch``: a file of cases in, a file of answers out."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliograph.agent.cli.chat import Device, GpuMemory, check_auto
from heliograph.model.errors import InputError, StoreError

if TYPE_CHECKING:
    from heliograph.agent.batch import Result

RESULTS = "results.jsonl"


def batch(
    cases: Annotated[
        Path,
        typer.Argument(
            help='JSON lines: {"id", "text", "files"} or {"id", "turns": [{"text", "files"}]}.'
        ),
    ],
    out: Annotated[Path, typer.Option(help=f"Folder for {RESULTS} and the media.")],
    together: Annotated[int, typer.Option(min=1, help="Cases answered side by side.")] = 8,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of every case.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Denoising steps of the decoders.")
    ] = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Ask those again that ended in an error.")
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(help="Directory of a core. (default: the bundled one)")
    ] = None,
    device: Device = "cpu",
    gpu_memory: GpuMemory = None,
) -> None:
    """Answer a file of cases; run again, it goes on where it stopped.

    Each case is one line of results.jsonl, in the form of `ask --json` with the case's
    "id" ("turns" holds each answer where the case has turns), or {"id", "error"}.
    """
    from rich.console import Console

    from heliograph.agent.assistant import Assistant
    from heliograph.agent.batch import answer_cases, key, read_cases
    from heliograph.agent.settings import Settings

    check_auto(device, gpu_memory)
    settings = Settings.of(weights=weights, device=device, gpu_memory=gpu_memory)
    wanted = read_cases(cases)
    done = _done(out / RESULTS, retry_errors)
    left = [case for case in wanted if key(case.id) not in done]
    console = Console(stderr=True)
    given = {"seed": seed, "steps": steps}
    options = {name: value for name, value in given.items() if value is not None}
    errors = 0
    if left:
        with console.status(f"0 of {len(left)} cases") as status:
            results = answer_cases(
                Assistant(settings), left, options, together, lambda doing: status.update(doing)
            )
            for count, result in enumerate(results, 1):
                record = _record(result, out, settings.home / "artifacts")
                errors += "error" in record
                _append(out / RESULTS, record)
                status.update(f"{count} of {len(left)} cases")
    words = f"{len(left)} cases answered, {len(wanted) - len(left)} were done before"
    print(f"{words}; {errors} with an error: {out / RESULTS}", file=sys.stderr)


def _record(result: Result, out: Path, artifacts: Path) -> dict[str, Any]:
    from heliograph.agent.cli import output

    identity = {"id": result.case.id}
    prefix = re.sub(r"[^\w-]+", "_", str(result.case.id))[:40]
    save = output.saver(out / "media", artifacts, f"{prefix}-")
    turns = [output.as_json(answer, save) for answer in result.answers]
    if result.error is not None:
        return identity | {"error": result.error} | ({"turns": turns} if turns else {})
    return identity | turns[-1] | ({} if result.case.alone else {"turns": turns})


def _done(path: Path, retry_errors: bool) -> set[str]:
    """Ids that have a result; a line that was cut off by a kill is taken away."""
    from heliograph.agent.batch import key
    from heliograph.model.files import write_atomically

    if not path.exists():
        return set()
    try:
        before = path.read_bytes()
        kept: list[bytes] = []
        ids = set()
        for line in before.splitlines(keepends=True):
            try:
                record = json.loads(line)
                identity = key(record["id"])
            except (ValueError, KeyError, TypeError):
                if line.endswith(b"\n"):
                    raise InputError(
                        f"{path} is not a file of results; give another --out."
                    ) from None
                continue
            if line.endswith(b"\n") and not (retry_errors and "error" in record):
                kept.append(line)
                ids.add(identity)
        if b"".join(kept) != before:
            write_atomically(path, b"".join(kept))
    except OSError as error:
        raise StoreError(f"{path} can't be read or written: {error.strerror}.") from error
    return ids


def _append(path: Path, record: dict[str, Any]) -> None:
    from heliograph.model.files import append_line

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            append_line(file, json.dumps(record, ensure_ascii=False).encode("utf-8", "replace"))
    except OSError as error:
        raise StoreError(f"{path} can't be written: {error.strerror}.") from error
