"""Every pipeline class of the table: composed tiny, saved by diffusers, loaded, conditioned by
captions and by signals, and aligned. The primer's own classes are in ``test_decoders.py``."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.utils import is_torchsde_available

from heliograph.model.conditions import SEQUENCE, Condition
from heliograph.model.core import AnyToAny
from heliograph.model.decoders import DiffusionDecoder
from heliograph.model.decoders.captions import DECODING, caption_encoder
from heliograph.model.decoders.recipes import RECIPES
from heliograph.model.decoders.small import PARTS, small
from heliograph.model.decoders.testing import small_films, small_pictures, small_sounds, values
from heliograph.model.errors import Cancelled, WeightsError
from heliograph.model.media import Film, Image, Sound
from heliograph.model.projections import OutputProjection
from heliograph.model.quiet import quiet
from heliograph.model.signals import Signal
from heliograph.model.testing import assistant, made, sample_of, small_language, user
from heliograph.model.training import decode
from heliograph.model.training.stages import condition_loss

NAMES = ["StableDiffusionPipeline", *PARTS]
CAPTIONS = ["a dog, blue background", "a bell, twice"]
CLIPS = {"image": Image, "audio": Sound, "video": Film}
MASKED = ["AudioLDM2Pipeline", "StableAudioPipeline", "LTXPipeline"]


@cache
def decoder_of(name: str) -> DiffusionDecoder:
    return small(name)


def apart(a: object, b: object) -> float:
    """The mean distance of two clips, in steps of a pixel or thousandths of a sample."""
    x, y = values(a), values(b)  # type: ignore[arg-type]
    return float(np.abs(x - y).mean() * (1000 if isinstance(a, Sound) else 1))


def core_of(decoder: DiffusionDecoder) -> AnyToAny:
    language = small_language()
    count = len(language.table.runs[decoder.modality])
    torch.manual_seed(0)
    projection = OutputProjection.for_shapes(
        language.width, decoder.condition_shapes, count, hidden=16, layers=1, heads=2, ff=32
    )
    modality = decoder.modality
    return AnyToAny.build(language, {}, {modality: projection}, decoders={modality: decoder})


def signal_of(core: AnyToAny, seed: int = 0) -> Signal:
    modality = core.makes[0]
    n = len(core.language.table.runs[modality])
    torch.manual_seed(seed)
    return Signal(modality, "a dog", *torch.randn(2, n, core.language.width))


def test_each_class_of_the_table_is_tested() -> None:
    own = {"SpectrogramPipeline", "AnimateDiffPipeline"}
    assert {*NAMES} | own == {*RECIPES}
    pictures = small_pictures()
    for decoder in (small_sounds(), small_films(pictures)):
        assert type(decoder.pipeline).__name__ in own


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_what_diffusers_saved_and_decodes_captions(name: str, tmp_path: Path) -> None:
    decoder = decoder_of(name)
    with quiet("diffusers"):
        decoder.pipeline.save_pretrained(tmp_path)
    loaded = DiffusionDecoder.from_pretrained(tmp_path)
    assert loaded.settings.steps == 50
    loaded = loaded.with_settings(steps=2, guidance=3.0, call=decoder.settings.call)
    assert loaded.modality == decoder.modality
    condition = loaded.encode_condition(CAPTIONS)
    assert len(condition) == 2 and condition.shapes == loaded.condition_shapes
    alone = loaded.encode_condition(CAPTIONS[1:])
    for tensor in condition.tensors:
        torch.testing.assert_close(condition[tensor][1:], alone[tensor])
    told: list[tuple[int, int]] = []
    clips = loaded.decode(condition, seeds=[1, 2], progress=lambda *step: told.append(step))
    assert told == [(1, 2), (2, 2)]
    for clip in clips:
        assert isinstance(clip, CLIPS[loaded.modality]) and np.isfinite(values(clip)).all()
    same = decoder.decode(decoder.encode_condition(CAPTIONS), seeds=[1, 2])
    assert apart(clips[0], same[0]) < 1 and apart(clips[1], same[1]) < 1


@pytest.mark.parametrize("name", [*NAMES, "SpectrogramPipeline", "AnimateDiffPipeline"])
def test_captions_need_its_text_encoders_alone(name: str, tmp_path: Path) -> None:
    own = {
        "SpectrogramPipeline": small_sounds,
        "AnimateDiffPipeline": lambda: small_films(small_pictures()).with_settings(base=None),
    }
    decoder = own[name]() if name in own else decoder_of(name)
    decoder.save_pretrained(tmp_path, torch.float32)
    whole = DiffusionDecoder.from_pretrained(tmp_path)
    alone = caption_encoder(tmp_path)
    loaded = {n for n, p in alone.pipeline.components.items() if isinstance(p, torch.nn.Module)}
    assert "text_encoder" in loaded and not loaded & {*DECODING}
    alone.pipeline.to("cpu")
    expected, encoded = whole.encode_condition(CAPTIONS), alone.encode_condition(CAPTIONS)
    assert encoded.shapes == expected.shapes == alone.condition_shapes
    assert all(torch.equal(x, expected[tensor]) for tensor, x in encoded.tensors.items())
    half = caption_encoder(tmp_path, torch.bfloat16)
    assert half.pipeline.text_encoder.dtype == torch.bfloat16
    half.encode_condition(CAPTIONS)


@pytest.mark.parametrize("name", NAMES)
def test_it_decodes_signals_and_each_row_alone(name: str) -> None:
    core = core_of(decoder_of(name)).eval()
    condition = Condition.stack([core.condition(signal_of(core, seed)) for seed in (0, 1)])
    assert condition.shapes == decoder_of(name).condition_shapes
    together = core.decoder(core.makes[0]).decode(condition, seeds=[5, 6])
    row = condition.unstack()[1]
    alone = decoder_of(name).decode(row, seeds=[6])[0]
    assert apart(together[1], alone) < 2
    assert np.array_equal(values(decoder_of(name).decode(row, seeds=[6])[0]), values(alone))
    assert apart(decoder_of(name).decode(row, seeds=[7])[0], alone) > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_of_the_condition_is_used(name: str) -> None:
    decoder = decoder_of(name)
    condition = decoder.encode_condition(CAPTIONS[:1])
    plain = decoder.decode(condition, seeds=[1])[0]
    for changed, tensor in condition.tensors.items():
        other = 1 - tensor if changed.endswith("mask") else tensor + 3
        clip = decoder.decode(Condition({**condition.tensors, changed: other}), seeds=[1])[0]
        assert not np.array_equal(values(plain), values(clip)), changed


@pytest.mark.parametrize("name", MASKED)
def test_what_is_masked_is_not_read(name: str) -> None:
    decoder = decoder_of(name)
    condition = decoder.encode_condition(CAPTIONS[1:])
    mask = next(tensor for name, tensor in condition.tensors.items() if name.endswith("mask"))
    assert 0 < mask.sum() < mask.numel()
    assert (condition[SEQUENCE] * (1 - mask)).abs().max() == 0
    louder = Condition({**condition.tensors, SEQUENCE: condition[SEQUENCE] + 9 * (1 - mask)})
    clips = [decoder.decode(c, seeds=[1])[0] for c in (condition, louder)]
    assert np.allclose(values(clips[0]), values(clips[1]), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_guidance_leads_away_from_no_words(name: str) -> None:
    decoder = decoder_of(name)
    if name == "FluxPipeline":  # it was never distilled, so only the call's own scale counts
        call = decoder.settings.call
        strong = decoder.with_settings(call={**call, "true_cfg_scale": 9.0})
    else:
        decoder, strong = (decoder.with_settings(guidance=g) for g in (1.0, 9.0))
    condition = decoder.encode_condition(CAPTIONS[:1])
    plain, guided = (d.decode(condition, seeds=[1])[0] for d in (decoder, strong))
    assert apart(plain, guided) > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_cancelling_stops_it_at_the_next_step(name: str) -> None:
    decoder = decoder_of(name)
    condition = decoder.encode_condition(CAPTIONS[:1])
    done: list[int] = []
    with pytest.raises(Cancelled):
        decoder.decode(
            condition,
            seeds=[1],
            steps=4,
            progress=lambda i, n: done.append(i),
            cancelled=lambda: len(done) == 1,
        )
    assert done == [1]


@pytest.mark.parametrize("name", NAMES)
def test_steps_of_decoding_side_alignment_bring_every_tensor_nearer(name: str) -> None:
    decoder = decoder_of(name)
    core = core_of(decoder)
    decode.choose(core)
    core.train()
    batch = core.collate(
        [sample_of((user("now"), assistant(made(decoder.modality, c)))) for c in CAPTIONS]
    )
    loss = decode.decode_loss(core, {decoder.modality: decoder}, 1.0)
    optimizer = torch.optim.Adam([p for p in core.parameters() if p.requires_grad], 5e-3)
    errors: list[float] = []
    for _ in range(4):
        figures = loss(batch, torch.Generator())
        optimizer.zero_grad()
        figures["loss"].backward()
        assert all(p.grad is not None and p.grad.any() for p in core.outputs.parameters())
        optimizer.step()
        errors.append(figures["condition"].item())
    assert errors[-1] < errors[0]


def test_the_condition_loss_is_the_mean_of_what_each_tensor_is_off_by() -> None:
    decoder = decoder_of("StableDiffusionXLPipeline")
    core = core_of(decoder)
    batch = core.collate([sample_of((user("now"), assistant(made("image", CAPTIONS[0]))))])
    outputs = core(batch)
    aim = decoder.encode_condition(CAPTIONS[:1])
    group = outputs.stacked["image"]
    projected = core.outputs["image"].condition(group.hidden, group.embeddings)  # type: ignore
    expected = [(projected[n] - aim[n]).square().mean() for n in aim.tensors]
    assert len(expected) == 2
    found = condition_loss(core, {"image": decoder})(outputs)["image"]
    torch.testing.assert_close(found, torch.stack(expected).mean())


# --- files


@pytest.mark.parametrize("name", NAMES)
def test_it_computes_in_half_precision(name: str, tmp_path: Path) -> None:
    decoder_of(name).save_pretrained(tmp_path, torch.bfloat16)
    loaded = DiffusionDecoder.from_pretrained(tmp_path, torch.bfloat16)
    components, single = loaded.pipeline.components, RECIPES[name].single
    parts = {n: part for n, part in components.items() if isinstance(part, torch.nn.Module)}
    assert {p.dtype for n, p in parts.items() if n not in single} == {torch.bfloat16}
    assert {parts[n].dtype for n in single} <= {torch.float32}
    assert {p.dtype for p in decoder_of(name).pipeline.vae.parameters()} == {torch.float32}
    condition = loaded.encode_condition(CAPTIONS[:1])
    assert condition[SEQUENCE].dtype == torch.float32
    assert np.isfinite(values(loaded.decode(condition, seeds=[1])[0])).all()


def test_a_core_keeps_conditions_of_several_tensors(tmp_path: Path) -> None:
    core = core_of(decoder_of("StableDiffusionXLPipeline")).eval()
    core.save_pretrained(tmp_path, torch.float32)
    again = AnyToAny.from_pretrained(tmp_path)
    before, after = (c.condition(signal_of(c)) for c in (core, again))
    assert before.shapes == after.shapes == decoder_of("StableDiffusionXLPipeline").condition_shapes
    for name in before.tensors:
        torch.testing.assert_close(before[name], after[name])
    assert len(again.decoder("image").decode(after, seeds=[1])) == 1


def test_what_the_pipeline_was_told_survives(tmp_path: Path) -> None:
    decoder = small("StableDiffusionXLPipeline")
    decoder.pipeline.register_to_config(force_zeros_for_empty_prompt=False)
    decoder.save_pretrained(tmp_path)
    loaded = DiffusionDecoder.from_pretrained(tmp_path)
    assert not loaded.pipeline.config.force_zeros_for_empty_prompt
    clips = [
        d.decode(d.encode_condition(CAPTIONS[:1]), seeds=[1])[0]
        for d in (loaded, decoder_of("StableDiffusionXLPipeline"))
    ]
    assert apart(*clips) > 0.1  # led away from the words "", not from zeros


def test_parts_that_were_saved_as_none_stay_away(tmp_path: Path) -> None:
    decoder = small("StableDiffusion3Pipeline")
    decoder.pipeline.register_modules(text_encoder_3=None, tokenizer_3=None)
    decoder.save_pretrained(tmp_path)
    loaded = DiffusionDecoder.from_pretrained(tmp_path)
    assert loaded.pipeline.text_encoder_3 is None
    condition = loaded.encode_condition(CAPTIONS[:1])
    assert condition.shapes == decoder.condition_shapes
    assert condition[SEQUENCE][:, -6:].abs().max() == 0  # where T5's tokens would be
    assert len(loaded.decode(condition, seeds=[1])) == 1


def test_gpt2_may_be_saved_without_its_head(tmp_path: Path) -> None:
    decoder = small("AudioLDM2Pipeline")
    expected = decoder.encode_condition(CAPTIONS)
    decoder.pipeline.register_modules(language_model=decoder.pipeline.language_model.transformer)
    decoder.save_pretrained(tmp_path, torch.float32)
    assert "GPT2Model" in (tmp_path / "model_index.json").read_text()
    found = DiffusionDecoder.from_pretrained(tmp_path).encode_condition(CAPTIONS)
    for name in expected.tensors:
        torch.testing.assert_close(found[name], expected[name])


def test_without_a_text_encoder_captions_are_refused() -> None:
    decoder = small("CogVideoXPipeline")
    decoder.pipeline.register_modules(text_encoder=None, tokenizer=None)
    assert decoder.condition_shapes == decoder_of("CogVideoXPipeline").condition_shapes
    with pytest.raises(WeightsError, match="no text encoder"):
        decoder.encode_condition(CAPTIONS)


def test_how_long_captions_may_be_is_a_setting() -> None:
    decoder = decoder_of("FluxPipeline")
    call = {**decoder.settings.call, "max_sequence_length": 3}
    shorter = decoder.with_settings(call=call)
    assert shorter.condition_shapes[SEQUENCE][0] == 3
    condition = shorter.encode_condition(CAPTIONS)
    assert len(shorter.decode(condition, seeds=[1, 2])) == 2
    with pytest.raises(WeightsError, match="prompt_embeds 3x32.*FluxPipeline.*prompt_embeds 6x32"):
        decoder.decode(condition, seeds=[1, 2])


def test_weights_that_could_run_code_are_not_read(tmp_path: Path) -> None:
    decoder_of("StableDiffusionPipeline").save_pretrained(tmp_path, torch.float32)
    weights = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    state = decoder_of("StableDiffusionPipeline").pipeline.unet.state_dict()
    torch.save(state, tmp_path / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(WeightsError):
        DiffusionDecoder.from_pretrained(tmp_path)


def test_code_beside_the_weights_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "decoder"
    decoder_of("StableDiffusionPipeline").save_pretrained(folder, torch.float32)
    index = json.loads((folder / "model_index.json").read_text())
    index["unet"] = ["own", "Own"]
    (folder / "model_index.json").write_text(json.dumps(index))
    ran = tmp_path / "ran"
    (folder / "unet" / "own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: pass\n")
    with pytest.raises(WeightsError):
        DiffusionDecoder.from_pretrained(folder)
    assert not ran.exists()


def test_a_scheduler_that_needs_another_library_is_told_in_one_sentence(tmp_path: Path) -> None:
    if is_torchsde_available():
        pytest.skip("the library is there")
    decoder_of("StableAudioPipeline").save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "CosineDPMSolverMultistepScheduler"]  # the released one's
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="torchsde") as caught:
        DiffusionDecoder.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


# --- recipes of other packages

PACKAGE = """
from diffusers import StableDiffusionPipeline

