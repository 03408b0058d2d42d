"""The language model: any transformers causal LM, its vocabulary extended by signals.

The wrapper adds the tokens of ``dialects.py``, reads and writes embeddings and hidden
states instead of ids alone, carries a LoRA adapter of PEFT (Hu et al. 2021), and encodes
conversations: the chat template gives the scaffold around the messages, and what people
wrote is encoded apart from it as plain text, so that a special token typed by a user is
never more than its letters.

Not covered: models that scale their logits after the head, such as Cohere's and Granite's (their
greedy answers are the same, sampled ones are at another temperature); Gemma's cap is kept.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from heliograph.model.checkpoint import check_folder
from heliograph.model.dialects import (
    DEFAULT_SPECS,
    HELIOGRAPH,
    Dialect,
    SignalSpec,
    SignalTable,
)
from heliograph.model.errors import InputError, WeightsError
from heliograph.model.masks import two_way_masks
from heliograph.model.parts import Modality
from heliograph.model.pretrained import (
    Quantised,
    linear_layers,
    read_generation,
    read_model,
    read_tokenizer,
)
from heliograph.model.quiet import quiet
from heliograph.model.referenced import ROWS_FILE, restore_rows, write_rows
from heliograph.model.scaffold import scaffold
from heliograph.model.senses import Frame, on_three_axes

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
"""Layers that NExT-GPT adds LoRA to."""


class LanguageModel(nn.Module):
    """A causal LM with its tokenizer and its signal table.

    B rows, T positions, W the model's width, V its vocabulary.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        specs: Sequence[SignalSpec] = DEFAULT_SPECS,
        dialect: Dialect = HELIOGRAPH,
        template: str | None = None,
    ) -> None:
        """Wrap a model and extend it where its tokenizer has no signal tokens yet.

        The new rows of the embedding, and of the head where it is not tied, start at the
        mean of the old ones, a little apart from each other.

        Args:
            model: the causal LM.
            tokenizer: its tokenizer.
            specs: the length of each modality's signal run.
            template: a chat template for a tokenizer that has none; one that it has wins.

        ``openings`` are the ids that begin a medium, of those media too that the signal table
        lacks: a model that was trained beside another core's decoders knows them still.
        ``frames`` say what stands around media of a modality that the model was trained to read.

        Raises:
            WeightsError: there is no chat template.
        """
        super().__init__()
        tokenizer.chat_template = tokenizer.chat_template or template
        if not tokenizer.chat_template:
            raise WeightsError("The tokenizer has no chat template: give it one first.")
        self.model = model
        self.tokenizer = tokenizer
        self.dialect = dialect
        self.bound: int | None = None
        self.frames: Mapping[Modality, Frame] = {}
        self._extend(dialect.tokens(specs))
        self.table = SignalTable.bind(specs, self._id, dialect, self._separator(specs))
        self.openings = self._openings()
        self._scaffolds: dict[tuple[object, ...], list[list[int]]] = {}
        self._words: dict[int, str] = {}  # what single ids decode to
        # In a tuple, so that torch doesn't list the wrapped parameters twice.
        self._adapter: tuple[PeftModel, ...] = ()

    # --- sizes and ids

    @property
    def width(self) -> int:
        """W, the width of embeddings and hidden states."""
        return self._embedding.embedding_dim

    @property
    def context(self) -> int:
        """How many positions are read at most: those of the model, or the ``bound`` on them."""
        own = int(self.model.config.max_position_embeddings)
        return own if self.bound is None else min(own, self.bound)

    @property
    def three_axes(self) -> bool:
        """Whether positions have time, row and column (``axes.py``)."""
        return on_three_axes(self.model.config.model_type)

    @property
    def quantised(self) -> bool:
        """Whether the weights are only near to those that were read."""
        return bool(getattr(self.model, "is_quantized", False))

    @property
    def start(self) -> tuple[str, str]:
        """How messages begin that begin with a medium, and with words (``Frame.placeholder`` and
        ``lead``), where the chat template makes a difference."""
        starts = ((frame.placeholder, frame.lead) for frame in self.frames.values())
        return next((start for start in starts if start[0]), ("", ""))

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return torch.device(self.model.device)

    @property
    def pad(self) -> int:
        """The id that fills up rows; it is masked wherever it stands."""
        pad = self.tokenizer.pad_token_id
        return int(self.tokenizer.eos_token_id if pad is None else pad)

    @property
    def stop_ids(self) -> frozenset[int]:
        """The ids that end an answer."""
        configured = self.model.generation_config.eos_token_id
        ids = configured if isinstance(configured, list) else [configured]
        return frozenset(i for i in [*ids, self.tokenizer.eos_token_id] if i is not None)

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """The strings that end an answer, where it doesn't end in an id of its own."""
        strings = self.model.generation_config.stop_strings or ()
        return (strings,) if isinstance(strings, str) else tuple(strings)

    @property
    def plain_ids(self) -> Tensor:
        """(V,) bool: the ids that are words: no markers, ends, or rows without a token."""
        plain = torch.arange(self._embedding.num_embeddings) < len(self.tokenizer)
        special = [i for i, t in self.tokenizer.added_tokens_decoder.items() if t.special]
        plain[[*special, *self.stop_ids]] = False
        return plain

    # --- text

    def encode_text(self, text: str) -> list[int]:
        """Encode text as text: special tokens in it are only letters.

        Lone surrogates, which no encoding knows, become question marks.
        """
        clean = text.encode("utf-8", "replace").decode("utf-8")
        ids: list[int] = self.tokenizer(
            clean, add_special_tokens=False, split_special_tokens=True, verbose=False
        ).input_ids
        return ids

    def encode_marks(self, text: str) -> list[int]:
        """Encode text whose special tokens are meant as such: never what somebody wrote."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of ids, without special tokens."""
        known = self._words.get(ids[0]) if len(ids) == 1 else None
        if known is not None:
            return known
        text = self.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        if len(ids) == 1:  # asked for at each step of an answer, of the id before the new one
            self._words[ids[0]] = text
        return text

    def scaffold(
        self,
        roles: Sequence[str],
        reply: bool,
        edges: Sequence[tuple[bool, bool]] | None = None,
        heads: Sequence[str] | None = None,
    ) -> list[list[int]]:
        """What the chat template writes before, between and after the messages.

        Some templates know only a user and an assistant who speak in turn: for those, what
        the system and tools say is the user's.

        Args:
            roles: the messages' roles in order.
            reply: end where the assistant is to speak.
            edges: for each message, whether it begins and whether it ends with a medium.
                Otherwise it is words.
            heads: for each message, what the piece before it goes on with.

        Returns:
            ``len(roles) + 1`` lists of ids.

        Raises:
            WeightsError: the template refuses these roles, leaves a message out or reorders
                them.
        """
        edges = [(False, False)] * len(roles) if edges is None else edges
        heads = [""] * len(roles) if heads is None else heads
        key = (tuple(roles), reply, tuple(edges), tuple(heads), self.start)
        if key not in self._scaffolds:
            swallows = self.dialect.swallows
            self._scaffolds[key] = scaffold(
                self.tokenizer, roles, reply, edges, heads, swallows, *self.start
            )
        return self._scaffolds[key]

    def end_length(self, after: Sequence[int]) -> int:
        """How many ids of the scaffold after an answer belong to it, since they end it."""
        for index, token in enumerate(after):
            if token in self.stop_ids:
                return index + 1
        for length in range(1, len(after) + 1) if self.stop_strings else ():
            text = self.decode(list(after[:length]))
            if any(stop in text for stop in self.stop_strings):
                return length
        return 0

    # --- the forward pass

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings of ids of any shape: (…) -> (…, W)."""
        embedded: Tensor = self._embedding(ids)
        return embedded

    def hidden(
        self,
        embeddings: Tensor,
        mask: Tensor | None,
        positions: Tensor | None = None,
        cache: Cache | None = None,
        blocks: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states, after the final norm: (B, T, W) -> (B, T, W).

        Args:
            embeddings: (B, T, W) inputs.
            mask: (B, past + T), 0 at padding. Without it, and without a cache, each place where
                the positions don't go on begins a sequence that sees nothing before it.
            positions: (B, T) position ids, counted from the left where left out; or (4, B, T), of
                a model that numbers on three axes: in the sequence, then on each axis.
            cache: keys and values of the past; it grows by T.
            blocks: (B, T): inputs of a row that have the same number see each other both ways;
                0, and all where it is left out, sees only what lies before it.
        """
        if positions is not None and positions.dim() == 2 and self.three_axes:
            positions = positions.expand(4, -1, -1)  # from less it doesn't tell packed samples
        seen = mask
        if blocks is not None:
            config = self.model.config
            seen = two_way_masks(config, embeddings, mask, positions, cache, blocks)
        output = self.model.base_model(
            inputs_embeds=embeddings,
            attention_mask=seen,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        states: Tensor = output.last_hidden_state
        return states

    def logits(self, hidden: Tensor) -> Tensor:
        """(…, W) -> (…, V)."""
        scores: Tensor = self._head(hidden)
        cap = getattr(self.model.config, "final_logit_softcapping", None)
        return scores if cap is None else cap * torch.tanh(scores / cap)

    # --- LoRA

    def add_lora(
        self,
        r: int = 32,
        alpha: int = 32,
        dropout: float = 0.1,
        targets: Sequence[str] = (),
        stable: bool = False,
    ) -> None:
        """Add a LoRA adapter and freeze the rest; the defaults are NExT-GPT's.

        Args:
            r: the rank.
            alpha: its product is scaled by ``alpha / r``.
            dropout: of what enters it.
            targets: the layers, by the last part of their names; ``lora_targets`` if left out.
            stable: scale by ``alpha / sqrt(r)`` instead (Kalajdzievski 2023, arXiv 2312.03732).

        Raises:
            InputError: it isn't known which layers.
        """
        from peft import LoraConfig, get_peft_model
        from transformers.pytorch_utils import Conv1D

        layers = {n.rpartition(".")[2]: m for n, m in linear_layers(self.model).items()}
        targets = targets or lora_targets(str(self.model.config.model_type), layers)
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=r,
            lora_alpha=alpha,
            lora_dropout=dropout,
            use_rslora=stable,
            target_modules=list(targets),
            fan_in_fan_out=any(isinstance(layers.get(name), Conv1D) for name in targets),
        )
        with quiet():
            self._adapter = (get_peft_model(self.model, config),)

    def load_lora(self, state: Mapping[str, Tensor]) -> None:
        """Put tensors into the adapter that ``add_lora`` made.

        Args:
            state: in PEFT's names, without the adapter's own.

        Raises:
            WeightsError: they are another model's.
        """
        from peft import set_peft_model_state_dict

        (adapter,) = self._adapter
        try:
            unexpected = set_peft_model_state_dict(adapter, dict(state)).unexpected_keys
        except RuntimeError as error:
            raise WeightsError("The LoRA's shapes don't fit the language model.") from error
        if unexpected:
            raise WeightsError(f"The LoRA doesn't fit the language model: {min(unexpected)}.")

    @property
    def has_lora(self) -> bool:
        """Whether an adapter is in place."""
        return bool(self._adapter)

    def merge_lora(self) -> None:
        """Add the adapter's product to the weights and drop it; nothing else changes."""
        for adapter in self._adapter:
            self.model = adapter.merge_and_unload()
        self._adapter = ()

    # --- files

    def save_pretrained(self, directory: Path, dtype: torch.dtype = torch.float16) -> None:
        """Write model, tokenizer and, where there is one, ``adapter/``.

        Args:
            directory: made where it is missing.
            dtype: what float32 weights are stored as; others are stored as they are.
        """
        directory.mkdir(parents=True, exist_ok=True)
        state: dict[str, Tensor] = {}
        stored: dict[int, Tensor] = {}  # by address, so that tied weights stay tied
        for name, tensor in self.model.state_dict().items():
            if ".lora_" in name:
                continue
            target = dtype if tensor.dtype == torch.float32 else tensor.dtype
            state[name.replace(".base_layer.", ".")] = stored.setdefault(
                tensor.data_ptr(), tensor.detach().to("cpu", target)
            )
        with quiet():
            self.model.save_pretrained(directory, state_dict=state)
            self.tokenizer.save_pretrained(directory)
        (directory / ROWS_FILE).unlink(missing_ok=True)
        self._save_adapter(directory)

    def save_over(self, directory: Path, rows: list[int]) -> None:
        """Write what a base model doesn't have: tokenizer, rows and, where there is one, adapter.

        Args:
            directory: made where it is missing.
            rows: of embedding and head, that aren't the base's (``referenced.changed_rows``).
        """
        directory.mkdir(parents=True, exist_ok=True)
        with quiet():
            self.tokenizer.save_pretrained(directory)
            self.model.generation_config.save_pretrained(directory)
        write_rows(directory, self.model, rows)
        self._save_adapter(directory)

    @classmethod
    def from_pretrained(
        cls,
        directory: Path,
        specs: Sequence[SignalSpec] = DEFAULT_SPECS,
        *,
        dialect: Dialect = HELIOGRAPH,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | Literal["auto"] = torch.float32,
        template: str | None = None,
        base: Path | None = None,
        quantised: Quantised | None = None,
        spread: Sequence[str] = (),
        complete: bool = False,
    ) -> LanguageModel:
        """Load a folder that ``save_pretrained``, or transformers itself, wrote.

        Args:
            directory: with model, tokenizer and, where there is one, ``adapter/``.
            specs: the length of each modality's signal run.
            device: where it is put.
            dtype: precision to compute in, whatever the weights are stored as; ``auto`` is theirs.
            template: a chat template for a tokenizer that has none; one that it has wins.
            base: folder of the model that a directory by ``save_over`` leaves out.
            quantised: in which form linear layers are kept, the head's left out.
            spread: the device of each layer, where not all are on the same; embeddings, norm and
                head are on ``device``.
            complete: refuse a tokenizer that lacks one of the dialect's tokens: rows that were
                trained would silently be replaced by fresh ones.

        Raises:
            MissingExtra: it is to be quantised, and what does it isn't installed.
            WeightsError: a file is missing, damaged, or doesn't fit the configuration; or the
                tokenizer lacks a token.
        """
        check_folder(base or directory, "config.json")
        check_folder(directory, "tokenizer_config.json")
        tokenizer = read_tokenizer(directory)
        if complete and (lacking := _lacking(tokenizer, dialect.tokens(specs))):
            more = f" and {len(lacking) - 1} more of the core's tokens" if lacking[1:] else ""
            raise WeightsError(
                f"The weights are damaged: the tokenizer in {directory} lacks {lacking[0]}{more}."
            )
        model = read_model(base or directory, dtype, quantised, device, spread)
        if base is not None:
            restore_rows(model, directory)
            read_generation(model, directory)
        language = cls(model, tokenizer, specs, dialect, template)
        if (directory / "adapter").is_dir():
            language._load_adapter(directory / "adapter")
        if quantised is None and not spread:
            language.to(device)
        return language.eval()

    # --- inside

    def _save_adapter(self, directory: Path) -> None:
        shutil.rmtree(directory / "adapter", ignore_errors=True)  # an earlier save's
        for adapter in self._adapter:
            _save_adapter(adapter, directory / "adapter")

    @property
    def _embedding(self) -> nn.Embedding:
        module = self.model.get_input_embeddings()
        assert isinstance(module, nn.Embedding)
        return module

    @property
    def _head(self) -> nn.Linear:
        module = self.model.get_output_embeddings()
        assert isinstance(module, nn.Linear)
        return module

    def _id(self, token: str) -> int:
        index = self.tokenizer.convert_tokens_to_ids(token)
        assert isinstance(index, int)
        return index

    @torch.no_grad()
    def _extend(self, tokens: list[str]) -> None:
        new = _lacking(self.tokenizer, tokens)
        if not new:
            return
        known = self.tokenizer.get_vocab()
        self.tokenizer.add_tokens(self.dialect.marked(new), special_tokens=True)
        ids = [self._id(token) for token in new]
        rows = self._embedding.num_embeddings
        old = sorted(i for i in known.values() if i < rows)  # a mean in another order is another
        if max(ids) >= rows:
            self.model.resize_token_embeddings(max(ids) + 1, mean_resizing=False)
        weights = [self._embedding.weight]
        if self._head.weight is not self._embedding.weight:
            weights.append(self._head.weight)
        for weight in weights:
            generator = torch.Generator().manual_seed(0)
            noise = torch.randn(len(ids), weight.shape[1], generator=generator)
            spread = 0.1 * weight[old].float().std(dim=0).cpu()
            start = weight[old].float().mean(dim=0).cpu() + noise * spread  # (new, W)
            weight[ids] = start.to(weight)

    def _openings(self) -> dict[int, Modality]:
        known = self.tokenizer.get_vocab()
        found: dict[int, Modality] = {}
        for spec in DEFAULT_SPECS:
            opener = [self.dialect.opener(spec)] if self.dialect.spans else []
            for token in [*opener, self.dialect.run(spec)[0]]:
                if token in known:
                    found[known[token]] = spec.modality
        return found

    def _separator(self, specs: Sequence[SignalSpec]) -> list[int]:
        """What the tokenizer makes of a space between two tokens of a run."""
        run = self.dialect.run(specs[0]) if specs else ()
        if not self.dialect.separated or len(run) < 2:
            return []
        ids = self.tokenizer(f"{run[0]} {run[1]}", add_special_tokens=False).input_ids
        return list(ids[ids.index(self._id(run[0])) + 1 : -1])

    def _load_adapter(self, directory: Path) -> None:
        from peft import PeftModel

        check_folder(directory, "adapter_config.json")
        try:
            with quiet():
                adapter = PeftModel.from_pretrained(self.model, directory, is_trainable=True)
        except (RuntimeError, ValueError, KeyError) as error:
            raise WeightsError(
                f"The adapter in {directory} doesn't fit the language model."
            ) from error
        self._adapter = (adapter,)


