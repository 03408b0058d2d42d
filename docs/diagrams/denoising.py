"""Draws how good a medium is at each number of denoising steps: ``denoising.svg`` beside this file.

pip install -e '.[docs]'
python -m benchmarks denoising && python docs/diagrams/denoising.py out/bench/bench.json
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

NAME = re.compile(r"(?P<title>.*), (?P<steps>\d+) steps(?P<right>: right)?")


def main() -> None:
    """Draw."""
    figures = json.loads(Path(sys.argv[1]).read_text())["figures"]
    seconds: dict[str, dict[int, float]] = {}
    shares: dict[str, dict[int, tuple[float, float, float]]] = {}
    for figure in figures:
        found = NAME.fullmatch(figure["name"])
        if figure["benchmark"] != "denoising" or found is None:
            continue
        title, steps = found["title"], int(found["steps"])
        if found["right"]:
            told = (figure["median"], figure["low"], figure["high"])
            shares.setdefault(title, {})[steps] = told
        else:
            seconds.setdefault(title, {})[steps] = figure["median"]
    mpl.rcParams.update({"svg.hashsalt": "heliograph", "font.size": 8, "svg.fonttype": "none"})
    drawn, axes = plt.subplots(1, len(shares), figsize=(11, 2.8), layout="constrained", sharey=True)
    for axis, (title, told) in zip(axes, shares.items(), strict=True):
        x = [seconds[title][steps] for steps in told]
        middle, low, high = zip(*told.values(), strict=True)
        axis.fill_between(x, low, high, color="#c2571a", alpha=0.15, linewidth=0)
        axis.plot(x, middle, "o-", color="#c2571a", markersize=3, linewidth=1.2)
        for steps, at, share in zip(told, x, middle, strict=True):
            axis.annotate(str(steps), (at, share), (0, 5), textcoords="offset points", ha="center")
        axis.set(title=title, xlabel="seconds", ylim=(0, 1.08), xlim=(0, None))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("share right, by number of steps")
    drawn.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None}, dpi=150)


if __name__ == "__main__":
    main()
