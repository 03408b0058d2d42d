"""The primer's diffusion decoders, each trained with its own condition encoder.

Latent diffusion (Rombach et al. 2022, arXiv 2112.10752) with v-prediction (Salimans & Ho
2022, arXiv 2202.00512), losses weighed by min-SNR (Hang et al. 2023, arXiv 2303.09556),
zero terminal SNR (Lin et al. 2023, arXiv 2305.08891) and averaged weights. Pictures learn
single objects at 32x32 first, then whole scenes; films add a motion adapter (AnimateDiff,
Guo et al. 2023, arXiv 2307.04725) to the picture decoder, and then both learn films and pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    MotionAdapter,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNetMotionModel,
)
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from heliograph.model.decoders import DecoderSettings, DiffusionDecoder
from heliograph.model.decoders.motion import animated
from heliograph.model.decoders.spectrogram import RATE, SpectrogramPipeline
from heliograph.model.primer import films
from heliograph.model.primer.scenes import every_scene, phrase
from heliograph.model.training.latents import Bank
from heliograph.model.training.loop import Losses, rng

WIDTH, LENGTH = 128, 16
"""Width and tokens of a condition: the longest caption has 13 words."""
UNCONDITIONAL = 0.1
"""Share of the captions that are left out, for classifier-free guidance."""
MIN_SNR = 5.0
STEPS, GUIDANCE = 10, 3.0


def caption_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word of the captions: what the decoders' text encoders read."""
    words = sorted({w for s in every_scene() for w in phrase(s).replace(",", " ,").split()})
    vocabulary = {t: i for i, t in enumerate(["<pad>", "<s>", "</s>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=LENGTH,
    )


def text_encoder(vocabulary: int) -> CLIPTextModel:
    """A small CLIP text transformer, trained together with its UNet."""
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return CLIPTextModel(config)


def picture_unet() -> UNet2DConditionModel:
    """7.1 M parameters, 0.5 GFLOP for 16x16 latents."""
    return _unet(4, (16, 16), (48, 96, 160))


def sound_unet() -> UNet2DConditionModel:
    """3.1 M parameters: 33 sounds are few beside what a picture can show."""
    return _unet(16, (8, 16), (32, 64, 96))


def _unet(latents: int, size: tuple[int, int], widths: tuple[int, ...]) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=size,
        in_channels=latents,
        out_channels=latents,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def motion_adapter() -> MotionAdapter:
    """Temporal attention for every block of ``picture_unet``."""
    return MotionAdapter(
        block_out_channels=(48, 96, 160),
        motion_layers_per_block=1,
        motion_mid_block_layers_per_block=1,
        motion_num_attention_heads=4,
        motion_norm_num_groups=16,
        motion_max_seq_length=32,
    )


def scheduler() -> DDIMScheduler:
    """The noise schedule that all three train and sample with."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,  # diffusers warns about any other
    )


@dataclass(frozen=True)
class Latents:
    """A training batch: noise is added in the step."""

    latents: Tensor
    """(B, C, h, w), or (B, T, C, h, w) for films."""
    ids: Tensor
    """(B, LENGTH) token ids of the captions, some of them empty."""


@dataclass(frozen=True)
class Share:
    """What a training takes from one bank."""

    bank: Bank
    weight: float
    """How often a batch comes from it, beside the others' weights."""
    rows: int
    """Rows of such a batch."""


def batches(shares: Sequence[Share], seed: int) -> Callable[[int], Latents]:
    """Draw from banks by their weights, all rows of a batch from one bank, since latents of one
    batch have one shape. A bank of films gives single frames (see ``frames``)."""
    tokenizer = caption_tokenizer()
    ids = [_ids(tokenizer, share.bank.captions) for share in shares]
    nothing = _ids(tokenizer, [""])[0]

    def batch(step: int) -> Latents:
        chance = rng(seed, step)
        which = chance.choices(range(len(shares)), [share.weight for share in shares])[0]
        bank, size = shares[which].bank, shares[which].rows
        rows = torch.tensor([chance.randrange(len(bank)) for _ in range(size)])
        words = ids[which][rows].clone()
        words[torch.tensor([chance.random() < UNCONDITIONAL for _ in range(size)])] = nothing
        return Latents(bank.latents[rows].float(), words)

    return batch


def frames(bank: Bank) -> Bank:
    """A bank of films as one of its single frames."""
    count = bank.latents.shape[1]
    captions = [c for c in bank.captions for _ in range(count)]
    return Bank(bank.latents.flatten(0, 1), tuple(captions))


def _ids(tokenizer: PreTrainedTokenizerFast, captions: Sequence[str]) -> Tensor:
    found: Tensor = tokenizer(
        list(captions),
        padding="max_length",
        truncation=True,
        max_length=LENGTH,
        return_tensors="pt",
    ).input_ids
    return found


def diffusion_loss(
    denoiser: UNet2DConditionModel | UNetMotionModel,
    encoder: CLIPTextModel,
    most: float | None = MIN_SNR,
) -> Callable[[Latents, torch.Generator], Losses]:
    """Mean squared error of the velocity, weighed by min-SNR for v-prediction:
    min(SNR, ``most``) / (SNR + 1), or not at all with ``None``."""
    noises = scheduler()
    signal: Tensor = noises.alphas_cumprod  # (1000,)

    def loss(batch: Latents, generator: torch.Generator) -> Losses:
        x = batch.latents
        rows = len(x)
        noise = torch.randn(x.shape, generator=generator)
        # One time from each of B equal strata: the same mean, a calmer gradient.
        strata = (torch.arange(rows) + torch.rand(rows, generator=generator)) / rows
        times = (strata * len(signal)).long()
        alpha = signal[times].view(-1, *(1,) * (x.dim() - 1))
        noisy = alpha.sqrt() * x + (1 - alpha).sqrt() * noise
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * x
        condition = encoder(batch.ids)[0]  # (B, L, D)
        if x.dim() == 5:  # a motion model wants (B, C, T, h, w) and a condition for each frame
            condition = condition.repeat_interleave(x.shape[1], dim=0)  # (B T, L, D)
            predicted = denoiser(noisy.transpose(1, 2), times, condition).sample.transpose(1, 2)
        else:
            predicted = denoiser(noisy, times, condition).sample
        error = (predicted - target).square().flatten(1).mean(1)
        if most is None:
            return {"loss": error.mean(), "error": error.mean()}
        snr = signal[times] / (1 - signal[times])
        weight = snr.clamp(max=most) / (snr + 1) + 0.02  # the last step has no signal, but counts
        return {"loss": (weight * error).mean(), "error": error.mean()}

    return loss


def either_loss(
    unet: UNet2DConditionModel, moving: UNetMotionModel, encoder: CLIPTextModel
) -> Callable[[Latents, torch.Generator], Losses]:
    """``diffusion_loss``, not weighed, of a batch of pictures or of films, whichever it is."""
    pictures, films = (diffusion_loss(denoiser, encoder, None) for denoiser in (unet, moving))

    def loss(batch: Latents, generator: torch.Generator) -> Losses:
        return (films if batch.latents.dim() == 5 else pictures)(batch, generator)

    return loss


def picture_decoder(
    vae: AutoencoderKL, words: CLIPTextModel, denoiser: UNet2DConditionModel
) -> DiffusionDecoder:
    """The trained parts as a ``StableDiffusionPipeline`` for 64x64 pictures."""
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=words,
        tokenizer=caption_tokenizer(),
        unet=denoiser,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return DiffusionDecoder(pipeline, DecoderSettings(STEPS, GUIDANCE, {"height": 64, "width": 64}))


def sound_decoder(
    vae: AutoencoderKL, words: CLIPTextModel, denoiser: UNet2DConditionModel
) -> DiffusionDecoder:
    """The trained parts as a ``SpectrogramPipeline`` for two seconds of sound."""
    pipeline = SpectrogramPipeline(vae, words, caption_tokenizer(), denoiser, scheduler())
    return DiffusionDecoder(pipeline, DecoderSettings(STEPS, GUIDANCE, clip={"rate": RATE}))


def film_decoder(pictures: DiffusionDecoder, adapter: MotionAdapter) -> DiffusionDecoder:
    """A motion adapter on the picture decoder, as an ``AnimateDiffPipeline``."""
    pipeline = animated(pictures.pipeline, adapter, scheduler())
    call = {"height": 64, "width": 64, "num_frames": films.FRAMES}
    settings = DecoderSettings(STEPS, GUIDANCE, call, {"fps": films.FPS}, base="image")
    return DiffusionDecoder(pipeline, settings)


def moving(unet: UNet2DConditionModel) -> UNetMotionModel:
    """A film denoiser around the picture denoiser: the same parameters, not copies of them, and
    fresh motion modules."""
    model = UNetMotionModel.from_unet2d(unet, motion_adapter())
    for name, parameter in unet.named_parameters():
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, parameter)
    return model


def only_motion(model: UNetMotionModel) -> UNetMotionModel:
    """Freeze all but the motion modules."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("motion_modules" in name)
    return model


def frozen(module: nn.Module) -> nn.Module:
    """The module in evaluation, none of its parameters trained."""
    return module.requires_grad_(False).eval()
