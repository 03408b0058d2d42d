"""A core made ready for a stage: loaded in the right precision, and what trains let loose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from heliograph.model.core import AnyToAny
from heliograph.model.errors import InputError, MissingExtra
from heliograph.model.training.alignment.rows import NewRows
from heliograph.model.training.alignment.settings import Settings
from heliograph.model.training.team import Team

FAR = 0.1
"""Share of their length that states of packed samples may be away from those of samples alone."""


def load(settings: Settings, team: Team) -> tuple[AnyToAny, NewRows | None]:
    """The core that a run trains. What is frozen may be in bfloat16 or in 4 bits.

    One that is to be divided is still on the processor: ``shard`` brings it to its devices.

    Raises:
        WeightsError: files of the core are missing or damaged.
        MissingExtra: 4 bits were asked for, and bitsandbytes isn't installed.
    """
    if settings.qlora:
        _check_quantized()
    # Matrices that are to be in 4 bits are never on the device in more, nor is a divided core ever
    # there whole. Files of the same precision are mapped into memory, which processes share.
    later = settings.qlora or settings.divided(team.size)
    place = torch.device("cpu") if later else team.device
    core = AnyToAny.from_pretrained(settings.core, device=place, dtype=precision(settings))
    if settings.qlora:
        _quantize(core, team.device)
        core.to(team.device)
    rows = choose(core, settings)
    if settings.bf16:  # which rounded what trains
        core.load_projections(settings.core)
    return core, rows


def choose(core: AnyToAny, settings: Settings) -> NewRows | None:
    """Let train what the stage trains, in float32, and nothing else.

    LoRA is added first, since adding it freezes all else; a core that has one goes on with it.

    Raises:
        InputError: it isn't known which layers are to get LoRA.
    """
    recipe, language = settings.recipe, core.language
    core.requires_grad_(False)
    torch.manual_seed(settings.seed)  # LoRA starts the same in each process
    if recipe.language and settings.full:
        language.merge_lora()
        language.model.requires_grad_(True)
    elif recipe.language:
        if not language.has_lora:
            rank, targets = settings.rank, settings.lora_targets
            language.add_lora(rank, rank, settings.dropout, targets)
        core.requires_grad_(False)
        for name, parameter in language.named_parameters():
            parameter.requires_grad_("lora_" in name)
    core.inputs.requires_grad_(recipe.inputs)
    core.outputs.requires_grad_(recipe.outputs)
    rows = NewRows(language) if recipe.outputs and not settings.full else None
    for parameter in core.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    core.eval()
    checkpointing = settings.checkpointing and not settings.cuts  # which keeps keys and values
    if recipe.language or checkpointing:  # dropout and checkpointing only work in training
        language.train()
    if checkpointing:
        model: Any = language.model
        older = model.gradient_checkpointing_enable  # its name in earlier releases of transformers
        getattr(model, "activation_checkpointing_enable", older)()
    return rows


def named(core: AnyToAny, rows: NewRows | None) -> dict[str, nn.Module]:
    """What may train, by name, as ``fit`` takes it."""
    parts: dict[str, nn.Module] = {
        "inputs": core.inputs,
        "outputs": core.outputs,
        "language": core.language,
    }
    return parts if rows is None else {**parts, "rows": rows}


def check_packing(core: AnyToAny) -> None:
    """See on two short sequences that this language model keeps packed samples apart.

    In bfloat16 another kernel for attention leaves the states of 32 layers about 2 % from what
    they were, and single numbers much more; samples that are mixed leave them 80 % away.

    Raises:
        InputError: it doesn't.
    """
    language = core.language
    # Two rows: some kinds of attention keep samples apart in a single row only.
    ids = torch.arange(6, device=language.device).expand(2, 6)
    positions = torch.tensor([[0, 1, 2, 0, 1, 2]] * 2, device=language.device)
    with torch.no_grad():
        embeddings = language.embed(ids)  # (2, 6, W)
        packed = language.hidden(embeddings, None, positions)[:, 3:]
        mask = torch.ones(2, 3, dtype=torch.long, device=language.device)
        alone = language.hidden(embeddings[:, 3:], mask)
    far = (packed.float() - alone.float()).norm() / alone.float().norm()
    if not far <= FAR:
        raise InputError(
            f"A {type(language.model).__name__} doesn't keep packed samples apart: use --no-pack."
        )


def shard(forward: nn.Module, core: AnyToAny, team: Team) -> None:
    """Divide parameters over the processes: each layer by itself, the rest together (FSDP2).

    One of these groups at a time is brought to the device, where only this process's share of it
    stays.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(team.device.type, (team.size,))
    body: Any = core.language.model.base_model
    stacks = [module for module in body.modules() if isinstance(module, nn.ModuleList)]
    for layer in max(stacks, key=len, default=[]):
        fully_shard(layer, mesh=mesh)
    fully_shard(forward, mesh=mesh)
    register_fsdp_forward_method(forward, "check_packing")


def precision(settings: Settings) -> torch.dtype:
    """In which a core is read for a run; what trains is in float32 after that."""
    return torch.bfloat16 if settings.bf16 and not settings.full else torch.float32


def stored_precision(folder: Path) -> torch.dtype:
    """The precision of the weights in a folder of safetensors."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():
                found = str(file.get_slice(name).get_dtype())
                return {"BF16": torch.bfloat16, "F32": torch.float32}.get(found, torch.float16)
    return torch.float16


def _check_quantized() -> None:
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise MissingExtra("bitsandbytes", "quant") from None


def _quantize(core: AnyToAny, device: torch.device) -> None:
    """Put the layers' matrices into 4-bit NormalFloat (Dettmers et al. 2023, QLoRA, section 3)."""
    import bitsandbytes as bnb

    head = core.language.model.get_output_embeddings()
    for module in list(core.language.model.base_model.modules()):
        if isinstance(module, nn.ModuleDict):
            continue  # LoRA's own matrices
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and child is not head:
                small = bnb.nn.Linear4bit(
                    child.in_features,
                    child.out_features,
                    bias=child.bias is not None,
                    compute_dtype=torch.bfloat16,
                    compress_statistics=True,
                    quant_type="nf4",
                )
                small.load_state_dict(child.state_dict(), strict=False)
                setattr(module, name, small.to(device))
