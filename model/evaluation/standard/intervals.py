"""Bootstrap intervals (Efron 1979) of means and of ratios of sums."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

SAMPLES = 1000
SEED = 12345
"""Of the resampling; the same figures give the same interval."""


def interval(
    tops: Sequence[float],
    bottoms: Sequence[float] | None = None,
    clusters: Sequence[Hashable] | None = None,
) -> tuple[float, float]:
    """The 95 % percentile interval of ``sum(tops) / sum(bottoms)``.

    Args:
        tops: one for each case.
        bottoms: likewise; ones where it is a mean that is asked for.
        clusters: cases of the same one are drawn together, because they are not independent
            (several questions about one picture).

    Returns:
        The ends; both are the value itself where there is only one cluster.
    """
    top = np.asarray(tops, float)  # (N,)
    bottom = np.ones_like(top) if bottoms is None else np.asarray(bottoms, float)
    if clusters is not None:
        ids = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
        of = np.array([ids[cluster] for cluster in clusters])
        top, bottom = np.bincount(of, top), np.bincount(of, bottom)  # (C,)
    rng = np.random.default_rng(SEED)
    found = np.empty(SAMPLES)
    for i in range(SAMPLES):
        drawn = rng.integers(len(top), size=len(top))
        found[i] = top[drawn].sum() / max(bottom[drawn].sum(), 1e-12)
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
