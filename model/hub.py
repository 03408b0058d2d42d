"""A core on a hub: its card, and how it gets there. Loading is ``AnyToAny.from_pretrained``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from heliograph.model.errors import InputError, WeightsError
from heliograph.model.files import write_atomically
from heliograph.model.inspect import Inspection, inspect
from heliograph.model.parts import NAMES
from heliograph.model.sources import READ, is_id

UPLOADED = [*(f"*{suffix}" for suffix in READ), "*.md", "LICENSE*", "NOTICE*"]
"""What a core is made of; whatever else lies in its directory stays at home."""


def push_to_hub(directory: Path, repository: str, private: bool = True) -> str:
    """Upload a core and its card, which is written first if there is none.

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
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=directory,
            allow_patterns=UPLOADED,
            commit_message="Upload a Heliograph core",
        )
    except Exception as error:  # what the hub's HTTP client raises is not in one tree
        what = " ".join(str(error).split())[:200]
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
        source = "a folder" if part.source and not _base(part.source) else part.source or ""
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
        f"It reads {_said(found.sees)}; it makes {_said(found.makes)}.",
        "",
        "```python",
        "from heliograph.model import AnyToAny",
        "",
        f'core = AnyToAny.from_pretrained("{name}")',
        "```",
    ]


def _base(source: str | None) -> str | None:
    """The repository that a part comes from, if it is one."""
    name, at, _ = (source or "").partition("@")
    return name if at and is_id(name) else None


def _all_known(found: Inspection) -> bool:
    return all(part.licence for part in found.parts if part.source)


def _said(modalities: tuple[str, ...]) -> str:
    return ", ".join(NAMES[m] for m in modalities) or "only words"
