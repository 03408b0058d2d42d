"""``heliograph compose`` and ``heliograph inspect``, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from heliograph.agent.cli import main
from heliograph.model.core import AnyToAny
from heliograph.model.plan import in_gb
from heliograph.model.primer import weights_dir
from heliograph.model.sources import READ

CommandLine = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return command


def test_a_core_of_given_parts(run: CommandLine, tmp_path: Path, tiny_core_dir: Path) -> None:
    out = tmp_path / "core"
    imagebind = tiny_core_dir / "encoders" / "imagebind"
    code, _, err = run(
        *("compose", "--out", str(out), "--language", str(tiny_core_dir / "language")),
        *("--encoder", f"image={imagebind}", "--encoder", f"audio={imagebind}"),
        *("--decoder", f"image={tiny_core_dir / 'decoders' / 'image'}"),
        *("--tokens", "5", "--projection", "resampler", "--seed", "3"),
    )
    assert (code, err) == (0, f"The core is in {out}; its projections are fresh.\n")
    core = AnyToAny.from_pretrained(out)
    assert (core.sees, core.makes) == (("image", "audio"), ("image",))
    assert core.media_length("image", 4) == 5
    code, told, _ = run("inspect", str(out), "--json")
    found = json.loads(told)
    assert code == 0 and found["directory"] == str(out)
    states = {part["part"]: part["state"] for part in found["parts"]}
    assert states["inputs.image"] == states["outputs.image"] == "fresh"
    assert found["parameters"] == sum(part["parameters"] for part in found["parts"])
    code, table, _ = run("inspect", str(out))
    assert code == 0 and "Reads image, audio; makes image" in table
    (out / "config.json").write_text(
        (out / "config.json").read_text().replace(str(imagebind), "/nowhere")
    )
    assert run("inspect", str(out))[0] == 1


def test_a_dry_run_tells_the_sizes_and_writes_nothing(
    run: CommandLine, tmp_path: Path, tiny_core_dir: Path
) -> None:
    language = tiny_core_dir / "language"
    arguments = ("compose", "--language", str(language), "--out", str(tmp_path / "core"))
    code, out, _ = run(*arguments, "--dry-run")
    assert code == 0 and not (tmp_path / "core").exists()
    read = [p for p in language.iterdir() if p.suffix in READ]
    size = sum(p.stat().st_size for p in read)
    assert f"0 MB of {in_gb(size)} are to be downloaded." in out
    code, _, err = run("compose", "--language", "a/b", "--out", "core", "--dry-run")
    assert code == 4 and "set HF_HUB_OFFLINE=0" in err
    (tmp_path / "empty").mkdir()
    for place, code, sentence in (
        (tmp_path / "empty", 4, "empty has no weights: there is no safetensors file."),
        (language / "config.json", 2, "config.json is a file; a language is a folder"),
    ):
        found, _, err = run("compose", "--language", str(place), "--out", "core", "--dry-run")
        assert found == code and sentence in err


@pytest.mark.skipif(not weights_dir().is_dir(), reason="no weights are bundled")
def test_the_primers_preset_with_a_part_replaced(
    run: CommandLine, tmp_path: Path, tiny_core_dir: Path
) -> None:
    language = str(tiny_core_dir / "language")
    options = ("--preset", "primer", "--language", language, "--out", str(tmp_path / "core"))
    assert run("compose", *options)[0] == 0
    core = AnyToAny.from_pretrained(tmp_path / "core")
    assert core.sees == core.makes == ("image", "audio", "video")
    sources = core.shelf.origins.sources
    assert sources["language"].path == language
    ours = {"encoders/imagebind", *(f"decoders/{m}" for m in core.makes)}
    known = {part: source.licence for part, source in sources.items()}
    assert known == {"language": None, **dict.fromkeys(ours, "apache-2.0")}


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ([], 2, "Give --language, or a --preset"),
        (["--preset", "huge"], 2, "There is no preset 'huge'; there are primer, nextgpt-7b"),
        (["--language", "/nowhere"], 2, "There is no file or folder /nowhere"),
        (["--language", "owner/name"], 4, "set HF_HUB_OFFLINE=0 to download it"),
        (["--language", "x", "--encoder", "smell=y"], 2, "is not understood: it is MODALITY="),
        (["--language", "x", "--decoder", "image="], 2, "is not understood"),
        (["--language", "x", "--encoder", "image=a", "--encoder", "image=b"], 2, "given twice"),
        (["--language", "x", "--projection", "cubic"], 2, "none of resampler, mlp, linear"),
        (["--language", "x", "--template", "/nowhere.jinja"], 2, "can't be read"),
    ],
)
def test_a_wrong_use_is_one_sentence(
    run: CommandLine, tmp_path: Path, arguments: list[str], code: int, sentence: str
) -> None:
    ended, out, err = run("compose", "--out", str(tmp_path / "core"), *arguments)
    assert (ended, out) == (code, "")
    assert err.startswith("heliograph: ") and err.count("\n") == 1 and sentence in err
    assert list(tmp_path.iterdir()) == []


def test_pushing_offline_is_one_sentence(run: CommandLine, tiny_core_dir: Path) -> None:
    code, out, err = run("push", str(tiny_core_dir), "me/mine")
    assert (code, out) == (4, "") and "me/mine can't be written while offline" in err
    assert not (tiny_core_dir / "README.md").exists()
