"""Where the parts of a core come from, pinned: an id of the Hugging Face Hub and its commit, or
a path and the hash of what lies there.

A part that isn't copied into a core's directory is read from its source each time, and only if
the source is still what it was. Of a repository only JSON, safetensors, tokenizers and texts are
downloaded: nothing that could run code. ``HF_HUB_OFFLINE`` is honoured by huggingface_hub itself,
which then looks only into its cache.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from heliograph.model.checkpoint import read_json
from heliograph.model.errors import InputError, WeightsError, in_one_line
from heliograph.model.primer import WEIGHTS

if TYPE_CHECKING:
    from huggingface_hub import DryRunFileInfo

Kind: TypeAlias = Literal["language", "encoder", "decoder", "core"]

_ID = re.compile(r"(?!\.)[\w.-]+/(?!\.)[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
READ = (".json", ".safetensors", ".txt", ".model", ".jinja")
"""Suffixes of the files that loading a part may read; a hash is of these."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
IMAGEBIND = "cc-by-nc-sa-4.0"
"""Licence of ``imagebind_huge.pth``, the only part that is a file: model_card.md of its repository
(facebookresearch/ImageBind), which doesn't lie beside the file."""
BUNDLED = "apache-2.0"
"""Licence of the bundled weights, which is that of the repository."""
_FLAT = [f"*{suffix}" for suffix in READ]
_TEXTS = ["README.md", "LICENSE*"]
_ALLOW: Mapping[Kind, list[str]] = {
    "language": [*_FLAT, *_TEXTS],
    "encoder": [*_FLAT, *_TEXTS],
    # A pipeline's root may also have all its weights once more in a single file.
    "decoder": ["*.json", *(f"*/*{suffix}" for suffix in READ), *_TEXTS],
    "core": [*_FLAT, *_TEXTS],
}
_IGNORE: Mapping[Kind, list[str]] = {
    # The same weights again, in other layouts or precisions.
    "language": ["original/*", "consolidated*", "onnx/*"],
    "encoder": ["original/*", "onnx/*", "*.fp32*"],
    "decoder": ["*.fp16.*", "*.bf16.*", "*.non_ema.*", "onnx/*", "*/openvino*"],
    "core": [],
}


@dataclass(frozen=True)
class Source:
    """Where a part comes from."""

    id: str | None = None
    """Of a repository on the hub."""
    revision: str | None = None
    """Its commit."""
    path: str | None = None
    """Of a folder or a file, from the root; of a copied one only the last part."""
    sha256: str | None = None
    """Hash of what lies there: see ``content_hash``."""
    licence: str | None = None
    """As its model card has it; where there is none, as a published part's is known."""
    copied: bool = False
    """Whether the part lies in the core's own directory; else it is read from here."""

    def __str__(self) -> str:
        """For people."""
        return f"{self.id}@{(self.revision or '')[:8]}" if self.id else self.path or "a folder"

    def folder(self, kind: Kind, hashed: bool = True) -> Path:
        """Where the part lies now, once it is known to be what it was.

        Args:
            kind: what it is.
            hashed: whether its content is checked, which takes a second for a gigabyte.

        Raises:
            WeightsError: it is missing, or its content has changed.
        """
        if self.id is not None:
            return from_hub(self.id, self.revision, kind)[0]
        path = Path(str(self.path))
        if not path.exists():
            raise WeightsError(f"The {kind} that this core refers to is missing: {path}.")
        if not hashed:
            return path
        found = content_hash(path)
        if found != self.sha256:
            raise WeightsError(
                f"The {kind} in {path} has changed since the core was composed (its hash is "
                f"{found[:12]}… and not {str(self.sha256)[:12]}…): bring the old files back, or "
                "compose anew."
            )
        return path

    def as_copied(self) -> Source:
        """The same source of a part that lies in the core's directory.

        Where it lay before is nobody's business who is given the core: its name is enough.
        """
        return replace(self, copied=True, path=self.path and Path(self.path).name)

    def to_dict(self) -> dict[str, Any]:
        """For ``config.json``, without what isn't known."""
        return {name: value for name, value in asdict(self).items() if value}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Source:
        """What ``to_dict`` gave.

        Raises:
            TypeError: an entry is unknown.
            ValueError: the source isn't pinned.
        """
        source = Source(**values)
        pinned = source.id and _COMMIT.fullmatch(source.revision or "")
        if not pinned and not (source.sha256 and (source.path or source.copied)):
            raise ValueError(f"the source {source} is not pinned")
        return source.as_copied() if source.copied else source


