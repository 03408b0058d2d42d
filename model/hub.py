"""A core on a hub: its card, and how it gets there. Loading is ``AnyToAny.from_pretrained``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from heliograph.model.checkpoint import read_json, write_json
from heliograph.model.errors import InputError, WeightsError, in_one_line
from heliograph.model.files import write_atomically
from heliograph.model.inspect import Inspection, inspect
from heliograph.model.origins import Origins
from heliograph.model.parts import NAMES
from heliograph.model.sources import READ, is_id

UPLOADED = [*(f"*{suffix}" for suffix in READ), "*.md", "curve.svg", "LICENSE*", "NOTICE*"]
"""What a core is made of, and its card; whatever else lies in its directory stays at home."""
_PLACES = ("_name_or_path", "name_or_path", "base_model_name_or_path")
"""Where libraries write down what a part was loaded from: often a folder of this machine."""


def push_to_hub(directory: Path, repository: str, private: bool = True) -> str:
    """Upload a core and its card, which is written first if there is none.

    Folders of this machine that its JSON names are uploaded as their names alone.

    Args:
        directory: of the core.
        repository: an id, ``owner/name``; made where it is missing.
        private: whether a repository that is made is shown only to its owners.

    Returns:
        The address of the commit.

    Raises:
        InputError: the id is none, or the core refers to folders of this machine.
        WeightsError: there is no core, a part is missing, or the hub refuses or can't be reached.
    """
    from huggingface_hub import HfApi, constants

    if not is_id(repository) or "@" in repository:
        raise InputError(f"{repository!r} is no id of a repository: it is owner/name.")
    found = inspect(directory)
    for part in found.parts:
        if part.referenced and part.source and part.source.startswith("/"):
            raise InputError(
                f"The core refers to {part.part} in {part.source}, which others don't have: "
                "compose it of ids of the hub, or with --copy."
            )
        if part.state == "missing":
            raise WeightsError(str(part.trouble))
    if constants.HF_HUB_OFFLINE:
        raise WeightsError(
            f"{repository} can't be written while offline: set HF_HUB_OFFLINE=0 to upload."
        )
    path = directory / "README.md"
    if not path.exists():
        write_atomically(path, card(found, repository).encode())
    api = HfApi(library_name="heliograph")
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        with _public(directory) as folder:
            commit = api.upload_folder(
                repo_id=repository,
                folder_path=folder,
                allow_patterns=UPLOADED,
                commit_message="Upload a Heliograph core",
            )
    except Exception as error:  # what the hub's HTTP client raises is not in one tree
        what = in_one_line(error, 200)
        raise WeightsError(f"{repository} can't be written: {what}") from error
    return str(commit.commit_url)


def card(found: Inspection, repository: str) -> str:
    """A model card as the hub reads it: what the core is made of, and what it inherits.

    Args:
        found: what the core is made of.
        repository: its id.
    """
    lines = [
        *opening(found, repository.rpartition("/")[2], repository),
        "",
        "| part | class | shapes | parameters | state | from | licence |",
        "| --- | --- | --- | ---: | --- | --- | --- |",
    ]
    for part in found.parts:
        source = part.source or ""
        source = "a folder" if Path(source).is_absolute() else source
        cells = (part.part, part.kind, part.shape, f"{part.parameters:,}", part.state)
        lines.append(f"| {' | '.join((*cells, source, part.licence or ''))} |")
    fresh = [part.part for part in found.parts if part.state == "fresh"]
    if fresh:
        lines += ["", f"Not trained yet: {', '.join(fresh)}."]
    lines += ["", "A core inherits the licences of all its parts."]
    return "\n".join(lines) + "\n"


def opening(found: Inspection, title: str, name: str, stated: Iterable[str] = ()) -> list[str]:
    """How each card begins: what the hub reads of it, what the core does and how it is loaded.

    Args:
        found: what the core is made of.
        title: of the card.
        name: what the core is loaded by.
        stated: licences that somebody says its parts have. In words that the hub may not know,
            so none of them stands for the whole, but one may keep another from doing so.

    Returns:
        Lines.
    """
    bases = [base for part in found.parts if (base := _base(part.source))]
    licences = set(found.licences.values())
    same = {licence.lower() for licence in (*licences, *stated)}
    one = len(licences) == len(same) == 1 and _all_known(found)
    return [
        "---",
        "library_name: heliograph",
        "pipeline_tag: any-to-any",
        f"license: {next(iter(licences)) if one else 'other'}",
        *(["base_model:", *(f"- {base}" for base in dict.fromkeys(bases))] if bases else []),
        "---",
        f"# {title}",
        "",
        "An any-to-any core of Heliograph. "
        f"It reads {_said(found.sees)}; it makes {_said(found.makes)}"
        + (f", but has no decoder for {_said(found.undecoded)}." if found.undecoded else "."),
        "",
        "```python",
        "from heliograph.model import AnyToAny",
        "",
        f'core = AnyToAny.from_pretrained("{name}")',
        "```",
    ]


@contextmanager
def _public(directory: Path) -> Iterator[Path]:
    """The core as others get it: links to its files, and JSON that names no folder from here."""
    with TemporaryDirectory(prefix="heliograph-") as name:
        folder = Path(name)
        for path in sorted(p for p in directory.resolve().rglob("*") if p.is_file()):
            place = folder / path.relative_to(directory.resolve())
            place.parent.mkdir(parents=True, exist_ok=True)
            if not _write_public(path, place):
                place.symlink_to(path)
        config = read_json(directory / "config.json")
        (folder / "config.json").unlink()
        write_json(folder / "config.json", {**config, **Origins.from_config(config).to_config()})
        yield folder


def _write_public(path: Path, place: Path) -> bool:
    """Write a file of JSON without folders of this machine, if it is one that names some."""
    if path.suffix != ".json" or b"name_or_path" not in (data := path.read_bytes()):
        return False
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return False
    write_json(place, _without_places(value))
    return True


def _without_places(value: Any) -> Any:
    """Values of JSON, of which those that say what a part was loaded from are ids or names."""
    if isinstance(value, list):
        return [_without_places(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: Path(item).name
        if name in _PLACES and isinstance(item, str) and not is_id(item)
        else _without_places(item)
        for name, item in value.items()
    }


def _base(source: str | None) -> str | None:
    """The repository that a part comes from, if it is one."""
    name, at, _ = (source or "").partition("@")
    return name if at and is_id(name) else None


def _all_known(found: Inspection) -> bool:
    return all(part.licence for part in found.parts if part.source)


def _said(modalities: tuple[str, ...]) -> str:
    return ", ".join(NAMES[m] for m in modalities) or "only words"
