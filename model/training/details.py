"""The picture decoder's last blocks, on what the referee doesn't recognise yet.

What a trained decoder draws wrongly is mostly the same few objects, those of many details, at one
of their sizes. Here training scenes come up as often as the decoder fails on their like, told by
the referee on training scenes (hindsight; its drawings themselves are never trained on). Only the
last two blocks train, which draw outlines. The text encoder, which the signals aim at, and the
motion modules stand still, so that nothing else has to be trained again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from diffusers import UNetMotionModel
from rich.progress import track
from torch import nn

from heliograph.model.decoders import DiffusionDecoder
from heliograph.model.decoders.autoencoding import pixels
from heliograph.model.media import Image
from heliograph.model.primer import pictures
from heliograph.model.primer.referees import read_picture
from heliograph.model.primer.scenes import One, Several, caption, sample
from heliograph.model.primer.vocabulary import load
from heliograph.model.training import decoders, latents
from heliograph.model.training.decoders import Latents, Share
from heliograph.model.training.latents import Bank, Examples
from heliograph.model.training.loop import rng

TRAINED = ("up_blocks.1.", "up_blocks.2.", "conv_norm_out.", "conv_out.")
"""How the names of the denoiser's parameters begin that train: 1.3 of 7.1 M."""
TRIES = 8
"""Pictures of each kind from which it is told how often they fail."""
ALWAYS = 0.1
"""How often a kind is drawn that never fails, beside 1.1 for one that always does."""
AT_ONCE = 36
BANK = {"failing": 12_000, "scenes": 9_000, "motion": 1_200}
"""How many latents each bank holds."""

Kind: TypeAlias = tuple[str, str | int]
"""An object, and its size or how many there are."""


def choose(denoiser: nn.Module) -> None:
    """Let the last blocks train, but for what moves films."""
    for name, parameter in denoiser.named_parameters():
        parameter.requires_grad_(name.startswith(TRAINED) and "motion_modules" not in name)


def moving(pictures: DiffusionDecoder, films: DiffusionDecoder) -> UNetMotionModel:
    """The film denoiser around the picture denoiser, whose parameters it has for its own."""
    whole = decoders.moving(pictures.pipeline.unet)
    whole.load_state_dict(films.pipeline.motion_adapter.state_dict(), strict=False)
    return whole


def batches(
    folder: Path, drawer: DiffusionDecoder, sizes: Mapping[str, int], seed: int
) -> Callable[[int], Latents]:
    """Half of them kinds as often as they fail, the others any pictures and films.

    Args:
        folder: where the banks are, or go.
        drawer: the picture decoder.
        sizes: rows of a batch of ``pictures`` and of ``films``.
        seed: of the whole training.
    """

    def bank(name: str, examples: Callable[[], Examples]) -> Bank:
        file = folder / f"{name}.latents.safetensors"
        return latents.build(file, lambda: drawer.pipeline.vae, examples, BANK[name])

    folder.mkdir(parents=True, exist_ok=True)
    shares = [
        Share(bank("failing", failing(drawer, seed + 1)), 0.5, sizes["pictures"]),
        Share(bank("scenes", latents.scenes(seed + 2)), 0.3, sizes["pictures"]),
        Share(bank("motion", latents.moving(seed + 3)), 0.2, sizes["films"]),
    ]
    return decoders.batches(shares, seed)


def failing(drawer: DiffusionDecoder, seed: int) -> Callable[[], Examples]:
    """Pictures of one kind of object, of each kind as many as it fails often."""

    def examples() -> Examples:
        known = failures(drawer, seed)
        chance = rng(seed, -1)
        while True:
            scene = sample(chance, chance.choice((One, Several)))
            assert isinstance(scene, One | Several)
            if chance.random() * (1 + ALWAYS) < known[_kind(scene)] + ALWAYS:
                picture = pictures.draw(scene, chance.getrandbits(32))
                yield pixels(picture), caption(scene)

    return examples


def failures(drawer: DiffusionDecoder, seed: int, tries: int = TRIES) -> dict[Kind, float]:
    """Of each kind, the share of drawings in which the referee doesn't read what was asked."""
    tried: Counter[Kind] = Counter()
    failed: Counter[Kind] = Counter()
    wanted = list(_of_each(tries, seed))
    chance = rng(seed, -2)
    for start in track(range(0, len(wanted), AT_ONCE), description="what fails"):
        some = wanted[start : start + AT_ONCE]
        condition = drawer.encode_condition([caption(scene) for scene in some])
        seeds = [chance.getrandbits(31) for _ in some]
        for scene, clip in zip(some, drawer.decode(condition, seeds=seeds), strict=True):
            assert isinstance(clip, Image)
            tried[_kind(scene)] += 1
            failed[_kind(scene)] += read_picture(clip.pixels) != scene
    return {kind: failed[kind] / count for kind, count in tried.items()}


def _of_each(tries: int, seed: int) -> Iterator[One | Several]:
    """Training scenes, so many of each kind."""
    chance = rng(seed, -3)
    missing = {
        (thing.name, form): tries for thing in load().objects for form in ("small", "big", 2, 3)
    }
    # A kind whose rows are all held out has none to try, so the search has an end.
    for _ in range(400 * len(missing)):
        scene = sample(chance, chance.choice((One, Several)))
        assert isinstance(scene, One | Several)
        if missing.get(_kind(scene)):
            missing[_kind(scene)] -= 1
            yield scene


def _kind(scene: One | Several) -> Kind:
    return scene.object, scene.size if isinstance(scene, One) else scene.count
