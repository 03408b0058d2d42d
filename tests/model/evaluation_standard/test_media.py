"""Networks that a user names, on tiny ones of the real classes; figures of media."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from heliograph.model.errors import InputError, WeightsError
from heliograph.model.evaluation.standard.fidelity import frechet
from heliograph.model.evaluation.standard.making import Made, Networks, figures, media_files
from heliograph.model.evaluation.standard.networks import ClassNetwork, ClipNetwork, FeatureNetwork
from heliograph.model.media import load, read

from .conftest import film, jpeg, picture, put, sound


def test_clip_similarity_is_the_models_own(clip_dir: Path) -> None:
    """CLIP's logits are its scale times the cosine."""
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

    model = CLIPModel.from_pretrained(clip_dir).eval()
    pixels = AutoImageProcessor.from_pretrained(clip_dir, backend="pil")(
        [picture(1).pixels], return_tensors="pt"
    )
    words = AutoTokenizer.from_pretrained(clip_dir)(["a red dog"], return_tensors="pt")
    with torch.no_grad():
        logits = model(pixel_values=pixels["pixel_values"], input_ids=words["input_ids"])
        expected = float(logits.logits_per_image / model.logit_scale.exp())
    network = ClipNetwork(clip_dir)
    assert network.similarity(picture(1), "a red dog") == pytest.approx(expected, abs=1e-5)
    # A film's is the mean over its frames.
    frames = [network.similarity(type(picture(1))(f), "a dog") for f in film(1).frames]
    assert network.similarity(film(1), "a dog") == pytest.approx(sum(frames) / 4, abs=1e-5)


def test_features_are_not_of_untrained_poolers(vit_dir: Path) -> None:
    """A ViT classifier has no pooler: a fresh one would give other features at each load."""
    first, second = (FeatureNetwork(vit_dir).of([picture(1)]) for _ in range(2))
    assert torch.equal(first, second) and first.shape == (1, 16)


def test_clap_hears(clap_dir: Path) -> None:
    network = FeatureNetwork(clap_dir)
    found = network.of(sound(i) for i in range(3))
    assert found.shape == (3, 6) and not torch.allclose(found[0], found[1])
    with pytest.raises(InputError, match="doesn't read pictures"):
        network.of([picture(1)])
    with pytest.raises(WeightsError, match="pictures and words"):
        ClipNetwork(clap_dir)


def test_a_network_of_films_is_refused(tmp_path: Path) -> None:
    from transformers import VideoMAEConfig, VideoMAEImageProcessorPil, VideoMAEModel

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = VideoMAEConfig(
        image_size=16, patch_size=8, num_frames=2, num_attention_heads=2, **sizes
    )
    VideoMAEModel(config).save_pretrained(tmp_path)
    VideoMAEImageProcessorPil(size={"shortest_edge": 16}).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="frame by frame here"):
        FeatureNetwork(tmp_path)


def test_what_is_no_network_is_one_sentence(tmp_path: Path, clip_dir: Path) -> None:
    for kind in (FeatureNetwork, ClassNetwork, ClipNetwork):
        with pytest.raises(WeightsError):
            kind(tmp_path)
        with pytest.raises(WeightsError, match="There is no network in .*nowhere: put"):
            kind(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="classifier"):
        ClassNetwork(clip_dir)


def test_pictures_against_real_ones(tmp_path: Path, clip_dir: Path, vit_dir: Path) -> None:
    made = {str(i): put(tmp_path / "made", str(i), picture(i)) for i in range(4)}
    real = {str(i): put(tmp_path / "real", str(i), picture(i + 2)) for i in range(4)}
    networks = Networks.load(clip_dir, vit_dir, clip_dir)
    found = figures(Made("image", made, real, dict.fromkeys(made, "a red dog")), networks)
    values = {figure.name: figure for figure in found.figures}
    assert list(values) == ["FID", "IS", "CLIPSIM"] and not found.missing
    features = FeatureNetwork(clip_dir)
    expected = frechet(
        features.of(map(picture, range(4))), features.of(picture(i + 2) for i in range(4))
    )
    assert values["FID"].value == pytest.approx(expected) and values["FID"].better == "lower"
    assert "biased" in values["FID"].note and str(clip_dir) in values["FID"].note
    assert 1 <= values["IS"].value <= 5 and values["CLIPSIM"].count == 4
    same = figures(Made("image", made, made), Networks.load(clip_dir, None, clip_dir))
    assert same.figures[0].value == pytest.approx(0, abs=1e-6)
    assert "--classifier" in same.missing["IS"] and "caption" in same.missing["CLIPSIM"]
    alone = figures(Made("image", made), Networks.load(clip_dir, None, None))
    assert "real media" in alone.missing["FID"]
    with pytest.raises(InputError, match="leave --clip out"):
        Networks.load(None, None, clip_dir).check("audio")


def test_sounds_against_real_ones(tmp_path: Path, clap_dir: Path) -> None:
    made = {str(i): put(tmp_path / "made", str(i), sound(i)) for i in range(3)}
    real = {str(i): put(tmp_path / "real", str(i), sound(i)) for i in range(1, 4)}
    found = figures(Made("audio", made, real, paired=True), Networks.load(clap_dir, None, None))
    values = {figure.name: figure for figure in found.figures}
    features = FeatureNetwork(clap_dir)
    ours, theirs = (features.of(read(load(f)) for f in files.values()) for files in (made, real))
    assert values["FAD"].value == pytest.approx(frechet(ours, theirs)) and values["FAD"].value > 0
    # Two of the three have a partner of the same name, which is the same sound.
    assert (values["MCD"].count, values["MCD"].unit) == (2, "dB")
    assert values["MCD"].value == pytest.approx(0, abs=1e-6)


def test_without_networks_each_figure_says_what_it_needs(tmp_path: Path, vit_dir: Path) -> None:
    made = {"1": put(tmp_path, "1", picture(1))}
    found = figures(Made("image", made, made, {"1": "a dog"}), Networks())
    assert not found.figures and set(found.missing) == {"FID", "IS", "CLIPSIM"}
    assert all("--" in sentence for sentence in found.missing.values())
    with pytest.raises(InputError, match="doesn't read sounds"):
        Networks.load(vit_dir, None, None).check("audio")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures, sounds or films"):
        media_files(tmp_path / "empty")
    jpeg(tmp_path, "1.jpeg", picture(1))
    with pytest.raises(InputError, match="has both 1.jpeg and 1.png"):
        media_files(tmp_path)
