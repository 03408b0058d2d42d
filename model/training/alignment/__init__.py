"""The stages on a core of anybody's, with anybody's data: alignment and instruction tuning.

recipes.py    what each stage trains, on which rows, and how fast
settings.py   what a run is asked to do
parts.py      a core made ready: loaded, frozen, and what trains let loose
stream.py     the rows of each step: by length or packed, features from the prepared shards
rows.py       rows of embedding and head as parameters of their own
prefix.py     the frozen beginning of a conversation, without gradients
steps.py      a step's losses and gradients, over pieces and processes
memory.py     what will be in memory, counted from the files' headers
measure.py    a dry run: parameters, memory, time and cost
publish.py    the core that a run leaves
card.py       its model card
run.py        a run from settings to model card
"""
