"""ImageBind: one space for pictures, films, sounds and text (Girdhar et al. 2023).

"ImageBind: One Embedding Space To Bind Them All", arXiv 2305.05665, section 3: a
transformer for each modality, a linear head into a joint space, trained by contrast
against pictures. The parameters bear the names and shapes of the published state dict, so
``imagebind_huge.pth`` loads strictly; its depth, thermal and IMU branches are left out.

Not covered: training (``heliograph.model.training``) and CLIP's tokenizer; text comes as
token ids.

Shape legend: B rows, C clips, P patches, W width of a branch, J width of the joint space.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, Self, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heliograph.model.checkpoint import read_json, read_weights
from heliograph.model.encoders import preprocess
from heliograph.model.encoders.branches import (
    AudioStem,
    LogitScale,
    Normalize,
    PatchPreprocessor,
    TextHead,
    TextPreprocessor,
    VisionStem,
    patch_head,
)
from heliograph.model.encoders.config import ImageBindConfig
from heliograph.model.encoders.layers import Trunk
from heliograph.model.errors import WeightsError, in_one_line
from heliograph.model.media import Clip, Film, Image
from heliograph.model.parts import MODALITIES, Modality

__all__ = ["ImageBind", "ImageBindConfig"]

Branch: TypeAlias = Literal["vision", "audio", "text"]
LEFT_OUT = (["depth"], ["thermal"], ["imu"])

AUDIO_SCALE = 20.0
FIRST_SCALE = 1 / 0.07


class ImageBind(nn.Module):
    """ImageBind's vision, audio and text branches, an ``Encoder`` of three modalities."""

    modalities: tuple[Modality, ...] = MODALITIES

    def __init__(self, config: ImageBindConfig) -> None:
        super().__init__()
        self.config = config
        vision, audio, text, joint = config.vision, config.audio, config.text, config.joint
        self.modality_preprocessors = nn.ModuleDict(
            {
                "vision": PatchPreprocessor(VisionStem(vision), vision.patches, vision.width),
                "text": TextPreprocessor(text),
                "audio": PatchPreprocessor(AudioStem(audio), audio.patches, audio.width),
            }
        )
        self.modality_trunks = nn.ModuleDict(
            {
                "vision": Trunk(vision.width, vision.blocks, vision.heads, pre_norm=True),
                "text": Trunk(text.width, text.blocks, text.heads),
                "audio": Trunk(
                    audio.width,
                    audio.blocks,
                    audio.heads,
                    bias_kv=True,
                    drop_path=audio.drop_path,
                ),
            }
        )
        self.modality_heads = nn.ModuleDict(
            {
                "vision": patch_head(vision.width, joint),
                "text": TextHead(text.width, joint),
                "audio": patch_head(audio.width, joint),
            }
        )
        self.modality_postprocessors = nn.ModuleDict(
            {
                "vision": Normalize(),
                "text": nn.Sequential(Normalize(), LogitScale(FIRST_SCALE, learned=True)),
                "audio": nn.Sequential(Normalize(), LogitScale(AUDIO_SCALE, learned=False)),
            }
        )

    def width(self, modality: Modality) -> int:
        """Width of the patch tokens."""
        return self.config.audio.width if modality == "audio" else self.config.vision.width

    def tokens(self, modality: Modality) -> int:
        """Patch tokens of one medium: of a film those of all its clips, of a sound those of one."""
        if modality == "audio":
            return self.config.audio.patches
        vision = self.config.vision
        return vision.patches * (vision.clips * vision.crops if modality == "video" else 1)

    @property
    def logit_scale(self) -> Tensor:
        """The learned factor of the contrast with text, a scalar that carries gradients."""
        scale: LogitScale = self.modality_postprocessors["text"][1]  # type: ignore[index]
        return scale.factor()

    def prepare(self, clip: Clip) -> Tensor:
        """One decoded clip as a tensor: see ``preprocess`` for the shape of each modality."""
        if isinstance(clip, Image):
            return preprocess.prepare_image(clip, self.config.vision)
        if isinstance(clip, Film):
            return preprocess.prepare_film(clip, self.config.vision)
        return preprocess.prepare_sound(clip, self.config.audio)

    def prepare_text(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Token ids of texts, without marks, as one tensor (B, L): marked, cut and padded."""
        text = self.config.text
        start = [] if text.start is None else [text.start]
        marked = [[*start, *ids][: text.context - 1] + [text.end] for ids in texts]
        longest = max(len(ids) for ids in marked)
        # What follows the end is never read, so any token pads.
        return torch.tensor([ids + [0] * (longest - len(ids)) for ids in marked])

    def patches(self, modality: Modality, x: Tensor) -> Tensor:
        """Patch tokens (B, tokens, W), normalised, without the class token.

        ``x`` is a batch of prepared clips: pictures (B, 3, H, W), films (B, C, 3, 2, H, W),
        sounds (B, C, 1, mel_bins, frames). The clips of a film follow each other; those
        of a sound are averaged, since sounds may differ in how many they have.
        """
        if modality == "image":
            return self._trunk("vision", x)[:, 1:]
        tokens = self._trunk("audio" if modality == "audio" else "vision", x.flatten(0, 1))
        tokens = tokens[:, 1:].reshape(*x.shape[:2], -1, tokens.shape[-1])  # (B, C, P, W)
        return tokens.mean(dim=1) if modality == "audio" else tokens.flatten(1, 2)

    def pooled(self, modality: Modality, x: Tensor) -> Tensor:
        """Unit vectors (B, J) in the joint space; ``x`` as ``patches`` takes it.

        As published, the vectors of a medium's clips are averaged; then the mean is brought
        back to length one, so that a dot product is a cosine for every modality.
        """
        branch: Branch = "audio" if modality == "audio" else "vision"
        if modality == "image":
            return self._joint(branch, x)
        clips = self._joint(branch, x.flatten(0, 1))  # (B*C, J)
        return F.normalize(clips.view(*x.shape[:2], -1).mean(dim=1), dim=-1)

    def pooled_text(self, ids: Tensor) -> Tensor:
        """Unit vectors (B, J) of texts; ``ids`` (B, L) as ``prepare_text`` makes them."""
        preprocessor = self.modality_preprocessors["text"]
        assert isinstance(preprocessor, TextPreprocessor)
        length = ids.shape[1]
        tokens = self.modality_trunks["text"](
            preprocessor(ids), preprocessor.mask[:length, :length]
        )
        return F.normalize(self.modality_heads["text"](tokens, self._ends(ids)), dim=-1)

    def _ends(self, ids: Tensor) -> Tensor:
        """The place of the token that ends each text, the first of its kind: (B, L) -> (B,)."""
        return (ids == self.config.text.end).int().argmax(dim=1)

    def _trunk(self, branch: Branch, x: Tensor) -> Tensor:
        """(B, ...) -> normalised tokens (B, 1+P, W)."""
        tokens = self.modality_trunks[branch](self.modality_preprocessors[branch](x))
        out: Tensor = self.modality_heads[branch][0](tokens)  # type: ignore[index]
        return out

    def _joint(self, branch: Branch, x: Tensor) -> Tensor:
        """(B, ...) -> unit vectors (B, J)."""
        tokens = self.modality_trunks[branch](self.modality_preprocessors[branch](x))
        return F.normalize(self.modality_heads[branch](tokens), dim=-1)

    def save_pretrained(self, directory: Path) -> None:
        """Write ``config.json`` and ``model.safetensors``, in the module's own precision."""
        from safetensors.torch import save_file

        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        config = {"kind": "imagebind", **asdict(self.config)}
        (directory / "config.json").write_text(
            json.dumps(config, indent=2) + "\n", encoding="utf-8"
        )
        tensors = {name: x.detach().contiguous() for name, x in self.state_dict().items()}
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})

    @classmethod
    def outline(cls, directory: Path) -> Self:
        """The model in a directory on the meta device, without its weights.

        Raises:
            WeightsError: there is none, or the sizes can't be built.
        """
        config = ImageBindConfig.from_dict(read_json(Path(directory) / "config.json"))
        with torch.device("meta"):
            return cls(config).eval()

    @classmethod
    def from_pretrained(cls, directory: Path, dtype: torch.dtype = torch.float32) -> Self:
        """Load what ``save_pretrained`` wrote, ready for inference.

        Raises:
            WeightsError: a file is missing or corrupt, or the weights don't fit the sizes.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        directory = Path(directory)
        try:
            config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
            tensors = load_file(directory / "model.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise WeightsError(f"No ImageBind can be read from {directory}: {error}.") from error
        return cls.from_tensors(tensors, ImageBindConfig.from_dict(config), dtype)

    @classmethod
    def from_published(
        cls,
        file: Path,
        config: ImageBindConfig | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Load the published ``imagebind_huge.pth``, leaving out depth, thermal and IMU.

        Raises:
            WeightsError: the file can't be read or holds something else.
        """
        tensors = read_weights(file)
        # Every name is ``modality_<part>.<branch>.…``.
        kept = {name: x for name, x in tensors.items() if name.split(".")[1:2] not in LEFT_OUT}
        return cls.from_tensors(kept, config or ImageBindConfig.huge(), dtype)

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, Tensor],
        config: ImageBindConfig,
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """A model that takes over ``tensors`` without a second copy, ready for inference.

        Raises:
            WeightsError: the weights don't fit the sizes.
        """
        try:
            with torch.device("meta"):
                model = cls(config)
            model.load_state_dict(dict(tensors), strict=True, assign=True)
        except (RuntimeError, TypeError, ValueError) as error:
            what = in_one_line(error)
            raise WeightsError(f"The weights don't fit this ImageBind: {what}") from error
        return model.to(dtype).eval()
