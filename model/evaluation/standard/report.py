"""What an evaluation on a standard set leaves in its folder.

table.md        the figures
results.json    the figures, settings, versions, and what could not be computed
cases.jsonl     each case: what was asked, the references, the answer, its scores
figures.png     the figures with their intervals, and how scores of single cases are spread
answers.jsonl   the answers as they came; media/ what was made; reviews.jsonl what a judge said
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from heliograph.model.evaluation.report import markdown, write_json
from heliograph.model.evaluation.standard.items import Case, Figure, Found
from heliograph.model.evaluation.standard.plots import plot
from heliograph.model.files import write_atomically

HEADS = ("figure", "value", "95 % interval", "cases")
PACKAGES = (
    "heliograph",
    "torch",
    "transformers",
    "diffusers",
    "numpy",
    "scipy",
    "sacrebleu",
    "pycocoevalcap",
    "jiwer",
    "torchmetrics",
)


def versions() -> dict[str, str]:
    """Of Python and of each package that the figures may depend on."""
    found = {"python": platform.python_version(), "heliograph": "not installed"}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write(
    folder: Path, found: Found, about: Mapping[str, Any], cases: Sequence[Case] = ()
) -> dict[str, Any]:
    """Write the folder, and return what ``results.json`` holds.

    Args:
        folder: made where it is missing.
        found: by the scorers.
        about: what else is to be told: the set, settings, weights, counts.
        cases: with their answers.

    Raises:
        OSError: the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = {
        **about,
        "versions": versions(),
        "figures": [asdict(figure) for figure in found.figures],
        "missing": found.missing,
    }
    write_json(folder / "results.json", results)
    notes = [f"- {f.name}: {f.note}" for f in found.figures if f.note]
    notes += [f"- {reason}" for reason in found.missing.values()]
    parts = [markdown([line(figure) for figure in found.figures], HEADS)] * bool(found.figures)
    parts += ["".join(f"{note}\n" for note in notes)] * bool(notes)
    write_atomically(folder / "table.md", "\n".join(parts).encode())
    rows = [json.dumps(_case(case, found), ensure_ascii=False) + "\n" for case in cases]
    write_atomically(folder / "cases.jsonl", "".join(rows).encode())
    if found.figures:
        write_atomically(folder / "figures.png", plot(found))
    return results


def line(figure: Figure) -> list[str]:
    """A figure under ``HEADS``."""
    unit = f" {figure.unit}" * bool(figure.unit)
    ends = ""
    if figure.low is not None and figure.high is not None:
        ends = f"{_number(figure.low, figure)}–{_number(figure.high, figure)}"
    arrow = " (lower is better)" * (figure.better == "lower")
    return [
        f"{figure.name}{arrow}",
        f"{_number(figure.value, figure)}{unit}",
        ends,
        str(figure.count),
    ]


def _number(value: float, figure: Figure) -> str:
    """One decimal of what is large or a percentage; four digits of what is small."""
    return f"{value:.1f}" if figure.unit == "%" or abs(figure.value) >= 10 else f"{value:.4f}"


def _case(case: Case, found: Found) -> dict[str, Any]:
    scores = {name: of[case.item.key] for name, of in found.scores.items() if case.item.key in of}
    return {
        "key": case.item.key,
        "question": case.item.question,
        "references": case.item.references,
        **{name: value for name, value in case.item.facts.items() if name != "context"},
        "answer": case.answer.text,
        **({"made": case.answer.made} if case.answer.made else {}),
        "scores": scores,
    }
