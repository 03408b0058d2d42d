"""Two processes, started by torchrun or accelerate, come to the losses and the weights of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from heliograph.model.training.alignment.run import train

from .conftest import World
from .test_runs import ROOT, losses

SCRIPT = """
import sys
from datetime import timedelta
from pathlib import Path
import torch
from heliograph.model.training.alignment.run import train
from heliograph.model.training.alignment.settings import Settings

# Where one makes another pass than the other, both wait.
torch.distributed.init_process_group("gloo", timeout=timedelta(minutes=4))
core, data, prepared, out = map(Path, sys.argv[1:5])
short = dict(steps=4, batch=6, at_once=2, learning_rate=1e-2, log_every=1, rank=4)
kinds = {"copied": {}, "divided": {"shard": True}, "quantised": {"qlora": True}}
for run in sys.argv[5:]:
    stage, kind = run.split("-")
    settings = Settings(stage, core, data, prepared, out / run, **short, **kinds[kind])
    train(settings, device="cpu", quiet=True)
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


SAVING = """
import sys
import weakref
from pathlib import Path
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from heliograph.model.training import checkpoints

torch.distributed.init_process_group("gloo")
leads = torch.distributed.get_rank() == 0
torch.manual_seed(0)
model = fully_shard(nn.Linear(6, 4), mesh=init_device_mesh("cpu", (2,)))
optimizer = torch.optim.AdamW(model.parameters())
model(torch.ones(3, 6)).sum().backward()
optimizer.step()
gathered, held, gather = [], [], DTensor.full_tensor

def counted(self, **how):
    held.append(sum(known() is not None for known in gathered))
    whole = gather(self, **how)
    gathered.append(weakref.ref(whole))
    return whole

DTensor.full_tensor = counted
parameters = dict(model.named_parameters())
average = {"bias": parameters["bias"].detach().clone()}
checkpoints.save(Path(sys.argv[1]), 1, parameters, average, optimizer, leads)
assert len(held) == 7, held  # two parameters, two moments of each, an average
assert leads or max(held) == 0, held
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


DIVIDING = """
import sys
from pathlib import Path
import torch
from torch.distributed import fsdp
from torch.distributed.tensor import DTensor
from heliograph.model.training.alignment.parts import load, shard
from heliograph.model.training.alignment.settings import Settings
from heliograph.model.training.alignment.steps import Forward
from heliograph.model.training.team import Team

torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
settings = Settings("instruct", *map(Path, sys.argv[1:]), rank=4, shard=True)
# Nothing can be computed on this device: to load there ends in an error.
core, rows = load(settings, Team(rank, 2, torch.device("meta")))
assert {p.device.type for p in core.parameters()} == {"cpu"}
forward = Forward(core, rows, settings, None)
divide, groups = fsdp.fully_shard, []

def counted(module, **how):
    groups.append({n for n, p in module.named_parameters() if not isinstance(p, DTensor)})
    return divide(module, **how)

def shares():
    return [p.numel() - p.to_local().numel() for p in forward.parameters()]  # the other's

fsdp.fully_shard = counted
model = core.language.model.model
layers = [{name for name, _ in layer.named_parameters()} for layer in model.layers]
within = {id(p) for p in model.layers.parameters()}
outside = {name for name, p in forward.named_parameters() if id(p) not in within}
shard(forward, core, Team(rank, 2))
assert groups == [*layers, outside], groups
count = sum(p.numel() for p in forward.parameters())
assert 0.4 * count < sum(shares()) < 0.6 * count
forward.check_packing()  # reads all of them, and leaves what isn't in a layer gathered
forward.reshard()
assert 0.4 * count < sum(shares()) < 0.6 * count
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ACCELERATE = ["accelerate.commands.launch", "--multi_gpu", "--num_machines", "1", "--num_processes"]
ACCELERATE += ["2", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]


def run_by_two(script: str, launcher: list[str], folder: Path, *arguments: str) -> None:
    (folder / "both.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".links"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *launcher, str(folder / "both.py"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.parametrize(
    ("launcher", "stages", "kinds"),
    [
        (TORCHRUN, ("encode", "decode", "instruct"), ("copied", "divided")),
        (ACCELERATE, ("instruct",), ("divided",)),
    ],
    ids=["torchrun", "accelerate"],
)
def test_two_processes_give_the_losses_of_one(
    world: World,
    tmp_path: Path,
    launcher: list[str],
    stages: tuple[str, ...],
    kinds: tuple[str, ...],
) -> None:
    paths = (world.core, world.data, world.prepared, tmp_path)
    runs = [f"{stage}-{kind}" for stage in stages for kind in kinds]
    run_by_two(SCRIPT, launcher, tmp_path, *map(str, paths), *runs)
    for stage in stages:
        one = tmp_path / f"{stage}-one"
        train(world.settings(stage, one), device="cpu", quiet=True)
        wanted = [float(loss) for _, loss in losses(one)]
        kept = load_file(one / "last.safetensors")
        for kind in kinds:
            out = tmp_path / f"{stage}-{kind}"
            found = [float(loss) for _, loss in losses(out)]
            assert found == pytest.approx(wanted, rel=1e-4), (stage, kind)
            state = load_file(out / "last.safetensors")
            assert set(state) == set(kept)
            # The gradient of a key's bias is nothing but rounding, which Adam makes large.
            for name in (n for n in kept if n.startswith("parameter/") and "in_proj_b" not in n):
                torch.testing.assert_close(state[name], kept[name], rtol=1e-2, atol=1e-3)
            assert (out / "core" / "README.md").is_file()
            # One process goes on with what two have begun.
            longer = world.settings(stage, out)
            assert train(longer, device="cpu", quiet=True)[0].step == 4


def test_what_is_divided_goes_to_its_devices_layer_by_layer(world: World, tmp_path: Path) -> None:
    """Loaded, it is on the processor; ``fully_shard`` moves what it is given, and divides it.

    With gloo the device is the processor too: what can be seen is what it is given at a time.
    """
    paths = (world.core, world.data, world.prepared, tmp_path / "run")
    run_by_two(DIVIDING, TORCHRUN, tmp_path, *map(str, paths))


def test_of_what_is_divided_only_the_process_that_leads_keeps_more_than_one_tensor(
    tmp_path: Path,
) -> None:
    run_by_two(SAVING, TORCHRUN, tmp_path, str(tmp_path / "last.safetensors"))
    kept = load_file(tmp_path / "last.safetensors")
    assert kept["parameter/weight"].shape == kept["exp_avg/weight"].shape == (4, 6)
    assert torch.equal(kept["ema/bias"], kept["parameter/bias"])
    assert float(kept["exp_avg_sq/bias"].min()) > 0 and int(kept["step"]) == 1
