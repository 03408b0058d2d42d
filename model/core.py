"""The core: text, pictures, sound and film in; text and signals out, in order.

``AnyToAny`` composes the parts and holds nothing of its own:

    encoder ─ patch tokens ─ input projection ┐
    text ───────── embeddings ────────────────┴ language model ─ text, tool calls
                                                      │ hidden states of a signal run
                                              output projection ─ condition ─ decoder

Each part loads and saves alone, in its own folder of one directory, and encoders and
decoders are read when they are first used. This is the file to read first. Training
batches are in ``batching.py``, the layout of conversations in ``prompts.py``, the loop
that generates in ``generation.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heliograph.model.batching import (
    Batch,
    MediaGroup,
    Outputs,
    StackedSignals,
    TrainingSample,
    collate,
)
from heliograph.model.checkpoint import core_config, read_tensors, write_json
from heliograph.model.conditions import SEQUENCE, Condition
from heliograph.model.dialects import DIALECTS, HELIOGRAPH, SignalSpec
from heliograph.model.errors import InputError, WeightsError
from heliograph.model.files import as_readable
from heliograph.model.language import LanguageModel
from heliograph.model.machine import device_here
from heliograph.model.origins import LANGUAGE
from heliograph.model.parts import MODALITIES, NAMES, Media, Message, Modality
from heliograph.model.plan import PROJECTIONS, Plan
from heliograph.model.pretrained import Quantised, check_quantised
from heliograph.model.projections import InputProjection, InputProjectionConfig, OutputProjection
from heliograph.model.referenced import changed_rows
from heliograph.model.senses import Frame
from heliograph.model.shelf import Shelf, torch_dtype
from heliograph.model.signals import Event, Signal
from heliograph.model.sources import core_folder

if TYPE_CHECKING:
    from heliograph.model.decoders import DiffusionDecoder
    from heliograph.model.encoders import Encoder
    from heliograph.model.generation import GenerationOptions

FORMAT = 1
"""Version of the directory's layout, in ``config.json``."""


