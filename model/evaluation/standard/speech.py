"""LibriSpeech: its reader, and the word error rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from heliograph.model.errors import DataError, MissingExtra
from heliograph.model.evaluation.standard.intervals import interval
from heliograph.model.evaluation.standard.items import Case, Figure, Found, Item, Place
from heliograph.model.evaluation.standard.reading import find
from heliograph.model.evaluation.standard.texts import plain

LIBRISPEECH = "https://www.openslr.org/12"


def librispeech(place: Place) -> Iterator[Item]:
    """LibriSpeech (Panayotov et al. 2015), ``test-clean`` unless told.

    Each chapter of a speaker is a folder with its sounds and ``SPEAKER-CHAPTER.trans.txt``,
    which has a line for each: its name without suffix, and what is said.

    Raises:
        DataError: a file is missing or damaged.
    """
    split = place.split or "test-clean"
    pattern = f"{split}/*/*/*.trans.txt"
    first = find(place.data, [pattern], LIBRISPEECH)
    for path in [first] if first == place.data else sorted(first.parents[3].glob(pattern)):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise DataError(f"{path} can't be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8 text.") from error
        for number, line in enumerate(lines, 1):
            key, _, said = line.partition(" ")
            if not said.strip():
                raise DataError(f"{path}, line {number}, has no name and transcript.")
            sound = path.relative_to(place.folder).with_name(f"{key}.flac")
            speaker = {"speaker": path.parent.parent.name}
            yield Item(key, media=(str(sound),), references=(said.strip(),), facts=speaker)


def word_error_rate(cases: Sequence[Case]) -> Found:
    """Words that are substituted, deleted and inserted, for each word that was said.

    All cases together, by jiwer, in lower case and without punctuation but inner apostrophes.
    The interval is the bootstrap of Bisani & Ney (2004), and draws speakers, since one that is
    misheard is so throughout.
    """
    try:
        import jiwer
    except ImportError as error:
        raise MissingExtra("jiwer", "eval") from error

    def words(text: str) -> str:
        return plain({"": [text.replace("’", "'")]})[""][0]

    aligned = [
        jiwer.process_words(words(case.item.references[0]), words(case.answer.text))
        for case in cases
    ]
    wrong = [found.substitutions + found.deletions + found.insertions for found in aligned]
    spoken = [found.hits + found.substitutions + found.deletions for found in aligned]
    low, high = interval(wrong, spoken, [case.item.facts["speaker"] for case in cases])
    note = (
        f"{sum(x.substitutions for x in aligned)} words substituted, "
        f"{sum(x.deletions for x in aligned)} deleted, "
        f"{sum(x.insertions for x in aligned)} inserted, of {sum(spoken)}"
    )
    value = 100 * sum(wrong) / sum(spoken)
    figure = Figure("WER", value, len(cases), 100 * low, 100 * high, "%", "lower", note)
    scores = {case.item.key: 100 * found.wer for case, found in zip(cases, aligned, strict=True)}
    return Found([figure], scores={"WER": scores})
