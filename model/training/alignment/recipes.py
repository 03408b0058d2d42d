"""What each stage trains, on which rows of a data set, and how fast.

``encode``, ``decode`` and ``instruct`` are the stages of Wu et al. 2023, "NExT-GPT" (arXiv
2309.05519), section 5, with the rates and batches that it reports; ``llava-align`` and
``llava-instruct`` those of Liu et al. 2023, "Visual Instruction Tuning" (arXiv 2304.08485),
section 4.2, with those of version 1.5.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from heliograph.model.data.examples import Example
from heliograph.model.errors import InputError
from heliograph.model.parts import NAMES, Modality


@dataclass(frozen=True)
class Recipe:
    """One stage."""

    name: str
    title: str
    learning_rate: float
    batch: int
    """Samples of an optimizer step."""
    warmup: float
    """Share of the steps over which the rate rises."""
    inputs: bool = False
    """The input projections train."""
    outputs: bool = False
    """The output projections train, and the signal tokens' rows of embedding and head."""
    language: bool = False
    """The language model trains: by LoRA, or all of it where that is asked for."""
    shows: bool = False
    """Only rows in which a medium is shown."""
    makes: bool | None = None
    """Only rows in which a medium is made, or only those in which none is."""
    full_rate: float | None = None
    """The rate where all of the language model trains."""

    def unfit(
        self,
        example: Example,
        sees: Collection[Modality],
        makes: Collection[Modality],
        own: Collection[Modality] = (),
    ) -> str | None:
        """Why a row can't serve here, in a few words; ``None`` where it can.

        Args:
            example: the row.
            sees: what the core reads.
            makes: what it makes.
            own: what its language model reads by itself, without a projection that could train.
        """
        shown = {media.modality for media in example.media(made=False)}
        made = {media.modality for media in example.media(made=True)}
        for modality in sorted(shown - set(sees)):
            return f"these weights can't read {NAMES[modality]}"
        for modality in sorted(made - set(makes)):
            return f"these weights can't make {NAMES[modality]}"
        if self.shows and not shown:
            return "they show no medium"
        if self.shows and shown <= set(own):
            return "what they show is read without a projection"
        if self.makes is True and not made:
            return "nothing is made in them"
        if self.makes is False and made:
            return "media are made in them"
        return None


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("encode", "encoding-side alignment", 4e-4, 18, 0.1, inputs=True, shows=True),
        Recipe("decode", "decoding-side alignment", 4e-4, 8, 0.1, outputs=True, makes=True),
        Recipe(
            "instruct",
            "modality-switching instruction tuning",
            5e-4,
            4,
            0.1,
            inputs=True,
            outputs=True,
            language=True,
            full_rate=2e-5,
        ),
        Recipe(
            "llava-align",
            "LLaVA's feature alignment",
            1e-3,
            256,
            0.03,
            inputs=True,
            shows=True,
            makes=False,
        ),
        Recipe(
            "llava-instruct",
            "LLaVA's visual instruction tuning",
            2e-4,
            128,
            0.03,
            inputs=True,
            language=True,
            makes=False,
            full_rate=2e-5,
        ),
    )
}


def recipe(name: str) -> Recipe:
    """A stage by its name.

    Raises:
        InputError: there is none.
    """
    if name not in RECIPES:
        raise InputError(f"There is no stage {name!r}; there are {', '.join(RECIPES)}.")
    return RECIPES[name]
