"""``heliograph train stage`` in this process, on a small core."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from heliograph.agent.cli import main
from heliograph.model.data.preparing import prepare
from heliograph.model.data.sets import DataSet

CommandLine = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    tiny_core_dir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> CommandLine:
    """Runs a stage with two rows of requests, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "image_captions": f"a cat {i}",
            "conversations": [
                {"from": "human", "value": "draw"},
                {"from": "gpt", "value": "so: <image>"},
            ],
        }
        for i in range(2)
    ]
    Path("rows.json").write_text(json.dumps(rows))
    prepare(tiny_core_dir, Path("prepared"), [DataSet.of("rows.json")])

    def command(stage: str, *more: str) -> tuple[int, str, str]:
        capsys.readouterr()
        places = ["--core", str(tiny_core_dir), "--data", "rows.json", "--prepared", "prepared"]
        fixed = ["--out", "run", "--batch", "2", "--steps", "2", "--device", "cpu"]
        with pytest.raises(SystemExit) as ended:
            main(["train", "stage", stage, *places, *fixed, *more])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return command


def test_a_stage_leaves_a_core_with_a_card(run: CommandLine) -> None:
    code, _, err = run("decode", "--licence", "language=MIT")
    assert code == 0 and "decode: step 2, loss " in err and "the core is in run/core." in err
    card = Path("run/core/README.md").read_text()
    assert "| language | MIT |" in card and "| batch | 2 |" in card and "rows.json | 100.0%" in card
    assert "polyline" in Path("run/core/curve.svg").read_text()


def test_a_dry_run_measures_and_changes_nothing(run: CommandLine) -> None:
    code, out, _ = run("instruct", "--dry-run", "--price", "2")
    assert code == 0 and not Path("run").exists()
    words = " ".join(out.split())
    assert "A step of 2 samples" in words and "2 steps take 0 min" in words
    assert "At 2 an hour that costs 0.0" in words
    lines = {
        line.split("│")[1].strip(): line.split("│") for line in out.splitlines() if "│" in line
    }
    frozen = {name: int(cells[2].replace(",", "")) for name, cells in lines.items()}
    trained = {name: int(cells[3].replace(",", "")) for name, cells in lines.items()}
    for column in (frozen, trained):
        assert column["all"] == sum(n for name, n in column.items() if name != "all")
    assert trained["language model"] == frozen["LoRA"] == 0 < trained["LoRA"]
    assert frozen["all"] == frozen["language model"] > 0


def test_what_can_not_be_used_is_one_sentence(run: CommandLine) -> None:
    code, _, err = run("encode")
    assert code == 8
    assert err == (
        "heliograph: rows.json has no row that the stage encode can use: they show no medium.\n"
    )
    assert run("paint")[0] == 2
    assert run("decode", "--licence", "MIT")[0] == 2
    code, _, err = run("decode", "--licence", "langauge=MIT")
    assert code == 2 and not Path("run").exists()
    assert err.startswith(
        "heliograph: --licence names langauge, which is no part of this core: there are language, "
    )
