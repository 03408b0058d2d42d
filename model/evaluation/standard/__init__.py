"""Evaluation on the sets that the field reports on, from their published files on disk.

    items.py       one case of a set, what the core answered, and the figures that come of it
    reading.py     finds annotation files and reads them as streams
    captions.py    readers of COCO, AudioCaps and MSR-VTT
    questions.py   readers of VQAv2, ScienceQA and LLaVA-Bench
    speech.py      reader of LibriSpeech; the word error rate
    sets.py        the table of sets: what is asked, and what is computed
    journal.py     answers as they come, in a file that a later run goes on with
    selection.py   which cases are evaluated, and how
    run.py         lets the core answer, and scores
    texts.py       BLEU-4, METEOR, CIDEr, SPIDEr
    accuracy.py    VQA's accuracy and its normalisation; accuracy by category of choices
    judge.py       LLaVA-Bench's relative score, by any function from a prompt to a verdict
    networks.py    the networks that a user names for features, classes and CLIP
    fidelity.py    FID, FAD, IS and CLIPSIM on what these networks give
    cepstral.py    mel-cepstral distortion
    making.py      the figures of media that were made
    intervals.py   bootstrap intervals
    report.py      table and JSON
    plots.py       figures and the spread of single cases as a picture

Nothing is downloaded: a file, a network or a program that is missing is one sentence that
says what to put where.
"""
