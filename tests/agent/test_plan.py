"""``heliograph plan`` as it is typed, and plans that settings ask for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from heliograph.agent import loading
from heliograph.agent.cli import main
from heliograph.agent.loading import load_core, plan_here
from heliograph.agent.settings import Settings
from heliograph.model import machine
from heliograph.model.decoders.captions import caption_encoder
from heliograph.model.errors import TooLittleMemory
from heliograph.model.needs import needs
from heliograph.model.plan import GB, Memory, plan


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["plan", *arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_the_plan_as_a_table_and_as_json(
    tiny_core_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    roomy = ("--gpu-memory", "8", "--memory", "16")
    code, out, err = run(capsys, str(tiny_core_dir), *roomy)
    assert (code, err) == (0, "")
    for part in ("language", "projections", "encoders/imagebind", "decoders/video"):
        (line,) = (line for line in out.splitlines() if line.startswith(f"│ {part} "))
        assert "cuda" in line and "bfloat16" in line
    assert "of 8.0 GB of the GPU" in out and "Concessions: none. Context: 512 tokens." in out
    code, out, _ = run(capsys, str(tiny_core_dir), *roomy, "--context", "64", "--json")
    told = json.loads(out)
    assert (code, told["context"], told["concessions"]) == (0, 64, [])
    assert told["memory"] == {"cpu": 16 * GB, "gpus": [8 * GB]}
    assert told["gpu_peaks"][0] > sum(place["weights"] for place in told["placements"])


def test_several_gpus_are_told_one_by_one(
    tiny_core_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(
        capsys, str(tiny_core_dir), "--gpu-memory", "2", "--gpu-memory", "2", "--memory", "16"
    )
    assert code == 0
    told = " ".join(out.split())
    assert "of 2.0 GB of cuda:0, while" in told and "of 2.0 GB of cuda:1, while" in told


def test_without_a_gpu_the_processor_is_planned_for(
    tiny_core_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, str(tiny_core_dir), "--gpu-memory", "0", "--memory", "2")
    assert code == 0 and "cuda" not in out and "GPU" not in out and "float32" in out


def test_too_little_memory_is_one_sentence(
    tiny_core_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, str(tiny_core_dir), "--gpu-memory", "0", "--memory", "0.5")
    assert (code, out) == (10, "")
    assert err.startswith("heliograph: This core takes 1.0 GB of memory where 0.5 GB can be had")
    assert err.count("\n") == 1


@pytest.mark.parametrize("option", ["--gpu-memory", "--memory"])
def test_a_size_that_is_not_finite_is_refused(
    option: str, tiny_core_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, str(tiny_core_dir), option, "inf")
    assert code == 2 and "1000000" in err and "Something went wrong" not in err


@pytest.mark.parametrize("command", [["ask", "hello"], ["eval", "--out", "out"]])
@pytest.mark.parametrize("device", ["warp", "cuda:99", "meta"])
def test_a_device_that_is_not_here_is_one_sentence(
    command: list[str],
    device: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HELIOGRAPH_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([*command, "--device", device])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and f"There is no device '{device}'" in error
    assert error.count("\n") == 1


def test_auto_loads_by_the_plan_of_this_machine(
    tiny_core_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.of(weights=tiny_core_dir, home=tmp_path, device="auto")
    monkeypatch.setattr(machine, "memory_here", lambda limit: Memory(2 * GB))
    core = load_core(settings)
    assert core.shelf.plan == plan_here(settings)  # type: ignore[attr-defined]
    monkeypatch.setattr(machine, "memory_here", lambda limit: Memory(GB // 2))
    with pytest.raises(TooLittleMemory):
        load_core(settings)


def test_without_auto_too_little_memory_is_found_before_loading(
    tiny_core_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.of(weights=tiny_core_dir, home=tmp_path)
    monkeypatch.setattr(machine, "cpu_memory", lambda: GB // 2)
    load_core(settings)  # small weights aren't looked into
    monkeypatch.setattr(loading, "LARGE", 1)
    with pytest.raises(TooLittleMemory, match=r"1\.0 GB of memory.* in float32; `--device auto`"):
        load_core(settings)
    peak = plan(needs(tiny_core_dir), Memory(2 * GB)).cpu_peak
    monkeypatch.setattr(machine, "cpu_memory", lambda: peak - 1)
    with pytest.raises(TooLittleMemory):
        load_core(settings)
    load_core(settings.model_copy(update={"dtype": "bfloat16"}))
    monkeypatch.setattr(machine, "cpu_memory", lambda: peak)
    load_core(settings)


def test_a_gpu_that_is_named_is_checked_before_loading(
    tiny_core_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No GPU is here: what it is asked about itself is told for it."""
    needed = needs(tiny_core_dir)
    roomy = plan(needed, Memory(16 * GB, (8 * GB,)), half="float16")
    free = {"cuda:1": 0, "cpu": roomy.cpu_peak}
    monkeypatch.setattr(loading, "LARGE", 1)
    monkeypatch.setattr(machine, "device_here", torch.device)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[str(device)], 8 * GB))
    monkeypatch.setattr(machine, "cpu_memory", lambda: free["cpu"])
    values = {"weights": tiny_core_dir, "home": tmp_path, "device": "cuda:1"}
    settings = Settings.of(**values, dtype="float16")
    peak = roomy.gpu_peaks[0]
    free["cuda:1"] = peak * 10 // 9 + 2  # a tenth of a GPU is left
    loading.check_memory(settings)
    with pytest.raises(TooLittleMemory, match=r"of GPU memory where .* in float32; `"):
        load_core(Settings.of(**values))
    free["cuda:1"] = peak * 10 // 9 - 2
    with pytest.raises(TooLittleMemory, match=r"of GPU memory where .* in float16; `"):
        load_core(settings)
    free |= {"cuda:1": 8 * GB, "cpu": roomy.cpu_peak - 1}  # parts are on their way there
    with pytest.raises(TooLittleMemory, match=r"takes 1\.0 GB of memory where"):
        load_core(settings)


def test_preparing_data_finds_too_little_memory_before_loading(
    tiny_core_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cpu_memory", lambda: 1000)
    with pytest.raises(TooLittleMemory, match=r"text encoder of the decoder in .*image takes"):
        caption_encoder(tiny_core_dir / "decoders" / "image")


def test_a_container_has_what_its_limit_leaves_and_what_it_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    for name, said in {
        "memory.max": "9000000\n",
        "memory.current": "8000000\n",
        "memory.stat": "anon 5000000\nactive_file 1000000\ninactive_file 2000000\n",
    }.items():
        (tmp_path / name).write_text(said)
    assert machine.cpu_memory() == 4_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.cpu_memory() > 4_000_000


def test_this_machines_memory_is_what_is_free() -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    total = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal"))
    assert 0 < machine.cpu_memory() <= total
