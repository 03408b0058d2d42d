"""Figures of media that were made: against real ones, and against what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph.model.errors import InputError
from heliograph.model.evaluation.standard import fidelity
from heliograph.model.evaluation.standard.cepstral import mel_cepstral_distortion
from heliograph.model.evaluation.standard.intervals import interval
from heliograph.model.evaluation.standard.items import Figure, Found
from heliograph.model.media import SUFFIXES, Clip, Sound, load, read
from heliograph.model.parts import Modality

if TYPE_CHECKING:
    from heliograph.model.evaluation.standard.networks import (
        ClassNetwork,
        ClipNetwork,
        FeatureNetwork,
    )


Told = Callable[[str, int, int], None]
"""Is given what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, eq=False)
class Networks:
    """What the user named for judging media; ``None`` leaves the metric out."""

    features: FeatureNetwork | None = None
    classifier: ClassNetwork | None = None
    clip: ClipNetwork | None = None

    @classmethod
    def load(
        cls, features: Path | None, classifier: Path | None, clip: Path | None, device: str = "cpu"
    ) -> Networks:
        """Load those that were named.

        Raises:
            InputError: there is no such device here.
            WeightsError: one of the directories holds no such network.
        """
        from heliograph.model.evaluation.standard import networks
        from heliograph.model.machine import device_here

        device = str(device_here(device))
        return cls(
            networks.FeatureNetwork(features, device) if features else None,
            networks.ClassNetwork(classifier, device) if classifier else None,
            networks.ClipNetwork(clip, device) if clip else None,
        )

    def check(self, modality: Modality) -> None:
        """See to it that they read what will be made, before anything is made.

        Raises:
            InputError: one doesn't.
        """
        for network in (self.features, self.classifier):
            if network is not None and network.hears != (modality == "audio"):
                noun = "sounds" if modality == "audio" else "pictures"
                raise InputError(f"{network.name} doesn't read {noun}; name a network that does.")
        if self.clip is not None and modality == "audio":
            raise InputError("CLIPSIM is of pictures and films: leave --clip out for sounds.")


@dataclass(frozen=True)
class Made:
    """Media that were made and what belongs to them, as files, by key."""

    modality: Modality
    made: Mapping[str, Path]
    real: Mapping[str, Path] = field(default_factory=dict)
    """Those of real media; for MCD, under the key of what was made of or after them."""
    captions: Mapping[str, str] = field(default_factory=dict)
    """What was asked for."""
    paired: bool = False
    """Whether a real sound is what the made one of the same key should sound like (MCD)."""


def figures(media: Made, networks: Networks, tell: Told = lambda *_: None) -> Found:
    """All figures that the networks and the files allow.

    Args:
        media: what was made.
        networks: that judge it.
        tell: is given what is computed, how many media were read for it, and of how many.

    Raises:
        MediaError: a file is damaged.
        InputError: a network doesn't read such media.
    """
    found = Found()
    _distance(media, networks, found, tell)
    _score(media, networks, found, tell)
    if media.modality != "audio":
        _clip(media, networks, found, tell)
    elif media.paired:
        _cepstra(media, found, tell)
    return found


def media_files(folder: Path) -> dict[str, Path]:
    """The pictures, sounds and films in a folder by name without suffix.

    Raises:
        InputError: there are none, or two of a name.
    """
    suffixes = {*SUFFIXES.values(), ".jpeg"}
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() in suffixes:
            if path.stem in files:
                raise InputError(f"{folder} has both {files[path.stem].name} and {path.name}.")
            files[path.stem] = path
    if not files:
        raise InputError(f"{folder} has no pictures, sounds or films.")
    return files


def _distance(media: Made, networks: Networks, found: Found, tell: Told) -> None:
    name = "FAD" if media.modality == "audio" else "FID"
    if networks.features is None:
        example = "CLAP's" if media.modality == "audio" else "CLIP's or DINO's"
        found.missing[name] = (
            f"{name} needs a network of features: name the directory of one, such as {example}, "
            "with --features."
        )
        return
    if not media.real:
        found.missing[name] = f"{name} needs real media to compare with, and there are none."
        return
    made = networks.features.of(_clips(media.made.values(), f"{name}, made", tell))  # (N, D)
    real = networks.features.of(_clips(media.real.values(), f"{name}, real", tell))  # (M, D)
    if min(len(made), len(real)) < 2:
        found.missing[name] = f"{name} needs two media at least on either side."
        return
    note = f"features of {networks.features.name}" + ", of frames" * (media.modality == "video")
    if min(len(made), len(real)) <= made.shape[1]:
        note += (
            f"; biased: there are no more media than the {made.shape[1]} dimensions of a feature"
        )
    value = fidelity.frechet(made, real)
    found.figures.append(Figure(name, value, len(media.made), better="lower", note=note))


def _score(media: Made, networks: Networks, found: Found, tell: Told) -> None:
    if networks.classifier is None:
        kind = "sounds, such as an AST" if media.modality == "audio" else "pictures, such as a ViT"
        found.missing["IS"] = (
            f"IS needs a classifier: name the directory of one of {kind}, with --classifier."
        )
        return
    logits = networks.classifier.of(_clips(media.made.values(), "IS", tell))  # (N, classes)
    # Papers split thousands in ten; a split of a few has no room for many classes.
    splits = max(1, min(10, len(logits) // 100))
    mean, deviation = fidelity.inception_score(logits, splits)
    note = f"± {deviation:.3f} over {splits} splits; " * (splits > 1)
    note += f"classes of {networks.classifier.name}"
    found.figures.append(Figure("IS", mean, len(media.made), note=note))


def _clip(media: Made, networks: Networks, found: Found, tell: Told) -> None:
    if networks.clip is None:
        found.missing["CLIPSIM"] = (
            "CLIPSIM needs a model of pictures and words: name the directory of one, such as "
            "CLIP's, with --clip."
        )
        return
    asked = {key: path for key, path in media.made.items() if key in media.captions}
    # GODIVA (Wu et al. 2021, arXiv 2104.14806): the mean over frames, then over films.
    scores = {
        key: networks.clip.similarity(clip, media.captions[key])
        for key, clip in zip(asked, _clips(asked.values(), "CLIPSIM", tell), strict=True)
    }
    if not scores:
        found.missing["CLIPSIM"] = "CLIPSIM needs a caption of each medium, and there are none."
        return
    found.scores["CLIPSIM"] = scores
    found.figures.append(_mean("CLIPSIM", scores, note=f"cosine by {networks.clip.name}"))


def _cepstra(media: Made, found: Found, tell: Told) -> None:
    pairs = {key: path for key, path in media.made.items() if key in media.real}
    scores = {}
    for key, made in zip(pairs, _clips(pairs.values(), "MCD", tell), strict=True):
        real = read(load(media.real[key]))
        if isinstance(made, Sound) and isinstance(real, Sound):
            scores[key] = mel_cepstral_distortion(made, real)
    if not scores:
        found.missing["MCD"] = "MCD needs pairs: a real sound of the same name for each made one."
        return
    found.scores["MCD"] = scores
    found.figures.append(_mean("MCD", scores, "dB", "lower"))


def _mean(
    name: str, scores: Mapping[str, float], unit: str = "", better: str = "higher", note: str = ""
) -> Figure:
    values = list(scores.values())
    low, high = interval(values)
    mean = sum(values) / len(values)
    return Figure(name, mean, len(values), low, high, unit, better, note)


def _clips(files: Collection[Path], what: str, tell: Told) -> Iterator[Clip]:
    for number, path in enumerate(files, 1):
        yield read(load(path))
        tell(what, number, len(files))
