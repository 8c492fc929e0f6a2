import hashlib
import subprocess
import sys

import numpy as np
import pytest

from shiftaddnas.errors import UserError
from shiftaddnas.tracking import child_generator, child_seed


def test_stream_is_that_of_the_hashed_name():
    digest = hashlib.sha256(b'["search", 3]').digest()
    expected = np.random.default_rng(np.random.SeedSequence([7, int.from_bytes(digest, "big")])).random(4)
    assert np.array_equal(child_generator(7, "search", 3).random(4), expected)


def test_same_in_another_process():
    code = "from shiftaddnas.tracking import child_seed; print(child_seed(5, 'paths', 2))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(other.stdout) == child_seed(5, "paths", 2)


def test_each_argument_matters():
    calls = [(0, "a"), (1, "a"), (0, "b"), (0, "a", "b"), (0, "b", "a"), (0, "ab"), (0, 1), (0, "1"), (0,)]
    assert len({child_seed(*call) for call in calls}) == len(calls)
    assert len({child_generator(*call).integers(2**62) for call in calls}) == len(calls)


def test_child_seed_has_63_bits():
    seeds = [child_seed(seed, "x") for seed in range(200)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) >= 2**62


def test_drawing_leaves_global_state_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    child_generator(0, "x").random(10)
    assert np.array_equal(np.random.get_state()[1], before)


def test_negative_seed_is_refused():
    with pytest.raises(UserError, match="seed=-1"):
        child_seed(-1, "x")
