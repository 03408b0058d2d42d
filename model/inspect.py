"""What a core directory is made of, told from configurations and headers: nothing is loaded."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from heliograph.model.checkpoint import core_config, read_json, read_tensors
from heliograph.model.conditions import in_words
from heliograph.model.core import FORMAT, check_sizes
from heliograph.model.decoders.outline import outline_decoder
from heliograph.model.dialects import DIALECTS, SignalSpec
from heliograph.model.encoders import outline_encoder
from heliograph.model.encoders.own import OwnSense
from heliograph.model.errors import WeightsError
from heliograph.model.headers import Header, headers
from heliograph.model.origins import LANGUAGE, ROWS, Origins, fingerprint
from heliograph.model.parts import MODALITIES, Modality
from heliograph.model.plan import PROJECTIONS
from heliograph.model.pretrained import read_tokenizer
from heliograph.model.referenced import ROWS_FILE, further_rows, outline_language
from heliograph.model.senses import language_headers, sense_headers, taken_apart
from heliograph.model.sources import Kind, core_folder

State: TypeAlias = Literal["frozen", "fresh", "fresh rows", "aligned", "missing"]
"""``frozen``: as its maker trained it; ``fresh``: nobody has trained it, as the rows of a language
model's signal tokens when they are new; ``aligned``: trained for this core; ``missing``: it isn't
where the core says."""


@dataclass(frozen=True)
class Part:
    """One part of a core."""

    part: str
    """Its folder, or the name of its tensors: ``encoders/clip``, ``inputs.image``."""
    kind: str
    """Its class."""
    shape: str
    """What goes in and comes out."""
    parameters: int | None
    """``None`` where it is missing."""
    dtype: str
    """How they are stored."""
    state: State
    source: str | None = None
    """Where it comes from: ``id@commit`` or a path."""
    referenced: bool = False
    """Whether it is read from there, and isn't in the directory."""
    licence: str | None = None
    """As its model card says, or as it is known."""
    trouble: str | None = None
    """Why it can't be read."""


@dataclass(frozen=True)
class Inspection:
    """A core directory."""

    directory: Path
    sees: tuple[Modality, ...]
    makes: tuple[Modality, ...]
    dialect: str
    signals: Mapping[str, int]
    """Length of each modality's run."""
    parts: tuple[Part, ...]

    @property
    def parameters(self) -> int:
        """Of all parts that are there."""
        return sum(part.parameters or 0 for part in self.parts)

    @property
    def undecoded(self) -> tuple[Modality, ...]:
        """What it signals and has no decoder for."""
        there = {part.part for part in self.parts}
        return tuple(m for m in self.makes if f"decoders/{m}" not in there)

    @property
    def licences(self) -> dict[str, str]:
        """Those that are known, by part."""
        return {part.part: part.licence for part in self.parts if part.licence}


def inspect(directory: Path | str, verify: bool = False) -> Inspection:
    """Look at a core.

    Args:
        directory: of the core, or its id on the hub.
        verify: hash the parts that are read from elsewhere, about a second for a gigabyte.

    Raises:
        WeightsError: there is no core, or its own files are damaged.
    """
    directory = core_folder(directory)
    config = core_config(directory)
    try:
        if config["format"] != FORMAT:
            raise WeightsError(f"{directory} has format {config['format']}, not {FORMAT}.")
        check_sizes(config, directory / "config.json")
        look = _Look(directory, config, Origins.from_config(config), verify)
        parts = [
            look.language(),
            *(look.encoder(name, known) for name, known in config["encoders"].items()),
            *look.projections("inputs"),
            *look.projections("outputs"),
            *(look.decoder(modality) for modality in config["decoders"]),
        ]
        return Inspection(
            directory,
            tuple(m for m in MODALITIES if m in config["inputs"]),
            tuple(m for m in MODALITIES if m in config["outputs"]),
            str(config.get("dialect", "heliograph")),
            dict(config["signals"]),
            tuple(part for part in parts if part is not None),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"The weights are damaged: {directory / 'config.json'} lacks or misnames an entry "
            f"({error})."
        ) from error


