"""Distances between what was made and what is real: FID, FAD, and the Inception Score.

All are torchmetrics' on features or logits that a network of the user's gives, so that FID
(Heusel et al. 2017, arXiv 1706.08500) and FAD (Kilgour et al. 2019, arXiv 1812.08466) are the
same distance on features of pictures and of sounds. Figures in papers are on Inception v3's
or VGGish's features; only figures on the same network can be compared.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from heliograph.model.errors import MissingExtra
from heliograph.model.evaluation.standard.intervals import SEED


def frechet(made: Tensor, real: Tensor) -> float:
    """The Fréchet distance of two Gaussians fitted to features: ||m - m'||² + tr(C + C' - 2(CC')½).

    Args:
        made: (N, D) with N of at least 2.
        real: (M, D) likewise.
    """
    distance = _torchmetrics("image.fid").FrechetInceptionDistance(feature=_Given(made.shape[1]))
    distance.set_dtype(torch.float64)
    distance.update(real.double(), real=True)
    distance.update(made.double(), real=False)
    # Rounding can leave the distance of equals a hair below zero.
    return max(0.0, float(distance.compute()))


def inception_score(logits: Tensor, splits: int) -> tuple[float, float]:
    """The Inception Score (Salimans et al. 2016, arXiv 1606.03498): mean and deviation over splits.

    Args:
        logits: (N, classes).
        splits: into how many parts the rows are split; the deviation over one is 0.
    """
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)  # rows are shuffled before they are split
        warnings.simplefilter("ignore", UserWarning)  # it keeps logits; the deviation of one
        score = _torchmetrics("image.inception").InceptionScore(
            feature=nn.Identity(), splits=splits
        )
        score.update(logits.double())
        mean, deviation = score.compute()
    return float(mean), float(deviation) if splits > 1 else 0.0


class _Given(nn.Identity):
    """Stands where torchmetrics expects the network: features come ready-made."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width


def _torchmetrics(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"torchmetrics.{module}")
    except ImportError as error:
        raise MissingExtra("torchmetrics", "eval") from error
