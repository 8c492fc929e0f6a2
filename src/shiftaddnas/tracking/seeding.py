"""Random numbers by name: every consumer has a generator of its own, made from the run's one seed.

There is no global random state, because with one shared stream each draw moves every later one: a further evaluation,
another number of workers or a resumed run would change results that have nothing to do with it. A named child depends
on the seed and its names alone, so what is resumed, reordered or run in parallel draws the same numbers.
"""

import hashlib
import json

import numpy as np

from shiftaddnas.errors import UserError


def _sequence(seed: int, names: tuple[str | int, ...]) -> np.random.SeedSequence:
    if seed < 0:
        raise UserError(f"seed={seed}: a seed is a whole number from 0")
    # Python's own hash() differs between processes; JSON keeps the name "1" apart from the number 1.
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return np.random.SeedSequence([seed, int.from_bytes(digest, "big")])


def child_generator(seed: int, *names: str | int) -> np.random.Generator:
    """The generator of one consumer, for instance `child_generator(seed, "search", generation)`.

    Equal arguments give equal streams, in every process and Python version; other names or another seed give
    independent ones.

    Raises:
        UserError: the seed is negative.
    """
    return np.random.default_rng(_sequence(seed, names))


def child_seed(seed: int, *names: str | int) -> int:
    """A seed of 63 bits for what takes a number, such as `torch.Generator.manual_seed`; see `child_generator`.

    Raises:
        UserError: the seed is negative.
    """
    return int(_sequence(seed, names).generate_state(1, np.uint64)[0]) >> 1
