"""A run of signal tokens in one forward pass, over the same run token by token.

Both start from the same read prompt and end with the same hidden states. The run's own
length is what counts, so 4, 8 and 24 tokens are fed whatever modality they are of.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.harness import Figure, Settings, figure, ratio, seconds

LENGTHS = (4, 8, 24)
PROMPT = "Draw a small dog on the left, and say in a few words what it does there."


def measure(settings: Settings) -> list[Figure]:
    """Time the language model alone."""
    import torch
    from transformers import DynamicCache

    from heliograph.model.core import AnyToAny

    language = AnyToAny.from_pretrained(settings.weights).language
    prompt = torch.tensor([language.encode_text(PROMPT)])  # (1, T)
    read = DynamicCache(config=language.model.config)
    with torch.no_grad():
        language.hidden(language.embed(prompt), torch.ones_like(prompt), cache=read)

    def passes(run: torch.Tensor, size: int) -> Callable[[], torch.Tensor]:
        """Feed a run (1, n) in pieces, a choice of the next token after each."""

        @torch.no_grad()
        def feed() -> torch.Tensor:
            if read.get_seq_length() > prompt.shape[1]:
                read.crop(prompt.shape[1] - read.get_seq_length())
            states, seen = [], prompt.shape[1]
            for piece in run.split(size, dim=1):
                seen += piece.shape[1]
                mask = torch.ones(1, seen, dtype=torch.long)
                at = torch.arange(seen - piece.shape[1], seen).unsqueeze(0)
                hidden = language.hidden(language.embed(piece), mask, at, read)  # (1, size, W)
                language.logits(hidden[:, -1]).argmax(-1)
                states.append(hidden)
            return torch.cat(states, dim=1)  # (1, n, W)

        return feed

    figures = []
    for length in LENGTHS:
        run = torch.tensor([(language.table.runs["video"] * LENGTHS[-1])[:length]])  # (1, n)
        one, many = passes(run, length), passes(run, 1)
        assert torch.allclose(one(), many(), atol=1e-3)
        taken = seconds({"one pass": one, "token by token": many}, settings.repeats * 3)
        name = f"{length} tokens, one pass"
        figures += [
            ratio(
                "signal_run", f"{name} / token by token", taken, "one pass", "token by token", 1.0
            ),
            figure("signal_run", name, "s", taken["one pass"]),
        ]
    return figures
