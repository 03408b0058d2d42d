"""Plans: what parts take, which arrangement is taken, and that it is carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers as tf
from torch import Tensor, nn

from heliograph.model.activations import alive
from heliograph.model.core import AnyToAny
from heliograph.model.decoders import DiffusionDecoder
from heliograph.model.decoders.testing import values
from heliograph.model.decoders.workload import TRANSFORMER, UNET
from heliograph.model.errors import InputError, MissingExtra, TooLittleMemory, WeightsError
from heliograph.model.generation import GenerationOptions
from heliograph.model.needs import language_need, needs
from heliograph.model.parts import Media, Message, Text
from heliograph.model.plan import GB, NF4, PROCESS, Memory, Need, Plan, plan
from heliograph.model.pretrained import layers_of
from heliograph.model.signals import Signal

LANGUAGE = Need(
    "language", "language", 7 * GB, linear=6 * GB, cache=10**5, layer=10**4, positions=4096
)
PROJECTIONS = Need("projections", "projections", GB // 10)
ENCODER = Need("encoders/eye", "encoder", GB // 2, activations=GB // 20)
IMAGE = Need("decoders/image", "decoder", GB, activations=GB // 2)
VIDEO = Need("decoders/video", "decoder", 4 * GB, single=GB // 10, activations=GB)
CORE = (LANGUAGE, PROJECTIONS, ENCODER, IMAGE, VIDEO)
ROOMY = 128 * GB


def on(gpu: float, cpu: int = ROOMY) -> Plan:
    return plan(CORE, Memory(cpu, (round(gpu * GB),)))


# --- the arrangement


@pytest.mark.parametrize(
    ("gpu", "concessions"),
    [
        (80, ()),
        (28, ("decoders in turn",)),
        (26.5, ("decoders in turn", "encoders in turn")),
        (24, ("the language model in int8",)),
        (21, ("decoders in turn", "encoders in turn", "the language model in int8")),
        (20, ("decoders in turn", "the language model in 4 bits")),
        (18, ("decoders in turn", "encoders in turn", "the language model in 4 bits")),
        (16, ("the language model in int8", "decoders/video on the processor")),
        (12, ("the language model in 4 bits", "decoders/video on the processor")),
        (
            4,
            (
                "decoders in turn",
                "encoders in turn",
                "language on the processor",
                "projections on the processor",
                "decoders/video on the processor",
            ),
        ),
    ],
)
def test_concessions_are_made_in_their_order(gpu: float, concessions: tuple[str, ...]) -> None:
    found = on(gpu)
    assert found.concessions == concessions
    assert found.gpu_peaks[0] <= found.memory.usable[0] < gpu * GB


def test_the_peak_is_what_rests_and_the_most_that_one_activity_needs() -> None:
    found = on(28)
    language, image, video = map(found.of, ("language", "decoders/image", "decoders/video"))
    assert language.weights == 14 * GB and (language.rest, language.device) == ("cuda", "cuda")
    assert language.working == 2 * (4096 * (10**5 + 10**4) + 4096**2)
    assert video.weights == 4 * GB // 10 + 2 * (4 * GB - GB // 10)
    assert (image.rest, image.device, image.in_turn) == ("cpu", "cuda", True)
    resting = language.weights + 2 * (GB // 10) + GB
    assert found.gpu_peaks == (resting + video.weights + video.working,)
    assert found.busiest("cuda") == video
    assert found.cpu_peak == PROCESS + language.weights  # read first, and it passes through
    encoder, projections = GB, 2 * GB // 10  # these go to the GPU when others rest
    assert on(26.5).cpu_peak == PROCESS + max(
        language.weights, image.weights + video.weights + encoder + projections
    )


def test_quantisation_makes_linear_layers_smaller_and_nothing_else() -> None:
    assert LANGUAGE.weights("int8") == 2 * GB + 6 * GB
    assert LANGUAGE.weights("4-bit") == round(2 * GB + 6 * GB * NF4)
    assert LANGUAGE.working("4-bit", 100) == LANGUAGE.working("bfloat16", 100)


def test_a_shorter_context_takes_less_and_is_kept_to() -> None:
    short = plan(CORE, Memory(ROOMY, (80 * GB,)), context=1000)
    assert short.context == 1000
    assert short.of("language").working < on(80).of("language").working
    assert plan(CORE, Memory(ROOMY, (80 * GB,)), context=10**6).context == 4096


def test_without_a_gpu_everything_is_on_the_processor_in_32_or_16_bits() -> None:
    roomy, tight = plan(CORE, Memory(60 * GB)), plan(CORE, Memory(40 * GB))
    assert {(p.rest, p.device) for p in roomy.placements} == {("cpu", "cpu")}
    assert {p.precision for p in roomy.placements} == {"float32"} and roomy.concessions == ()
    assert {p.precision for p in tight.placements} == {"bfloat16"}
    assert tight.concessions == ("everything in 16 bits",)


def test_on_two_gpus_nothing_gives_way_that_did_on_one() -> None:
    found = plan(CORE, Memory(ROOMY, (14 * GB, 20 * GB)))
    at = {p.part: p.device for p in found.placements}
    assert found.devices == ("cuda:0", "cuda:1") and found.concessions == ()
    assert at["language"] == at["projections"] == "cuda:1"  # where most memory is
    assert at["decoders/video"] == "cuda:0"
    assert all(p <= u for p, u in zip(found.gpu_peaks, found.memory.usable, strict=True))
    assert sum(found.gpu_peaks) > sum(p.weights for p in found.placements)
    assert on(20).concessions != ()


def test_of_two_gpus_that_are_too_small_the_larger_is_planned_for() -> None:
    found = plan(CORE, Memory(ROOMY, (6 * GB, 18 * GB)))
    assert found.of("language").device == found.of("decoders/video").device == "cuda:1"
    assert found.of("decoders/image").device == "cuda:0"
    assert found.concessions == on(18).concessions[2:]  # nothing has to take turns


DEEP = replace(LANGUAGE, layers=70, within=6 * GB)


def test_a_language_model_for_which_no_gpu_has_room_is_spread_before_it_is_quantised() -> None:
    needed = (DEEP, *CORE[1:])
    assert plan(needed, Memory(ROOMY, (24 * GB, 24 * GB))).spread == ()  # one holds it
    found = plan(needed, Memory(16 * GB, (14 * GB, 15 * GB, 16 * GB)))
    assert found.concessions == ("the language model over 2 GPUs",)
    first, second = (p for p in found.placements if p.role == "language")
    assert (first.device, second.device) == ("cuda:2", "cuda:1")  # the largest first
    assert first.part == "language" and second.part == f"language, layers {first.layers + 1} to 70"
    assert found.spread == ("cuda:2",) * first.layers + ("cuda:1",) * (70 - first.layers)
    assert first.weights + second.weights == DEEP.weights("bfloat16")
    assert 1.9 * GB < first.weights - first.layers * 2 * DEEP.within / 70  # embeddings and head
    one_more = DEEP.of_layers(first.layers + 1, rest=True)
    beside = found.of("projections").weights
    over = one_more.weights("bfloat16") + one_more.working("bfloat16", 4096) + beside
    assert over > found.memory.usable[2] >= found.gpu_peaks[2]
    assert all(p <= u for p, u in zip(found.gpu_peaks, found.memory.usable, strict=True))
    assert found.cpu_peak < DEEP.weights("bfloat16")  # read to where it belongs, no detour


def test_one_that_no_two_gpus_hold_is_quantised_and_spread() -> None:
    huge = replace(DEEP, parameters=70 * GB, linear=69 * GB, within=69 * GB)
    found = plan((huge, *CORE[1:]), Memory(ROOMY, (48 * GB, 48 * GB)))
    assert found.quantised == "int8" and len(set(found.spread)) == 2
    assert found.concessions[-2:] == (
        "the language model in int8",
        "the language model over 2 GPUs",
    )
    assert plan((huge, *CORE[1:]), Memory(200 * GB, (48 * GB,))).quantised == "4-bit"


def test_too_little_for_any_is_told_with_what_is_missing() -> None:
    least = plan(CORE, Memory(40 * GB)).cpu_peak
    with pytest.raises(
        TooLittleMemory, match=r"10\.0 GB can be had \(\d+\.\d GB missing\)"
    ) as told:
        plan(CORE, Memory(10 * GB))
    assert f"takes {least / GB:.1f} GB of memory" in str(told.value)
    assert told.value.exit_code == 10
    with pytest.raises(TooLittleMemory):  # parts in turn have to lie somewhere
        on(24, 8 * GB)
    eyes = [Need(f"encoders/{i}", "encoder", 3 * GB // 2) for i in range(3)]
    with pytest.raises(TooLittleMemory, match=r"takes 6\.0 GB on cuda:0 where 3\.6 GB"):
        plan(eyes, Memory(4 * GB, (4 * GB, 4 * GB)))


def test_what_overflows_in_float16_is_counted_in_float32() -> None:
    sdxl = Need("decoders/image", "decoder", 10, activations=100, upcast=80)
    assert sdxl.working("bfloat16", 1) == 200 and sdxl.working("float16", 1) == 320


# --- what parts need


def on_meta(build: Callable[[], Any]) -> Any:
    with torch.device("meta"):
        return build()


def test_activations_are_what_is_alive_at_once() -> None:
    model = on_meta(lambda: nn.Sequential(nn.Linear(10, 40), nn.GELU(), nn.Linear(40, 10)))
    x = torch.empty(100, 10, device="meta")
    assert alive(model, lambda: model(x)) == 100 * (40 + 40)
    assert alive(model, lambda: model(x)) == 100 * (40 + 40)  # the weights aren't counted


def test_the_formula_of_a_language_model_covers_what_it_keeps_alive() -> None:
    config = tf.LlamaConfig(
        vocab_size=100,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=3,
        num_attention_heads=8,
        num_key_value_heads=4,
    )
    model = on_meta(lambda: tf.LlamaForCausalLM(config)).eval()
    need = language_need(model)
    length = 300
    x = torch.empty(1, length, 512, device="meta")
    mask = torch.ones(1, 1, length, length, dtype=torch.bool, device="meta")
    positions = torch.arange(length, device="meta")[None]
    cache = tf.DynamicCache(config=config)
    seen = alive(
        model,
        lambda: model.base_model(
            inputs_embeds=x, attention_mask=mask, position_ids=positions, past_key_values=cache
        ),
    )
    assert need.cache == 2 * 3 * 4 * 64
    formula = need.working("bfloat16", length) / 2
    assert seen <= formula <= 1.6 * seen
    assert need.linear == need.parameters - 2 * 100 * 512 - (2 * 3 + 1) * 512


@pytest.mark.parametrize("kind", ["unet", "films", "transformer"])
def test_the_formula_of_a_denoiser_is_near_what_it_keeps_alive(kind: str) -> None:
    def empty(*shape: int) -> Tensor:
        return torch.empty(*shape, device="meta")

    if kind == "unet":  # Stable Diffusion 1.5
        model = on_meta(
            lambda: diffusers.UNet2DConditionModel(
                sample_size=64, cross_attention_dim=768, attention_head_dim=8
            )
        )
        seen = alive(model, lambda: model(empty(2, 4, 64, 64), empty(1), empty(2, 77, 768)))
        formula = 2 * 64 * 64 * 320 * UNET
    elif kind == "films":  # Zeroscope
        model = on_meta(
            lambda: diffusers.UNet3DConditionModel(cross_attention_dim=1024, attention_head_dim=64)
        )
        x = empty(2, 4, 24, 40, 72)
        seen = alive(model, lambda: model(x, empty(1), empty(2, 77, 1024)))
        formula = 2 * 24 * 40 * 72 * 320 * UNET
    else:  # Wan 2.1 1.3B, of fewer layers, which come one after the other
        model = on_meta(
            lambda: diffusers.WanTransformer3DModel(
                num_attention_heads=12, num_layers=2, ffn_dim=8960
            )
        )
        x = empty(1, 16, 21, 60, 104)
        seen = alive(model, lambda: model(x, empty(1), empty(1, 512, 4096)))
        formula = (21 * 30 * 52 + 512) * 1536 * TRANSFORMER
    assert seen <= formula <= 1.6 * seen


def test_parameters_are_those_of_the_loaded_core(tiny_core_dir: Path) -> None:
    core = AnyToAny.from_pretrained(tiny_core_dir)

    def count(module: Any) -> int:
        return sum(p.numel() for p in module.parameters())

    found = {need.part: need for need in needs(tiny_core_dir)}
    assert list(found)[:2] == ["language", "projections"]
    assert found["language"].parameters == count(core.language)
    assert found["language"].positions == core.language.context
    assert found["projections"].parameters == count(core.inputs) + count(core.outputs)
    assert found["encoders/imagebind"].parameters == count(core.encoder("image"))
    for modality in core.makes:
        parts = core.decoder(modality).pipeline.components.values()
        total = sum(count(part) for part in parts if isinstance(part, nn.Module))
        told = found[f"decoders/{modality}"].parameters  # a film's with positions, which are fixed
        assert told == total if modality != "video" else total <= told <= 1.02 * total
        assert found[f"decoders/{modality}"].activations > 0
    assert found["decoders/video"].activations > found["decoders/image"].activations


def test_a_part_that_is_gone_is_told(tiny_core_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="config.json is missing"):
        needs(tmp_path)


# --- carrying it out

GPU = "cpu:0"
"""The processor by another name: parts are moved to it and back as to a GPU."""


@pytest.fixture(scope="module")
def needed(tiny_core_dir: Path) -> tuple[Need, ...]:
    return needs(tiny_core_dir)


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """(class, device) of each move of a pipeline or an encoder."""
    seen: list[tuple[str, str]] = []
    pipeline_to, module_to = diffusers.DiffusionPipeline.to, nn.Module.to

    def moved_pipeline(self: Any, device: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((type(self).__name__, str(device)))
        return pipeline_to(self, device, *args, **kwargs)

    def moved_module(self: Any, *args: Any, **kwargs: Any) -> Any:
        if type(self).__name__ == "ImageBind" and isinstance(args[0], str):
            seen.append(("ImageBind", args[0]))
        return module_to(self, *args, **kwargs)

    monkeypatch.setattr(diffusers.DiffusionPipeline, "to", moved_pipeline)
    monkeypatch.setattr(nn.Module, "to", moved_module)
    yield seen


def in_turn(needed: tuple[Need, ...]) -> Plan:
    """Decoders and encoders in turn, in float32."""
    roomy = plan(needed, Memory(ROOMY, (80 * GB,)), device=GPU)
    return replace(
        roomy,
        placements=tuple(
            replace(p, precision="float32", rest="cpu" if p.role in ("decoder", "encoder") else GPU)
            for p in roomy.placements
        ),
    )


def picture() -> Media:
    from heliograph.model.media import Image, write

    return write(Image(np.zeros((16, 16, 3), np.uint8)))


def test_decoders_and_encoders_take_turns_and_give_what_they_give_at_home(
    tiny_core_dir: Path, needed: tuple[Need, ...], moves: list[tuple[str, str]]
) -> None:
    core = AnyToAny.from_pretrained(tiny_core_dir, plan=in_turn(needed))
    home = AnyToAny.from_pretrained(tiny_core_dir)
    hidden = torch.randn(32, core.language.width)
    signals = {
        m: Signal(m, "a dog", hidden[: len(run)], hidden[: len(run)])
        for m, run in core.language.table.runs.items()
    }
    moves.clear()
    pictures, sounds = "StableDiffusionPipeline", "SpectrogramPipeline"
    there = [
        values(core.decoder(m).decode(core.condition(signals[m]), seeds=[3])[0])
        for m in ("image", "image", "audio")
    ]
    assert moves == [
        *((pictures, "cpu"), (pictures, GPU)),  # it rests first, and stays for the second picture
        *((sounds, "cpu"), (pictures, "cpu"), (sounds, GPU)),
    ]
    assert core.shelf.visitor == "decoders/audio"
    moves.clear()
    seen = core.encode(picture())
    assert moves[-2:] == [(sounds, "cpu"), ("ImageBind", GPU)]
    moves.clear()
    list(core.generate([[Message("user", (Text("draw a dog"),))]]))
    assert moves == [("ImageBind", "cpu")] and core.shelf.visitor is None
    expected = [
        values(home.decoder(m).decode(home.condition(signals[m]), seeds=[3])[0])
        for m in ("image", "image", "audio")
    ]
    for one, other in zip(there, expected, strict=True):
        assert np.array_equal(one, other)
    assert torch.equal(seen, home.encode(picture()))


def test_the_encoder_makes_room_before_the_language_model_reads(
    tiny_core_dir: Path, needed: tuple[Need, ...]
) -> None:
    core = AnyToAny.from_pretrained(tiny_core_dir, plan=in_turn(needed))
    visitors: list[str | None] = []
    core.language.model.register_forward_pre_hook(lambda *_: visitors.append(core.shelf.visitor))
    core.language.model.base_model.register_forward_pre_hook(
        lambda *_: visitors.append(core.shelf.visitor)
    )
    list(
        core.generate([[Message("user", (picture(), Text("what is this?")))]], GenerationOptions(4))
    )
    assert visitors and set(visitors) == {None}


def test_a_plan_in_16_bits_reaches_every_part(
    tiny_core_dir: Path, needed: tuple[Need, ...], tmp_path: Path
) -> None:
    tight = plan(needed, Memory(ROOMY, (80 * GB,)), device="cpu", context=100)
    core = AnyToAny.from_pretrained(tiny_core_dir, plan=tight)
    assert {p.dtype for p in core.parameters()} == {torch.bfloat16}
    assert core.language.context == 100
    assert core.encode(picture()).dtype == torch.float32
    assert next(core.encoder("image").parameters()).dtype == torch.bfloat16  # type: ignore[attr-defined]
    for modality in core.makes:
        decoder = core.decoder(modality)
        assert decoder.pipeline.dtype == torch.bfloat16
        clip = decoder.decode(decoder.encode_condition(["a dog"]), seeds=[1])[0]
        assert np.isfinite(values(clip)).all()
    core.save_pretrained(tmp_path / "core")
    again = AnyToAny.from_pretrained(tmp_path / "core", dtype=torch.bfloat16)
    for ours, theirs in ((core.encoder("image"), again.encoder("image")), (core, again)):
        state: dict[str, Tensor] = theirs.state_dict()  # type: ignore[attr-defined]
        assert all(torch.equal(x, state[n]) for n, x in ours.state_dict().items())  # type: ignore[attr-defined]


def test_a_turn_on_two_devices_gives_what_one_gives(
    tiny_core_dir: Path, needed: tuple[Need, ...]
) -> None:
    """The processor under two names: there is no second device here."""
    two = plan(needed, Memory(ROOMY, (GB, GB)), device="cpu")
    single = replace(two, placements=tuple(replace(p, precision="float32") for p in two.placements))
    assert {p.device for p in single.placements} == {"cpu:0", "cpu:1"}
    core = AnyToAny.from_pretrained(tiny_core_dir, plan=single)
    home = AnyToAny.from_pretrained(tiny_core_dir)
    assert torch.equal(core.encode(picture()), home.encode(picture()))
    for modality in core.makes:
        there, here = (
            c.decoder(modality).decode(c.decoder(modality).encode_condition(["a dog"]), seeds=[1])
            for c in (core, home)
        )
        assert np.array_equal(values(there[0]), values(here[0]))


def test_a_language_model_that_is_spread_says_what_it_says_in_one_place(
    tiny_core_dir: Path, needed: tuple[Need, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor under two names again. A tensor there has no number of its own, so accelerate
    is kept from moving what it takes to be elsewhere."""
    monkeypatch.setattr("accelerate.hooks.set_module_tensor_to_device", lambda *_, **__: None)
    whole = plan(needed, Memory(ROOMY, (80 * GB,)), device="cpu:0")
    count = needed[0].layers
    assert count > 1 and needed[0].within < needed[0].parameters
    first, *others = (replace(p, precision="float32") for p in whole.placements)
    rest = replace(first, part="language, the last layer", rest="cpu:1", device="cpu:1", layers=1)
    spread = replace(whole, placements=(replace(first, layers=count - 1), rest, *others))
    core = AnyToAny.from_pretrained(tiny_core_dir, plan=spread)
    home = AnyToAny.from_pretrained(tiny_core_dir)
    name, layers = layers_of(core.language.model)
    hooks = {
        n: m._hf_hook for n, m in core.language.model.named_modules() if hasattr(m, "_hf_hook")
    }
    at = [str(hooks[f"{name}.{i}"].execution_device) for i in range(len(layers))]
    assert at == ["cpu:0"] * (count - 1) + ["cpu:1"]
    around = {str(h.execution_device) for n, h in hooks.items() if n and name not in n}
    assert around == {"cpu:0"}
    asked = [[Message("user", (picture(), Text("what is this?")))]]
    there, here = (list(c.generate(asked, GenerationOptions(8))) for c in (core, home))
    assert [str(event) for event in there] == [str(event) for event in here]


