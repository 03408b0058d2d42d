"""How long it takes until one can type: bare imports, and the help of the command.

Ratios are over ``import torch``, which is what these imports keep away from.
"""

from __future__ import annotations

from benchmarks.harness import Figure, Settings, figure, python, ratio, seconds

_HELP = "import sys; sys.argv = ['heliograph', '--help']; from heliograph.agent.cli import main"


def measure(settings: Settings) -> list[Figure]:
    """Time fresh interpreters."""
    taken = seconds(
        {
            "python": lambda: python("-c", "pass"),
            "import torch": lambda: python("-c", "import torch"),
            "import heliograph.agent": lambda: python("-c", "import heliograph.agent"),
            "heliograph --help": lambda: python("-c", f"{_HELP}; main()"),
        },
        settings.repeats,
    )
    figures = [figure("imports", name, "s", samples) for name, samples in taken.items()]
    for way in ("import heliograph.agent", "heliograph --help"):
        figures.append(ratio("imports", f"{way} / import torch", taken, way, "import torch"))
    return figures
