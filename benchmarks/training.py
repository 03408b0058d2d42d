"""Steps of encoding- and decoding-side alignment, beside a straightforward loop on the same core.

The straightforward loop does what a first version does: batches in the order of the data, padded
to their longest row; the encoder runs on each picture, and the decoder's text encoder on each
caption, in each step; the whole sequence runs with gradients. Both read the same samples from the
data set, once each in a round, and neither takes an optimizer's step.

Each means is also measured alone: packing beside batches by length, and the cut prefix beside the
full sequence, both with prepared data. What the steps take over the core at rest is the peak of a
process of its own (``one_trained.py``).
"""

from __future__ import annotations

import itertools
import json
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Figure, Settings, figure, python, ratio, seconds

if TYPE_CHECKING:
    from heliograph.model.core import AnyToAny
    from heliograph.model.data.examples import Example

BATCH = 12
STEPS = 8
"""Of a round: with ``BATCH`` samples each, they go through the data once. As many as a stream draws
and sorts together, so that a round of short samples is not held against one of all."""
AIM = 0.33
PROMPT = (
    "A chat between a person and an assistant. The assistant answers in one sentence, and draws, "
    "plays or films what it is asked for."
)
"""About as long as those that templates of released models begin with."""


def measure(settings: Settings) -> list[Figure]:
    """Prepare data of the primer's world, and time both stages."""
    from heliograph.model.data.preparing import prepare
    from heliograph.model.data.sets import DataSet

    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets = {
            "encode": _described(folder),
            "encode-told": _described(folder, PROMPT),
            "decode": _drawn(),
            "decode-told": _drawn(PROMPT),
        }
        for name, rows in sets.items():
            data = folder / f"{name}.json"
            data.write_text(json.dumps(rows))
            # In order, so that a group of steps has each row once.
            mixture = {"sources": [{"path": data.name}], "shuffle": 1}
            (folder / f"{name}-mix.json").write_text(json.dumps(mixture))
            prepare(settings.weights, folder / "prepared", [DataSet.of(data)])
            figures += _stage(name, settings, folder)
    return figures


def _stage(data: str, settings: Settings, folder: Path) -> list[Figure]:
    with ExitStack() as stack:
        ways = {name: way(name, data, settings.weights, folder, stack) for name in WAYS}
        taken = seconds(ways, settings.repeats)
    title = f"{STEPS} steps of {BATCH}, {data.replace('-told', ' with a system prompt')}"
    return [
        ratio(
            "training", f"{title}: ours / straightforward", taken, "ours", "straightforward", AIM
        ),
        ratio("training", f"{title}: packed / by length", taken, "packed", "by length"),
        ratio("training", f"{title}: prefix cut / by length", taken, "ours", "by length"),
        figure("training", f"{title}: ours", "s", taken["ours"]),
        *_memory(title, data, settings, folder),
    ]