from heliograph.model.decoders.recipes import StableDiffusion


class SepiaPipeline(StableDiffusionPipeline):
    pass


class Sepia(StableDiffusion):
    module = "sepia_pipelines"


class NoRecipe:
    pass
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution that brings a pipeline and its recipe."""
    site = tmp_path / "site"
    info = site / "sepia-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "sepia_pipelines.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sepia\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[heliograph.decoders]\n"
        "SepiaPipeline = sepia_pipelines:Sepia\n"
        "WrongPipeline = sepia_pipelines:NoRecipe\n"
        "LostPipeline = sepia_pipelines:Lost\n"
    )
    monkeypatch.syspath_prepend(str(site))
    yield tmp_path
    sys.modules.pop("sepia_pipelines", None)


def test_an_installed_package_may_bring_a_recipe(package: Path) -> None:
    from sepia_pipelines import SepiaPipeline  # type: ignore[import-not-found]

    pictures = small_pictures()
    with quiet("diffusers"):
        pipeline = SepiaPipeline(**pictures.pipeline.components, requires_safety_checker=False)
    decoder = DiffusionDecoder(pipeline, pictures.settings)
    assert decoder.modality == "image"
    decoder.save_pretrained(package / "saved", torch.float32)
    loaded = DiffusionDecoder.from_pretrained(package / "saved")
    assert type(loaded.pipeline) is SepiaPipeline
    clips = [d.decode(d.encode_condition(CAPTIONS[:1]), seeds=[1])[0] for d in (loaded, pictures)]
    assert apart(*clips) < 1


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("WrongPipeline", "NoRecipe, is no subclass of Recipe"),
        ("LostPipeline", "can't be imported"),
        ("OtherPipeline", "there are recipes for .*FluxPipeline.*SepiaPipeline"),
    ],
)
def test_a_recipe_that_can_t_be_used_is_one_sentence(
    package: Path, name: str, sentence: str
) -> None:
    (package / "decoder.json").write_text(json.dumps({"class": name}))
    with pytest.raises(WeightsError, match=sentence) as caught:
        DiffusionDecoder.from_pretrained(package)
    assert "\n" not in str(caught.value)


def test_the_page_of_models_has_every_class() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    assert [name for name in RECIPES if f"| `{name}`" not in page] == []
