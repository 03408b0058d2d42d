"""Language models in int8 and 4 bits: loaded by a plan, and trained over (QLoRA), on the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from heliograph.model.core import AnyToAny
from heliograph.model.errors import InputError
from heliograph.model.generation import GenerationOptions
from heliograph.model.language import LanguageModel
from heliograph.model.needs import needs
from heliograph.model.plan import GB, Memory, Plan, Precision, plan
from heliograph.model.signals import End
from heliograph.model.testing import CORPUS, assistant, made, sample_of, small_family, user
from heliograph.model.tokenizer import train_tokenizer
from heliograph.model.training.alignment.run import opened, train
from heliograph.model.training.loop import trainable

from .conftest import World, world_of
from .test_processes import SCRIPT, TORCHRUN, run_by_two
from .test_runs import losses

pytest.importorskip("bitsandbytes")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The library computes in blocks of 32: matrices are of such sizes."""
    tokenizer = train_tokenizer(CORPUS * 10, 400)
    torch.manual_seed(0)
    model = small_family("Llama", len(tokenizer), False, hidden_size=64, head_dim=16)
    language = LanguageModel(model, tokenizer).eval()
    return world_of(language, tmp_path_factory.mktemp("quantised"))


def quantised(core: Path, precision: Precision) -> Plan:
    """Everything on the processor, the language model in so many bits."""
    whole = plan(needs(core), Memory(64 * GB), device="cpu")
    return replace(
        whole,
        placements=tuple(
            replace(p, precision=precision if p.role == "language" else "float32")
            for p in whole.placements
        ),
    )


def hidden(core: AnyToAny) -> Tensor:
    """Last hidden states of a short conversation, (T, W)."""
    batch = core.collate([sample_of((user("now"), assistant(made("image", "a red dog"))))])
    with torch.no_grad():
        return core.language.hidden(core.language.embed(batch.ids), batch.mask)[0]


@pytest.mark.parametrize(
    ("precision", "kind", "off"), [("int8", "Linear8bitLt", 0.03), ("4-bit", "Linear4bit", 0.3)]
)
def test_a_plan_quantises_the_layers_and_little_is_lost(
    precision: Precision, kind: str, off: float, world: World, tmp_path: Path
) -> None:
    core = AnyToAny.from_pretrained(world.core, plan=quantised(world.core, precision))
    layers = {n: m for n, m in core.language.model.named_modules() if "_proj" in n}
    assert {type(m).__name__ for m in layers.values()} == {kind}
    assert {m.weight.element_size() for m in layers.values()} == {1}
    assert type(core.language.model.get_output_embeddings()) is torch.nn.Linear
    whole = hidden(AnyToAny.from_pretrained(world.core))
    error = (hidden(core) - whole).norm() / whole.norm()
    assert 0 < float(error) < off
    events = list(core.generate([[user("what is this?")]], GenerationOptions(3)))
    assert isinstance(events[-1], End)
    with pytest.raises(InputError, match="quantised language model has lost"):
        core.save_pretrained(tmp_path)


def test_lora_trains_over_four_bits(world: World, tmp_path: Path) -> None:
    settings = world.settings("instruct", tmp_path / "run", qlora=True)
    with opened(settings, "cpu") as run:
        frozen = [m for m in run.core.language.modules() if type(m).__name__ == "Linear4bit"]
        assert len(frozen) == 2 * 7  # each matrix of each layer
        assert not any(p.requires_grad for m in frozen for p in [m.weight])
        small = run.steps(run.stream(0), torch.Generator().manual_seed(0))
        small["loss"].backward()
        gradients = {n: p.grad for n, p in trainable(run.modules).items()}
        assert all(x is not None and x.isfinite().all() for x in gradients.values())
        assert all(x.any() for n, x in gradients.items() if x is not None and "lora_B" in n)
    with opened(replace(settings, qlora=False), "cpu") as run:
        whole = run.steps(run.stream(0), torch.Generator().manual_seed(0))
    losses = [float(found["loss"].detach()) for found in (small, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=0.1) and losses[0] != losses[1]

    # What was in 4 bits while it trained is what it was in the core that comes out.
    _, out = train(settings, device="cpu", quiet=True)
    assert out is not None
    before, after = (load_file(d / "language" / "model.safetensors") for d in (world.core, out))
    layers = [name for name in before if ".layers." in name]
    assert layers and all(torch.equal(before[name], after[name]) for name in layers)
    lora = load_file(out / "language" / "adapter" / "adapter_model.safetensors")
    assert all(x.any() for x in lora.values())
    AnyToAny.from_pretrained(out)


def test_two_processes_with_four_bits_each_give_the_losses_of_one(
    world: World, tmp_path: Path
) -> None:
    paths = (world.core, world.data, world.prepared, tmp_path)
    run_by_two(SCRIPT, TORCHRUN, tmp_path, *map(str, paths), "instruct-quantised")
    one = world.settings("instruct", tmp_path / "one", at_once=2, qlora=True)
    train(one, device="cpu", quiet=True)
    both = losses(tmp_path / "instruct-quantised"), losses(tmp_path / "one")
    found, wanted = ([float(loss) for _, loss in read] for read in both)
    assert len(wanted) == 4 and found == pytest.approx(wanted, rel=1e-3)