def _memory(title: str, data: str, settings: Settings, folder: Path) -> list[Figure]:
    peaks: dict[str, list[float]] = {name: [] for name in ("ours", "straightforward")}
    for _ in range(max(settings.repeats // 3, 1)):
        for name, found in peaks.items():
            arguments = (name, data, str(settings.weights), str(folder))
            found.append(json.loads(python("-m", "benchmarks.one_trained", *arguments))["over_mb"])
    return [
        figure("training", f"{title}: peak memory over the core at rest, {name}", "MB", found)
        for name, found in peaks.items()
    ]


WAYS: Mapping[str, Mapping[str, Any] | None] = {
    "straightforward": None,
    "ours": {},
    "by length": {"cut": False},
    "packed": {"pack": True},
}
"""By name, the settings of a run; ``None`` is the loop that is written down here."""


def way(
    name: str, data: str, weights: Path, folder: Path, stack: ExitStack
) -> Callable[[], object]:
    """A round of steps of one of ``WAYS``, on one of the data sets that ``folder`` holds."""
    from heliograph.model.training.alignment.run import opened
    from heliograph.model.training.alignment.settings import Settings as Run

    values, stage = WAYS[name], data.partition("-")[0]
    if values is None:
        return _straightforward(stage, weights, folder / f"{data}.json")
    asked: dict[str, Any] = {"batch": BATCH, "at_once": BATCH, "length": 256, **values}
    mixture, prepared = folder / f"{data}-mix.json", folder / "prepared"
    run = Run(stage, weights, mixture, prepared, Path("unused"), **asked)
    return _ours(stack.enter_context(opened(run, "cpu")))


def _ours(run: Any) -> Callable[[], object]:
    import torch

    from heliograph.model.training.loop import trainable

    parameters = trainable(run.modules)
    rounds = itertools.count()

    def steps() -> None:
        first = next(rounds) * STEPS  # so that rows are drawn and laid out in each round
        for step in range(first, first + STEPS):
            losses = run.steps(run.stream(step), torch.Generator().manual_seed(step))
            losses["loss"].backward()
            for parameter in parameters.values():
                parameter.grad = None

    return steps


def _straightforward(stage: str, weights: Path, data: Path) -> Callable[[], object]:
    import torch

    from heliograph.model.core import AnyToAny
    from heliograph.model.data.sets import DataSet, examples
    from heliograph.model.training import decode, encode
    from heliograph.model.training.stages import parts

    core = AnyToAny.from_pretrained(weights)
    (encode if stage == "encode" else decode).choose(core)
    rows = list(examples(DataSet.of(data)))
    far_from = _conditions(core)

    def steps() -> None:
        for step in range(STEPS):
            batch = core.collate(_samples(core, rows[step * BATCH : (step + 1) * BATCH]))
            outputs = core(batch)
            loss = outputs.loss
            if outputs.stacked:
                loss = loss + torch.stack(list(far_from(outputs).values())).mean()
            loss.backward()
            for module in parts(core).values():
                module.zero_grad(set_to_none=True)

    return steps


def _samples(core: AnyToAny, rows: Sequence[Example]) -> list[Any]:
    from heliograph.model.batching import TrainingSample

    return [
        TrainingSample(row.messages, [(f.modality, core.encode(f.load())) for f in row.shown])
        for row in rows
    ]


def _conditions(core: AnyToAny) -> Callable[[Any], dict[Any, Any]]:
    """The condition loss with the text encoder in each step: a fresh one keeps nothing."""
    from heliograph.model.training.stages import condition_loss

    decoders = {m: core.decoder(m) for m in core.makes}
    return lambda outputs: condition_loss(core, decoders)(outputs)


def _described(folder: Path, prompt: str = "") -> list[dict[str, Any]]:
    """Pictures with their captions; each fourth is asked about three times."""
    from heliograph.model.media import write
    from heliograph.model.primer import scenes
    from heliograph.model.primer.render import render
    from heliograph.model.primer.scenes import One, Pair, Several

    chance, rows = random.Random(0), []
    for number in range(STEPS * BATCH):
        scene = scenes.sample(chance, chance.choice([One, Pair, Several]))
        (folder / f"{number}.png").write_bytes(write(render(scene, number)).data)
        turns = [("<image>\nWhat is this?", scenes.caption(scene))]
        turns += [("Say it again.", scenes.caption(scene))] * (2 if number % 4 == 0 else 0)
        rows.append({"input_image": f"{number}.png", "conversations": _talk(turns, prompt)})
    return rows


def _drawn(prompt: str = "") -> list[dict[str, Any]]:
    """Requests for pictures; each fourth after some talk."""
    from heliograph.model.primer import scenes
    from heliograph.model.primer.scenes import One, Pair, Several

    chance, rows = random.Random(1), []
    for number in range(STEPS * BATCH):
        caption = scenes.caption(scenes.sample(chance, chance.choice([One, Pair, Several])))
        turns = [("What can you do?", "I can draw, play and film.")] * (2 if number % 4 == 0 else 0)
        turns.append((f"Please draw {caption}.", "Here it is: <image>"))
        rows.append({"image_captions": caption, "conversations": _talk(turns, prompt)})
    return rows


def _talk(turns: Sequence[tuple[str, str]], prompt: str) -> list[dict[str, str]]:
    """Turns as the published JSON has them, under a system prompt, if any."""
    spoken = [("system", prompt)] if prompt else []
    spoken += [said for asked, answered in turns for said in (("human", asked), ("gpt", answered))]
    return [{"from": who, "value": text} for who, text in spoken]
