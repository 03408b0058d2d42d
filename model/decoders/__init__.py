"""Decoders: diffusion pipelines that draw, play and film a condition.

adapter.py       DiffusionDecoder: what the core and the graph use, over any pipeline
recipes.py       which diffusers pipelines it knows, and what each takes and gives
spectrogram.py   SpectrogramPipeline: sound by latent diffusion on log-mel spectrograms
quiet.py         keeps the terminal clean while the libraries load and save
testing.py       tiny untrained decoders, for tests
"""

from heliograph.model.decoders.adapter import DecoderSettings, DiffusionDecoder

__all__ = ["DecoderSettings", "DiffusionDecoder"]
