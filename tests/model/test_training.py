"""Trainings on tiny models: what trains, what it reads, and that a stop changes nothing."""

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from heliograph.model.conditions import SEQUENCE, Condition
from heliograph.model.core import AnyToAny
from heliograph.model.encoders.imagebind import ImageBind
from heliograph.model.encoders.pooled import PooledEncoder
from heliograph.model.errors import InputError
from heliograph.model.primer import dialogues, scenes, weights_dir
from heliograph.model.primer.dialogues import Dialogue, Made, Shown, Turn
from heliograph.model.primer.grammar import grammar
from heliograph.model.primer.scenes import Film, One, Pair, Several, SoundOf
from heliograph.model.primer.vocabulary import load
from heliograph.model.signals import added_tokens
from heliograph.model.training import (
    decode,
    details,
    encode,
    instruct,
    pipeline,
    signals,
    stages,
    steady,
)
from heliograph.model.training import pairs as pairs_of
from heliograph.model.training.conversations import Looker, batches_of, length_in, slots, worded
from heliograph.model.training.encoders import contrast
from heliograph.model.training.language import Recall, compared, conversations, fresh, language_loss
from heliograph.model.training.loop import Schedule, fit, rng, share, trainable
from heliograph.model.training.parts import tokenizer
from heliograph.model.training.presets import TINY, preset

DOG = One("dog", "small", "left", "blue")
SHORT = Schedule(6, 1e-2, warmup=2, weight_decay=0.0, ema=0.9)


