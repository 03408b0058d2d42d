"""``heliograph data make``: instruction data by any LangChain chat model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heliograph.agent.cli.telling import measure_of, note

if TYPE_CHECKING:
    from heliograph.model.data.making.costs import Estimate


def make(
    seeds: Annotated[
        Path,
        typer.Argument(
            help='JSON or JSON lines of captions: {"image", "captions", "boxes"}, '
            '{"audio_name", "caption"}, {"topic", "media"}.'
        ),
    ],
    out: Annotated[Path, typer.Option(help="File of JSON lines; made or added to.")],
    kind: Annotated[
        str,
        typer.Option(help="conversation, detail, reasoning (LLaVA's three kinds), t2m or mosit."),
    ],
    llm: Annotated[
        str, typer.Option(help="A chat model of LangChain, as provider:name.", metavar="NAME")
    ],
    turns: Annotated[
        int, typer.Option(min=1, max=12, help="Turns of a conversation or a MosIT dialogue.")
    ] = 4,
    tries: Annotated[int, typer.Option(min=1, help="Ask so often until a reply can be used.")] = 2,
    together: Annotated[int, typer.Option(min=1, max=64, help="Calls side by side.")] = 4,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask about so many seeds.")] = None,
    price_in: Annotated[
        float | None, typer.Option(min=0, help="Price of a million tokens that are read.")
    ] = None,
    price_out: Annotated[
        float | None, typer.Option(min=0, help="Price of a million tokens that are written.")
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="Folder of a tokenizer for the estimate. (default: 4 bytes a token)"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Go on after the estimate.")] = False,
) -> None:
    """Make instruction data; says what it will cost before the first call.

    Run again, it goes on with the seeds that are left. Replies that fail a check are in
    OUT.rejected.jsonl with the reason.
    """
    from itertools import islice

    from rich.console import Console

    from heliograph.agent import chat_models
    from heliograph.model.data.examples import BadRow
    from heliograph.model.data.making.costs import by_length, estimate
    from heliograph.model.data.making.prompts import KINDS
    from heliograph.model.data.making.run import Ledger, MakeOptions, rejected_path
    from heliograph.model.data.making.run import make as run
    from heliograph.model.data.making.seeds import repeated
    from heliograph.model.data.making.seeds import seeds as read
    from heliograph.model.errors import InputError

    known = next((k for k in KINDS if k == kind), None)
    if known is None:
        raise InputError(f"There is no kind {kind!r}; there are {', '.join(KINDS)}.")
    bad = [row for row in read(seeds) if isinstance(row, BadRow)][:1]
    if bad:
        raise InputError(f"A seed can't be used: {bad[0]}")
    if again := list(repeated(read(seeds))):
        note(
            f"Left out because an earlier seed has the same id: {len(again):,}, the first of them "
            f"in {again[0].origin}."
        )
    measure = by_length if tokenizer is None else measure_of(tokenizer)
    left = Ledger(out, known).left
    guess = estimate(known, islice(left(read(seeds)), limit), turns, measure)
    if not guess.calls:
        print(f"Nothing is left to do: {out}")
        return
    note(_sentence(guess, price_in, price_out, tries))
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("Give --yes to go on after the estimate.")
        typer.confirm("Go on?", abort=True, err=True)
    model = chat_models.asking(chat_models.named(llm))
    options = MakeOptions(known, turns, tries, together)
    with Console(stderr=True).status(f"0 of {guess.calls:,}") as status:
        counts = run(
            islice(left(read(seeds)), limit),
            model,
            out,
            options,
            lambda c: status.update(f"{c.made + c.rejected:,} of {guess.calls:,} seeds"),
        )
    used = f"{counts.tokens_in:,} tokens read, {counts.tokens_out:,} written"
    if price_in is not None and price_out is not None:
        used += f", {(counts.tokens_in * price_in + counts.tokens_out * price_out) / 1e6:,.2f} paid"
    rejected = f" ({rejected_path(out)})" if counts.rejected else ""
    note(f"{counts.made:,} rows made, {counts.rejected:,} rejected{rejected}; {used}.")
    print(out)


def _sentence(guess: Estimate, price_in: float | None, price_out: float | None, tries: int) -> str:
    words = (
        f"{guess.calls:,} calls will read about {guess.tokens_in:,} tokens and write about "
        f"{guess.tokens_out:,}"
    )
    if price_in is not None and price_out is not None:
        price = guess.price(price_in, price_out)
        words += f", for about {price:,.2f}"
    again = "" if tries == 1 else f"; replies that can't be used are asked for up to {tries} times"
    return f"{words}{again}."
