"""Cores and parts from a hub: its cache is laid out by hand, as huggingface_hub keeps it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import DryRunFileInfo, constants
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from huggingface_hub.utils import filter_repo_objects

from heliograph.model import sources
from heliograph.model.checkpoint import read_json, write_json
from heliograph.model.compose import Parts, compose, sizes
from heliograph.model.core import AnyToAny
from heliograph.model.data.preparing import prepare
from heliograph.model.data.sets import DataSet
from heliograph.model.decoders import DiffusionDecoder
from heliograph.model.errors import InputError, WeightsError
from heliograph.model.hub import push_to_hub
from heliograph.model.inspect import inspect
from heliograph.model.sources import Size
from heliograph.model.training.alignment.run import train
from heliograph.model.training.alignment.settings import Settings

FIRST, SECOND = "1" * 40, "2" * 40
IDS = {
    "llama": "someone/llama",
    "clip": "someone/clip",
    "clap": "other/clap",
    "pictures": "other/pictures",
}


class Cache:
    """A cache of huggingface_hub."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, repository: str, folder: Path, commit: str = FIRST) -> Path:
        """Put a snapshot of a repository there, and let its main branch be it."""
        home = self.root / f"models--{repository.replace('/', '--')}"
        snapshot = home / "snapshots" / commit
        blobs = home / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            blob = blobs / f"{commit[:4]}-{len(list(blobs.iterdir()))}"
            shutil.copyfile(path, blob)
            link = snapshot / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(blob)
        (home / "refs").mkdir(exist_ok=True)
        (home / "refs" / "main").write_text(commit)
        return snapshot


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return Cache(tmp_path / "hub")


@pytest.fixture
def of_ids(cache: Cache, folders: Path, parts: Parts) -> Parts:
    """Parts that are ids of snapshots in the cache."""
    for name, repository in IDS.items():
        cache.add(repository, folders / name)
    encoders = {"image": IDS["clip"], "video": IDS["clip"], "audio": IDS["clap"]}
    decoders = {"image": IDS["pictures"]}
    return replace(parts, language=IDS["llama"], encoders=encoders, decoders=decoders)  # type: ignore[arg-type]


def test_ids_are_pinned_to_their_commits(
    of_ids: Parts, cache: Cache, folders: Path, tmp_path: Path
) -> None:
    compose(of_ids, tmp_path / "core")
    sources = read_json(tmp_path / "core" / "config.json")["sources"]
    assert sources == {
        "language": {"id": IDS["llama"], "revision": FIRST, "licence": "apache-2.0"},
        "encoders/clip": {"id": IDS["clip"], "revision": FIRST},
        "encoders/clap": {"id": IDS["clap"], "revision": FIRST},
        "decoders/image": {"id": IDS["pictures"], "revision": FIRST},
    }
    # What is on the main branch later is another thing.
    cache.add(IDS["llama"], folders / "tied", SECOND)
    core = AnyToAny.from_pretrained(tmp_path / "core")
    assert not core.language.model.config.tie_word_embeddings
    assert core.encoder("video").tokens("video") == 64
    assert core.decoder("image").modality == "image"
    named = {part.part: part for part in inspect(tmp_path / "core").parts}
    assert named["encoders/clip"].source == "someone/clip@11111111"


def test_a_revision_can_be_named(
    of_ids: Parts, cache: Cache, folders: Path, tmp_path: Path
) -> None:
    cache.add(IDS["llama"], folders / "tied", SECOND)
    compose(replace(of_ids, language=f"{IDS['llama']}@{FIRST}"), tmp_path / "old")
    compose(of_ids, tmp_path / "new")
    revisions = [
        read_json(tmp_path / name / "config.json")["sources"]["language"]["revision"]
        for name in ("old", "new")
    ]
    assert revisions == [FIRST, SECOND]


