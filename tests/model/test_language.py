from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliograph.model.errors import WeightsError
from heliograph.model.language import LanguageModel
from heliograph.model.signals import added_tokens
from heliograph.model.testing import CORPUS, FAMILIES, small_config, small_family, small_language
from heliograph.model.tokenizer import ROLE_MARKERS, train_tokenizer


@pytest.fixture(scope="module")
def language() -> LanguageModel:
    return small_language()


def probe(language: LanguageModel) -> torch.Tensor:
    """Logits after each added token; they depend on all new rows of embedding and head."""
    ids = torch.tensor([language.tokenizer.convert_tokens_to_ids(added_tokens())])
    with torch.no_grad():
        return language.logits(language.hidden(language.embed(ids), torch.ones_like(ids)))


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_start_at_the_mean(tied: bool) -> None:
    language = small_language(tied=tied)
    ids = language.tokenizer.convert_tokens_to_ids(added_tokens())
    weights = [language.model.get_input_embeddings().weight]
    if not tied:
        weights.append(language.model.get_output_embeddings().weight)
    for weight in weights:
        old, new = weight[: ids[0]], weight[ids]
        assert (new - old.mean(0)).abs().max() < 0.6 * old.std()
        assert len({tuple(row.tolist()) for row in new}) == len(ids)


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_survive_save_and_load(tmp_path: Path, tied: bool) -> None:
    language = small_language(tied=tied)
    with torch.no_grad():  # as if trained
        for parameter in language.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    language.save_pretrained(tmp_path)
    again = LanguageModel.from_pretrained(tmp_path)
    assert again.table == language.table
    assert again.model.dtype == torch.float32
    assert torch.allclose(probe(again), probe(language), atol=0.05)  # stored in half precision
    language.save_pretrained(tmp_path, torch.float32)
    assert torch.equal(probe(LanguageModel.from_pretrained(tmp_path)), probe(language))


def test_weights_are_stored_in_half_precision_and_tied_ones_once(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    small_language().save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert "lm_head.weight" not in stored


def test_lora_saves_loads_and_merges_to_the_same_model(tmp_path: Path) -> None:
    language = small_language()
    before = probe(language)
    language.add_lora(r=4, alpha=8, dropout=0.0)
    trainable = {n for n, p in language.named_parameters() if p.requires_grad}
    assert trainable and all("lora_" in name for name in trainable)
    with torch.no_grad():
        for name, parameter in language.named_parameters():
            if "lora_B" in name:
                parameter += 0.3 * torch.randn_like(parameter)
    adapted = probe(language)
    assert not torch.allclose(adapted, before, atol=1e-3)
    language.save_pretrained(tmp_path, torch.float32)
    again = LanguageModel.from_pretrained(tmp_path)
    assert again.has_lora
    assert torch.allclose(probe(again), adapted, atol=1e-5)
    again.merge_lora()
    assert not again.has_lora
    assert torch.allclose(probe(again), adapted, atol=1e-4)
    again.save_pretrained(tmp_path / "merged", torch.float32)
    merged = LanguageModel.from_pretrained(tmp_path / "merged")
    assert not merged.has_lora
    assert torch.allclose(probe(merged), adapted, atol=1e-4)


def test_a_merged_model_leaves_no_old_adapter_behind(tmp_path: Path) -> None:
    language = small_language()
    language.add_lora(r=4)
    language.save_pretrained(tmp_path)
    language.merge_lora()
    language.save_pretrained(tmp_path)
    assert not LanguageModel.from_pretrained(tmp_path).has_lora


@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_is_encoded_and_comes_back(language: LanguageModel, text: str) -> None:
    ids = language.encode_text(text)
    assert language.plain_ids[ids].all()
    assert language.decode(ids) == text


@pytest.mark.parametrize("token", [*added_tokens()[:3], "<|end|>", "<|call|>", *ROLE_MARKERS])
def test_special_tokens_typed_by_a_user_are_letters(language: LanguageModel, token: str) -> None:
    ids = language.encode_text(f"a{token}b")
    assert language.tokenizer.convert_tokens_to_ids(token) not in ids
    assert language.decode(ids) == f"a{token}b"


def test_nul_and_lone_surrogates_are_encoded(language: LanguageModel) -> None:
    assert language.decode(language.encode_text("a\0b\ud800c")) == "a\0b?c"


def test_the_scaffold_comes_from_the_chat_template(language: LanguageModel) -> None:
    pieces = language.scaffold(["system", "user"], reply=True)
    assert [language.tokenizer.decode(ids) for ids in pieces] == [
        "<|system|>",
        "<|end|><|user|>",
        "<|end|><|assistant|>",
    ]


def test_any_template_serves_that_keeps_the_messages() -> None:
    language = small_language()
    language.tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}\n{% endfor %}"
    )
    pieces = language.scaffold(["user", "assistant"], reply=False)
    assert [language.tokenizer.decode(ids) for ids in pieces] == [
        "[user] ",
        "\n[assistant] ",
        "\n",
    ]


def test_a_template_that_drops_messages_is_refused() -> None:
    language = small_language()
    language.tokenizer.chat_template = "{{ messages[-1].content }}"
    with pytest.raises(WeightsError, match="leaves messages out"):
        language.scaffold(["user", "assistant", "user"], reply=True)