class AnyToAny(nn.Module):
    """The end-to-end core. B rows, T positions, W the language model's width.

    As a module it owns the language model and the projections, which its three training
    stages train; encoders and decoders are frozen and stay outside its parameters.
    """

    def __init__(
        self,
        language: LanguageModel,
        inputs: Mapping[Modality, InputProjection],
        outputs: Mapping[Modality, OutputProjection],
    ) -> None:
        """Compose parts in memory; ``build`` also takes encoders and decoders."""
        super().__init__()
        self.language = language
        self.inputs = nn.ModuleDict({str(m): module for m, module in inputs.items()})
        self.outputs = nn.ModuleDict({str(m): module for m, module in outputs.items()})
        language.frames = {
            m: Frame(*module.config.frame) for m, module in inputs.items() if module.config.frame
        }
        self.shelf = Shelf({}, ())

    @classmethod
    def build(
        cls,
        language: LanguageModel,
        inputs: Mapping[Modality, InputProjection],
        outputs: Mapping[Modality, OutputProjection],
        encoders: Mapping[str, Encoder] | None = None,
        decoders: Mapping[Modality, DiffusionDecoder] | None = None,
    ) -> AnyToAny:
        """Compose parts in memory, for training and for tests.

        Args:
            language: the language model with its signal table.
            inputs: an input projection for each modality that can be shown.
            outputs: an output projection for each modality that can be made.
            encoders: by name; each modality is read by the first that knows it.
            decoders: by modality.
        """
        core = cls(language, inputs, outputs)
        core.shelf = Shelf.of(encoders or {}, decoders or {})
        return core

    # --- what it can do

    @property
    def device(self) -> torch.device:
        """Where the language model is."""
        return self.language.device

    @property
    def sees(self) -> tuple[Modality, ...]:
        """Modalities that it can be shown."""
        return tuple(m for m in MODALITIES if m in self.inputs)

    @property
    def makes(self) -> tuple[Modality, ...]:
        """Modalities that it can signal."""
        return tuple(m for m in MODALITIES if m in self.outputs)

    # --- one turn

    @property
    def remote(self) -> bool:
        """No: it computes in this process."""
        return False

    def generate(
        self,
        conversations: Sequence[Sequence[Message]],
        options: GenerationOptions | None = None,
        features: Mapping[str, Tensor] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[Event]:
        """Answer conversations side by side.

        Args:
            conversations: each ends where the assistant is to speak.
            options: lengths, sampling and seeds.
            features: what ``encode`` gave, by ``Media.sha256``; others are encoded now.
            cancelled: asked before each step; when true, each open row ends.

        Yields:
            Events of all rows as they come, in order within each row; the last of each
            row is an ``End``.

        Raises:
            InputError: a conversation is longer than the context or shows a modality
                that can't be read.
        """
        from heliograph.model.generation import GenerationOptions, generate

        known = dict(features or {})

        def look(media: Media) -> Tensor:
            if media.sha256 not in known:
                known[media.sha256] = self.encode(media)
            return known[media.sha256]

        return generate(self, conversations, options or GenerationOptions(), look, cancelled)

    @torch.no_grad()
    def encode(self, media: Media) -> Tensor:
        """Patch tokens of one medium, (n, We), on the CPU; worth keeping by ``sha256``.

        Raises:
            InputError: these weights have no eyes or ears for the modality.
            MediaError: the medium can't be decoded.
        """
        from heliograph.model.encoders import perceived
        from heliograph.model.media import read

        encoder = self.encoder(media.modality)
        prepared = encoder.prepare(read(media))
        return perceived(encoder, media.modality, [prepared])[0].float().cpu()

    @torch.no_grad()
    def condition(self, signal: Signal) -> Condition:
        """What a signal's decoder is to be given: one row, on the CPU.

        Raises:
            InputError: these weights can't make the modality.
            WeightsError: the signal comes from weights of other sizes.
        """
        projection = self._output(signal.modality)
        parameter = next(projection.parameters())
        hidden = signal.hidden.to(parameter).unsqueeze(0)  # (1, n, W)
        embeddings = signal.embeddings.to(parameter).unsqueeze(0)  # (1, n, W)
        made = projection.condition(hidden, embeddings)
        return Condition({name: x.float().cpu() for name, x in made.tensors.items()})

    # --- training

    def collate(self, samples: Sequence[TrainingSample], captioned: bool = True) -> Batch:
        """Lay samples out as one batch; see ``batching.collate``."""
        return collate(self.language, self.media_length, samples, captioned)

    def forward(self, batch: Batch) -> Outputs:
        """The teacher-forced pass of a training step.

        The loss is the mean cross-entropy on what the assistant says: words, span openers,
        captions, the first token of each run, calls, and the end of the answer.
        """
        embeddings = self.embed(batch.ids, batch.media)  # (B, T, W)
        mask = batch.mask if batch.positions is None else None
        blocks = self.blocks(batch.ids, batch.media)
        hidden = self.language.hidden(embeddings, mask, batch.positions, blocks=blocks)  # (B, T, W)
        return self.outputs_of(batch, embeddings, hidden)

    def outputs_of(self, batch: Batch, embeddings: Tensor, hidden: Tensor) -> Outputs:
        """What a step gives, from inputs and last hidden states, (B, T, W) each."""
        logits = self.language.logits(hidden[batch.target_rows, batch.target_columns])  # (N, V)
        count = len(batch.targets)
        loss = F.cross_entropy(logits.float(), batch.targets, reduction="sum") / max(count, 1)
        stacked: dict[Modality, StackedSignals] = {}
        for group in batch.runs:
            at = (group.rows, group.columns)  # (k, 1), (k, n): they broadcast
            rows = [int(row) for row in group.rows[:, 0]]
            stacked[group.modality] = StackedSignals(
                rows, hidden[at], embeddings[at], group.captions
            )
        correct = (logits.detach().argmax(-1) == batch.targets).sum()
        return Outputs(loss, correct, count, stacked)

    def embed(self, ids: Tensor, media: Sequence[MediaGroup]) -> Tensor:
        """Embeddings of ids (B, T), with the media in their places: (B, T, W)."""
        embeddings = self.language.embed(ids)  # (B, T, W)
        for group in media:
            projection = self.inputs[group.modality]
            features = group.features.to(next(projection.parameters(), embeddings))
            projected: Tensor = projection(features)  # (k, m, W)
            at = (group.rows.to(ids.device), group.columns.to(ids.device))
            embeddings = embeddings.index_put(at, projected.to(embeddings.dtype))
        return embeddings

    def blocks(self, ids: Tensor, media: Sequence[MediaGroup]) -> Tensor | None:
        """Places among ids (B, T) of media within which the language model looks both ways.

        Returns:
            (B, T), as ``language.hidden`` takes it; None where there are no such media.
        """
        found = [g for g in media if self._input(g.modality).config.two_way]
        if not found:
            return None
        blocks = torch.zeros_like(ids)
        for group in found:
            columns = group.columns.to(ids.device)  # (k, m)
            blocks[group.rows.to(ids.device), columns] = columns[:, :1] + 1
        return blocks

    def media_length(self, modality: Modality, features: int) -> int:
        """How many positions a medium of so many patch tokens takes in the context.

        Raises:
            InputError: the modality can't be shown, or the features are another encoder's.
        """
        config = self._input(modality).config
        shorter = config.kind == "own" and 0 < features <= config.encoder_tokens
        if not shorter and features != config.encoder_tokens:
            raise InputError(
                f"Features of {features} tokens were given for {NAMES[modality]}; these "
                f"weights read {config.encoder_tokens}."
            )
        return features if shorter else config.out_tokens

    # --- parts that load when they are first used

    def encoder(self, modality: Modality) -> Encoder:
        """The encoder that reads a modality.

        Raises:
            InputError: there is none.
            WeightsError: its files are missing or damaged.
        """
        self._input(modality)
        return self.shelf.encoder_for(modality, self.device)

    def decoder(self, modality: Modality) -> DiffusionDecoder:
        """The decoder that makes a modality.

        Raises:
            InputError: there is none.
            WeightsError: its files are missing or damaged.
        """
        return self.shelf.decoder(modality, self.device)

    # --- files

    def save_pretrained(self, directory: Path, dtype: torch.dtype = torch.float16) -> None:
        """Write the whole core to a directory.

        Parts that are read from their sources stay there, a language model as long as only rows
        and adapters make it differ from its own.

        Args:
            directory: made where it is missing.
            dtype: what float32 weights are stored as.

        Raises:
            InputError: the language model is quantised.
        """
        if self.language.quantised:
            raise InputError(
                "A quantised language model has lost what it was read from and isn't saved: load "
                "the core without a plan first."
            )
        directory.mkdir(parents=True, exist_ok=True)
        self.save_language(directory, dtype)
        self.shelf.save(directory, dtype, self.device)
        self.save_projections(directory, dtype)

    def save_language(self, directory: Path, dtype: torch.dtype = torch.float16) -> None:
        """Write the language model to a core's directory: only what its base doesn't have, as long
        as only rows and adapters make it differ from that.

        ``config.json``, which says whether it lies there, is written by ``save_config``.
        """
        if not self._save_over_base(directory / LANGUAGE):
            self.language.save_pretrained(directory / LANGUAGE, dtype)
            if self.shelf.origins.referenced(LANGUAGE):  # it has become another model
                self.shelf.origins = self.shelf.origins.with_copied(LANGUAGE)

    def save_projections(self, directory: Path, dtype: torch.dtype = torch.float16) -> None:
        """Write what is the core's own and no part's: the projections and ``config.json``.

        Weights in float32 are stored as ``dtype``, others as they are.
        """
        from safetensors.torch import save_file

        state = {
            f"{side}.{name}": tensor.detach()
            .to("cpu", dtype if tensor.dtype == torch.float32 else tensor.dtype)
            .contiguous()
            for side, modules in (("inputs", self.inputs), ("outputs", self.outputs))
            for name, tensor in modules.state_dict().items()
        }
        save_file(state, directory / "projections.safetensors", {"format": "pt"})
        self.save_config(directory)
        as_readable(directory)  # the other parts too, which were written before

    def save_config(self, directory: Path) -> None:
        """Write ``config.json``: which parts there are, where they come from, their sizes."""
        write_json(directory / "config.json", self._config())

    @classmethod
    def from_pretrained(
        cls,
        directory: Path | str,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        load: Collection[str] | None = None,
        revision: str | None = None,
        plan: Plan | None = None,
    ) -> AnyToAny:
        """Load a directory that ``save_pretrained`` wrote, or a repository that has one.

        Args:
            directory: with ``config.json``; or an id of the hub, ``owner/name@revision`` too.
            device: for the language model and the projections.
            dtype: precision to compute in, whatever the weights are stored as; a decoder's parts
                that 16 bits would spoil stay in float32.
            load: encoders' names and decoders' modalities to load now rather than when
                they are first used.
            revision: commit, branch or tag of the repository.
            plan: where each part lies and computes, instead of ``device`` and ``dtype``.

        Raises:
            InputError: there is no such device here, or the plan is another core's.
            MissingExtra: the plan quantises, and what does it isn't installed.
            WeightsError: a file is missing, damaged, or doesn't fit the others; or the hub can't
                be reached.
        """
        quantised: Quantised | None = None
        spread: tuple[str, ...] = ()
        if plan is not None:
            device, quantised, spread = plan.of(LANGUAGE).device, plan.quantised, plan.spread
            dtype = torch_dtype(plan.of(PROJECTIONS))
            if quantised is not None:
                check_quantised()
        else:
            device = device_here(device)
        directory = core_folder(directory, revision)
        config = core_config(directory)
        try:
            if config["format"] != FORMAT:
                raise WeightsError(
                    f"{directory / 'config.json'} has format {config['format']}; this "
                    f"version of Heliograph reads format {FORMAT}."
                )
            specs = tuple(SignalSpec(m, n) for m, n in config["signals"].items())
            dialect = DIALECTS[config.get("dialect", HELIOGRAPH.name)]
            check_sizes(config, directory / "config.json")
            inputs = {
                m: InputProjectionConfig(**sizes).build() for m, sizes in config["inputs"].items()
            }
            outputs = {m: OutputProjection(**sizes) for m, sizes in config["outputs"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WeightsError(
                f"The weights are damaged: {directory / 'config.json'} lacks or misnames "
                f"an entry ({error})."
            ) from error
        except (RuntimeError, AssertionError) as error:
            raise WeightsError(
                f"The weights are damaged: the sizes of a projection in "
                f"{directory / 'config.json'} don't fit each other."
            ) from error
        shelf = Shelf.from_pretrained(directory)
        lengths = {spec.modality: dialect.length(spec) for spec in specs}
        if any(lengths.get(m) != projection.signal_tokens for m, projection in outputs.items()):
            raise WeightsError(
                f"The weights are damaged: in {directory / 'config.json'} the signal runs and "
                "the output projections differ in length."
            )
        base = shelf.origins.place(directory, LANGUAGE, "language")
        language = LanguageModel.from_pretrained(
            directory / LANGUAGE,
            specs,
            dialect=dialect,
            device=device,
            dtype=dtype,
            base=base if shelf.origins.referenced(LANGUAGE) else None,
            quantised=quantised,
            spread=spread,
            complete=True,
        )
        core = cls(language, inputs, outputs)
        core.load_projections(directory)
        core.inputs.to(device, dtype)
        core.outputs.to(device, dtype)
        shelf.dtype, shelf.plan = dtype, plan
        core.shelf = shelf
        if plan is not None:
            language.bound = plan.context
        for name in load or ():
            if name in core.shelf.encoders:
                core.shelf.encoder(name, core.device)
            else:
                core.decoder(name)  # type: ignore[arg-type]
        return core.eval()

    def load_projections(self, directory: Path) -> None:
        """Put the projections of a core's directory into these, whatever precision they are in.

        Raises:
            WeightsError: they are missing, damaged, or of other sizes.
        """
        path = directory / "projections.safetensors"
        state = read_tensors(path)
        own = {name for name in self.state_dict() if name.startswith(("inputs.", "outputs."))}
        if own != set(state):
            name = min(own ^ set(state))
            raise WeightsError(f"{path} doesn't fit config.json: {name} is in only one of them.")
        for name, tensor in self.state_dict().items():
            if name in own and tensor.shape != state[name].shape:
                shape, wanted = (list(x.shape) for x in (state[name], tensor))
                raise WeightsError(
                    f"{path} doesn't fit config.json: {name} is {shape} and should be {wanted}."
                )
        self.load_state_dict(state, strict=False)

    # --- inside

    def _input(self, modality: Modality) -> InputProjection:
        if modality not in self.inputs:
            raise InputError(f"These weights can't read {NAMES[modality]}.")
        projection = self.inputs[modality]
        assert isinstance(projection, InputProjection)
        return projection

    def _output(self, modality: Modality) -> OutputProjection:
        if modality not in self.outputs:
            raise InputError(f"These weights can't make {NAMES[modality]}.")
        projection = self.outputs[modality]
        assert isinstance(projection, OutputProjection)
        return projection

    def _config(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "dialect": self.language.dialect.name,
            "signals": {spec.modality: spec.count for spec in self.language.table.specs},
            "encoders": {name: list(known) for name, known in self.shelf.encoders.items()},
            "inputs": {m: asdict(self._input(m).config) for m in self.sees},
            "outputs": {m: _sizes(self._output(m)) for m in self.makes},
            "decoders": list(self.shelf.decoders),
            **self.shelf.origins.to_config(),
        }

    def _save_over_base(self, directory: Path) -> bool:
        """Whether the language model is still its base but for rows, which are then written."""
        origins = self.shelf.origins
        if not origins.referenced(LANGUAGE):
            return False
        try:
            rows = changed_rows(self.language.model, origins.sources[LANGUAGE].folder("language"))
        except WeightsError:  # a base that is gone is no reason to lose what was trained
            return False
        if rows is not None:
            self.language.save_over(directory, rows)
        return rows is not None


def check_sizes(config: Mapping[str, Any], path: Path) -> None:
    """See that the sizes of projections are numbers.

    Args:
        config: what a core's ``config.json`` says.
        path: of that file.

    Raises:
        WeightsError: one isn't.
        KeyError, AttributeError: an entry is missing, or something else.
    """
    for side in ("inputs", "outputs"):
        for modality, sizes in config[side].items():
            for name, size in sizes.items():
                free = size is None and name == "signal_tokens"
                if name in _NUMBERS and not free and not (type(size) is int and size > 0):
                    raise WeightsError(
                        f"The weights are damaged: in {path} {name} of {side}.{modality} is "
                        f"{size!r}, which is no size."
                    )


_NUMBERS = frozenset(
    ("encoder_width", "encoder_tokens", "llm_width", "tokens", "layers", "heads", "hidden", "ff")
    + ("condition_width", "condition_tokens", "signal_tokens")
)


def _sizes(projection: OutputProjection) -> dict[str, Any]:
    """The arguments that build an output projection of the same sizes."""
    layer: Any = projection.transformer.encoder.layers[0]
    tokens, width = projection.shapes[SEQUENCE]
    extra = {name: list(s) for name, s in projection.shapes.items() if name != SEQUENCE}
    return {
        "llm_width": projection.llm_width,
        "condition_width": width,
        "condition_tokens": tokens,
        "signal_tokens": projection.signal_tokens,
        "hidden": projection.input.out_features,
        "layers": len(projection.transformer.encoder.layers),
        "heads": layer.self_attn.num_heads,
        "ff": layer.linear1.out_features,
        **({"extra": extra} if extra else {}),
    }
