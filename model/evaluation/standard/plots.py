"""One picture of a report: figures with their intervals, and the spread of single cases."""

from __future__ import annotations

import io
from typing import Any

from heliograph.model.errors import MissingExtra
from heliograph.model.evaluation.standard.items import Figure, Found

INK, BAR = "#1e1e1e", "#2e6f8c"


def plot(found: Found) -> bytes:
    """A PNG: a panel for each unit and scale of figures, and one for each score of cases.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        # Not pyplot: it keeps figures, and looks for a display.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Sheet
    except ImportError as error:
        raise MissingExtra("matplotlib", "eval") from error
    groups = _groups(found.figures)
    spreads = {name: list(of.values()) for name, of in found.scores.items() if len(of) > 1}
    heights = [1 + 0.35 * len(group) for group in groups] + [2.0] * len(spreads)
    sheet = Sheet(figsize=(8, sum(heights) + 0.3 * len(heights)), layout="constrained")
    FigureCanvasAgg(sheet)
    panels = sheet.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, group in zip(panels, groups, strict=False):
        _bars(panel, group)
    for panel, (name, scores) in zip(panels[len(groups) :], spreads.items(), strict=True):
        panel.hist(scores, bins=20, color=BAR)
        panel.set_title(f"{name} of single cases", loc="left", fontsize=10, color=INK)
        panel.set_ylabel("cases")
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    sheet.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _groups(figures: list[Figure]) -> list[list[Figure]]:
    """Figures that can stand on one axis: percentages, captions' scores, and others alone."""
    together = {"BLEU-4", "METEOR", "CIDEr", "SPICE", "SPIDEr"}
    groups: dict[str, list[Figure]] = {}
    for figure in figures:
        kind = figure.unit if figure.unit == "%" else figure.name
        groups.setdefault("captions" if figure.name in together else kind, []).append(figure)
    return list(groups.values())


def _bars(panel: Any, group: list[Figure]) -> None:
    names = [figure.name for figure in group]
    panel.barh(names, [figure.value for figure in group], color=BAR, height=0.6)
    for at, figure in enumerate(group):
        if figure.low is not None and figure.high is not None:
            panel.plot([figure.low, figure.high], [at, at], color=INK, linewidth=1.5)
    panel.invert_yaxis()
    unit = group[0].unit
    if unit == "%" and max(figure.value for figure in group) <= 100:
        panel.set_xlim(0, 100)
    lower = "lower is better" if group[0].better == "lower" else ""
    panel.set_xlabel(" ".join(filter(None, [unit, lower])))
