from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_core_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole core on disk, of the real classes, that knows a few requests by heart.

    It says "here: " and a picture to "draw a dog", a sound to "play a bell", "ok " and a
    film to "film a cat", and calls ``calculate`` for "and 12 + 30?"; its media are noise.
    """
    import torch

    from heliograph.model.core import AnyToAny
    from heliograph.model.decoders.testing import (
        LENGTH,
        small_films,
        small_pictures,
        small_sounds,
    )
    from heliograph.model.decoders.testing import WIDTH as CONDITION
    from heliograph.model.encoders.small import imagebind
    from heliograph.model.parts import Media
    from heliograph.model.projections import InputProjectionConfig, OutputProjection
    from heliograph.model.testing import LESSONS, WIDTH, learn_by_heart, small_language

    torch.set_num_threads(1)
    torch.manual_seed(0)
    encoder = imagebind()
    language = small_language(context=512)
    pictures = small_pictures()
    core = AnyToAny.build(
        language,
        {
            m: InputProjectionConfig(
                "resampler", encoder.width(m), encoder.tokens(m), WIDTH, tokens=2, hidden=16
            ).build()
            for m in encoder.modalities
        },
        {
            spec.modality: OutputProjection(
                WIDTH, CONDITION, LENGTH, spec.count, hidden=16, layers=1, heads=2, ff=32
            )
            for spec in language.table.specs
        },
        {"imagebind": encoder},
        {"image": pictures, "audio": small_sounds(), "video": small_films(pictures)},
    )
    learn_by_heart(
        core,
        [
            lesson
            for lesson in LESSONS
            if not any(isinstance(part, Media) for part in lesson[0].parts)
        ],
    )
    directory = tmp_path_factory.mktemp("core")
    core.save_pretrained(directory)
    return directory
