"""Training: the parts first, then the three stages that align them.

loop.py            the one loop: batches by step, logs, what is not a number
checkpoints.py     what a run keeps so that it can go on
team.py            several processes that train together
presets.py         every size and schedule in one place
pipeline.py        which training follows which; puts the core together

autoencoders.py, latents.py, decoders.py, decoder_runs.py   pictures, films, sounds
pairs.py, encoders.py                                       the encoders, by contrast
language.py, conversations.py                               the language model, on text
parts.py           runs the encoders' and the language model's trainings

stages.py          what the stages share: what trains, and the condition loss
encode.py          1: encoding-side alignment, the input projections
decode.py          2: decoding-side alignment, the output projections and new rows
instruct.py        3: modality-switching instruction tuning, LoRA and projections
alignment/         the stages on any core, with prepared data
"""