@dataclass(frozen=True)
class Size:
    """Bytes of a part's files."""

    whole: int
    """All that are read of it."""
    missing: int
    """Of these, what is to be downloaded."""


def find(name: str, kind: Kind) -> tuple[Source, Path]:
    """Pin a source by its name: a path that exists, or ``owner/name`` or ``owner/name@revision``.

    Raises:
        InputError: there is no such path, and it is no id either; or it is a file, which only an
            encoder can be.
        WeightsError: it is an id, and can't be had.
    """
    path = _path(name)
    if path.exists():
        path = path.resolve()
        _check_kind(path, kind)
        return pinned(path, known=_known(path)), path
    repository, revision = _split(name)
    folder, commit = from_hub(repository, revision, kind)
    return Source(id=repository, revision=commit, licence=licence(folder)), folder


def pinned(path: Path, suffixes: Collection[str] = READ, known: str | None = None) -> Source:
    """A path as it is now.

    Args:
        path: of a file or a folder.
        suffixes: of the files in a folder that count.
        known: its licence, where no model card says it.

    Raises:
        WeightsError: a file can't be read, or there is none.
    """
    path = path.resolve()
    told = licence(path if path.is_dir() else path.parent)
    return Source(path=str(path), sha256=content_hash(path, suffixes), licence=told or known)


def size_of(name: str, kind: Kind) -> Size:
    """What ``find`` would read and download; nothing is downloaded.

    Offline it is what lies in the cache.

    Raises:
        InputError: there is no such path, and it is no id either; or it is a file, which only an
            encoder can be.
        WeightsError: it is an id, and can't be had, or a folder without weights.
    """
    from huggingface_hub import constants

    path = _path(name)
    if not path.exists():
        repository, revision = _split(name)
        if not constants.HF_HUB_OFFLINE:
            files = _snapshot(repository, revision, kind, dry_run=True)
            assert not isinstance(files, str)
            if not any(file.filename.endswith(".safetensors") for file in files):
                raise WeightsError(_without_safetensors(name))
            missing = (file.file_size or 0 for file in files if file.will_download)
            return Size(sum(file.file_size or 0 for file in files), sum(missing))
        path, _ = from_hub(repository, revision, kind)
    _check_kind(path, kind)
    there = [path] if path.is_file() else _files(path)
    if path.is_dir() and not any(file.suffix == ".safetensors" for file in there):
        raise WeightsError(_without_weights(path))
    return Size(sum(file.stat().st_size for file in there), 0)


def is_id(name: str) -> bool:
    """Whether a name that is no path could be a hub's."""
    return bool(_ID.fullmatch(name.partition("@")[0]))


def core_folder(name: Path | str, revision: str | None = None) -> Path:
    """The directory of a core: a path as it is, an id's snapshot.

    Raises:
        WeightsError: it is an id, and can't be had.
    """
    path = Path(name)
    if path.exists() or not is_id(str(name)):
        return path
    repository, _, named = str(name).partition("@")
    return from_hub(repository, revision or named or None, "core")[0]


def from_hub(repository: str, revision: str | None, kind: Kind) -> tuple[Path, str]:
    """A repository's snapshot in the cache of huggingface_hub, downloaded if need be, and allowed.

    Args:
        repository: its id.
        revision: a commit, a branch or a tag; the default branch where it is ``None``.
        kind: what it holds, and so which of its files are needed.

    Returns:
        The snapshot's folder and its commit.

    Raises:
        WeightsError: it isn't there, isn't allowed, or has no safetensors.
    """
    folder = _snapshot(repository, revision, kind)
    assert isinstance(folder, str)
    if not any(Path(folder).rglob("*.safetensors")):
        raise WeightsError(
            _without_safetensors(f"{repository}@{revision}" if revision else repository)
        )
    return Path(folder), Path(folder).name


