"""Sets of a few cases in their published formats, and tiny networks of the real classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heliograph.model.media import Film, Image, Sound, save, write

COLOURS = ((200, 30, 30), (30, 160, 60), (40, 60, 200), (220, 200, 40))


def picture(number: int, side: int = 24) -> Image:
    """A flat colour with a little noise."""
    noise = np.random.default_rng(number).integers(0, 20, (side, side, 3))
    return Image((np.array(COLOURS[number % 4]) + noise).clip(0, 255).astype(np.uint8))


def sound(number: int, seconds: float = 0.3, rate: int = 16_000) -> Sound:
    """Noise through a filter of its own."""
    rng = np.random.default_rng(number)
    noise = rng.normal(0, 0.2, round(seconds * rate))
    made = np.convolve(noise, np.cos(np.arange(8) * number) / 4, "same")
    return Sound(made.clip(-1, 1).astype(np.float32), rate)


def film(number: int) -> Film:
    """Four frames that get brighter."""
    return Film(np.stack([picture(number).pixels // (4 - i) for i in range(4)]), 8.0)


def put(folder: Path, name: str, clip: Image | Sound | Film) -> Path:
    """Write a clip; the kind gives the suffix."""
    return save(write(clip), folder, name)


def jpeg(folder: Path, name: str, clip: Image) -> None:
    """Write a picture as JPEG under its whole name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(write(clip, "image/jpeg").data)


def put_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """COCO's own file of captions, val2014, of four pictures."""
    root = tmp_path / "coco"
    names = [f"COCO_val2014_{number:012d}.jpg" for number in range(1, 5)]
    put_json(
        root / "annotations" / "captions_val2014.json",
        {
            "info": {"description": "COCO 2014 Dataset", "year": 2014},
            "images": [
                {"license": 1, "file_name": name, "id": i, "height": 24, "width": 24}
                for i, name in enumerate(names, 1)
            ],
            "licenses": [{"id": 1, "name": "none"}],
            "annotations": [
                {"image_id": i, "id": 10 * i + j, "caption": f"draw a dog{' ' * j}\n"}
                for i in range(1, 5)
                for j in range(2)
            ],
        },
    )
    for i, name in enumerate(names):
        jpeg(root / "val2014", name, picture(i))
    return root


@pytest.fixture
def audiocaps(tmp_path: Path) -> Path:
    """AudioCaps' test.csv: two clips, one of which nobody can download any more."""
    root = tmp_path / "audiocaps"
    root.mkdir()
    (root / "test.csv").write_text(
        "audiocap_id,youtube_id,start_time,caption\n"
        '103549,7fmOlUlwoNg,20,"A bell rings, twice"\n'
        "103550,7fmOlUlwoNg,20,play a bell\n"
        "103551,-BxfsWlPUPY,40,An engine hums\n"
    )
    put(root / "wav", "Y7fmOlUlwoNg", sound(1))
    return root


@pytest.fixture
def msrvtt(tmp_path: Path) -> Path:
    """MSR-VTT's test file of two films."""
    root = tmp_path / "msrvtt"
    put_json(
        root / "test_videodatainfo.json",
        {
            "info": {"contributor": "Microsoft MSM group", "version": "1.0"},
            "videos": [
                {
                    "category": 9,
                    "url": "https://www.youtube.com/watch?v=x",
                    "video_id": f"video{i}",
                    "start time": 137.72,
                    "end time": 149.44,
                    "split": "test" if i < 7012 else "train",
                    "id": i,
                }
                for i in (7010, 7011, 7012)
            ],
            "sentences": [
                {"caption": "film a cat", "video_id": f"video{i}", "sen_id": i}
                for i in (7010, 7011, 7012, 7010)
            ],
        },
    )
    for i in (7010, 7011):
        put(root / "TestVideo", f"video{i}", film(i))
    return root


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    """LibriSpeech's test-clean: two speakers, of whom one speaks two utterances."""
    root = tmp_path / "librispeech"
    said = {"61-70-0000": "A DOG BARKS", "61-70-0001": "IT'S THE BELL", "908-31-0000": "HE SINGS"}
    for number, (name, text) in enumerate(said.items()):
        speaker, chapter, _ = name.split("-")
        folder = root / "test-clean" / speaker / chapter
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{speaker}-{chapter}.trans.txt").open("a") as file:
            file.write(f"{name} {text}\n")
        (folder / f"{name}.flac").write_bytes(write(sound(number), "audio/flac").data)
    return root


