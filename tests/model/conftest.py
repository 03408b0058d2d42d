from __future__ import annotations

import pytest
import torch

from heliograph.model.core import AnyToAny
from heliograph.model.testing import learn_by_heart, small_core


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small matrices are faster on one thread."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def learned_core() -> AnyToAny:
    """A small core that knows ``testing.LESSONS`` by heart; don't change it."""
    core = small_core()
    learn_by_heart(core)
    return core