def test_decoders_that_are_compiled_make_the_same(
    tiny_core_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a backend that takes the graphs as they are: the real one takes a minute each."""
    translated: list[str] = []

    def backend(graph: Any, inputs: Any) -> Any:
        translated.append(type(graph).__name__)
        return graph.forward

    plain = DiffusionDecoder.compile
    monkeypatch.setattr(DiffusionDecoder, "compile", lambda self: plain(self, backend=backend))
    core, other = (AnyToAny.from_pretrained(tiny_core_dir) for _ in range(2))
    core.shelf.compiled = True
    made = []
    for one in (core, other):
        decoder = one.decoder("image")
        made.append(values(decoder.decode(decoder.encode_condition(["a dog"]), seeds=[1])[0]))
    assert translated and np.allclose(*made, atol=1)
    assert set(core.decoder("image").pipeline.unet.state_dict()) == set(
        other.decoder("image").pipeline.unet.state_dict()
    )


def test_the_dtype_of_a_core_reaches_its_encoders_and_decoders(tiny_core_dir: Path) -> None:
    core = AnyToAny.from_pretrained(tiny_core_dir, dtype=torch.bfloat16)
    assert core.decoder("image").pipeline.unet.dtype == torch.bfloat16
    assert core.encode(picture()).isfinite().all()
    assert AnyToAny.from_pretrained(tiny_core_dir).decoder("image").pipeline.dtype == torch.float32


def test_quantising_without_bitsandbytes_is_told_before_anything_is_read(
    tiny_core_dir: Path, needed: tuple[Need, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    whole = plan(needed, Memory(ROOMY, (80 * GB,)))
    small = replace(
        whole,
        placements=tuple(
            replace(p, precision="int8") if p.role == "language" else p for p in whole.placements
        ),
    )
    with pytest.raises(MissingExtra, match=r"bitsandbytes .* 'heliograph\[quant\]'"):
        AnyToAny.from_pretrained(tiny_core_dir / "nowhere", plan=small)


def test_a_plan_of_another_core_is_refused(tiny_core_dir: Path) -> None:
    other = plan(CORE, Memory(ROOMY))
    core = AnyToAny.from_pretrained(tiny_core_dir, plan=other)
    with pytest.raises(InputError, match="another core's: it has no encoders/imagebind"):
        core.encode(picture())
