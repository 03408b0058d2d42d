"""Draws the loss of every training of a work directory: ``curves.svg`` beside this file, or a file
of another name.

pip install -e '.[docs]'
python docs/diagrams/curves.py ~/.cache/heliograph/train [NAME.svg]
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

RUNS = {
    "image-vae": "picture autoencoder",
    "objects": "picture decoder: objects",
    "scenes": "picture decoder: scenes",
    "motion": "film decoder: motion",
    "films": "pictures and films",
    "polish": "pictures and films: polish",
    "audio-vae": "sound autoencoder",
    "sounds": "sound decoder",
    "encoders": "encoders",
    "language": "language model",
    "encode": "stage 1",
    "decode": "stage 2",
    "instruct": "stage 3",
    "instruct-brief": "stage 3, brief requests",
    "steady": "encoder: blur, light, noise",
    "instruct-steady": "stage 3 on both",
    "instruct-decline": "stage 3, more refusals",
    "instruct-lengths": "stage 3, of every length",
    "signals": "pictures' output projection",
    "details": "pictures and films: details",
}
COLUMNS = 4
SMOOTHING = 0.9
"""Decay of the running mean that the line shows; the dots are the losses as logged."""


def losses(log: Path) -> tuple[list[int], list[float]]:
    """Steps and losses of a run; a step that was done again after a stop counts once."""
    with log.open() as file:
        found = {int(row["step"]): float(row["loss"]) for row in csv.DictReader(file)}
    return sorted(found), [found[step] for step in sorted(found)]


def smooth(values: list[float]) -> list[float]:
    """A running mean without the bias of its beginning."""
    mean, weight, out = 0.0, 0.0, []
    for value in values:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        out.append(mean / weight)
    return out


def main() -> None:
    """Draw."""
    work = Path(sys.argv[1])
    out = Path(__file__).with_name(sys.argv[2] if len(sys.argv) > 2 else "curves.svg")
    runs = {run: title for run, title in RUNS.items() if (work / run / "log.csv").exists()}
    rows = -(-len(runs) // COLUMNS)
    # A fixed salt and no date: the same logs give the same file.
    mpl.rcParams.update({"svg.hashsalt": "heliograph", "font.size": 8, "svg.fonttype": "none"})
    size = (11, 2.1 * rows)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=size, layout="constrained", squeeze=False)
    for axis in axes.flat[len(runs) :]:
        axis.set_axis_off()
    for axis, (run, title) in zip(axes.flat, runs.items(), strict=False):
        steps, values = losses(work / run / "log.csv")
        axis.plot(steps, values, ".", markersize=1, color="#b8b8b8", rasterized=True)
        axis.plot(steps, smooth(values), color="#c2571a", linewidth=1.2)
        axis.set(title=title, yscale="log")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("steps")
    figure.supylabel("loss")
    figure.savefig(out, metadata={"Date": None}, dpi=150)


if __name__ == "__main__":
    main()
