"""Evaluation of a core on the primer world, row by row, without a person to judge.

    rows.py       what is asked: one row for each thing that the core is to be able to do
    foreign.py    media as other people make them: other sizes and rates, noise, compression
    asking.py     lets the core answer, turn by turn, and its signals be decoded
    judging.py    holds an answer against the truth: order, words, captions, media
    ceilings.py   the parts alone: referees, autoencoders, decoders under their own captions
    figures.py    shares with their intervals, and what was taken for what
    run.py        the whole, chunk by chunk; may be stopped and still gives what there is
    report.py     table, JSON and one page
    grids.py      pictures of what was asked and what came
    standard/     the same for the sets that papers report on: COCO captions, VQAv2, …

What is drawn is held out of training twice: combinations of objects, places and motions,
and phrasings. Media are judged by referees that share no part with the model.
"""
