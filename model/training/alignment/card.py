"""A model card (Mitchell et al. 2019) for the core that a run leaves: README.md and a curve.

It begins like the one that `heliograph push` writes, which leaves a card that is there as it is.
Then it says what was trained on what, with which settings, how the losses went, and under which
licences the parts stand, as far as their folders or whoever ran it say so.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from heliograph.model.checkpoint import read_json, write_json
from heliograph.model.errors import InputError
from heliograph.model.hub import opening
from heliograph.model.inspect import inspect
from heliograph.model.origins import LANGUAGE, Origins
from heliograph.model.plan import PROJECTIONS
from heliograph.model.shelf import Shelf
from heliograph.model.training.alignment.memory import Part
from heliograph.model.training.alignment.settings import FILE, Settings

LICENCES = "licences.json"
UNSTATED = "not stated in its folder"
_FRONT = re.compile(r"\A---\n.*?^licen[sc]e:\s*['\"]?([^'\"\n]+)", re.DOTALL | re.MULTILINE)


def write_card(
    settings: Settings, directory: Path, parts: Sequence[Part], facts: Mapping[str, str]
) -> None:
    """Write ``README.md``, ``curve.svg`` and ``licences.json`` into the core of a run.

    Args:
        settings: of the run.
        directory: the core.
        parts: what trained and what didn't.
        facts: measured, by their names.
    """
    known = licences(directory, settings)
    write_json(directory / LICENCES, known)
    columns = curve(settings.out / "log.csv")
    (directory / "curve.svg").write_text(drawing(columns), encoding="utf-8")
    trained = sum(part.trained for part in parts)
    mixture = settings.mixture()
    shares = mixture.shares()
    chosen = read_json(settings.out / FILE)
    chosen["mixture"] = [[source.public_title, source.weight] for source in mixture.sources]
    title = f"A core after {settings.recipe.title}"
    stated = [licence for licence in known.values() if licence != UNSTATED]
    lines = [
        *opening(inspect(directory), title, directory.name, stated),
        "",
        f"`{directory.name}` is this directory; once it is on a hub, its id there does as well.",
        "",
        f"Trained by Heliograph's stage `{settings.stage}`, beginning with the core "
        f"`{settings.core.name}`.",
        "",
        "## Data",
        "",
        "| source | share of draws |",
        "| --- | ---: |",
        *(
            f"| {_cell(source.public_title)} | {shares[source.title]:.1%} |"
            for source in mixture.sources
        ),
        "",
        "## What trained",
        "",
        "| part | parameters | trained |",
        "| --- | ---: | ---: |",
        *(f"| {part.name} | {part.numbers:,} | {part.trained:,} |" for part in parts),
        f"| all | {sum(part.numbers for part in parts):,} | {trained:,} |",
        "",
        "## Settings",
        "",
        "| setting | value |",
        "| --- | --- |",
        *(f"| {name} | {_cell(json.dumps(value))} |" for name, value in chosen.items()),
        "",
        "## Figures",
        "",
        "| figure | value |",
        "| --- | --- |",
        *(f"| {name} | {_cell(value)} |" for name, value in facts.items()),
        *(f"| {name}, last | {value:.4f} |" for name, value in _last(columns).items()),
        "",
        "![loss by step](curve.svg)",
        "",
        "These are losses on the training data; `heliograph eval` measures what a core can do.",
        "",
        "## Licences of the parts",
        "",
        "| part | licence |",
        "| --- | --- |",
        *(f"| {_cell(part)} | {_cell(licence)} |" for part, licence in known.items()),
        "",
        "A core inherits all of them.",
    ]
    (directory / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def licences(core: Path, settings: Settings) -> dict[str, str]:
    """The licence of each part: as stated now, or in an earlier run, or by the part's folder."""
    shelf = Shelf.from_pretrained(core)
    names = [*_parts(shelf), *({PROJECTIONS} & shelf.origins.sources.keys())]
    found = {name: _stated(core, name, shelf.origins) for name in names}
    path = settings.core / LICENCES
    before = read_json(path) if path.exists() else {}
    for name, licence in {**before, **dict(settings.licences)}.items():
        if licence != UNSTATED:
            found[str(name)] = str(licence)
    return found


def check_licences(settings: Settings) -> None:
    """See that the licences which somebody states are of parts that the core has.

    Raises:
        InputError: one isn't.
        WeightsError: the core's ``config.json`` is missing or damaged.
    """
    names = [*_parts(Shelf.from_pretrained(settings.core)), PROJECTIONS]
    for part, _ in settings.licences:
        if part not in names:
            raise InputError(
                f"--licence names {part}, which is no part of this core: there are "
                f"{', '.join(names)}."
            )


def _parts(shelf: Shelf) -> list[str]:
    """The parts of a core that come from somebody."""
    encoders = (f"encoders/{name}" for name in shelf.encoders)
    return [LANGUAGE, *encoders, *(f"decoders/{modality}" for modality in shelf.decoders)]


def curve(log: Path) -> dict[str, list[float]]:
    """The columns of a run's log."""
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = rows[0].keys() if rows else ()
    return {name: [float(row[name]) for row in rows] for name in names}


def drawing(columns: Mapping[str, Sequence[float]], width: int = 640, height: int = 240) -> str:
    """The loss by step as SVG."""
    steps, losses = columns.get("step", ()), columns.get("loss", ())
    if not losses:
        return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"/>\n'
    low, high = min(losses), max(losses)
    wide, tall, edge = width - 70, height - 50, 50
    span, length = (high - low) or 1.0, (steps[-1] - steps[0]) or 1.0
    points = " ".join(
        f"{edge + wide * (s - steps[0]) / length:.1f},{10 + tall * (high - x) / span:.1f}"
        for s, x in zip(steps, losses, strict=True)
    )
    labels = [(4, 18, f"{high:.3g}"), (4, 10 + tall, f"{low:.3g}")]
    labels += [
        (edge, height - 14, f"step {steps[0]:.0f}"),
        (width - 90, height - 14, f"{steps[-1]:.0f}"),
    ]
    texts = "".join(f'<text x="{x}" y="{y}">{escape(label)}</text>' for x, y, label in labels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{texts}'
        f'<polyline points="{points}" fill="none" stroke="#c60" stroke-width="1.5"/></svg>\n'
    )


def _last(columns: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The last value of each loss that was written down and is a number."""
    values = {name: column[-1] for name, column in columns.items() if column}
    left = {name: x for name, x in values.items() if name not in ("step", "seconds")}
    return {name: x for name, x in left.items() if math.isfinite(x)}


def _stated(core: Path, part: str, origins: Origins) -> str:
    """The licence of a part: as it was when the core was composed, or by the part's folder."""
    source = origins.sources.get(part)
    if source is not None and source.licence is not None:
        return source.licence
    if source is not None and source.path is not None and not source.copied:
        return _licence(Path(source.path))
    return _licence(core / part)


def _licence(folder: Path) -> str:
    readme = folder / "README.md"
    if readme.is_file():
        stated = _FRONT.match(readme.read_text(encoding="utf-8", errors="replace"))
        if stated:
            return stated[1].strip()
    for path in sorted(folder.glob("LICENSE*")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.strip() for line in lines if line.strip()), UNSTATED)
    return UNSTATED


def _cell(text: str) -> str:
    """Text that stays in its cell of a table."""
    return " ".join(escape(text).replace("|", "\\|").split())
