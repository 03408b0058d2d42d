"""Training of the decoders: one step of each of the real sizes, and what a bank keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from heliograph.model.decoders.spectrogram import log_mel, to_samples
from heliograph.model.primer import sounds
from heliograph.model.primer.referees import read_sound
from heliograph.model.primer.scenes import SoundOf, every_sound, parse
from heliograph.model.training import autoencoders, decoders, latents
from heliograph.model.training.latents import Bank


def small_bank(*shape: int) -> Bank:
    captions = ("a dog moves left, blue background", "a bell, once")
    return Bank(torch.randn(2, *shape).half(), captions)


def words() -> decoders.CLIPTextModel:
    torch.manual_seed(0)
    return decoders.text_encoder(len(decoders.caption_tokenizer()))


def test_a_picture_step_trains_the_denoiser_and_its_text_encoder() -> None:
    unet, encoder = decoders.picture_unet(), words()
    batch = decoders.batches([decoders.Share(small_bank(4, 16, 16), 1.0, 2)], seed=0)(0)
    losses = decoders.diffusion_loss(unet, encoder)(batch, torch.Generator().manual_seed(0))
    losses["loss"].backward()
    assert unet.conv_in.weight.grad is not None and unet.conv_in.weight.grad.abs().sum() > 0
    embedding = encoder.get_input_embeddings().weight
    assert embedding.grad is not None and embedding.grad.abs().sum() > 0


def test_a_film_step_trains_the_motion_alone_for_any_number_of_films() -> None:
    """Each frame of each film of the batch needs the film's condition."""
    moving = decoders.only_motion(decoders.moving(decoders.picture_unet()))
    batch = decoders.batches([decoders.Share(small_bank(8, 4, 16, 16), 1.0, 3)], seed=0)(0)
    losses = decoders.diffusion_loss(moving, words())(batch, torch.Generator().manual_seed(0))
    losses["loss"].backward()
    trained = {name for name, p in moving.named_parameters() if p.grad is not None}
    assert trained and all("motion_modules" in name for name in trained)


def test_what_a_film_teaches_the_picture_decoder_has_learned() -> None:
    """The film denoiser holds the picture denoiser's own parameters, not copies."""
    unet = decoders.picture_unet()
    moving = decoders.moving(unet)
    batch = decoders.batches([decoders.Share(small_bank(8, 4, 16, 16), 1.0, 2)], seed=0)(0)
    before = unet.conv_in.weight.detach().clone()
    decoders.diffusion_loss(moving, words(), None)(batch, torch.Generator())["loss"].backward()
    torch.optim.SGD(moving.parameters(), lr=1.0).step()
    assert not torch.equal(unet.conv_in.weight, before)
    held = {id(p) for p in moving.parameters()}
    assert all(id(p) in held for p in unet.parameters())


def test_frames_of_a_bank_of_films_keep_their_captions() -> None:
    frames = decoders.frames(small_bank(8, 4, 2, 2))
    assert frames.latents.shape == (16, 4, 2, 2)
    assert frames.captions[7].startswith("a dog") and frames.captions[8].startswith("a bell")


def test_batches_depend_on_the_step_alone() -> None:
    make = decoders.batches([decoders.Share(small_bank(4, 2, 2), 1.0, 4)], seed=3)
    first, again, other = make(5), make(5), make(6)
    assert torch.equal(first.latents, again.latents) and torch.equal(first.ids, again.ids)
    assert not torch.equal(first.latents, other.latents)


def test_a_bank_is_built_once(tmp_path: Path) -> None:
    vae = decoders.frozen(autoencoders.picture_autoencoder())
    file = tmp_path / "scenes.safetensors"
    built = latents.build(file, lambda: vae, latents.scenes(1), 3)  # type: ignore[arg-type]
    written = file.stat().st_mtime_ns
    again = latents.build(file, lambda: vae, latents.scenes(2), 3)  # type: ignore[arg-type]
    assert file.stat().st_mtime_ns == written and again.captions == built.captions
    assert built.latents.shape == (3, 4, 16, 16)
    assert all(parse(caption) for caption in built.captions)


@pytest.mark.parametrize("scene", every_sound()[::5], ids=str)
def test_a_sound_survives_its_spectrogram(scene: SoundOf) -> None:
    """Griffin-Lim finds a phase with which the referee still hears the same."""
    samples = torch.from_numpy(sounds.play(scene, seed=11)).unsqueeze(0)
    mel = log_mel(samples)
    assert mel.shape == (1, 1, 64, 128) and mel.abs().max() <= 1
    assert read_sound(to_samples(mel)[0].numpy(), 16000) == scene
