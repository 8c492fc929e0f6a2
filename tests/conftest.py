"""What several test files need: the shipped spaces."""

import os

# As many tests as cores run at once; threads of torch beside them would only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from composed import built
from tasks.image_classification import HybridSpace


@pytest.fixture(scope="session")
def digits_space() -> HybridSpace:
    space: HybridSpace = built("space", "space=digits")
    return space


@pytest.fixture(scope="session")
def hytra_space() -> HybridSpace:
    space: HybridSpace = built("space", "space=hytra_hybrid")
    return space