def test_what_is_not_in_the_cache_cannot_be_had_offline(
    of_ids: Parts, cache: Cache, tmp_path: Path
) -> None:
    for name in ("no/such-model", f"{IDS['llama']}@{SECOND}"):
        with pytest.raises(WeightsError, match="in the cache of huggingface_hub: set HF_HUB_OFF"):
            compose(replace(of_ids, language=name), tmp_path / "core")
    compose(of_ids, tmp_path / "core")
    shutil.rmtree(cache.root / "models--someone--clip")
    core = AnyToAny.from_pretrained(tmp_path / "core")
    with pytest.raises(WeightsError, match=f"no folder someone/clip@{FIRST}"):
        core.encoder("image")
    states = {part.part: part.state for part in inspect(tmp_path / "core").parts}
    assert states["encoders/clip"] == "missing" and states["encoders/clap"] == "frozen"


def test_a_repository_of_pickles_is_refused(
    of_ids: Parts, cache: Cache, folders: Path, tmp_path: Path
) -> None:
    shutil.copytree(folders / "llama", tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    cache.add("someone/pickled", tmp_path / "pickled")
    with pytest.raises(WeightsError, match="someone/pickled has no weights in safetensors"):
        compose(replace(of_ids, language="someone/pickled"), tmp_path / "core")


def test_a_path_wins_over_an_id(
    of_ids: Parts, folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folders / "tied", tmp_path / "someone" / "llama")
    monkeypatch.chdir(tmp_path)
    compose(of_ids, tmp_path / "core")
    source = read_json(tmp_path / "core" / "config.json")["sources"]["language"]
    assert source["path"] == str(tmp_path / "someone" / "llama")


@pytest.mark.parametrize("named", ["someone/core", f"someone/core@{FIRST}"])
def test_a_core_loads_from_its_id(
    named: str, composing: Callable[..., Path], cache: Cache, folders: Path
) -> None:
    from heliograph.agent.settings import Settings

    snapshot = cache.add("someone/core", composing(copy=True))
    core = AnyToAny.from_pretrained(named)
    assert core.makes == ("image", "audio") and core.decoder("audio").modality == "audio"
    assert Settings.of(weights=named).weights_dir() == snapshot
    assert inspect(named).directory == snapshot
    AnyToAny.from_pretrained("someone/core", revision=FIRST)
    with pytest.raises(WeightsError, match="set HF_HUB_OFFLINE=0"):
        AnyToAny.from_pretrained("someone/core", revision=SECOND)


def test_only_what_cannot_run_is_asked_for(
    folders: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each kind's patterns, by huggingface_hub's own filter, on a list as repositories have."""
    asked: dict[str, Any] = {}

    def download(repository: str, **options: Any) -> str:
        asked.update(options)
        return str(folders / "llama")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    weights = "model.safetensors"
    listed = {
        "language": ("config.json", weights, "tokenizer.model", "README.md", "LICENSE.txt"),
        "encoder": ("config.json", weights, "preprocessor_config.json", "README.md"),
        "decoder": ("model_index.json", f"unet/{weights}", "tokenizer/merges.txt", "README.md"),
        "core": ("config.json", f"decoders/image/unet/{weights}", "language/chat_template.jinja"),
    }
    never = ["modeling_own.py", "pytorch_model.bin", "unet/model.bin", "a.ckpt", ".gitattributes"]
    extra = {
        "language": ["original/model.safetensors", "consolidated.safetensors"],
        "decoder": ["v1-5-pruned.safetensors", "unet/model.fp16.safetensors"],
    }
    for kind, files in listed.items():
        sources.from_hub("someone/llama", None, kind)  # type: ignore[arg-type]
        options = {name: asked[f"{name}_patterns"] for name in ("allow", "ignore")}
        kept = filter_repo_objects(
            [*files, *never, *extra.get(kind, [])],
            allow_patterns=options["allow"],
            ignore_patterns=options["ignore"],
        )
        assert set(kept) == set(files), kind


def test_what_is_to_be_downloaded_is_told_before_it_is(
    of_ids: Parts, cache: Cache, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_disk(folder: Path) -> int:
        read = (p for p in folder.rglob("*") if p.suffix in sources.READ)
        return sum(p.stat().st_size for p in read)

    # Offline it is what the cache and this machine's folders hold.
    parts = replace(of_ids, decoders={"image": str(folders / "pictures")})
    places = {name: Size(on_disk(folders / name), 0) for name in ("llama", "clip", "clap")}
    expected = {IDS[name]: size for name, size in places.items()}
    pictures = Size(on_disk(folders / "pictures"), 0)
    assert sizes(parts) == {**expected, str(folders / "pictures"): pictures}
    with pytest.raises(WeightsError, match="in the cache of huggingface_hub: set HF_HUB_OFF"):
        sizes(replace(parts, language="no/such-model"))

    # The hub is asked for the files of a part, by the patterns with which they are downloaded.
    asked: dict[str, Any] = {}
    weights = "model.safetensors"

    def known(repository: str, **options: Any) -> list[DryRunFileInfo]:
        assert options["dry_run"]
        asked[repository] = options["allow_patterns"]
        of = {"llama": [("config.json", 3, False), (weights, 500, True)]}
        files = of.get(repository.rpartition("/")[2], [("pytorch_model.bin", 7, True)])
        return [DryRunFileInfo(FIRST, n, name, "", not new, new) for name, n, new in files]

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", known)
    alone = Parts(IDS["llama"], decoders={"image": str(folders / "pictures")})
    assert sizes(alone) == {IDS["llama"]: Size(503, 500), str(folders / "pictures"): pictures}
    assert asked == {IDS["llama"]: sources._ALLOW["language"]}
    with pytest.raises(WeightsError, match="someone/clip has no weights in safetensors"):
        sizes(parts)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(GatedRepoError, "accepted its terms"), (RepositoryNotFoundError, "The hub has no a/b")],
)
def test_what_the_hub_refuses_is_one_sentence(
    error: type[Exception], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error("401", response=SimpleNamespace(headers={}, request=None))  # type: ignore[call-arg]

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(WeightsError, match=sentence):
        sources.from_hub("a/b", None, "language")


# --- pushing


class Api:
    """Takes what ``HfApi`` is given; the hub itself can't be reached in tests."""

    calls: list[tuple[str, dict[str, Any]]]
    files: dict[str, bytes]
    """Those that were uploaded last."""
    trouble: Exception | None = None

    def __init__(self, **_: object) -> None:
        pass

    def create_repo(self, repository: str, **options: Any) -> None:
        if self.trouble:
            raise self.trouble
        self.calls.append((repository, options))

    def upload_folder(self, **options: Any) -> Any:
        self.calls.append(("upload", options))
        folder = options["folder_path"]
        found = [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()]
        kept = filter_repo_objects(found, allow_patterns=options["allow_patterns"])
        Api.files = {name: (folder / name).read_bytes() for name in kept}
        return SimpleNamespace(commit_url="https://hub/commit/1")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> type[Api]:
    """As if online: the hub's pages are ``Api``, and its files those of the cache."""
    cached = partial(huggingface_hub.snapshot_download, local_files_only=True)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", cached)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    Api.calls, Api.trouble = [], None
    return Api


def test_a_core_is_pushed_with_its_card(of_ids: Parts, api: type[Api], tmp_path: Path) -> None:
    directory = tmp_path / "core"
    compose(of_ids, directory)
    assert push_to_hub(directory, "me/mine") == "https://hub/commit/1"
    (repository, made), (_, uploaded) = api.calls
    assert (repository, made["private"], made["exist_ok"]) == ("me/mine", True, True)
    assert uploaded["repo_id"] == "me/mine"
    assert all((directory / name).read_bytes() == data for name, data in Api.files.items())
    card = huggingface_hub.ModelCard.load(directory / "README.md")  # as the hub reads it
    assert card.data.base_model == ["someone/llama", "someone/clip", "other/clap", "other/pictures"]
    assert (card.data.license, card.data.pipeline_tag) == ("other", "any-to-any")
    assert "| language | LlamaForCausalLM |" in card.text and "apache-2.0" in card.text
    assert "Not trained yet: inputs.image" in card.text
    (directory / "README.md").write_text("My own.")
    push_to_hub(directory, "me/mine", private=False)
    assert (directory / "README.md").read_text() == "My own."


def test_only_the_core_is_uploaded(of_ids: Parts, api: type[Api], tmp_path: Path) -> None:
    core = tmp_path / "core"
    compose(of_ids, core, copy=True)
    own = {str(p.relative_to(core)) for p in core.rglob("*.*")}
    for name in ("checkpoint.pt", "log.csv"):
        (core / name).write_text("mine")
    push_to_hub(core, "me/mine")
    assert set(api.files) == {*own, "README.md"} and "decoders/image/unet/config.json" in own


def test_what_is_pushed_names_no_folder_of_this_machine(
    parts: Parts, api: type[Api], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of a trained core, composed of parts that their libraries read and saved again."""
    talk = [{"from": "human", "value": "draw"}, {"from": "gpt", "value": "so: <image>"}]
    rows = tmp_path / "secret" / "rows.json"
    rows.parent.mkdir()
    rows.write_text(json.dumps([{"conversations": talk, "image_captions": "a cat"}] * 2))
    pictures = tmp_path / "pictures"
    DiffusionDecoder.from_pretrained(Path(parts.decoders["image"])).pipeline.save_pretrained(
        pictures
    )
    assert str(tmp_path_factory.getbasetemp()) in (pictures / "unet" / "config.json").read_text()
    composed = tmp_path / "composed"
    compose(replace(parts, decoders={"image": str(pictures)}), composed, copy=True)
    prepare(composed, tmp_path / "prepared", [DataSet.of(rows)])
    settings = Settings(
        "instruct", composed, rows, tmp_path / "prepared", tmp_path / "run", steps=1, rank=2
    )
    _, core = train(settings, device="cpu", quiet=True)
    assert core is not None
    config = read_json(core / "config.json")
    assert config["sources"]["encoders/clip"]["path"] == "clip"
    # Cores of earlier versions name the folder from which a part was copied, and still load.
    config["sources"]["encoders/clip"]["path"] = parts.encoders["image"]
    write_json(core / "config.json", config)
    assert AnyToAny.from_pretrained(core).makes == ("image",)
    push_to_hub(core, "me/mine")
    here = str(tmp_path_factory.getbasetemp()).encode()
    assert not [name for name, data in api.files.items() if here in data]
    assert b"| rows.json | 100.0% |" in api.files["README.md"] and "curve.svg" in api.files
    pushed = json.loads(api.files["config.json"])
    assert pushed["sources"]["encoders/clip"] == {
        **config["sources"]["encoders/clip"],
        "path": "clip",
    }
    (core / "README.md").unlink()  # the card that pushing writes tells where parts come from
    push_to_hub(core, "me/mine")
    assert not [name for name, data in api.files.items() if here in data]
    del pushed["sources"]["encoders/clip"]["path"]
    write_json(core / "config.json", pushed)
    assert AnyToAny.from_pretrained(core).encoder("image").modalities
    assert {part.part: part.source for part in inspect(core).parts}["encoders/clip"] == "a folder"


def test_what_the_hub_refuses_to_take_is_one_sentence(
    of_ids: Parts, api: type[Api], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose(of_ids, tmp_path / "core")
    api.trouble = OSError("403 Forbidden:\nno write token")
    with pytest.raises(WeightsError, match="me/mine can't be written: 403 Forbidden: no write"):
        push_to_hub(tmp_path / "core", "me/mine")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="can't be written while offline"):
        push_to_hub(tmp_path / "core", "me/mine")
    assert not api.calls


def test_a_core_that_refers_to_this_machine_is_not_pushed(composed: Path, api: type[Api]) -> None:
    with pytest.raises(InputError, match="refers to language in /.*, which others don't have"):
        push_to_hub(composed, "me/mine")
    with pytest.raises(InputError, match="is no id"):
        push_to_hub(composed, "mine")
    assert not api.calls and not (composed / "README.md").exists()
