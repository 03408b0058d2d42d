from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from heliograph.model import AnyToAny, Media, Modality, Signal, Text
from heliograph.model.conditions import SEQUENCE
from heliograph.model.encoders.small import imagebind
from heliograph.model.errors import InputError, WeightsError
from heliograph.model.parts import Message, ToolCall
from heliograph.model.projections import InputProjectionConfig
from heliograph.model.testing import (
    BELL,
    DOG,
    LESSONS,
    WIDTH,
    assistant,
    features_of,
    made,
    sample_of,
    small_core,
    small_language,
    user,
)

MIXED = (
    user("look: ", DOG, " and hear ", BELL, " now draw"),
    assistant("so ", made("image", "a cat"), " then ", made("audio", "a bell"), "."),
)


def with_encoder() -> AnyToAny:
    torch.manual_seed(0)
    encoder = imagebind()
    inputs: dict[Modality, InputProjectionConfig] = {
        m: InputProjectionConfig("linear", encoder.width(m), encoder.tokens(m), WIDTH)
        for m in encoder.modalities
    }
    core = small_core()
    built = {modality: config.build() for modality, config in inputs.items()}
    return AnyToAny.build(small_language(), built, dict(core.outputs.items()), {"ears": encoder})


def picture() -> Media:
    file = io.BytesIO()
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(file, "png")
    return Media("image", "image/png", file.getvalue())


# --- training batches


def test_only_what_the_assistant_says_is_learned() -> None:
    core = small_core()
    call = ToolCall("f", {}, "result")
    batch = core.collate(
        [sample_of((user("asked ", DOG), assistant(made("image", "cap"), "ok", call, "42")))]
    )
    learned = core.language.tokenizer.decode(batch.targets)
    assert learned == (
        '<|image|>cap[IMG0]ok<|call|>{"name": "f", "args": {}}<|/call|><|end|>42<|end|>'
    )


def test_targets_are_predicted_one_place_before() -> None:
    core = small_core()
    batch = core.collate([sample_of(MIXED), sample_of(LESSONS[0])])
    found = batch.ids[batch.target_rows, batch.target_columns + 1]
    assert torch.equal(found, batch.targets)


def test_the_loss_is_that_of_the_whole_sequence_masked() -> None:
    core = small_core()
    batch = core.collate([sample_of(lesson) for lesson in LESSONS])
    with torch.no_grad():
        outputs = core(batch)
        hidden = core.language.hidden(core.embed(batch.ids, batch.media), batch.mask)
        logits = core.language.logits(hidden)
    labels = torch.full_like(batch.ids, -100)
    labels[batch.target_rows, batch.target_columns] = batch.targets
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert torch.allclose(outputs.loss, expected, atol=1e-5)


def test_runs_are_read_at_expanded_positions() -> None:
    """With media of several tokens before it, a run is still read at its own tokens."""
    core = small_core()
    batch = core.collate([sample_of(MIXED), sample_of(LESSONS[0])])
    with torch.no_grad():
        outputs = core(batch)
    assert [(s.row, s.modality, s.caption) for s in outputs.signals] == [
        (0, "image", "a cat"),
        (0, "audio", "a bell"),
        (1, "image", "a red dog"),
    ]
    for states in outputs.signals:
        run = torch.tensor(core.language.table.runs[states.modality])
        assert torch.equal(states.embeddings, core.language.embed(run))
        assert states.hidden.shape == (len(run), WIDTH)
    assert outputs.stacked["image"].hidden.shape == (2, 4, WIDTH)
    assert outputs.stacked["image"].rows == [0, 1]


def test_rows_do_not_touch_each_other() -> None:
    """Media counts differ from row to row; each row is what it is alone."""
    core = small_core()
    rows = [MIXED, LESSONS[0], LESSONS[5], (user(DOG, DOG, BELL), assistant("a"))]
    with torch.no_grad():
        together = core(core.collate([sample_of(row) for row in rows]))
        alone = [core(core.collate([sample_of(row)])) for row in rows]
    total = sum(output.loss * output.count for output in alone)
    assert torch.allclose(together.loss * together.count, total, atol=1e-3)
    for states in together.signals:
        match = next(s for s in alone[states.row].signals if (s.modality) == (states.modality))
        assert torch.allclose(states.hidden, match.hidden, atol=1e-5)


def test_media_reach_the_loss_and_the_projections_learn() -> None:
    core = small_core().train()
    outputs = core(core.collate([sample_of(LESSONS[4]), sample_of(LESSONS[5])]))
    outputs.loss.backward()
    for modality in ("image", "audio"):
        assert all(p.grad.abs().sum() > 0 for p in core.inputs[modality].parameters())


def test_a_sample_of_words_alone_has_no_media() -> None:
    core = small_core()
    batch = core.collate([sample_of((user("a"), assistant("b")))])
    assert batch.media == () and batch.runs == () and core(batch).signals == []


def test_features_that_do_not_match_the_media_are_refused() -> None:
    core = small_core()
    sample = sample_of(LESSONS[4])
    for features in ([], [("audio", features_of(DOG))], [*sample.features, *sample.features]):
        wrong = type(sample)(sample.messages, features)
        with pytest.raises(InputError, match="features"):
            core.collate([wrong])


def test_a_sample_longer_than_the_context_is_refused() -> None:
    core = small_core(context=32)
    with pytest.raises(InputError, match="32"):
        core.collate([sample_of((user("a " * 40), assistant("b")))])


# --- conditions