# Rules that published templates have, each with the marks of its own family.
IN_TURN = (  # Gemma's and Mistral's first ones
    "{{ '<s>' }}{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must take turns') }}{% endif %}"
    "[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
SYSTEM_LAST = (  # Mistral's later ones: before the last thing that the user says
    "{% set ns = namespace(system='') %}"
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{% set ns.system = m.content %}"
    "{% elif loop.last %}[{{ m.role }}]{{ ns.system }} {{ m.content }}"
    "{% else %}[{{ m.role }}]{{ m.content }}{% endif %}{% endfor %}"
)
USERS_ONLY = (  # those that look for the roles they know, and pass over others
    "{% for m in messages %}{% if m.role in ('user', 'assistant') %}"
    "[{{ m.role }}]{{ m.content }}{% endif %}{% endfor %}"
)


@pytest.mark.parametrize("template", [IN_TURN, SYSTEM_LAST, USERS_ONLY])
def test_a_template_of_two_voices_gives_the_user_what_others_say(template: str) -> None:
    language = small_language()
    language.tokenizer.chat_template = template
    roles = ["system", "user", "assistant", "tool", "assistant", "user"]
    pieces = language.scaffold(roles, reply=False)
    text = [language.tokenizer.decode(ids).replace(" ", "") for ids in pieces]
    assert text[1:] == ["\n\n", "[assistant]", "[user]", "[assistant]", "[user]", ""]
    assert text[0].endswith("[user]")


def test_roles_that_no_rendering_suits_are_one_sentence() -> None:
    language = small_language()
    language.tokenizer.chat_template = "{{ raise_exception('nobody may speak') }}"
    with pytest.raises(WeightsError, match="refuses a conversation of user .nobody may speak."):
        language.scaffold(["user"], reply=True)


def test_the_template_of_the_checkpoint_wins(tmp_path: Path) -> None:
    own = small_language().tokenizer.chat_template
    language = small_language()
    again = LanguageModel(language.model, language.tokenizer, template="other")
    assert again.tokenizer.chat_template == own
    language.tokenizer.chat_template = None
    with pytest.raises(WeightsError, match="no chat template"):
        LanguageModel(language.model, language.tokenizer)
    language.tokenizer.save_pretrained(tmp_path)
    language.model.save_pretrained(tmp_path)
    given = LanguageModel.from_pretrained(tmp_path, template=USERS_ONLY)
    assert given.tokenizer.chat_template == USERS_ONLY
    given.save_pretrained(tmp_path)
    kept = LanguageModel.from_pretrained(tmp_path, template="other")
    assert kept.tokenizer.chat_template == USERS_ONLY


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_extended_run_saved_and_adapted(
    family: str, tied: bool, tmp_path: Path
) -> None:
    language = family_of(family, tied)
    ids = language.tokenizer.convert_tokens_to_ids(added_tokens())
    embedding = language.model.get_input_embeddings().weight
    head = language.model.get_output_embeddings().weight
    assert (embedding is head) == tied
    for weight in (embedding, head):
        old, new = weight[: ids[0]], weight[ids]
        assert (new - old.mean(0)).abs().max() < 0.6 * old.std()
    with torch.no_grad():
        embedding[ids] += 0.1 * torch.randn(len(ids), language.width)
        head[ids] += 0.1 * torch.randn(len(ids), language.width)
        own = language.model(input_ids=torch.tensor([ids])).logits
    torch.testing.assert_close(probe(language), own)
    language.save_pretrained(tmp_path, torch.float32)
    again = LanguageModel.from_pretrained(tmp_path)
    assert type(again.model) is type(language.model)
    assert torch.equal(probe(again), probe(language))
    again.add_lora(r=2)
    with torch.no_grad():
        for name, parameter in again.named_parameters():
            if "lora_B" in name:
                parameter += 0.1
    assert not torch.allclose(probe(again), probe(language), atol=1e-3)


def family_of(family: str, tied: bool) -> LanguageModel:
    """A tiny language model of one family of transformers; its logits reach Gemma 2's cap."""
    tokenizer = train_tokenizer(CORPUS * 10, 400)
    torch.manual_seed(0)
    wide = {"initializer_range": 2.0} if family == "Gemma2" else {}
    return LanguageModel(small_family(family, len(tokenizer), tied, **wide), tokenizer).eval()


def test_rows_without_a_token_are_never_said() -> None:
    language = small_language()
    known = len(language.tokenizer)
    language.model.resize_token_embeddings(known + 10, mean_resizing=False)
    assert len(language.plain_ids) == known + 10
    assert not language.plain_ids[known:].any()


def test_a_padded_vocabulary_takes_the_new_rows() -> None:
    tokenizer = train_tokenizer(CORPUS * 10, 400)
    model = tf.LlamaForCausalLM(small_config(len(tokenizer) + 100))
    language = LanguageModel(model, tokenizer)
    weight = model.get_input_embeddings().weight
    assert len(weight) == len(tokenizer) - len(added_tokens()) + 100
    new = weight[language.tokenizer.convert_tokens_to_ids(added_tokens())]
    assert (new - weight[:300].mean(0)).abs().max() < weight.std()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "model.safetensors"])
def test_a_missing_or_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    small_language().save_pretrained(tmp_path)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match="damaged"):
        LanguageModel.from_pretrained(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(WeightsError):
        LanguageModel.from_pretrained(tmp_path)


def test_a_damaged_tokenizer_and_wrong_sizes_are_weights_errors(tmp_path: Path) -> None:
    small_language().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(WeightsError, match="lacks"):
        LanguageModel.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))
    with pytest.raises(WeightsError):
        LanguageModel.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(WeightsError):
        LanguageModel.from_pretrained(tmp_path)


def test_a_trained_tokenizer_splits_digits_and_writes_anything() -> None:
    tokenizer = train_tokenizer(["room 1234 1234 1234 1234"] * 20, 300)
    ids = tokenizer("1234", add_special_tokens=False).input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == ["1", "2", "3", "4"]
    assert tokenizer.decode(tokenizer("قطة é 猫").input_ids) == "قطة é 猫"
