"""Where each part of a core lies and computes, in which precision, and what that takes.

``plan`` is a pure function of what the parts need (``needs.py``) and of the memory that there is:
it takes the first of these arrangements that fits, nothing being loaded before.

    1  everything on the GPUs, in 16 bits
    2  decoders in turn: each lies in the machine's memory and is on a GPU while it is used
    3  encoders in turn too
    4  the language model's layers over several GPUs, then as 1 to 3
    5  the language model in int8 (Dettmers et al. 2022, arXiv 2208.07339), then as 1 to 4
    6  the language model in 4 bits (NF4, Dettmers et al. 2023, arXiv 2305.14314), likewise
    7  part after part computes on the processor: decoders, largest first, encoders, language model;
       what is left on the GPUs is arranged as 1 to 6

With several GPUs the language model and its projections are on the one with the most memory, and
each other part, the largest first, goes where most room is left. Where the language model's layers
are spread, each GPU, the largest first, is filled with as many as it holds, and embeddings, norm
and head stay on the first; other parts are never split.

On the processor parts are in single precision, or in bfloat16 where that is too large.

The peak of a device is what lies there always, and the most that one activity needs besides: the
weights of a part that takes turns, and what it works with. In bytes, with b for one number:

    weights      parameters x b; those of an int8 model's linear layers take 1, of a 4-bit one's
                 1/2 and 0.127 / 8 for their scales (section 3 of the second paper)
    language     positions x (2 x layers x KV heads x head width) x b for keys and values, and
                 positions x (6 x width + 3 x feed-forward width) x b + positions² x b for one
                 layer's activations over the longest prompt, its mask among them
    others       the numbers that are alive at once during one call (``activations.py``) x b

A tenth of a GPU, at most 2 GB, is left to CUDA's context, its kernels' workspaces and
fragmentation. The machine's memory also holds the process itself, and parts on their way to the
GPU: the language model, which is read before all others, then one at a time. One that is spread is
read tensor by tensor, to where each belongs.

Not covered: an encoder or decoder that is larger than each GPU; more rows than one at a time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from heliograph.model.errors import InputError, TooLittleMemory
from heliograph.model.origins import LANGUAGE

Role: TypeAlias = Literal["language", "projections", "encoder", "decoder"]
Precision: TypeAlias = Literal["float32", "bfloat16", "float16", "int8", "4-bit"]
Half: TypeAlias = Literal["bfloat16", "float16"]

GB = 10**9
PROJECTIONS = "projections"
"""What all input and output projections are called together."""
CPU = "cpu"
CONTEXT = 8192
"""Positions that a conversation may take unless another bound is given."""
PROCESS = 1 * GB
"""Python, torch, transformers and diffusers once they are imported, with room for media."""
LEFT_FREE, LEFT_FREE_AT_MOST = 0.1, 2 * GB
NF4 = 0.5 + 0.127 / 8
"""Bytes of a weight in 4 bits with its doubly quantised scale."""


@dataclass(frozen=True)
class Memory:
    """What there is, in bytes."""

    cpu: int
    gpus: tuple[int, ...] = ()
    """Of each GPU."""

    @property
    def usable(self) -> tuple[int, ...]:
        """Of each GPU's, what a plan may fill."""
        return tuple(gpu - min(int(LEFT_FREE * gpu), LEFT_FREE_AT_MOST) for gpu in self.gpus)


@dataclass(frozen=True)
class Need:
    """What one part needs, whatever it is stored as. Numbers are counted, not bytes."""

    part: str
    """As the core names it: ``language``, ``projections``, ``encoders/clip``, ``decoders/image``.
    """
    role: Role
    parameters: int
    linear: int = 0
    """Of these, those that quantisation makes smaller."""
    single: int = 0
    """Of these, those that stay in float32 in any plan."""
    activations: int = 0
    """Numbers alive at once during one call, in the part's precision."""
    single_activations: int = 0
    """The same at another time of the call, in float32."""
    upcast: int = 0
    """The same, in float32 only where the precision is float16."""
    cache: int = 0
    """Numbers that the language model keeps for each position."""
    layer: int = 0
    """Numbers alive in one of its layers for each position."""
    positions: int = 0
    """How many it was made for."""
    layers: int = 0
    """How many equal layers it has over which it can be split."""
    within: int = 0
    """Of the parameters, those of all these layers."""

    def of_layers(self, count: int, *, rest: bool) -> Need:
        """What so many of its layers need, with all that is outside of layers or without it."""
        share = count / self.layers
        within = round(share * self.within)
        return replace(
            self,
            parameters=within + rest * (self.parameters - self.within),
            linear=round(share * self.linear),
            single=round(share * self.single),
            cache=math.ceil(share * self.cache),
        )

    def weights(self, precision: Precision) -> int:
        """Bytes of its weights."""
        outside = self.parameters - self.single - self.linear
        return round(
            4 * self.single + _bytes(precision) * outside + _linear(precision) * self.linear
        )

    def working(self, precision: Precision, context: int) -> int:
        """Bytes besides the weights while it computes."""
        size, length = _bytes(precision), min(context, self.positions)
        prompt = length * (self.cache + self.layer) + length**2
        single = max(self.single_activations, self.upcast * (precision == "float16"))
        return max(size * (self.activations + prompt), 4 * single)