class _Look:
    """Reads one part after the other."""

    def __init__(
        self, directory: Path, config: Mapping[str, Any], origins: Origins, verify: bool
    ) -> None:
        self._directory, self._config, self._origins = directory, config, origins
        self._verify = verify

    def language(self) -> Part:
        own = self._directory / LANGUAGE

        def read(folder: Path) -> Part:
            config = read_json(folder / "config.json")
            found = language_headers(folder)
            rows = own / ROWS_FILE if self._origins.referenced(LANGUAGE) else None
            adapter = headers(own / "adapter") if (own / "adapter").is_dir() else {}
            kind = (config.get("architectures") or [config.get("model_type")])[0]
            if taken_apart(folder):  # what is left out of a file is its class's default
                config = outline_language(folder).config.to_dict()
            width, depth = config.get("hidden_size"), config.get("num_hidden_layers")
            words = [f"width {width}, {depth} layers"]
            extra = dict(adapter)
            if rows is not None:
                words.append(f"{headers(rows)['ids'].count} rows of its own")
                extra |= further_rows(rows, config["vocab_size"])
            if adapter:
                words.append("LoRA")
            state = self._rows_state(folder, own, bool(adapter))
            return self._part(LANGUAGE, str(kind), ", ".join(words), state, found, extra)

        return self._read(LANGUAGE, "language", read)

    def _rows_state(self, folder: Path, own: Path, adapted: bool) -> State:
        """Whether the rows of signal tokens are as they were when the core was composed."""
        if ROWS not in self._origins.fresh:
            trained = adapted or not self._origins.sources or PROJECTIONS in self._origins.sources
            return "aligned" if trained else "frozen"
        if adapted:
            return "aligned"
        if self._origins.referenced(LANGUAGE):
            rows = read_tensors(own / ROWS_FILE)["embedding"]
        else:
            specs = [SignalSpec(m, n) for m, n in self._config["signals"].items()]
            tokens = DIALECTS[self._config["dialect"]].tokens(specs)
            ids = sorted(read_tokenizer(folder).convert_tokens_to_ids(tokens))
            rows = outline_language(folder).get_input_embeddings().weight[ids]
        return "fresh rows" if self._fresh(ROWS, {"embedding": rows}) else "aligned"

    def encoder(self, name: str, modalities: Iterable[Modality]) -> Part:
        def read(folder: Path) -> Part:
            encoder = outline_encoder(folder, self._origins.reading.get(name))
            model = getattr(encoder, "model", getattr(encoder, "encoder", encoder))
            found = headers(folder)
            if isinstance(encoder, OwnSense):  # it may lie beside its language model
                model, found = encoder.tower, sense_headers(folder)
            shape = ", ".join(f"{m} to {encoder.tokens(m)}x{encoder.width(m)}" for m in modalities)
            return self._part(f"encoders/{name}", type(model).__name__, shape, "frozen", found)

        return self._read(f"encoders/{name}", "encoder", read)

    def decoder(self, modality: Modality) -> Part:
        def read(folder: Path) -> Part:
            name, _, shapes = outline_decoder(folder)
            found: dict[str, Header] = {}
            for inner in sorted(p for p in folder.iterdir() if p.is_dir()):
                if any(inner.glob("*.safetensors")):
                    found |= {f"{inner.name}.{n}": h for n, h in headers(inner).items()}
            shape = f"{in_words(shapes)} to {modality}"
            return self._part(f"decoders/{modality}", name, shape, "frozen", found)

        return self._read(f"decoders/{modality}", "decoder", read)

    def projections(self, side: Literal["inputs", "outputs"]) -> list[Part]:
        path = self._directory / "projections.safetensors"
        state = read_tensors(path)
        found = headers(path)
        parts = []
        for modality, sizes in self._config[side].items():
            prefix = f"{side}.{modality}."
            own = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
            if side == "inputs":
                tokens = sizes["encoder_tokens"]
                out = sizes["tokens"] if sizes["kind"] in ("resampler", "grouping") else tokens
                kind = str(sizes["kind"])
                shape = f"{tokens}x{sizes['encoder_width']} to {out}x{sizes['llm_width']}"
            else:
                kind = "transformer"
                extra = {n: tuple(s) for n, s in sizes.get("extra", {}).items()}
                shapes = {
                    "prompt_embeds": (sizes["condition_tokens"], sizes["condition_width"])
                } | extra
                shape = f"{sizes['signal_tokens']}x{sizes['llm_width']} to {in_words(shapes)}"
            name = f"{side}.{modality}"
            kept = {n: h for n, h in found.items() if n.startswith(prefix)}
            trained: State = "fresh" if self._fresh(name, own) else "aligned"
            if kind == "own":
                kind, trained = "its own", "frozen"
            parts.append(self._part(name, kind, shape, trained, kept))
        return parts

    def _fresh(self, name: str, tensors: Mapping[str, Any]) -> bool:
        """Whether weights are those that the core was composed with."""
        known = self._origins.fresh.get(name)
        return known == fingerprint(tensors) if known else False

    def _read(self, part: str, kind: Kind, read: Any) -> Part:
        """A part as ``read`` tells it from its folder, or that it isn't there."""
        source = self._origins.sources.get(part)
        try:
            if source is not None and source.path and not source.copied and not self._verify:
                folder = Path(source.path)
            else:
                folder = self._origins.place(self._directory, part, kind)
            told: Part = read(folder)
            return told
        except WeightsError as error:
            if source is None or source.copied:
                raise
            return self._part(part, "?", "", "missing", None, trouble=str(error))

    def _part(
        self,
        part: str,
        kind: str,
        shape: str,
        state: State,
        found: Mapping[str, Header] | None,
        extra: Mapping[str, Header] | None = None,
        trouble: str | None = None,
    ) -> Part:
        read_from = PROJECTIONS if part.startswith(("inputs.", "outputs.")) else part
        source = self._origins.sources.get(read_from)
        tensors = list(itertools.chain((found or {}).values(), (extra or {}).values()))
        return Part(
            part,
            kind,
            shape,
            None if found is None else sum(header.count for header in tensors),
            ", ".join(sorted({header.dtype for header in tensors})),
            state,
            None if source is None else str(source),
            self._origins.referenced(read_from),
            None if source is None else source.licence,
            trouble,
        )