def lora_targets(kind: str, layers: Collection[str], wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """Which layers of a language model get LoRA: the projections of its attention.

    NExT-GPT's four where there are all of them, else what PEFT has for the kind of model.

    Args:
        kind: the ``model_type`` of its configuration.
        layers: last parts of the names of its linear layers.
        wanted: those that somebody names instead.

    Raises:
        InputError: one that is named isn't there, or none is named and it isn't known which.
    """
    there = ", ".join(sorted(layers))
    if missing := [name for name in wanted if name not in layers]:
        raise InputError(
            f"--lora-targets names {missing[0]}, which no linear layer of a {kind} is called: "
            f"there are {there}."
        )
    if wanted:
        return tuple(wanted)
    if set(ATTENTION) <= set(layers):
        return ATTENTION
    with quiet():
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    found = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(kind, ())
    if not found or isinstance(found, str) or not set(found) <= set(layers):  # a str is a pattern
        raise InputError(
            f"It isn't known which layers of a {kind} are to get LoRA: name them with "
            f"--lora-targets; there are {there}."
        )
    return tuple(found)


def _lacking(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> list[str]:
    """Those of the tokens that a tokenizer doesn't have."""
    known = tokenizer.get_vocab()
    return [token for token in tokens if token not in known]


def _save_adapter(adapter: PeftModel, directory: Path) -> None:
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    directory.mkdir(exist_ok=True)
    config = copy.copy(adapter.peft_config["default"])
    config.base_model_name_or_path = None  # a path on this machine says nothing on another
    config.inference_mode = True
    config.save_pretrained(str(directory))
    state = get_peft_model_state_dict(adapter, save_embedding_layers=False)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    save_file(tensors, directory / "adapter_model.safetensors", {"format": "pt"})
