"""Accuracies: VQA's with its normalisation, and of choices by category."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from heliograph.model.evaluation.figures import Share
from heliograph.model.evaluation.standard.intervals import interval
from heliograph.model.evaluation.standard.items import Case, Figure, Found
from heliograph.model.evaluation.standard.questions import LETTERS

# --- VQA

_NUMBERS = "zero one two three four five six seven eight nine ten".split()
_DIGITS = {word: str(i) for i, word in enumerate(_NUMBERS)} | {"none": "0"}
_ARTICLES = {"a", "an", "the"}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
    haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't
    mightn't've might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've
    should've shouldn't shouldn't've somebody'd somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's
    there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't
    we'd've we've weren't what'll what're what's what've when's where'd where's where've who'd
    who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all
    y'all'll y'all'd've you'd you'd've you'll you're you've
""".split()
# Each can be met with one of its apostrophes left out.
_APOSTROPHES = {
    word[:i] + word[i + 1 :]: word
    for word in _CONTRACTED
    for i, letter in enumerate(word)
    if letter == "'"
}


def normalised(answer: str) -> str:
    """An answer as VQA compares it (https://visualqa.org/evaluation.html).

    Lower case, number words as digits, no articles, no periods but decimal ones, apostrophes
    in contractions, and no punctuation: a mark becomes a space, or nothing where a space is
    beside one of its kind or the answer has a comma between digits.
    """
    made = text = _trimmed(answer)
    thousands = re.search(r"\d,\d", text) is not None
    for mark in _PUNCTUATION:
        alone = f"{mark} " in text or f" {mark}" in text
        made = made.replace(mark, "" if alone or thousands else " ")
    made = re.sub(r"\.(?!\d)", "", made)
    words = [_DIGITS.get(word, word) for word in made.lower().split()]
    return " ".join(_APOSTROPHES.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(answer: str, people: Sequence[str]) -> float:
    """How many people said so, three for all: ``min(n / 3, 1)``, averaged over leaving each
    of the people out (Antol et al. 2015, arXiv 1505.00468, section 4).

    As in VQA's own script (https://github.com/GT-Vision-Lab/VQA at a013f00, vqaEval.py), both
    sides are normalised only where people's answers differ: what they all gave may be words that
    stand in the picture (issue 14 there), and has to be said as they wrote it.
    """
    said, given = _trimmed(answer), [_trimmed(person) for person in people]
    if len(set(given)) > 1:
        said, given = normalised(said), [normalised(person) for person in given]
    same = [person == said for person in given]
    total = sum(same)
    scores = [min((total - own) / 3, 1.0) for own in same]
    return sum(scores) / len(scores) if scores else 0.0


def _trimmed(answer: str) -> str:
    """As VQA's script reads any answer."""
    return answer.replace("\n", " ").replace("\t", " ").strip()


def vqa(cases: Sequence[Case]) -> Found:
    """VQA accuracy over all questions and by type of answer; cases of a picture cluster."""
    found = Found()
    scores = [vqa_accuracy(case.answer.text, case.item.references) for case in cases]
    lost = sum(
        not score and normalised(case.answer.text) in map(normalised, case.item.references)
        for case, score in zip(cases, scores, strict=True)
    )
    note = f"{lost} answers are written in another way than all people's, and count as wrong"
    kinds = [case.item.facts["answer type"] for case in cases]
    for kind in [None, *sorted(set(kinds))]:
        own = [i for i in range(len(cases)) if kind in (None, kinds[i])]
        values = [100 * scores[i] for i in own]
        low, high = interval(values, None, [cases[i].item.facts["image"] for i in own])
        name = "VQA accuracy" if kind is None else f"VQA accuracy, {kind}"
        mean = sum(values) / len(values)
        told = note if kind is None and lost else ""
        found.figures.append(Figure(name, mean, len(own), low, high, "%", note=told))
    keys = [case.item.key for case in cases]
    found.scores["VQA accuracy"] = dict(zip(keys, scores, strict=True))
    return found


# --- choices


def choice(answer: str, choices: Sequence[str]) -> int | None:
    """Which choice an answer names: by its letter, or by its words; ``None`` if it can't be told.

    ``B``, ``(B)``, ``B. because …``, ``The answer is (B).`` and the choice's own words are
    understood. An answer that names no choice, or several, counts as wrong.
    """
    text = " ".join(answer.split())
    bare = [_bare(option) for option in choices]
    if bare.count(_bare(text)) == 1:
        return bare.index(_bare(text))
    letters = LETTERS[: len(choices)]
    # A choice between two is none.
    between = r"\s*(?:or|and)\b"
    alone = rf"(?!\)?,?(?:{between}|\s*\(?[{letters}]\)?(?:[.:,]|$|{between})))"
    for pattern in (
        rf"^\(?([{letters}])(?:[.:,)]|$){alone}",
        rf"(?i:answer)(?:\s+is)?\s*:?\s*\(?([{letters}])\b{alone}",
        rf"\(([{letters}])\)",
    ):
        named = set(re.findall(pattern, text))
        if len(named) == 1:
            return letters.index(named.pop())
        if named:
            return None
    low = _bare(text)
    within = [i for i, option in enumerate(bare) if re.search(rf"\b{re.escape(option)}\b", low)]
    return within[0] if len(within) == 1 else None


def _bare(text: str) -> str:
    return text.casefold().strip().rstrip(".").strip()


_CATEGORIES: Mapping[str, tuple[str, frozenset[str]]] = {
    "NAT": ("subject", frozenset({"natural science"})),
    "SOC": ("subject", frozenset({"social science"})),
    "LAN": ("subject", frozenset({"language science"})),
    "TXT": ("text", frozenset({"yes"})),
    "IMG": ("image", frozenset({"yes"})),
    "NO": ("context", frozenset({"no"})),
    "G1-6": ("grade", frozenset(f"grade{n}" for n in range(1, 7))),
    "G7-12": ("grade", frozenset(f"grade{n}" for n in range(7, 13))),
}
"""The columns of ScienceQA's table: which fact, and its values."""


def scienceqa(cases: Sequence[Case]) -> Found:
    """Accuracy over all questions and by ScienceQA's categories, with Wilson's intervals.

    TXT has a textual context, IMG a picture, NO neither; a question can be in TXT and IMG.
    """
    found = Found()
    chosen = [choice(c.answer.text, json.loads(c.item.facts["choices"])) for c in cases]
    right = {
        case.item.key: named is not None and LETTERS[named] == case.item.references[0]
        for case, named in zip(cases, chosen, strict=True)
    }
    found.scores["right"] = {key: float(good) for key, good in right.items()}
    lost = Counter(chosen)[None]
    note = f"{lost} answers name no choice and count as wrong" if lost else ""
    found.figures.append(_share("accuracy", right.values(), note))
    for name, (fact, values) in _CATEGORIES.items():
        own = [right[case.item.key] for case in cases if _facts(case)[fact] in values]
        if own:
            found.figures.append(_share(f"accuracy, {name}", own))
    return found


def _facts(case: Case) -> dict[str, str]:
    facts = case.item.facts
    context = "yes" if "yes" in (facts["text"], facts["image"]) else "no"
    return {**facts, "context": context}


def _share(name: str, marks: Iterable[bool], note: str = "") -> Figure:
    known = list(marks)
    share = Share(sum(known), len(known))
    low, high = share.interval
    return Figure(name, 100 * share.value, share.count, 100 * low, 100 * high, "%", note=note)
