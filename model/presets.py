"""Cores by name: which parts, why these, and what they cost.

Memory is that of a whole core with its language model in half precision, as large ones are
loaded, and encoders and decoders in single precision, in which they compute.
"""

from __future__ import annotations

from collections.abc import Callable

from heliograph.model.checkpoints.layouts import LEGACY
from heliograph.model.errors import InputError
from heliograph.model.finding import Parts
from heliograph.model.parts import MODALITIES
from heliograph.model.primer import weights_dir

SIGLIP_BASE = "google/siglip-base-patch16-224"
SIGLIP_LARGE = "google/siglip-so400m-patch14-384"
CLAP = "laion/clap-htsat-unfused"


def primer() -> Parts:
    """The parts of the bundled weights, for aligning something in minutes.

    Licence: Apache-2.0. Nothing is downloaded: it is 0.06 GB; 1 GB of memory.
    """
    root = weights_dir()
    imagebind = str(root / "encoders" / "imagebind")
    return Parts(
        str(root / "language"),
        dict.fromkeys(MODALITIES, imagebind),
        {m: str(root / "decoders" / m) for m in MODALITIES},
        tokens=12,
        output={"hidden": 128, "layers": 2, "heads": 4, "ff": 384},
    )


def nextgpt_7b() -> Parts:
    """NExT-GPT as it was published (Wu et al. 2023, arXiv 2309.05519, section 3).

    Vicuna-7B v0 was released as a difference from LLaMA, ImageBind as a file and Zeroscope as
    pickles: these three are expected where the command is run, as ``vicuna-7b-v0``,
    ``imagebind_huge.pth`` and ``zeroscope_v2_576w``, unless options name them.

    Licences: LLaMA's for Vicuna, CC-BY-NC-SA-4.0 for ImageBind and AudioLDM, CreativeML OpenRAIL-M
    for Stable Diffusion, CC-BY-NC-4.0 for Zeroscope: research only. 31 GB in all; 34 GB of memory.
    """
    return Parts(
        "vicuna-7b-v0",
        dict.fromkeys(MODALITIES, "imagebind_huge.pth"),
        {
            "image": "stable-diffusion-v1-5/stable-diffusion-v1-5",
            "audio": "cvssp/audioldm-l-full",
            "video": "zeroscope_v2_576w",
        },
        pooled=True,
        template=LEGACY.template,
        stops=LEGACY.stops,
    )


def open_7b() -> Parts:
    """A large core that may be used for anything.

    Qwen2.5-7B-Instruct talks in 29 languages; SigLIP-so400m sees pictures, and films frame by
    frame; CLAP hears sounds that aren't speech. FLUX.1-schnell needs four steps for a picture, and
    Wan 2.1 1.3B is the smallest film model whose licence is permissive. No released audio pipeline
    of the table is (AudioLDM and AudioLDM 2 are non-commercial, Stable Audio Open limits revenue),
    so sounds are made by the primer's own, which knows twenty.

    Licences: Apache-2.0, every part. 80 GB to download; 116 GB of memory, 48 GB without Flux.
    """
    return Parts(
        "Qwen/Qwen2.5-7B-Instruct",
        {"image": SIGLIP_LARGE, "video": SIGLIP_LARGE, "audio": CLAP},
        {
            "image": "black-forest-labs/FLUX.1-schnell",
            "audio": str(weights_dir() / "decoders" / "audio"),
            "video": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        },
        tokens=32,
    )


def open_small() -> Parts:
    """A small core that may be used for anything, and fits a laptop.

    Qwen3-0.6B talks, in 100 languages; SigLIP-base and CLAP see and hear the real world. No small
    picture or film pipeline of the table is permissive (those of Stable Diffusion are OpenRAIL,
    which forbids uses), so the primer's decoders make its own small world.

    Licences: Apache-2.0, every part. 2.9 GB to download; 5 GB of memory.
    """
    root = weights_dir()
    return Parts(
        "Qwen/Qwen3-0.6B",
        {"image": SIGLIP_BASE, "video": SIGLIP_BASE, "audio": CLAP},
        {m: str(root / "decoders" / m) for m in MODALITIES},
    )


PRESETS: dict[str, Callable[[], Parts]] = {
    "primer": primer,
    "nextgpt-7b": nextgpt_7b,
    "open-7b": open_7b,
    "open-small": open_small,
}


def preset(name: str) -> Parts:
    """The parts of a preset.

    Raises:
        InputError: there is none of that name.
    """
    if name not in PRESETS:
        raise InputError(f"There is no preset {name!r}; there are {', '.join(PRESETS)}.")
    return PRESETS[name]()
