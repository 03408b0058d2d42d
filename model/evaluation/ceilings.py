"""The parts alone, because a part is judged before the chain it stands in.

    referee-…       the referee on true renders: nothing can come out better than that
    autoencoder-…   the referee on what the decoder's autoencoder keeps of true renders
    decoder-…       the referee on what the decoder makes under its own text encoder's
                    condition of the right caption: the ceiling of the signal path

A row far below its decoder's ceiling loses in the language model or the output projection.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from heliograph.model.core import AnyToAny
from heliograph.model.decoders.autoencoding import rebuilt
from heliograph.model.evaluation.rows import FILMS, LONG
from heliograph.model.media import Clip
from heliograph.model.primer import scenes
from heliograph.model.primer.render import render
from heliograph.model.primer.scenes import One, Pair, Scene, Several, SoundOf

Stage = Literal["referee", "autoencoder", "decoder"]


@dataclass(frozen=True)
class Ceiling:
    """One part on one kind of scene."""

    name: str
    title: str
    stage: Stage
    kinds: tuple[type[Scene], ...]
    share: float = 1.0
    """Of the number of cases."""


PICTURES: tuple[type[Scene], ...] = (One, Several, Pair)
CEILINGS: tuple[Ceiling, ...] = (
    Ceiling("referee-picture", "referee on true pictures", "referee", PICTURES),
    Ceiling("referee-sound", "referee on true sounds", "referee", (SoundOf,)),
    Ceiling("referee-film", "referee on true films", "referee", (scenes.Film,), FILMS),
    Ceiling("autoencoder-picture", "pictures through the autoencoder", "autoencoder", PICTURES),
    Ceiling("autoencoder-sound", "sounds through the autoencoder", "autoencoder", (SoundOf,)),
    Ceiling(
        "autoencoder-film", "films through the autoencoder", "autoencoder", (scenes.Film,), FILMS
    ),
    Ceiling("decoder-one", "decoder alone, one object", "decoder", (One,), LONG),
    Ceiling("decoder-several", "decoder alone, several of a kind", "decoder", (Several,), LONG),
    Ceiling("decoder-pair", "decoder alone, two in a relation", "decoder", (Pair,), LONG),
    Ceiling("decoder-sound", "decoder alone, sounds", "decoder", (SoundOf,), LONG),
    Ceiling("decoder-film", "decoder alone, films", "decoder", (scenes.Film,), FILMS),
)


def draw_scene(ceiling: Ceiling, index: int, seed: int) -> tuple[Scene, int]:
    """The held-out scene of that number and a seed for its medium."""
    chance = random.Random(f"evaluation/{seed}/{ceiling.name}/{index}")
    kind = ceiling.kinds[index % len(ceiling.kinds)]
    split: scenes.Split = "train" if kind is SoundOf else "held_out"
    return scenes.sample(chance, kind, split), chance.randrange(2**31)


def clips(
    core: AnyToAny,
    stage: Stage,
    wanted: Sequence[tuple[Scene, int]],
    *,
    steps: int | None,
    guidance: float | None,
) -> list[Clip]:
    """What the part gives for scenes of one modality and their seeds."""
    if stage == "referee":
        return [render(scene, seed) for scene, seed in wanted]
    decoder = core.decoder(scenes.modality(wanted[0][0]))
    if stage == "autoencoder":
        return rebuilt(decoder.pipeline, [render(scene, seed) for scene, seed in wanted])
    condition = decoder.encode_condition([scenes.caption(scene) for scene, _ in wanted])
    return decoder.decode(
        condition, seeds=[seed for _, seed in wanted], steps=steps, guidance=guidance
    )
