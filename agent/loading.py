"""Brings an assistant's parts together as its settings say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from heliograph.agent.settings import Settings

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from heliograph.graphs.steps import Core, Steps
    from heliograph.model.core import AnyToAny
    from heliograph.model.plan import Plan

LARGE = 10**9
"""Bytes of stored weights from which on it is checked that there is memory for them."""


def steps(settings: Settings, core: Core | None, tools: Sequence[BaseTool] | None) -> Steps:
    """What the graph's nodes do.

    Args:
        settings: where the weights and the data lie, and the limits.
        core: in place of the weights; its features are kept in memory only.
        tools: in place of ``calculate``.

    Raises:
        WeightsError: the weights are missing or damaged.
    """
    from heliograph.graphs.features import Features, fingerprint
    from heliograph.graphs.options import TurnOptions
    from heliograph.graphs.steps import Steps
    from heliograph.memory.artifacts import ArtifactStore
    from heliograph.tools.calculate import calculate

    features = None
    used = [calculate] if tools is None else list(tools)
    if core is None and settings.llm is not None:
        core, settings = chat_core(settings, used), settings.captioned()
    elif core is None:
        core = load_core(settings)
        precision = "auto" if settings.device == "auto" else settings.dtype
        name = fingerprint(settings.weights_dir())
        if precision != "float32":  # features in 16 bits are others
            name = f"{name}-{precision}"
        features = settings.home / "features" / name
    return Steps(
        core,
        ArtifactStore(settings.home / "artifacts"),
        Features(features),
        {tool.name: tool for tool in used},
        TurnOptions(
            seed=settings.seed,
            steps=settings.steps,
            guidance=settings.guidance,
            condition=settings.condition,
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_new_tokens=settings.max_new_tokens,
        ),
        settings.limits,
        settings.max_characters,
        settings.max_rounds,
    )


def load_core(settings: Settings) -> Core:
    """The core in the directory of the settings.

    Raises:
        TooLittleMemory: this machine has too little for it.
        WeightsError: a part is missing or damaged.
    """
    from heliograph.graphs.computing import computed

    return computed(whole_core, settings)


def plan_here(settings: Settings) -> Plan:
    """Where the parts of the settings' core go on this machine; beside a chat model only its
    decoders go anywhere.

    Raises:
        TooLittleMemory: it has too little for them.
        WeightsError: a part is missing or damaged.
    """
    from heliograph.model.machine import half_here, memory_here
    from heliograph.model.needs import needs
    from heliograph.model.plan import plan

    needed = needs(settings.weights_dir(), decoders_only=settings.llm is not None)
    return plan(needed, memory_here(settings.gpu_memory), half=half_here())


def check_memory(settings: Settings) -> None:
    """Check that the settings' device holds their core, as it is loaded without ``auto``; beside a
    chat model, its decoders.

    It takes seconds, so small weights aren't looked into: any machine that runs torch holds them.

    Raises:
        InputError: there is no such device here.
        TooLittleMemory: there is too little on it, or on the way to it.
        WeightsError: a part is missing or damaged.
    """
    from heliograph.model.machine import device_here, memory_of
    from heliograph.model.shelf import Shelf

    folder, device = settings.weights_dir(), device_here(settings.device)
    only = settings.llm is not None
    known = device.type in ("cpu", "cuda")  # of others torch doesn't tell what is free
    if not known or Shelf.from_pretrained(folder).stored(decoders_only=only) < LARGE:
        return
    from heliograph.model.needs import needs
    from heliograph.model.plan import check_device

    needed = needs(folder, decoders_only=only)
    check_device(needed, memory_of(device), settings.dtype, device=str(device))


def chat_core(settings: Settings, tools: Sequence[BaseTool]) -> Core:
    """The chat model of the settings, with the decoders in the directory of the settings.

    Raises:
        InputError: there is no such model or device, or it can't be used.
        TooLittleMemory: this machine has too little for the decoders.
        WeightsError: the directory is missing or damaged.
    """
    import torch

    from heliograph.agent import chat_models
    from heliograph.agent.chat_core import ChatModelCore
    from heliograph.model.machine import device_here
    from heliograph.model.shelf import Shelf

    assert settings.llm is not None
    shelf = Shelf.from_pretrained(settings.weights_dir())
    shelf.compiled = settings.compiled
    if settings.device == "auto":
        shelf.plan, device = plan_here(settings), torch.device("cpu")  # which the plan overrides
    else:
        check_memory(settings)
        device = device_here(settings.device)
        shelf.dtype = getattr(torch, settings.dtype)
    return ChatModelCore(
        chat_models.named(settings.llm),
        lambda modality: shelf.decoder(modality, device),
        shelf.decoders,
        tools,
    )


def whole_core(settings: Settings) -> AnyToAny:
    """The same in the thread that calls, with all that a core can do.

    Raises:
        TooLittleMemory: this machine has too little for it.
        WeightsError: a part is missing or damaged.
    """
    import torch

    from heliograph.model.core import AnyToAny

    folder = settings.weights_dir()
    if settings.device == "auto":
        core = AnyToAny.from_pretrained(folder, plan=plan_here(settings))
    else:
        check_memory(settings)
        dtype: torch.dtype = getattr(torch, settings.dtype)
        core = AnyToAny.from_pretrained(folder, device=settings.device, dtype=dtype)
    core.shelf.compiled = settings.compiled
    return core