@pytest.fixture
def vqav2(tmp_path: Path) -> Path:
    """VQAv2's questions and annotations, val2014: three questions about two pictures."""
    root = tmp_path / "vqav2"
    asked = {1001: (1, "Is it red?"), 1002: (1, "How many?"), 2001: (2, "What is it?")}
    people = {1001: ["yes"] * 10, 1002: ["2"] * 3 + ["two"] * 7, 2001: ["dog"] * 9 + ["cat"]}
    kinds = {1001: "yes/no", 1002: "number", 2001: "other"}
    about = {"info": {}, "data_type": "mscoco", "data_subtype": "val2014", "license": {}}
    put_json(
        root / "v2_OpenEnded_mscoco_val2014_questions.json",
        {
            **about,
            "task_type": "Open-Ended",
            "questions": [
                {"image_id": image, "question": text, "question_id": number}
                for number, (image, text) in asked.items()
            ],
        },
    )
    put_json(
        root / "v2_mscoco_val2014_annotations.json",
        {
            **about,
            "annotations": [
                {
                    "question_type": "is it",
                    "multiple_choice_answer": people[number][0],
                    "answers": [
                        {"answer": said, "answer_confidence": "yes", "answer_id": i}
                        for i, said in enumerate(people[number], 1)
                    ],
                    "image_id": image,
                    "answer_type": kinds[number],
                    "question_id": number,
                }
                for number, (image, _) in asked.items()
            ],
        },
    )
    for i in (1, 2):
        jpeg(root / "val2014", f"COCO_val2014_{i:012d}.jpg", picture(i))
    return root


@pytest.fixture
def scienceqa(tmp_path: Path) -> Path:
    """ScienceQA's problems: one with a picture, one with a hint, one with neither."""
    root = tmp_path / "scienceqa"
    problem = {"task": "closed choice", "topic": "t", "category": "c", "skill": "s"}
    problem |= {"lecture": "", "solution": "", "split": "test"}
    common: dict[str, Any] = {**problem, "hint": "", "image": None}
    put_json(
        root / "problems.json",
        {
            "4": {
                **common,
                "question": "Which is red?",
                "choices": ["the left", "the right"],
                "answer": 0,
                "image": "image.png",
                "grade": "grade2",
                "subject": "natural science",
            },
            "5": {
                **common,
                "question": "Which word?",
                "choices": ["dog", "cat", "bell"],
                "answer": 2,
                "hint": "It rings.",
                "grade": "grade8",
                "subject": "language science",
            },
            "6": {
                **common,
                "question": "Which year?",
                "choices": ["1990", "2000"],
                "answer": 1,
                "grade": "grade12",
                "subject": "social science",
            },
        },
    )
    put_json(root / "pid_splits.json", {"train": [], "test": ["4", "5", "6"]})
    put(root / "images" / "test" / "4", "image", picture(0))
    return root


@pytest.fixture
def llava_bench(tmp_path: Path) -> Path:
    """LLaVA-Bench (In-the-Wild): three questions about two pictures."""
    root = tmp_path / "bench"
    rows = [(0, "001.jpg", "conv"), (1, "001.jpg", "detail"), (2, "002.jpg", "complex")]
    files = {
        "questions.jsonl": [
            {"question_id": n, "image": i, "category": c, "text": f"What of {n}?"}
            for n, i, c in rows
        ],
        "context.jsonl": [
            {"id": "001", "image": "001.jpg", "caption": "A red square."},
            {"id": "002", "image": "002.jpg", "caption": ["A green square.", "It is flat."]},
        ],
        "answers_gpt4.jsonl": [
            {"question_id": n, "prompt": "…", "answer_id": f"a{n}", "text": f"Reference {n}."}
            for n, _, _ in rows
        ],
    }
    root.mkdir()
    for name, values in files.items():
        (root / name).write_text("".join(json.dumps(value) + "\n" for value in values))
    for i in (1, 2):
        jpeg(root / "images", f"{i:03d}.jpg", picture(i))
    return root


@pytest.fixture(scope="session")
def clip_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of the real classes with a tokenizer of our own."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    from heliograph.model.tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("clip")
    tokenizer = train_tokenizer(("a red dog and a green bell",) * 10, 300)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2}
    config = CLIPConfig(
        vision_config={**sizes, "image_size": 16, "patch_size": 8},
        text_config={
            **sizes,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 16,
            "bos_token_id": 0,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        projection_dim=6,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        CLIPModel(config).save_pretrained(folder)
    size = {"height": 16, "width": 16}
    CLIPImageProcessorPil(size=size, crop_size=size).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def vit_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT classifier of five classes."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    folder = tmp_path_factory.mktemp("vit")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        ViTForImageClassification(
            ViTConfig(
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                image_size=16,
                patch_size=8,
                num_labels=5,
            )
        ).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def clap_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLAP of the real classes, fusing long sounds as the published ones do."""
    import torch
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    folder = tmp_path_factory.mktemp("clap")
    config = ClapConfig(
        audio_config={
            "spec_size": 64,
            "num_mel_bins": 16,
            "patch_size": 4,
            "patch_stride": [4, 4],
            "hidden_size": 16,
            "patch_embeds_hidden_size": 8,
            "depths": [1, 1],
            "num_attention_heads": [2, 2],
            "window_size": 2,
            "enable_fusion": True,
            "aff_block_r": 2,
        },
        text_config={
            "vocab_size": 50,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 16,
        },
        projection_dim=6,
    )
    with torch.random.fork_rng():
        torch.manual_seed(2)
        ClapModel(config).save_pretrained(folder)
    ClapFeatureExtractor(
        feature_size=16, sampling_rate=16_000, max_length_s=10, frequency_max=8000, hop_length=800
    ).save_pretrained(folder)
    return folder