@dataclass(frozen=True)
class Placement:
    """Where one part is."""

    part: str
    role: Role
    precision: Precision
    rest: str
    """Device on which its weights lie while it isn't used, in torch's words."""
    device: str
    """Device on which it computes."""
    weights: int
    """Bytes of its weights, where it is."""
    working: int
    """Bytes besides these on its device while it computes: activations, keys and values."""
    layers: int | None = None
    """How many of a spread language model's layers are here, after those of the placements before;
    ``None`` for a part in one place."""

    @property
    def in_turn(self) -> bool:
        """Whether it is brought to its device only when it is to compute."""
        return self.rest != self.device

    @property
    def visiting(self) -> int:
        """Bytes that it takes on its device while it computes, and only then."""
        return self.working + self.weights * self.in_turn


@dataclass(frozen=True)
class Plan:
    """Where all parts are. Sizes are in bytes."""

    placements: tuple[Placement, ...]
    memory: Memory
    devices: tuple[str, ...]
    """The GPUs, in torch's words, as the memory lists them."""
    context: int
    """Positions that a conversation may take; longer ones lose their oldest exchanges."""

    def of(self, part: str) -> Placement:
        """Where one part is.

        Raises:
            InputError: the plan is for a core without such a part.
        """
        for placement in self.placements:
            if placement.part == part:
                return placement
        raise InputError(f"This plan is another core's: it has no {part}.")

    @property
    def quantised(self) -> Literal["int8", "4-bit"] | None:
        """How the language model is kept, where it is quantised."""
        for placement in self.placements:
            if placement.precision == "int8" or placement.precision == "4-bit":
                return placement.precision
        return None

    @property
    def spread(self) -> tuple[str, ...]:
        """The device of each of the language model's layers; empty where it is in one place."""
        return tuple(p.device for p in self.placements for _ in range(p.layers or 0))

    @property
    def gpu_peaks(self) -> tuple[int, ...]:
        """The most that is on each GPU at once."""
        return tuple(_peak(self.placements, device) for device in self.devices)

    @property
    def cpu_peak(self) -> int:
        """The most that is in the machine's memory at once, the process itself included."""
        resting = sum(p.weights for p in self.placements if p.rest == CPU)
        computing = max((p.working for p in self.placements if p.device == CPU), default=0)
        passing = [p for p in self.placements if p.rest != CPU and p.layers is None]
        first = max((p.weights for p in passing if p.role == "language"), default=0)
        later = max((p.weights for p in passing if p.role != "language"), default=0)
        return PROCESS + max(first, resting + max(computing, later))

    def busiest(self, device: str) -> Placement | None:
        """The part at whose work a device is fullest, if any computes there."""
        on = [p for p in self.placements if p.device == device]
        return max(on, key=lambda p: p.visiting, default=None)

    @property
    def concessions(self) -> tuple[str, ...]:
        """What had to give way, in words."""
        if not self.memory.gpus:
            half = any(p.precision != "float32" for p in self.placements)
            return ("everything in 16 bits",) if half else ()
        said = [
            f"{role}s in turn"
            for role in ("decoder", "encoder")
            if any(p.in_turn and p.role == role for p in self.placements)
        ]
        said += [
            f"the language model in {p.precision.replace('4-bit', '4 bits')}"
            for p in self.placements
            if p.part == LANGUAGE and p.precision in ("int8", "4-bit")
        ]
        over = len(set(self.spread))
        said += [f"the language model over {over} GPUs"] if over else []
        return (*said, *(f"{p.part} on the processor" for p in self.placements if p.device == CPU))


