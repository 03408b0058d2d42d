"""What an evaluation leaves in its folder.

index.html        one page: the table, the commonest mistakes, the grids
table.md          the table
results.json      every figure
confusions.json   what was taken for what; shares by task and language
cases.jsonl       each case: what was asked, what was right, what came
grids/ROW.png     what was asked and what came
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from heliograph.model.evaluation import figures
from heliograph.model.evaluation.ceilings import CEILINGS
from heliograph.model.evaluation.figures import Share
from heliograph.model.evaluation.grids import grid
from heliograph.model.evaluation.judging import Verdict
from heliograph.model.evaluation.rows import FOREIGN, ROWS
from heliograph.model.evaluation.run import Outcome
from heliograph.model.files import write_atomically

COLUMNS = ("exact", "order", "words", "captions", "media", "media_of_right_captions")
HEADS = (
    "row",
    "cases",
    "right",
    "all attributes",
    "order",
    "words",
    "captions",
    "media",
    "media where the caption is right",
)
NOTE = (
    "Phrasings were held out of training, and so was what pictures and films show, the last one of "
    "a dialogue that has several; rows of somebody else's media have phrasings of training. "
    "In brackets: Wilson's 95 % interval. "
    "Right is a case of which everything is right, in the attributes that the row names; the "
    "other columns tell its parts apart."
)
_TITLES = {r.name: r.title for r in (*ROWS, *FOREIGN)} | {c.name: c.title for c in CEILINGS}


def results(outcome: Outcome, about: Mapping[str, Any]) -> dict[str, Any]:
    """Every figure as plain values.

    Args:
        outcome: of the evaluation.
        about: what else is to be told, such as the folder of the weights.
    """
    parts, foreign = {c.name for c in CEILINGS}, {r.name for r in FOREIGN}
    rows = {
        name: {
            "title": _TITLES[name],
            **figures.row_figures(verdicts),
            "seconds": round(outcome.seconds.get(name, 0.0), 1),
        }
        for name, verdicts in outcome.verdicts.items()
        if verdicts
    }
    return {
        **about,
        "complete": outcome.complete,
        "settings": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(outcome.settings).items()
        },
        "rows": {name: row for name, row in rows.items() if name not in parts | foreign},
        "pooled": figures.pooled(_of_rows(outcome)),
        "foreign": {name: row for name, row in rows.items() if name in foreign},
        "parts": {name: row for name, row in rows.items() if name in parts},
    }


def write(outcome: Outcome, folder: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write the folder, and return what ``results.json`` holds.

    Raises:
        OSError: the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = results(outcome, about)
    every = [verdict for verdicts in outcome.verdicts.values() for verdict in verdicts]
    confused = figures.confusions(every)
    lines = table(found)
    grids = []
    (folder / "grids").mkdir(exist_ok=True)
    for name, cells in outcome.cells.items():
        if cells:
            grid(cells).save(folder / "grids" / f"{name}.png")
            grids.append(name)
    write_json(folder / "results.json", found)
    write_json(folder / "confusions.json", confused)
    write_atomically(folder / "table.md", (markdown(lines) + f"\n{NOTE}\n").encode())
    cases = "".join(json.dumps(_case(v), ensure_ascii=False) + "\n" for v in every)
    write_atomically(folder / "cases.jsonl", cases.encode())
    write_atomically(folder / "index.html", _page(lines, confused, grids, found).encode())
    return found


def table(found: Mapping[str, Any]) -> list[list[str]]:
    """The table's lines under ``HEADS``; empty lines part rows, pools, other people's, parts."""
    lines = [_line(row) for row in found["rows"].values()]
    lines += [[], *(_line(row) for row in found["pooled"].values() if row["count"])]
    lines += [[], *(_line(row) for row in found["foreign"].values())]
    lines += [[], *(_line(row) for row in found["parts"].values())]
    return lines


def markdown(lines: Sequence[Sequence[str]], heads: Sequence[str] = HEADS) -> str:
    """A table as Markdown, its first column to the left and the others to the right."""
    told = [list(heads), ["---", *["---:"] * (len(heads) - 1)]]
    told += [list(line) or [""] * len(heads) for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in told)


def _line(row: Mapping[str, Any]) -> list[str]:
    shares = [Share(part["right"], part["count"]).text() for part in (row, *_parts(row))]
    return [row["title"], str(row["count"]), *shares, *[""] * (len(HEADS) - 2 - len(shares))]


def _parts(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row[column] for column in COLUMNS if column in row]


def _of_rows(outcome: Outcome) -> list[Verdict]:
    """The cases of the rows that are held out of training: what the pooled rows are over."""
    rows = (row for row in ROWS if (row.scenes, row.phrasings) == ("held_out", "held_out"))
    return [v for row in rows for v in outcome.verdicts.get(row.name, [])]


def _case(verdict: Verdict) -> dict[str, Any]:
    told = asdict(verdict)
    del told["readings"]
    return told


def write_json(path: Path, value: object) -> None:
    """A value as a JSON file, all of it or nothing."""
    write_atomically(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def _page(
    lines: Sequence[Sequence[str]],
    confused: Mapping[str, Any],
    grids: Sequence[str],
    found: Mapping[str, Any],
) -> str:
    head = "".join(f"<th>{escape(name)}" for name in HEADS)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}" for cell in line or ["\u00a0"]) for line in lines
    )
    mistakes = "".join(
        f"<h3>{escape(where)}</h3><ul>"
        + "".join(f"<li>{escape(a)} → {escape(b)}: {n}" for a, b, n in worst)
        + "</ul>"
        for where in ("described", "captions", "media", "autoencoder", "decoder")
        if (worst := figures.worst(confused, where))
    )
    sheets = "".join(
        f"<h3>{escape(_TITLES[name])}</h3><img loading=lazy src='grids/{name}.png' alt=''>"
        for name in grids
    )
    stopped = "" if found["complete"] else "<p><b>It was stopped before its end.</b>"
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Heliograph: evaluation</title>"
        f"<style>{_STYLE}</style><h1>Evaluation</h1>{stopped}<p>{escape(NOTE)}"
        f"<p>{escape(json.dumps(found['settings']))}"
        f"<table><tr>{head}{body}</table><h2>Commonest mistakes</h2>{mistakes}"
        f"<h2>What was asked and what came</h2>{sheets}</html>\n"
    )


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1240px;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .6em;border-bottom:1px solid #ddd;"
    "text-align:right;font-variant-numeric:tabular-nums}td:first-child,th:first-child"
    "{text-align:left}img{max-width:100%}"
)
