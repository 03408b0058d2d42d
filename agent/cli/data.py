"""``heliograph data``: check data sets, prepare them for training, look at mixtures, make rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heliograph.agent.cli import making, mixing
from heliograph.agent.cli.telling import Show, Teller, note, status_line

if TYPE_CHECKING:
    from heliograph.model.data.sets import DataSet

app = typer.Typer(
    help="Check data sets, prepare them for training, look at mixtures, make instruction data.",
    no_args_is_help=True,
)
app.command()(making.make)
app.command()(mixing.mix)

Files = Annotated[
    list[Path],
    typer.Argument(
        help="JSON or JSON lines (NExT-GPT's and LLaVA's), tar shards, or folders of shards or of "
        "Hugging Face datasets."
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(help="Folder of the media that rows name. (default: each file's own folder)"),
]
Roots = Annotated[
    list[str] | None,
    typer.Option(
        "--roots", help="A folder for one kind: image=DIR, audio=DIR, video=DIR, embeddings=DIR."
    ),
]
Pairs = Annotated[str, typer.Option(help="What becomes of pairs: describe the medium, or make it.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--columns", help="A column of a Hugging Face data set: media=NAME or text=NAME."),
]
Split = Annotated[str | None, typer.Option(help="Split of a Hugging Face data set.")]


@app.command()
def check(
    files: Files,
    root: Root = None,
    roots: Roots = None,
    pairs: Pairs = "describe",
    split: Split = None,
    columns: Columns = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only see that files are there; open none.")
    ] = False,
    show: Show = 100,
    as_json: Annotated[
        bool, typer.Option("--json", help="Bad rows as JSON lines on standard output.")
    ] = False,
) -> None:
    """Name each row that can't be used, and count; exit code 1 if there is one."""
    from heliograph.model.data.checking import Found, check

    found, told = Found(), Teller(show, as_json)
    with status_line() as status:
        for dataset in _sets(files, root, roots, pairs, split, columns):
            rows = check(
                dataset,
                found,
                decode=not quick,
                tell=lambda found: status(f"{found.rows:,} rows, {found.bad:,} bad"),
            )
            for row in rows:
                told(row)
    told.end()
    tasks = [f"  {count:>9,}  {task}" for task, count in found.tasks.most_common()]
    print("\n".join(tasks), file=sys.stderr if as_json else sys.stdout)
    if found.without_file:
        note(f"{found.without_file:,} media that are to be made have only a caption.")
    counted = f"{found.bad:,} of {found.rows:,} rows can't be used."
    note(counted) if as_json else print(counted)
    if found.bad:
        raise typer.Exit(1)


@app.command()
def prepare(
    out: Annotated[Path, typer.Option(help="Folder of the shards; made or added to.")],
    files: Annotated[
        list[Path] | None, typer.Argument(help="Data sets as `check` takes them.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Directory of a core. (default: the bundled one)")
    ] = None,
    mixture: Annotated[
        Path | None, typer.Option(help="Every source of a mixture, instead of files.")
    ] = None,
    root: Root = None,
    roots: Roots = None,
    pairs: Pairs = "describe",
    split: Split = None,
    columns: Columns = None,
    device: Annotated[str, typer.Option(help="Where to compute, such as cuda.")] = "cpu",
    batch: Annotated[int, typer.Option(min=1, help="Media or captions computed together.")] = 16,
    full: Annotated[bool, typer.Option("--float32", help="Store float32 and not float16.")] = False,
    own_embeddings: Annotated[
        bool,
        typer.Option(
            "--own-embeddings",
            help="Take the data set's caption embeddings for those of this core's decoders.",
        ),
    ] = False,
    show: Show = 100,
) -> None:
    """Compute encoder features and conditions once; run again, it goes on where it stopped.

    What is in the folder already is skipped by the hash of its content. Exit code 1 where rows
    could not be used; the others are prepared all the same.
    """
    from heliograph.model.errors import InputError

    if (mixture is None) == (not files):
        raise InputError("Give either data sets or a --mixture.")

    from heliograph.agent.settings import Settings
    from heliograph.model.data.mixture import Mixture
    from heliograph.model.data.preparing import PrepareOptions, Progress
    from heliograph.model.data.preparing import prepare as run

    datasets: list[DataSet] = (
        list(Mixture.read(mixture).sources)
        if mixture is not None
        else _sets(files or [], root, roots, pairs, split, columns)
    )
    options = PrepareOptions(device, batch, not full, own_embeddings)
    told = Teller(show)
    with status_line() as status:

        def tell(progress: Progress) -> None:
            status(
                f"{progress.rows:,} rows: {progress.media:,} media and {progress.captions:,} "
                f"captions computed, {progress.known:,} there already"
            )

        done = run(Settings.of(weights=weights).weights_dir(), out, datasets, options, tell, told)
    told.end()
    for sentence in done.notes():
        note(sentence)
    print(
        f"{done.media:,} media and {done.captions:,} captions computed, {done.known:,} there "
        f"already; {done.bad:,} of {done.rows:,} rows can't be used."
    )
    if done.bad:
        raise typer.Exit(1)


def _sets(
    files: list[Path],
    root: Path | None,
    roots: list[str] | None,
    pairs: str,
    split: str | None,
    columns: list[str] | None,
) -> list[DataSet]:
    from heliograph.model.data.mixture import Mixture, is_mixture
    from heliograph.model.data.sets import DataSet
    from heliograph.model.errors import InputError

    mixtures = [file for file in files if is_mixture(file)]
    if mixtures and (root, roots, split, columns, pairs) != (None, None, None, None, "describe"):
        raise InputError(
            f"{mixtures[0]} is a mixture, which says itself where media lie and how rows are read: "
            "leave --root and the like out."
        )
    values = {
        "root": root,
        "roots": _named("--roots", "image=DIR", roots),
        "pairs": pairs,
        "split": split,
        "columns": _named("--columns", "media=NAME", columns),
    }
    return [
        source
        for file in files
        for source in (
            Mixture.read(file).sources if file in mixtures else [DataSet.of(file, **values)]
        )
    ]


def _named(option: str, example: str, entries: list[str] | None) -> dict[str, str]:
    from heliograph.model.errors import InputError

    named: dict[str, str] = {}
    for entry in entries or ():
        name, _, value = entry.partition("=")
        if not value:
            raise InputError(f"{option} takes {example} and the like, not {entry!r}.")
        named[name] = value
    return named