@dataclass(frozen=True)
class _Arrangement:
    """One way to place the parts."""

    off: frozenset[str]
    """Parts that compute on the processor."""
    turns: tuple[Role, ...]
    language: Precision
    spread: bool
    """Whether the language model's layers are on several GPUs."""
    processor: Precision


def plan(
    needs: Sequence[Need],
    memory: Memory,
    *,
    half: Half = "bfloat16",
    context: int = CONTEXT,
    device: str = "cuda",
) -> Plan:
    """The first arrangement that fits.

    Args:
        needs: of all parts.
        memory: what there is.
        half: the 16 bits in which the GPU computes; older ones than NVIDIA's Ampere have no
            ``bfloat16``.
        context: positions that a conversation may take, if the language model has as many.
        device: the kind of GPU, in torch's words; several are numbered.

    Raises:
        TooLittleMemory: none fits; the message says how much is missing.
    """
    least: tuple[int, Plan] | None = None
    for arrangement in _arrangements(needs, memory, half, context):
        found = _arranged(needs, memory, arrangement, half, context, device)
        takes = (found.cpu_peak, *found.gpu_peaks)
        there = (memory.cpu, *memory.usable)
        over = sum(max(0, peak - size) for peak, size in zip(takes, there, strict=True))
        if not over:
            return found
        if least is None or over < least[0]:
            least = (over, found)
    assert least is not None
    raise TooLittleMemory(
        f"This core takes {_missing(least[1])}, even in the smallest form that it has."
    )


def check_device(
    needs: Sequence[Need],
    memory: Memory,
    precision: Precision,
    context: int = CONTEXT,
    device: str = CPU,
) -> None:
    """Check that one device holds all parts in one precision, as they are without a plan.

    Args:
        needs: of all parts.
        memory: of the machine, and of the GPU where it is one.
        precision: in which they compute.
        context: positions that a conversation may take.
        device: in torch's words.

    Raises:
        TooLittleMemory: it doesn't; the message says how much is missing.
    """
    off = frozenset() if memory.gpus else frozenset(need.part for need in needs)
    arrangement = _Arrangement(off, (), precision, False, precision)
    found = _arranged(needs, memory, arrangement, precision, context, device)
    if said := _missing(found):
        raise TooLittleMemory(
            f"This core takes {said} in {precision}; `--device auto` loads it in the precision, "
            "and on the devices, that it fits."
        )


def _arrangements(
    needs: Sequence[Need], memory: Memory, half: Half, context: int
) -> Iterator[_Arrangement]:
    """In the order of what they cost."""
    everything = frozenset(need.part for need in needs)
    if not memory.gpus:
        yield from (_Arrangement(everything, (), p, False, p) for p in ("float32", "bfloat16"))
        return
    turns: tuple[tuple[Role, ...], ...] = ((), ("decoder",), ("decoder", "encoder"))
    languages: tuple[Precision, ...] = (half, "int8", "4-bit")
    several = len(memory.gpus) > 1 and any(need.layers > 1 for need in needs)
    for off in _moved_off(needs, memory.usable, half, context):
        kept = languages if LANGUAGE not in off else languages[:1]
        spreads = (False, True) if several and LANGUAGE not in off else (False,)
        processors: tuple[Precision, ...] = ("float32", "bfloat16") if off else ("float32",)
        for choice in itertools.product(kept, spreads, turns, processors):
            language, spread, taken, processor = choice
            yield _Arrangement(off, taken, language, spread, processor)


def _moved_off(
    needs: Sequence[Need], usable: Sequence[int], half: Half, context: int
) -> Iterator[frozenset[str]]:
    """Sets of parts that compute on the processor: first those that can't be on the largest GPU
    even alone, or over all of them, then one more each time."""

    def alone(need: Need) -> int:
        least: Precision = "4-bit" if need.role == "language" else half
        return need.weights(least) + need.working(least, context)

    order: dict[Role, int] = {"decoder": 0, "encoder": 1, "projections": 2, "language": 3}
    ranked = sorted(needs, key=lambda need: (order[need.role], -alone(need)))
    off = {n.part for n in needs if alone(n) > (sum(usable) if n.layers else max(usable))}
    while True:
        if LANGUAGE in off:  # which its projections never leave
            off |= {need.part for need in needs if need.role == "projections"}
        yield frozenset(off)
        left = [n for n in ranked if n.part not in off and n.role != "projections"]
        if not left:
            return
        off.add(left[0].part)