class Conditions:
    """A decoder's text encoder: a fixed vector for each caption."""

    condition_shapes = {SEQUENCE: (3, 8)}

    def encode_condition(self, captions: Sequence[str]) -> Condition:
        seeds = [sum(caption.encode()) for caption in captions]
        rows = [torch.randn(3, 8, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return Condition({SEQUENCE: torch.stack(rows)})


CONDITIONS = {"image": Conditions(), "audio": Conditions(), "video": Conditions()}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


LENGTHS = {"image": 40, "audio": 20, "video": 40}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def words(work):
    return tokenizer(work, TINY)


@pytest.fixture(scope="module")
def encoder(words):
    torch.manual_seed(0)
    return ImageBind(TINY.encoder(len(words), words.eos_token_id)).eval()


@pytest.fixture
def language(words):
    return fresh(words, TINY.language, 0)


@pytest.fixture
def core(language, encoder):
    return stages.compose(language, encoder, CONDITIONS, TINY.projections, 0)


def stopping(batch, at):
    """The same batches, with somebody pressing Ctrl-C before step ``at``."""

    def stopped(step):
        if step == at:
            raise KeyboardInterrupt
        return batch(step)

    return stopped


def last_loss(folder):
    lines = (folder / "log.csv").read_text().splitlines()
    return float(lines[-1].split(",")[2])


# Stopping


@pytest.mark.parametrize("stage", ["encode", "decode", "instruct"])
def test_a_stage_that_was_stopped_goes_on_to_the_same_loss(stage, words, encoder, tmp_path):
    def run(folder, stop=None):
        core = stages.compose(
            fresh(words, TINY.language, 0), encoder, CONDITIONS, TINY.projections, 0
        )
        batch, loss = {
            "encode": lambda: (
                encode.choose(core),
                encode.batches(core, encoder, 2, 0),
                encode.encode_loss(core),
            ),
            "decode": lambda: (
                decode.choose(core),
                decode.batches(core, 3, 0),
                decode.decode_loss(core, CONDITIONS, 1.0),
            ),
            "instruct": lambda: (
                instruct.choose(core, 4),
                instruct.batches(core, encoder, 2, 0),
                instruct.instruct_loss(core, CONDITIONS, 1.0),
            ),
        }[stage]()[1:]
        if stop is not None:
            batch = stopping(batch, stop)
        outcome = fit(stages.parts(core), batch, loss, SHORT, folder, title=stage, quiet=True)
        return outcome, trainable(stages.parts(core))

    whole, kept = run(tmp_path / "whole")
    first, _ = run(tmp_path / "parts", stop=4)
    assert (first.step, first.finished) == (4, False)
    second, resumed = run(tmp_path / "parts")
    assert whole.finished and second.finished
    assert last_loss(tmp_path / "whole") == last_loss(tmp_path / "parts")
    assert all(torch.equal(kept[name], resumed[name]) for name in kept)


def test_a_batch_depends_on_its_step_alone(language):
    batch = conversations(language, LENGTHS, 3, 0)
    for step in range(4):
        batch(step)
    again = conversations(language, LENGTHS, 3, 0)
    assert torch.equal(batch(9).ids, again(9).ids)
    assert not torch.equal(batch(9).ids, again(10).ids)


# What trains


def test_stage_1_trains_only_the_input_projections(core):
    encode.choose(core)
    names = trainable(stages.parts(core))
    assert names and all(name.startswith("inputs.") for name in names)
    assert share(stages.parts(core)).startswith("trains inputs: ")


def test_stage_2_changes_only_the_output_projections_and_the_new_rows(core, tmp_path):
    language = core.language
    before = {name: x.clone() for name, x in core.state_dict().items()}
    rows = decode.choose(core)
    fit(
        stages.parts(core),
        decode.batches(core, 6, 0),
        decode.decode_loss(core, CONDITIONS, 1.0),
        replace(SHORT, steps=3),
        tmp_path,
        title="decode",
        quiet=True,
    )
    changed = {n for n, x in core.state_dict().items() if not torch.equal(x, before[n])}
    weights = ("language.model.model.embed_tokens.weight", "language.model.lm_head.weight")
    assert all(n.startswith("outputs.") or n in weights for n in changed)
    assert any(n.startswith("outputs.image.") for n in changed) and weights[0] in changed
    new = language.tokenizer.convert_tokens_to_ids(added_tokens())
    old = [i for i in range(len(before[weights[0]])) if i not in set(new)]
    embedding = core.state_dict()[weights[0]]
    assert torch.equal(embedding[old], before[weights[0]][old])
    runs = [i for run in language.table.runs.values() for i in run]
    assert not torch.isclose(embedding[runs], before[weights[0]][runs]).all(1).any()
    assert rows == len(new) * language.width


def test_stage_3_trains_lora_and_every_projection_and_changes_answers(core, encoder, tmp_path):
    batch = instruct.batches(core, encoder, 3, 5)(0)
    before = core(batch).loss.detach()
    instruct.choose(core, 4)
    names = trainable(stages.parts(core))
    kinds = {n.split(".")[0] if "lora_" not in n else "lora" for n in names}
    assert kinds == {"inputs", "outputs", "language", "lora"}
    assert [n for n in names if n.startswith("language.") and "lora_" not in n] == [
        "language.model.model.embed_tokens.weight"
    ]
    assert torch.allclose(core(batch).loss, before)  # LoRA starts as nothing
    fit(
        stages.parts(core),
        instruct.batches(core, encoder, 3, 0),
        instruct.instruct_loss(core, CONDITIONS, 1.0),
        replace(SHORT, steps=4),
        tmp_path,
        title="instruct",
        quiet=True,
    )
    lora = {n: p for n, p in core.language.named_parameters() if "lora_B" in n}
    assert lora and all(p.abs().max() > 0 for p in lora.values())
    after = core(batch).loss.detach()
    assert not torch.allclose(after, before)
    with_lora = core.language.hidden(core.embed(batch.ids, batch.media), batch.mask).detach()
    core.language.merge_lora()
    merged = core.language.hidden(core.embed(batch.ids, batch.media), batch.mask).detach()
    assert torch.allclose(with_lora, merged, atol=1e-4)


# What is read


def a_picture_before_a_signal() -> Dialogue:
    turn = Turn((Shown(DOG, 1), "play it, please"), ("Here it is:", Made(SoundOf("rain")), "Bye."))
    return Dialogue("mix", "en", (turn,))


def test_the_condition_loss_reads_the_run_behind_the_media_before_it(core, encoder):
    looker = Looker(encoder)
    samples = looker.samples([a_picture_before_a_signal()])
    batch = core.collate(samples)
    (group,) = batch.runs
    assert group.modality == "audio" and group.captions == (scenes.caption(SoundOf("rain")),)
    read = batch.ids[group.rows, group.columns]
    assert read[0].tolist() == list(core.language.table.runs["audio"])
    states = core(batch).stacked["audio"]
    rows = core.language.embed(torch.tensor(core.language.table.runs["audio"]))
    assert torch.equal(states.embeddings[0], rows)
    # Another picture changes the states of the run: it stands before it.
    other = replace(a_picture_before_a_signal())
    shown = Turn((Shown(replace(DOG, background="pink"), 1), *other.turns[0].user[1:]),
                 other.turns[0].assistant)  # fmt: skip
    elsewhere = core(core.collate(looker.samples([replace(other, turns=(shown,))])))
    assert not torch.allclose(elsewhere.stacked["audio"].hidden, states.hidden)


def test_on_text_alone_a_medium_is_its_caption_between_the_markers(language):
    batch = worded(language, [a_picture_before_a_signal()], LENGTHS)
    text = language.tokenizer.decode(batch.ids[0])
    padding = language.tokenizer.pad_token
    assert f"<Img>{scenes.caption(DOG)}{padding}" in text and f"{padding}</Img>" in text
    assert "[AUD0][AUD1]" in text.replace(" ", "")
    answer = language.tokenizer.decode(batch.targets)
    assert answer.startswith("Here it is:") and "Bye." in answer
    assert "dog" not in answer and "[AUD1]" not in answer  # what is given isn't learned
    (group,) = batch.runs
    run = batch.ids[group.rows, group.columns][0]
    assert run.tolist() == list(language.table.runs["audio"])


def test_the_base_model_learns_to_answer_and_to_recall(language, tmp_path):
    recall = Recall(language)
    loss = language_loss(language, recall)
    batch = worded(language, [a_picture_before_a_signal()], LENGTHS)
    first = {k: float(v.detach()) for k, v in loss(batch, torch.Generator()).items()}
    fit(
        {"language": language, "recall": recall},
        lambda step: batch,
        loss,
        Schedule(40, 1e-2, warmup=5),
        tmp_path,
        title="language",
        quiet=True,
    )
    last = {k: float(v.detach()) for k, v in loss(batch, torch.Generator()).items()}
    assert last["words"] < first["words"] / 4 and last["recall"] < first["recall"] / 4


def test_without_captions_a_run_follows_its_opener_and_its_truth_is_kept(language):
    batch = worded(language, [a_picture_before_a_signal()], LENGTHS, captioned=False)
    (group,) = batch.runs
    assert group.captions == (scenes.caption(SoundOf("rain")),)
    row, column = int(group.rows[0]), int(group.columns[0, 0])
    assert batch.ids[row, column - 1] == language.table.openers["audio"]


def test_a_core_of_pooled_vectors_trains_and_reads_one_token_a_medium(language, encoder):
    pooled = PooledEncoder(encoder, encoder.config.joint)
    sizes = replace(TINY.projections, pooled=True)
    core = stages.compose(language, pooled, CONDITIONS, sizes, 0)
    encode.choose(core)
    batch = core.collate(Looker(pooled).samples([a_picture_before_a_signal()]))
    (group,) = batch.media
    assert group.features.shape == (1, 1, encoder.config.joint)
    encode.encode_loss(core, 0.0)(batch, torch.Generator())["loss"].backward()
    assert float(core.inputs["image"].linear.weight.grad.abs().sum()) > 0


def test_slots_are_the_captions_ids_at_the_projections_length(language):
    caption = scenes.caption(DOG)
    ids = language.encode_text(caption)
    assert slots(language, caption, 3) == ids[:3]
    assert slots(language, caption, len(ids) + 2) == [*ids, language.pad, language.pad]


def test_the_slot_loss_is_small_where_media_are_read_as_their_captions(core, encoder):
    sample = Looker(encoder).samples([a_picture_before_a_signal()])
    batch = core.collate(sample)
    far = float(stages.slot_loss(core)(batch))
    ids = slots(core.language, scenes.caption(DOG), TINY.projections.tokens["image"])
    read = core.language.embed(torch.tensor([ids]))
    core.inputs["image"].forward = lambda features: read
    assert float(stages.slot_loss(core)(batch)) < 0.2 < far


def test_comparisons_say_yes_where_both_are_the_same():
    for seed in range(40):
        dialogue = compared(random.Random(seed))
        replies = grammar(dialogue.language).replies
        for turn in dialogue.turns:
            asked, told = turn.user[0].removesuffix("?").split("? ")
            verdict = replies["so_yes" if asked == told else "so_no"]
            assert turn.assistant == (verdict.replace("$fact", told),)


def test_dialogues_of_a_batch_have_about_the_same_length(language):
    length = length_in(language, LENGTHS)
    drawn = batches_of(dialogues.sample, length, 8, 0)
    spread = [max(map(length, b)) - min(map(length, b)) for b in (drawn(i) for i in range(8))]
    everything = [length(d) for i in range(8) for d in drawn(i)]
    assert sorted(spread)[4] < (max(everything) - min(everything)) / 3


# The encoders' data


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([One, Several, Pair, Film, SoundOf]))
def test_a_hard_negative_differs_in_one_attribute(seed, kind):
    chance = random.Random(seed)
    scene = scenes.sample(chance, kind)
    other = pairs_of.altered(scene, chance)
    differs = [f.name for f in fields(scene) if getattr(scene, f.name) != getattr(other, f.name)]
    assert type(other) is kind and scenes.caption(other) != scenes.caption(scene)
    assert len(differs) == 1 or kind is SoundOf
    right, wrong = pairs_of.worded(scene, other, chance)
    assert right and wrong


def test_patches_are_labelled_with_the_object_that_they_show(encoder, words):
    batch = pairs_of.pairs(encoder, lambda t: words(t).input_ids, TINY.batches, 3)(0)
    n = sum(len(x) for x in batch.media.values())
    assert batch.texts.shape[0] == 2 * n and batch.same[:, :n].diagonal().all()
    seen = batch.labels["image"]["object"]
    assert seen.shape == batch.media["image"].shape[:1] + (64,)
    assert ((seen > 0).sum(1) > 0).all() and ((seen == 0).sum(1) > 0).all()
    assert batch.labels["video"]["object"].shape[1] == encoder.tokens("video")


def test_contrast_leaves_out_captions_that_are_true_of_another_medium():
    vectors = torch.nn.functional.normalize(torch.randn(3, 8), dim=-1)
    vectors[1] = vectors[0]
    texts = torch.cat([vectors, -vectors])
    same = torch.eye(3, 6).bool()
    same[0, 1] = same[1, 0] = True
    apart = contrast(vectors, texts, torch.eye(3, 6).bool(), torch.tensor(20.0))
    together = contrast(vectors, texts, same, torch.tensor(20.0))
    assert together < 0.1 < apart


# The chain


def test_a_training_fits_its_schedule_to_the_time_and_keeps_it(work):
    outcome = pipeline.train("encoders", work, TINY, seconds=4.0, fitted=True)
    assert outcome.finished and 0 < outcome.step <= 20
    assert pipeline.train("encoders", work, TINY).step == outcome.step
    assert isinstance(pipeline.parts.encoder(work, TINY), ImageBind)


@pytest.mark.parametrize("pooled", [False, True])
def test_the_stages_start_from_a_core_and_change_only_what_they_train(tmp_path, pooled):
    short = Schedule(20, 1e-2, warmup=1, weight_decay=0.0)
    sizes = replace(TINY.projections, pooled=pooled)
    settings = replace(
        TINY, base=weights_dir(), projections=sizes, schedules=dict.fromkeys(pipeline.STAGES, short)
    )
    core = pipeline.train_all(tmp_path, settings, tmp_path / "core", share=0.1)
    before, after = AnyToAny.from_pretrained(weights_dir()), AnyToAny.from_pretrained(core)
    assert not (tmp_path / "language").exists()
    assert load_file(tmp_path / "instruct" / "last.safetensors")["step"] == 2
    assert after.inputs["image"].config.encoder_tokens == (1 if pooled else 64)
    for part in (lambda c: c.encoder("image"), lambda c: c.decoder("video").pipeline.unet):
        ours, theirs = part(after).state_dict().values(), part(before).state_dict().values()
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    ours, theirs = after.language.model.state_dict(), before.language.model.state_dict()
    assert any(not torch.equal(ours[name], theirs[name]) for name in theirs)
    if pooled:  # and of such a core another that reads patches can be made
        assert not isinstance(pipeline.parts.of_base(core), PooledEncoder)


def test_encoders_and_decoders_of_a_base_are_read_without_its_language_model(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    for name in ("config.json", "encoders", "decoders"):
        (base / name).symlink_to(weights_dir() / name)
    settings = replace(TINY, base=base)
    assert set(pipeline.conditioners(tmp_path, settings)) == {"image", "audio", "video"}
    assert pipeline.parts.encoder(tmp_path, settings).tokens("image") == 64


def test_output_projections_alone_come_nearer_to_what_decoders_were_made_for(tmp_path):
    settings = replace(TINY, base=weights_dir(), schedules={"signals": Schedule(12, 1e-3)})
    before = AnyToAny.from_pretrained(weights_dir())
    conditioners = pipeline.conditioners(tmp_path, settings)
    loss = signals.signal_loss(before, conditioners, ("image",))
    batch = signals.batches(before, before.encoder("image"), ("image",), 8, 5)(0)
    assert {group.modality for group in batch.runs} >= {"image"}
    first = loss(batch, torch.Generator())["loss"]
    pipeline.train("signals", tmp_path, settings)
    after = pipeline.assemble(tmp_path, settings, tmp_path / "core")
    moved = {
        name
        for name, x in after.state_dict().items()
        if not torch.equal(x, before.state_dict()[name])
    }
    assert moved and all(name.startswith("outputs.image.") for name in moved)
    assert torch.isfinite(first) and first < 0.1  # the bundled ones are near already


def test_stage_3_goes_on_from_a_finished_core(tmp_path):
    settings = replace(TINY, base=weights_dir(), schedules={"instruct": Schedule(2, 1e-6)})
    pipeline.train("instruct", tmp_path, settings)
    after = pipeline.assemble(tmp_path, settings, tmp_path / "core")
    before = AnyToAny.from_pretrained(weights_dir())
    changed = 0
    for name, x in after.state_dict().items():  # as it was, but for two small steps
        theirs = before.state_dict()[name]
        changed += not torch.equal(x, theirs)
        torch.testing.assert_close(x, theirs, atol=2e-3, rtol=2e-3)
    assert changed


def test_the_encoder_learns_to_see_what_a_decoder_draws_as_what_was_meant(tmp_path):
    few = replace(TINY.batches, images=6, films=2, sounds=2)
    settings = replace(
        TINY, base=weights_dir(), batches=few, schedules={"steady": Schedule(4, 5e-4, warmup=1)}
    )
    before = pipeline.parts.imagebind(tmp_path, settings)
    drawer = pipeline.conditioners(tmp_path, settings)["image"]
    batch = steady.batches(before, drawer, few, 5)(0)
    assert set(batch.clean) == set(batch.disturbed) == {"image", "video", "audio"}
    pipeline.train("steady", tmp_path, settings)
    after = pipeline.parts.encoder(tmp_path, settings)
    theirs = before.state_dict()
    moved = {name for name, x in after.state_dict().items() if not torch.equal(x, theirs[name])}
    assert any("trunks.vision.blocks.0" in name for name in moved)
    assert not any("text" in name or "heads" in name or "blocks.5" in name for name in moved)
    loss = steady.steady_loss(before)
    with torch.no_grad():
        steady.choose(before)
        same = steady.Seen(batch.clean, batch.clean)
        assert loss(same, torch.Generator())["loss"] < 1e-4
        assert loss(batch, torch.Generator())["loss"] > 0.01


def test_details_train_where_drawings_fail_and_only_the_last_blocks(tmp_path, monkeypatch):
    settings = replace(TINY, base=weights_dir(), schedules={"details": Schedule(4, 5e-4, warmup=1)})
    known = defaultdict(lambda: -details.ALWAYS, {("sun", "big"): 1.0, ("dog", 2): 0.0})
    monkeypatch.setattr(details, "BANK", {"failing": 12, "scenes": 4, "motion": 2})
    monkeypatch.setattr(details, "failures", lambda *_: known)  # and nothing else at all
    pipeline.train("details", tmp_path, settings)
    with safe_open(tmp_path / "details" / "failing.latents.safetensors", "pt") as bank:
        captions = json.loads(bank.metadata()["captions"])
    assert sum("sun" in caption for caption in captions) > 6  # eleven for each row of dogs
    assert all("big sun" in caption or "two dogs" in caption for caption in captions)
    pipeline.assemble(tmp_path, settings, tmp_path / "core")
    before = AnyToAny.from_pretrained(weights_dir())
    after = AnyToAny.from_pretrained(tmp_path / "core")
    for modality in ("image", "video"):
        ours, theirs = (c.decoder(modality).pipeline.unet.state_dict() for c in (after, before))
        moved = {name for name, x in ours.items() if not torch.equal(x, theirs[name])}
        assert moved and all(name.startswith(details.TRAINED) for name in moved)
        assert not any("motion_modules" in name for name in moved)
    words = (c.decoder("image").pipeline.text_encoder.state_dict() for c in (after, before))
    assert all(torch.equal(*pair) for pair in zip(*(s.values() for s in words), strict=True))


def test_what_fails_is_told_by_kind(monkeypatch):
    things = load().objects[:6]
    monkeypatch.setattr(details, "load", lambda: replace(load(), objects=things))
    core = AnyToAny.from_pretrained(weights_dir())
    found = details.failures(core.decoder("image"), 5, tries=1)
    assert set(found) == {(o.name, form) for o in things for form in ("small", "big", 2, 3)}
    assert set(found.values()) <= {0.0, 1.0}
    assert sum(found.values()) < 0.4 * len(found)  # most of what is asked for is drawn


def test_a_base_of_other_parts_is_refused(tiny_core_dir, tmp_path):
    core = AnyToAny.from_pretrained(tiny_core_dir)
    core.shelf = type(core.shelf).of({}, {})
    core.save_pretrained(tmp_path / "blind")
    with pytest.raises(InputError, match="isn't a core of the primer's parts"):
        pipeline.train("encode", tmp_path, replace(TINY, base=tmp_path / "blind"))


def test_a_name_that_is_not_known_is_refused(work):
    with pytest.raises(InputError, match="no training 'paint'"):
        pipeline.train("paint", work, TINY)
    with pytest.raises(InputError, match="not both"):
        pipeline.train_all(work, TINY, work / "core", minutes=1, share=0.5)
    with pytest.raises(InputError, match="no preset 'huge'"):
        preset("huge")


def test_the_new_rows_of_a_core_are_those_of_the_signal_table(core):
    assert isinstance(core, AnyToAny)
    table = core.language.table
    names = core.language.tokenizer.convert_ids_to_tokens(
        [table.media_open, table.media_close, table.call_open, table.call_close]
    )
    assert set(names) <= set(added_tokens(table.specs))
    assert rng(1, 2).random() == rng(1, 2).random()