def test_conditions_have_the_decoder_s_shape() -> None:
    core = small_core()
    outputs = core(core.collate([sample_of(MIXED)]))
    states = outputs.signals[0]
    signal = Signal(states.modality, "a cat", states.hidden.detach(), states.embeddings.detach())
    condition = core.condition(signal)
    assert len(condition) == 1 and condition.shapes == {SEQUENCE: (5, 10)}
    again = core.condition(Signal.from_safetensors(signal.to_safetensors()))
    assert torch.equal(condition[SEQUENCE], again[SEQUENCE])


def test_a_signal_of_other_weights_is_refused() -> None:
    with pytest.raises(WeightsError):
        small_core().condition(Signal("image", "", torch.zeros(4, 7), torch.zeros(4, 7)))


# --- files


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("core")
    with_encoder().save_pretrained(directory)
    return directory


def copy(saved: Path, target: Path) -> Path:
    import shutil

    return Path(shutil.copytree(saved, target / "copy"))


def test_a_core_survives_save_and_load(tmp_path: Path) -> None:
    core = small_core()
    core.save_pretrained(tmp_path, torch.float32)
    again = AnyToAny.from_pretrained(tmp_path)
    batch = core.collate([sample_of(MIXED)])
    with torch.no_grad():
        assert torch.equal(again(batch).loss, core(batch).loss)
    assert (again.sees, again.makes) == (core.sees, core.makes)
    assert not again.training


def test_everything_is_stored_in_half_precision_and_nothing_is_pickled(saved: Path) -> None:
    from safetensors.torch import load_file

    files = [path for path in saved.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".jinja", ".safetensors"}
    for path in files:
        if path.suffix == ".safetensors":
            assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}
    parameters = list(AnyToAny.from_pretrained(saved).parameters())
    assert {parameter.dtype for parameter in parameters} == {torch.float32}


def test_encoders_load_when_they_are_first_used(saved: Path, tmp_path: Path) -> None:
    media = picture()
    features = AnyToAny.from_pretrained(saved).encode(media)
    assert features.shape == (4, 16)
    assert torch.allclose(features, with_encoder().encode(media), atol=0.05)
    broken = copy(saved, tmp_path)
    (broken / "encoders" / "ears" / "model.safetensors").unlink()
    core = AnyToAny.from_pretrained(broken)  # text still works
    list(core.generate([(user("a"),)]))
    with pytest.raises(WeightsError, match="ears"):
        core.encode(media)
    with pytest.raises(WeightsError, match="ears"):
        AnyToAny.from_pretrained(broken, load=["ears"])


def test_a_shown_picture_is_read_in_a_turn(saved: Path) -> None:
    core = AnyToAny.from_pretrained(saved)
    message = Message("user", (Text("what is this? "), picture()))
    events = list(core.generate([(message,), (user("a"),)]))
    assert {event.row for event in events} == {0, 1}


def test_decoders_that_are_not_there_are_named(saved: Path) -> None:
    with pytest.raises(InputError, match="films"):
        AnyToAny.from_pretrained(saved).decoder("video")


@pytest.mark.parametrize("name", ["config.json", "projections.safetensors", "language"])
def test_a_missing_file_is_named(saved: Path, tmp_path: Path, name: str) -> None:
    broken = copy(saved, tmp_path)
    (broken / name).rename(broken / "elsewhere")
    with pytest.raises(WeightsError, match=name):
        AnyToAny.from_pretrained(broken)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\0\xff" * 100])
@pytest.mark.parametrize("name", ["config.json", "projections.safetensors"])
def test_a_damaged_file_is_named(saved: Path, tmp_path: Path, name: str, data: bytes) -> None:
    broken = copy(saved, tmp_path)
    (broken / name).write_bytes(data)
    with pytest.raises(WeightsError, match=name):
        AnyToAny.from_pretrained(broken)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"inputs": {}},
        {"inputs": {"image": {"kind": "linear"}}},
        {"signals": {"image": 4, "video": 24}},
        {"outputs": None},
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    saved: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    broken = copy(saved, tmp_path)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(WeightsError):
        AnyToAny.from_pretrained(broken)


def test_a_shape_that_does_not_fit_is_named(saved: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    broken = copy(saved, tmp_path)
    path = broken / "projections.safetensors"
    state = load_file(path)
    name = "outputs.image.input.weight"
    state[name] = state[name][:-1].contiguous()
    save_file(state, path, {"format": "pt"})
    with pytest.raises(WeightsError, match=rf"{name} is \[15, \d+\] and should be \[16, \d+\]"):
        AnyToAny.from_pretrained(broken)


def test_a_tokenizer_that_lacks_a_token_is_refused(saved: Path, tmp_path: Path) -> None:
    """Rows that were trained would be replaced by fresh ones, and the core talk nonsense."""
    broken = copy(saved, tmp_path)
    path = broken / "language" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    added = tokenizer["added_tokens"]
    tokenizer["added_tokens"] = [token for token in added if token["content"] != "[IMG2]"]
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(WeightsError, match=r"the tokenizer in .*language lacks \[IMG2\]\."):
        AnyToAny.from_pretrained(broken)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere"):
        AnyToAny.from_pretrained(tmp_path / "nowhere")


def test_the_package_loads_no_torch_and_loading_no_peft_or_diffusers(saved: Path) -> None:
    code = (
        "import sys, heliograph.model, heliograph.model.signals\n"
        "assert 'torch' not in sys.modules\n"
        "from heliograph.model import AnyToAny\n"
        f"AnyToAny.from_pretrained({str(saved)!r})\n"
        "assert not {'peft', 'diffusers'} & set(sys.modules)\n"
    )
    links = Path(__file__).parents[2] / ".links"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(links)})
