"""Decoders: diffusion pipelines that draw, play and film a condition.

adapter.py       DiffusionDecoder: what the core and the graph use, over any pipeline
recipe.py        what it has to know of a pipeline's class
recipes.py       which classes it knows: the table of what each takes and gives
captions.py      a decoder's text encoders alone
files.py         reads and writes a decoder's directory
spectrogram.py   SpectrogramPipeline: sound by latent diffusion on log-mel spectrograms
testing.py       tiny untrained decoders, for tests
"""

from heliograph.model.decoders.adapter import DiffusionDecoder
from heliograph.model.decoders.files import DecoderSettings

__all__ = ["DecoderSettings", "DiffusionDecoder"]
