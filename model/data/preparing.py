"""Computes encoder features of media and conditions of captions, once for each content.

One pass over the data sets. What is in the stores already is skipped by its hash, so a run that
was stopped, at whatever moment, goes on where it was: at most the shard that was being gathered
is computed again.

Of a decoder only the text encoders are loaded, and those of one decoder at a time: the captions
for the others wait, which takes little, until many have gathered. Encoders stay for as long as the
data set at hand uses them.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from heliograph.model.conditions import SEQUENCE, Condition, Shapes, in_words
from heliograph.model.data.embeddings import read_embedding
from heliograph.model.data.examples import BadRow, Example, MediaFile, Origin
from heliograph.model.data.fingerprints import Fingerprints
from heliograph.model.data.prepared import (
    TOKENS,
    FileHashes,
    caption_key,
    conditions_folder,
    features_folder,
)
from heliograph.model.data.sets import DataSet, examples
from heliograph.model.data.store import ShardWriter, writing
from heliograph.model.encoders import perceived
from heliograph.model.errors import DataError, MediaError
from heliograph.model.headers import headers
from heliograph.model.machine import check_room, device_here
from heliograph.model.media import DEFAULT_LIMITS, MediaLimits, read
from heliograph.model.parts import NAMES, Modality
from heliograph.model.quiet import quiet
from heliograph.model.shelf import Shelf

if TYPE_CHECKING:
    from heliograph.model.decoders import DiffusionDecoder
    from heliograph.model.encoders import Encoder

GATHERED = 10_000
"""Captions for which other text encoders are loaded in place of those that are there."""


@dataclass(frozen=True)
class PrepareOptions:
    """How to compute."""

    device: str = "cpu"
    batch: int = 16
    """Media or captions that are computed together."""
    half: bool = True
    """Store numbers in float16, where none of them overflows."""
    own_embeddings: bool = False
    """Take a data set's own caption embeddings, where it has them in the decoder's shape."""
    limits: MediaLimits = DEFAULT_LIMITS


@dataclass
class Progress:
    """Counts, kept up to date while it runs."""

    rows: int = 0
    bad: int = 0
    media: int = 0
    """Media that were encoded."""
    captions: int = 0
    """Captions that were encoded, or taken from the data set."""
    known: int = 0
    """Media and captions that were there before."""
    damaged: list[Path] = field(default_factory=list)
    """Shards that were set aside, since they could not be read."""
    left_out: Counter[tuple[str, Modality]] = field(default_factory=Counter)
    """Media that the core can't "read" and captions of what it can't "make"."""

    def notes(self) -> list[str]:
        """Sentences on shards that were damaged, and on what the core has no part for."""
        told = [
            f"A damaged shard was set aside as {path}; what these data sets need of it was "
            "computed again."
            for path in self.damaged
        ]
        return told + [
            f"{count} {NAMES[m]} were left out: these weights can't {verb} {NAMES[m]}."
            for (verb, m), count in self.left_out.items()
        ]


def prepare(
    core: Path,
    folder: Path,
    datasets: Iterable[DataSet],
    options: PrepareOptions | None = None,
    tell: Callable[[Progress], None] = lambda progress: None,
    bad: Callable[[BadRow], None] = lambda row: None,
) -> Progress:
    """Compute what is missing for some data sets and write it to shards.

    Args:
        core: directory of the core.
        folder: of the shards; made where it is missing.
        datasets: what to read, in order.
        options: how to compute.
        tell: called after each row.
        bad: told each row that can't be used.

    Returns:
        The counts. After Ctrl-C what was computed is written before the interrupt goes on.

    Raises:
        DataError: a data set can't be read, or another process writes here.
        InputError: there is no such device here.
        StoreError: the folder can't be written.
        TooLittleMemory: this machine has too little for an encoder or a text encoder.
        WeightsError: the core's files are missing or damaged.
    """
    with writing(folder):
        work = _Preparing(core, folder, options or PrepareOptions(), bad)
        try:
            for dataset in datasets:
                for example in examples(dataset, work.report, work.options.limits):
                    work.take(example)
                    tell(work.progress)
                work.end_set()
            work.finish()
        finally:
            work.flush()
    tell(work.progress)
    return work.progress


class _Preparing:
    """A run: what waits to be computed together, and the stores."""

    def __init__(
        self, core: Path, folder: Path, options: PrepareOptions, bad: Callable[[BadRow], None]
    ) -> None:
        self.options, self.progress, self._bad = options, Progress(), bad
        self._core, self._device = core, device_here(options.device)
        self._shelf = Shelf.from_pretrained(core)
        prints = Fingerprints.of(core)
        self._hashes = FileHashes(folder)
        paths = {m: features_folder(folder, p) for m, p in prints.encoders.items()}
        said = {m: conditions_folder(folder, p) for m, p in prints.decoders.items()}
        self._writers = {p: ShardWriter(p) for p in {*paths.values(), *said.values()}}
        for writer in self._writers.values():
            self.progress.damaged += writer.damaged
        self._features = {m: self._writers[path] for m, path in paths.items()}
        self._conditions = {m: self._writers[path] for m, path in said.items()}
        self._clips: dict[Modality, dict[str, tuple[Tensor, Origin]]] = {}
        self._captions: dict[Modality, dict[str, tuple[str, Origin]]] = {}
        self._same: dict[Modality, Modality] = {}
        """The first modality whose decoder has the same text encoders."""
        for m, of in prints.decoders.items():
            self._same[m] = next(first for first, p in prints.decoders.items() if p == of)
        self._shapes: dict[Modality, Shapes] = {}
        self._used: set[str] = set()
        """Encoders that the data set at hand has needed."""
        self._captioner: tuple[Modality, DiffusionDecoder] | None = None
        """The one decoder whose text encoders are loaded."""

    def report(self, row: BadRow) -> None:
        self.progress.rows += 1
        self.progress.bad += 1
        self._bad(row)

    def take(self, example: Example) -> None:
        """Queue what a row needs, and compute what has gathered."""
        self.progress.rows += 1
        if self.progress.rows % 1000 == 0:
            self._hashes.flush()
        try:
            for file in example.shown:
                self._take_medium(file, example.origin)
            for media, made in zip(example.media(made=True), example.made, strict=True):
                self._take_caption(
                    media.modality, media.caption or "", made.embedding, example.origin
                )
        except (MediaError, DataError) as error:
            self.progress.bad += 1
            self._bad(BadRow(example.origin, str(error)))

    def end_set(self) -> None:
        """Encode the media that wait: the next data set may be of other kinds."""
        for modality in list(self._clips):
            self._encode(modality)
        self._used.clear()

    def finish(self) -> None:
        """Compute what is left in the queues, first for the text encoders that are there."""
        self._shelf.loaded_encoders.clear()
        for modality in sorted(self._captions, key=lambda m: not self._loaded(m)):
            self._condition(modality)

    def flush(self) -> None:
        """Write what was computed."""
        for writer in self._writers.values():
            writer.flush()
        self._hashes.flush()

    def _take_medium(self, file: MediaFile, origin: Origin) -> None:
        modality = file.modality
        if modality not in self._features:
            self.progress.left_out["read", modality] += 1
            return
        key = self._hashes.of(file)
        waiting = self._clips.setdefault(modality, {})
        if key in self._features[modality] or key in waiting:
            self.progress.known += 1
            return
        clip = read(file.load(self.options.limits), self.options.limits)
        encoder = self._encoder(modality)
        waiting[key] = (encoder.prepare(clip), origin)
        if len(waiting) >= self.options.batch:
            self._encode(modality)

    @torch.no_grad()
    def _encode(self, modality: Modality) -> None:
        waiting = self._clips.pop(modality, {})
        if not waiting:
            return
        encoder = self._encoder(modality)
        rows = perceived(encoder, modality, [clip for clip, _ in waiting.values()])  # (n, We) each
        for (key, (_, origin)), row in zip(waiting.items(), rows, strict=True):
            try:
                self._features[modality].add(key, {TOKENS: self._stored(row.float().cpu())})
                self.progress.media += 1
            except DataError as error:
                self.progress.bad += 1
                self._bad(BadRow(origin, f"Of its medium {error}"))

    def _encoder(self, modality: Modality) -> Encoder:
        """Of a modality, in place of those that this data set doesn't use."""
        name = next(n for n, known in self._shelf.encoders.items() if modality in known)
        self._used.add(name)
        if name not in self._shelf.loaded_encoders:
            for other in {*self._shelf.loaded_encoders} - self._used:
                del self._shelf.loaded_encoders[other]
            gc.collect()
            origins, part = self._shelf.origins, f"encoders/{name}"
            folder = origins.place(self._core, part, "encoder", hashed=False)
            numbers = sum(header.count for header in headers(folder).values())
            check_room(f"The encoder in {folder}", numbers * self._shelf.dtype.itemsize)
        return self._shelf.encoder(name, self._device)

    def _take_caption(
        self, modality: Modality, caption: str, embedding: Path | None, origin: Origin
    ) -> None:
        if modality not in self._conditions:
            self.progress.left_out["make", modality] += 1
            return
        key = caption_key(caption)
        same = self._same[modality]
        waiting = self._captions.setdefault(same, {})
        if key in self._conditions[modality] or key in waiting:
            self.progress.known += 1
            return
        if embedding is not None and self.options.own_embeddings:
            given = read_embedding(embedding)
            condition, shapes = Condition({SEQUENCE: given.unsqueeze(0)}), self._taken(modality)
            if condition.shapes != dict(shapes):
                raise DataError(
                    f"{embedding} has a condition of {in_words(condition.shapes)}, but the decoder "
                    f"takes one of {in_words(shapes)}."
                )
            self._keep(modality, key, condition)
            return
        waiting[key] = caption, origin
        here = self._captioner is None or self._loaded(same)
        if len(waiting) >= (self.options.batch if here else max(self.options.batch, GATHERED)):
            self._condition(same)

    def _condition(self, modality: Modality) -> None:
        waiting = list(self._captions.pop(modality, {}).items())
        for start in range(0, len(waiting), self.options.batch):
            group = waiting[start : start + self.options.batch]
            decoder = self._text_encoders(modality)
            encoded = decoder.encode_condition([caption for _, (caption, _) in group])
            for (key, (_, origin)), row in zip(group, encoded.unstack(), strict=True):
                try:
                    self._keep(modality, key, row)
                except DataError as error:
                    self.progress.bad += 1
                    self._bad(BadRow(origin, f"Of its caption {error}"))

    def _loaded(self, modality: Modality) -> bool:
        return self._captioner is not None and self._captioner[0] == modality

    def _text_encoders(self, modality: Modality) -> DiffusionDecoder:
        """Those of a decoder, once those of another have made room."""
        from heliograph.model.decoders.captions import caption_encoder

        if self._captioner is None or self._captioner[0] != modality:
            self._captioner = None  # and only then are the others read
            gc.collect()
            decoder = caption_encoder(self._folder(modality))
            with quiet("diffusers"):
                decoder.pipeline.to(self._device)
            self._captioner = modality, decoder
        return self._captioner[1]

    def _taken(self, modality: Modality) -> Shapes:
        """The shapes of the conditions that a decoder takes."""
        from heliograph.model.decoders.outline import outline_decoder

        if modality not in self._shapes:
            _, _, self._shapes[modality] = outline_decoder(self._folder(modality))
        return self._shapes[modality]

    def _folder(self, modality: Modality) -> Path:
        """Of a decoder, whose content was hashed for its fingerprint."""
        origins = self._shelf.origins
        return origins.place(self._core, f"decoders/{modality}", "decoder", hashed=False)

    def _keep(self, modality: Modality, key: str, condition: Condition) -> None:
        """Store a condition of one row."""
        tensors = {name: self._stored(x[0]) for name, x in condition.tensors.items()}
        self._conditions[modality].add(key, tensors)
        self.progress.captions += 1

    def _stored(self, x: Tensor) -> Tensor:
        """The numbers in the precision that they are kept in, a copy of their own."""
        if not x.isfinite().all():
            raise DataError("the network made numbers that are not finite.")
        half = x.half() if self.options.half else x
        return half if half.isfinite().all() else x.clone()
