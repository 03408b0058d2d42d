"""The benchmark of full size, which is made for a GPU, at a size that a processor can do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from heliograph.model.primer import weights_dir

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is in no package."""
    monkeypatch.syspath_prepend(str(ROOT))


def test_all_of_it_is_measured_at_a_tiny_size(tmp_path: Path) -> None:
    from benchmarks import full_size
    from benchmarks.harness import Figure, Settings, save

    found = list(full_size.measure(Settings(weights_dir(), 1, "cpu", tiny=True)))
    save(found, tmp_path)
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report["missing"] == []
    figures = {f.name: f.median for f in found if isinstance(f, Figure)}
    for name in ("stage encode", "stage decode", "stage instruct, 2 a step"):
        assert figures[f"{name}: all steps"] > 0 and figures[f"{name}: peak memory"] > 0
    rate, over = figures["stage encode: all steps"], "over the reference's 7.4 samples/s"
    assert figures[f"stage encode: {over}"] == pytest.approx(rate / 7.4)
    assert figures["stage instruct: a sample"] > 4 * figures["stage encode: a sample"]
    assert figures["words, rows: 8: ours"] > 0
    assert all(figures[f"{kind}, next turn"] > 0 for kind in full_size.KINDS)


def test_what_fails_is_told_and_the_rest_goes_on() -> None:
    from benchmarks import full_size
    from benchmarks.harness import Figure, Missing, figure

    def way() -> Iterator[Figure]:
        yield figure("full_size", "a", "s", [1.0])
        raise torch.OutOfMemoryError("too\nmuch")

    first, then = full_size._tried("a", way, torch.device("cpu"))
    assert isinstance(first, Figure)
    assert then == Missing("full_size", "a", "OutOfMemoryError: too much")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [({"device": "cuda"}, "there is no GPU"), ({"device": "cpu"}, "only asked for it with --tiny")],
)
def test_without_a_gpu_one_sentence_says_so(
    asked: dict[str, Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import full_size
    from benchmarks.harness import Missing, Settings

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (said,) = full_size.measure(Settings(weights_dir(), 1, **asked))
    assert isinstance(said, Missing) and reason in said.reason