def _path(name: str) -> Path:
    """What a name stands for if it is a path's; a home that nobody has stays as it is."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def _check_kind(path: Path, kind: Kind) -> None:
    if path.is_file() and kind != "encoder":
        raise InputError(f"{path} is a file; a {kind} is a folder that its library saved.")


def _known(path: Path) -> str | None:
    """The licence of what has no model card: published as one file, or bundled."""
    if path.is_file():
        return IMAGEBIND
    return BUNDLED if path.is_relative_to(WEIGHTS.resolve()) else None


def _split(name: str) -> tuple[str, str | None]:
    """An id and the revision that is named behind it.

    Raises:
        InputError: it is no id.
    """
    repository, _, revision = name.partition("@")
    if not _ID.fullmatch(repository):
        raise InputError(f"There is no file or folder {name}, and it is no id of a hub either.")
    return repository, revision or None


def _snapshot(
    repository: str, revision: str | None, kind: Kind, dry_run: bool = False
) -> str | list[DryRunFileInfo]:
    """A repository's snapshot, or in a dry run what is known of its files."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    name = f"{repository}@{revision}" if revision else repository
    try:
        return snapshot_download(
            repository,
            revision=revision,
            allow_patterns=_ALLOW[kind],
            ignore_patterns=_IGNORE[kind],
            dry_run=dry_run,
        )
    except GatedRepoError as error:
        raise WeightsError(
            f"{name} is given only to who has accepted its terms: do so on its page, then log in "
            "with `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise WeightsError(f"The hub has no {name}, or shows it only to its owners.") from error
    except Exception as error:  # what the hub's HTTP client raises is not in one tree
        if constants.HF_HUB_OFFLINE:
            raise WeightsError(
                f"There is no folder {name}, and no model of that id in the cache of "
                "huggingface_hub: set HF_HUB_OFFLINE=0 to download it."
            ) from error
        what = in_one_line(error, 200)
        raise WeightsError(f"{name} can't be downloaded: {what}") from error


def _without_safetensors(name: str) -> str:
    return f"{name} has no weights in safetensors, the only format that is read of a hub."


def _files(folder: Path, suffixes: Collection[str] = READ) -> list[Path]:
    """Those of a folder that count: by their suffixes, sorted."""
    return sorted(p for p in folder.rglob("*") if p.suffix in suffixes and p.is_file())


def content_hash(path: Path, suffixes: Collection[str] = READ) -> str:
    """Hexadecimal SHA-256 of a file, or of the names and contents of a folder's files.

    Where a folder's ``decoder.json`` says that it shares another decoder's parts, those count too.
    A gigabyte takes about a second.

    Args:
        path: of the file or the folder.
        suffixes: of the files in a folder that count: those that loading may read.

    Raises:
        WeightsError: a file can't be read, or there is none; or what it shares can't be shared.
    """
    try:
        if path.is_file():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        files = _files(path, suffixes)
        if not files:
            raise WeightsError(_without_weights(path))
        digest = hashlib.sha256()
        for found in files:
            with found.open("rb") as file:
                own = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{found.relative_to(path).as_posix()}\0{own}\n".encode())
    except OSError as error:
        raise WeightsError(f"{path} can't be read: {error.strerror}.") from error
    base = base_of(path)
    if base is not None:
        digest.update(content_hash(path.parent / base).encode())
    return digest.hexdigest()


def base_of(folder: Path) -> str | None:
    """The decoder whose parts the one in this folder shares, if it shares any.

    Raises:
        WeightsError: that isn't the name of another decoder's folder beside it, or that one
            shares parts too.
    """
    base = _named_base(folder)
    if base is None:
        return None
    beside = isinstance(base, str) and base not in ("", "..") and Path(base).name == base
    if not beside or _named_base(folder.parent / str(base)) is not None:
        raise WeightsError(
            f"{folder / 'decoder.json'} names the base {str(base)!r}, which has to be the folder "
            "of another decoder beside it that has no base itself."
        )
    return str(base)


def _named_base(folder: Path) -> object:
    settings = folder / "decoder.json"
    return read_json(settings).get("base") if settings.is_file() else None


def licence(folder: Path) -> str | None:
    """The licence that a folder's model card names."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    front = re.match(r"---\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.S)
    named = dict(
        re.findall(r"^(license(?:_name)?):[ \t]*(\S.*?)\s*$", front[1] if front else "", re.M)
    )
    found = named.get("license")
    return named.get("license_name", found) if found == "other" else found


def check_safe(folder: Path) -> None:
    """Check that the weights in a folder, of one model, are safetensors.

    Raises:
        WeightsError: there are none, or only pickles.
    """
    if not any(folder.glob("*.safetensors")):
        raise WeightsError(_without_weights(folder))


def _without_weights(folder: Path) -> str:
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES)
    if pickles:
        return (
            f"The weights in {folder} are pickled ({pickles[0]}), and a pickle can run code: save "
            "them as safetensors first."
        )
    return f"{folder} has no weights: there is no safetensors file."
