"""Figures of captions: BLEU-4, METEOR, CIDEr and SPIDEr, all times 100.

BLEU is sacrebleu's (Papineni et al. 2002; Post 2018), CIDEr, METEOR 1.5 and SPICE are those of
pycocoevalcap, the COCO caption server's code (Chen et al. 2015, arXiv 1504.00325). Captions
are split into words as there, by Stanford's Penn Treebank tokenizer without punctuation, which
is Java, as METEOR and SPICE are. Without Java, words are split by a plain rule and the figures
say so; METEOR and SPIDEr are left out.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heliograph.model.errors import MissingExtra, in_one_line
from heliograph.model.evaluation.standard.intervals import SAMPLES, interval
from heliograph.model.evaluation.standard.items import Case, Figure, Found

CORENLP = "http://nlp.stanford.edu/software/stanford-corenlp-full-2015-12-09.zip"
NO_JAVA = (
    "{} is computed by a Java program and {}: install a Java runtime "
    "(Debian: default-jre-headless) and run again; the answers are kept."
)
PLAIN = "words split by a plain rule, for want of Java's Penn Treebank tokenizer"

Captions = Mapping[str, Sequence[str]]
"""Captions of each case, its words apart by spaces."""


def captions(cases: Sequence[Case], metrics: Sequence[str]) -> Found:
    """Figures of captions that the core said of media, against those of people.

    Args:
        cases: with their answers.
        metrics: of "BLEU-4", "METEOR", "CIDEr" and "SPIDEr".
    """
    said: Captions = {case.item.key: [case.answer.text] for case in cases}
    people: Captions = {case.item.key: case.item.references for case in cases}
    lack = "" if shutil.which("java") else "there is no `java` on the path"
    if not lack:
        try:
            said, people = penn(said), penn(people)
        except (OSError, ValueError) as error:  # such as the stub that macOS has for a `java`
            lack = f"the `java` on the path fails ({in_one_line(error, 200)})"
    if lack:
        said, people = plain(said), plain(people)
    note = PLAIN if lack else ""
    found = Found()
    if "BLEU-4" in metrics:
        found.figures.append(bleu(said, people, note))
    if "METEOR" in metrics:
        if lack:
            found.missing["METEOR"] = NO_JAVA.format("METEOR", lack)
        else:
            _meteor(said, people, found)
    if "CIDEr" in metrics:
        scores = cider(said, people)
        found.scores["CIDEr"] = scores
        found.figures.append(_mean("CIDEr", scores, note))
    if "SPIDEr" in metrics:
        if lack:
            found.missing["SPIDEr"] = NO_JAVA.format("SPICE, a half of SPIDEr,", lack)
        else:
            _spider(said, people, found)
    return found


def bleu(said: Captions, people: Captions, note: str = "") -> Figure:
    """Corpus BLEU-4 without smoothing, with sacrebleu's bootstrap interval.

    It is the COCO server's: the reference length of a case is that closest to its caption.
    """
    metric = _load("sacrebleu.metrics").BLEU(tokenize="none", smooth_method="none", force=True)
    most = max(map(len, people.values()))
    # sacrebleu takes the n-th references of all cases; a case that has fewer has None there.
    streams = [[r[i] if i < len(r) else None for r in people.values()] for i in range(most)]
    # One case alone can't be resampled.
    samples = SAMPLES if len(said) > 1 else 1
    score = metric.corpus_score([said[key][0] for key in people], streams, n_bootstrap=samples)
    low = high = None
    if samples > 1:
        low, high = max(0.0, score._mean - score._ci), min(100.0, score._mean + score._ci)
    told = "; ".join(filter(None, [note, str(metric.get_signature())]))
    return Figure("BLEU-4", score.score, len(said), low, high, note=told)


def cider(said: Captions, people: Captions) -> dict[str, float]:
    """CIDEr-D of each case (Vedantam et al. 2015), times 100.

    Weights of words come from the references of these very cases, so that the figure of a few
    can't be compared with that of the whole set.
    """
    scorer = _load("pycocoevalcap.cider.cider").Cider()
    _, scores = scorer.compute_score(
        {key: list(refs) for key, refs in people.items()},
        {key: list(said[key]) for key in people},
    )
    return {key: 100 * float(score) for key, score in zip(people, scores, strict=True)}


def meteor(said: Captions, people: Captions) -> tuple[float, dict[str, float]]:
    """METEOR 1.5 (Denkowski & Lavie 2014) over all cases, and of each; times 100.

    Raises:
        OSError: its Java program can't be run.
        ValueError: it ended early, for want of memory.
    """
    # Not by pycocoevalcap's class, which waits for ever where Java ends early.
    with subprocess.Popen(
        ["java", "-Xmx2G", "-jar", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm"],
        cwd=_folder("meteor"),
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    ) as process:

        def ask(what: str, *parts: str) -> None:
            words = (part.replace("|||", " ") for part in parts)
            print(what, *words, sep=" ||| ", file=process.stdin, flush=True)

        def told() -> str:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise ValueError("it ended early")
            return line.strip()

        try:
            statistics = []
            for key, references in people.items():
                ask("SCORE", *references, said[key][0])
                statistics.append(told())
            ask("EVAL", *statistics)
            each = {key: 100 * float(told()) for key in people}
            return 100 * float(told()), each
        finally:
            process.kill()


def spice(said: Captions, people: Captions) -> dict[str, float]:
    """SPICE's F-score of each case (Anderson et al. 2016, arXiv 1607.08822), times 100.

    Raises:
        OSError: its Java program can't be run.
        ValueError: it failed.
    """
    rows = [
        {"image_id": key, "test": said[key][0], "refs": list(refs)} for key, refs in people.items()
    ]
    # SPICE is older than Java's modules, which have to be opened to it; Java 8 ignores this.
    opened = (
        "--add-opens=java.base/java.lang=ALL-UNNAMED --add-opens=java.base/java.util=ALL-UNNAMED"
    )
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "in.json"), Path(folder, "out.json")
        given.write_text(json.dumps(rows), encoding="utf-8")
        done = subprocess.run(
            ["java", "-Xmx8G", "-jar", "spice-1.0.jar", given, "-out", made, "-subset", "-silent"],
            cwd=_folder("spice"),
            env=_environment(JDK_JAVA_OPTIONS=opened),
            capture_output=True,
        )
        if done.returncode or not made.is_file():
            raise ValueError(_complaint(done))
        found = json.loads(made.read_text(encoding="utf-8"))
    return {str(row["image_id"]): 100 * float(row["scores"]["All"]["f"]) for row in found}


# --- words


def penn(captions: Captions) -> dict[str, list[str]]:
    """Captions in lower case, split into words by Stanford's tokenizer, without punctuation.

    Raises:
        OSError: its Java program can't be run.
        ValueError: it failed.
    """
    module = _load("pycocoevalcap.tokenizer.ptbtokenizer")
    lines = [" ".join(text.split()) for texts in captions.values() for text in texts]
    # Not by pycocoevalcap's class, which writes into the folder where it is installed.
    done = subprocess.run(
        [
            "java",
            "-cp",
            str(_folder("tokenizer") / module.STANFORD_CORENLP_3_4_1_JAR),
            "edu.stanford.nlp.process.PTBTokenizer",
            "-preserveLines",
            "-lowerCase",
        ],
        input="".join(f"{line}\n" for line in lines).encode(),
        capture_output=True,
        env=_environment(),
    )
    made = iter(done.stdout.decode(errors="replace").split("\n"))
    if done.returncode or done.stdout.count(b"\n") != len(lines):
        raise ValueError(_complaint(done))
    marks = set(module.PUNCTUATIONS)
    return {
        key: [" ".join(word for word in next(made).split() if word not in marks) for _ in texts]
        for key, texts in captions.items()
    }


def plain(captions: Captions) -> dict[str, list[str]]:
    """Captions in lower case, split into runs of letters, digits and inner apostrophes."""
    return {
        key: [" ".join(re.findall(r"\w+(?:['’]\w+)*", text.lower())) for text in texts]
        for key, texts in captions.items()
    }


# --- inside


def _meteor(said: Captions, people: Captions, found: Found) -> None:
    try:
        whole, scores = meteor(said, people)
    except (OSError, ValueError) as error:
        found.missing["METEOR"] = (
            f"METEOR's Java program failed ({in_one_line(error, 200)}); it takes 2 GB of memory."
        )
        return
    found.figures.append(Figure("METEOR", whole, len(said)))
    found.scores["METEOR"] = scores


def _spider(said: Captions, people: Captions, found: Found) -> None:
    """SPIDEr (Liu et al. 2017, arXiv 1612.00370): the mean of SPICE and CIDEr."""
    library = _folder("spice") / "lib"
    jars = [library / f"stanford-corenlp-3.6.0{part}.jar" for part in ("", "-models")]
    if not all(jar.is_file() for jar in jars):
        found.missing["SPIDEr"] = (
            f"SPICE, a half of SPIDEr, lacks Stanford CoreNLP: put {jars[0].name} and "
            f"{jars[1].name} of {CORENLP} into {library}."
        )
        return
    try:
        half = spice(said, people)
    except (OSError, ValueError, KeyError, TypeError) as error:
        found.missing["SPIDEr"] = (
            f"SPICE's Java program failed ({in_one_line(error, 200)}); it wants Java 8 and 8 GB."
        )
        return
    other = cider(said, people)
    scores = {key: (half[key] + other[key]) / 2 for key in people}
    found.scores |= {"SPICE": half, "SPIDEr": scores}
    found.figures += [_mean("SPICE", half, ""), _mean("SPIDEr", scores, "")]


def _environment(**more: str) -> dict[str, str]:
    """Java's: what it reads and writes is UTF-8."""
    return {**os.environ, "LC_ALL": "C.UTF-8", **more}


def _complaint(done: subprocess.CompletedProcess[bytes]) -> str:
    """What a Java program that failed said first, but for Java's own notes."""
    told = done.stderr.decode(errors="replace").splitlines()
    said = (line for line in told if line.strip() and not line.startswith(("NOTE:", "Picked up")))
    return next(said, f"it ended with code {done.returncode}")


def _mean(name: str, scores: Mapping[str, float], note: str) -> Figure:
    values = list(scores.values())
    low, high = interval(values)
    return Figure(name, sum(values) / len(values), len(values), low, high, note=note)


def _load(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(module.partition(".")[0], "eval") from error


def _folder(part: str) -> Path:
    """A folder of pycocoevalcap, where its Java programs are."""
    spec = importlib.util.find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("pycocoevalcap", "eval")
    return Path(spec.submodule_search_locations[0]) / part