def _arranged(
    needs: Sequence[Need],
    memory: Memory,
    arrangement: _Arrangement,
    half: Precision,
    context: int,
    device: str,
) -> Plan:
    devices = tuple(f"{device}:{i}" for i in range(len(memory.gpus)))
    devices = devices if len(devices) > 1 else (device,) * len(devices)
    usable = dict(zip(devices, memory.usable, strict=True))
    main = max(devices, key=lambda name: usable[name], default=CPU)
    placements: dict[str, Placement] = {}

    def placed(need: Need, at: str, layers: int | None = None) -> Placement:
        off = need.part in arrangement.off
        precision: Precision = arrangement.processor if off else half
        if need.role == "language" and not off:
            precision = arrangement.language
        rest = CPU if need.role in arrangement.turns else at
        weights, working = need.weights(precision), need.working(precision, context)
        return Placement(need.part, need.role, precision, rest, at, weights, working, layers)

    def over_gpus(need: Need) -> Iterator[Placement]:
        """The largest GPU first, as many layers on each as it holds; all others on the last."""
        beside = sum(placed(n, main).weights for n in needs if n.role == "projections")
        start = 0
        order = sorted(devices, key=lambda name: (name != main, -usable[name]))
        for device in order:
            first, last = device == main, device == order[-1]
            for count in range(need.layers - start, -1, -1):
                found = placed(need.of_layers(count, rest=first), device, count)
                if last or found.weights + found.working + first * beside <= usable[device]:
                    break
            if count == need.layers:
                found = replace(found, layers=None)
            if first or count:
                yield found if first else replace(found, part=_layers(start, count))
            start += count

    def left(place: Placement) -> int:
        """What a part's GPU would have left with it."""
        return usable[place.device] - _peak([*placements.values(), place], place.device)

    for need in sorted(needs, key=lambda n: (n.role in ("decoder", "encoder"), -n.parameters)):
        if need.part in arrangement.off:
            found = placed(need, CPU)
        elif need.part == LANGUAGE and arrangement.spread:
            placements |= {found.part: found for found in over_gpus(need)}
            continue
        elif need.role in ("decoder", "encoder"):
            found = max((placed(need, device) for device in devices), key=left)
        else:
            found = placed(need, main)
        placements[need.part] = found
    own = next((need.positions for need in needs if need.role == "language"), context)
    order = [need.part for need in needs]
    inorder = sorted(placements.values(), key=lambda p: order.index(p.part.partition(",")[0]))
    return Plan(tuple(inorder), memory, devices, min(context, own))


def _layers(start: int, count: int) -> str:
    """What a part of the language model is called."""
    return f"{LANGUAGE}, layers {start + 1} to {start + count}"


def _peak(placements: Iterable[Placement], device: str) -> int:
    """The most that is on a device at once."""
    on = [p for p in placements if p.device == device]
    resting = sum(p.weights for p in on if not p.in_turn)
    return resting + max((p.visiting for p in on), default=0)


def _missing(found: Plan) -> str:
    """What a plan takes more of than there is, as the middle of a sentence; empty if it fits."""
    memory, said = found.memory, []
    for device, peak, usable in zip(found.devices, found.gpu_peaks, memory.usable, strict=True):
        if peak > usable:
            kind = "of GPU memory" if len(found.devices) == 1 else f"on {device}"
            said.append(_short(kind, peak, usable))
    if found.cpu_peak > memory.cpu:
        said.append(_short("of memory", found.cpu_peak, memory.cpu))
    return " and ".join(said)


def _short(kind: str, peak: int, there: int) -> str:
    return f"{in_gb(peak)} {kind} where {in_gb(there)} can be had ({in_gb(peak - there)} missing)"


def in_gb(size: int) -> str:
    """A size for people."""
    return f"{size / GB:.1f} GB" if size >= GB / 10 else f"{size / 10**6:.0f} MB"


def _bytes(precision: Precision) -> int:
    """Of a number outside of quantised layers, and of what is computed."""
    return 4 if precision == "float32" else 2


def _linear(precision: Precision) -> float:
    """Of a number in a layer that quantisation makes smaller."""
    return {"int8": 1.0, "4-bit": NF4}.get(precision, float(_bytes(precision)))
