"""What every space promises, as a check that its author can run in a test."""

import json
import pickle
from collections.abc import Iterable
from typing import Any, TypeVar, get_args

import numpy as np

from shiftaddnas.hardware import Layer
from shiftaddnas.spaces import Arch, Law, Space, as_choice

W = TypeVar("W")

MAX_ENUMERATED = 20_000
"""Spaces of at most so many archs are checked against their enumeration."""
NUM_SAMPLES = 50


def check_space(space: Space[Any, W], workload: W, *, seed: int = 0) -> None:
    """Assert that archs are legal however they are made, that they survive every notation, and that they can be priced.

    Takes seconds. Raises AssertionError with the promise that was broken, or whatever the space itself raises.
    """
    rng = np.random.default_rng(seed)
    for law in get_args(Law):
        first, again = (_samples(space, np.random.default_rng(seed), law) for _ in range(2))
        assert first == again, f"sample(law={law!r}) gives other archs from the same generator"
        copy = pickle.loads(pickle.dumps(space))
        assert _samples(copy, np.random.default_rng(seed), law) == first, "a pickled copy samples otherwise"
        _check_coded(space, first, law, seed)
        for arch in first:
            _check_notations(space, arch)
            _check_priced(space, arch, workload)
        for arch, other in zip(first, reversed(first), strict=True):
            _check_relatives(space, arch, other, rng, law)
    assert space.restricted(()).size() == space.size(), "restricted to no operator, the space is not left as it is"
    if space.size() <= MAX_ENUMERATED:
        _check_enumeration(space, workload)


def _samples(space: Space[Any, Any], rng: np.random.Generator, law: Law) -> list[Arch]:
    return [space.sample(rng, law) for _ in range(NUM_SAMPLES)]


def _check_notations(space: Space[Any, Any], arch: Arch) -> None:
    space.validate(arch)
    assert space.decode(space.encode(arch)) == arch, f"decode(encode(arch)) is another arch than {arch}"
    stored = json.loads(json.dumps(arch.to_json()))
    read = space.arch({name: as_choice(choice) for name, choice in stored.items()})
    assert read == arch, f"{arch} changes when it is written as JSON and read"
    assert read.id == arch.id, f"{arch} has another id when it is read again"
    for text in space.notations(arch):
        assert space.read_notation(text) == arch, f"read_notation() reads {text!r} as another arch than {arch}"
    label = space.describe(arch)
    assert label, f"describe({arch}) is empty"
    assert "\n" not in label, f"describe({arch}) has several lines"


def _check_coded(space: Space[Any, Any], archs: list[Arch], law: Law, seed: int) -> None:
    coded = space.coded(archs)
    assert list(coded) == archs, "coded() changes archs"
    assert list(space.from_codes(coded.codes)) == archs, "from_codes() does not give back what was coded"
    for arch, code in zip(archs, coded.codes.tolist(), strict=True):
        padded = [*space.encode(arch), *[-1] * (len(code) - len(arch.decisions))]
        assert code == padded, f"{arch} has another code when it is coded among others"
    for arch in space.sample_many(NUM_SAMPLES, np.random.default_rng(seed), law):
        space.validate(arch)


def _check_priced(space: Space[Any, W], arch: Arch, workload: W) -> None:
    layers = space.arch_layers(arch, workload)
    assert layers, f"{arch} has no layers"
    assert set(space.terms(arch)) <= space.all_terms(), f"all_terms() lacks terms of {arch}"
    for layer in layers:
        assert layer.num_taps > 0, f"{layer} computes nothing"
        assert layer.num_params >= 0, f"{layer} has a negative number of parameters"
        assert layer.C % layer.groups == layer.M % layer.groups == 0, f"{layer} has groups of unequal width"
    again = space.arch_layers(arch, workload)
    assert again == layers, f"layers of {arch} differ when they are asked for again"


def _check_relatives(space: Space[Any, Any], arch: Arch, other: Arch, rng: np.random.Generator, law: Law) -> None:
    for probability in (0.2, 1.0):
        space.validate(space.mutate(arch, rng, probability=probability, law=law))
    assert space.mutate(arch, rng, probability=0.0, law=law) == arch, f"mutation with probability 0 changes {arch}"
    assert space.crossover(arch, arch, rng) == arch, f"the crossover of {arch} with itself is another arch"
    child = space.crossover(arch, other, rng)
    if child is not None:
        space.validate(child)
    for relative in (space.all_multiplication(arch), space.all_cheap(arch)):
        space.validate(relative)


def _check_enumeration(space: Space[Any, W], workload: W) -> None:
    archs = list(space.archs())
    assert len(archs) == space.size(), f"size() is {space.size()}, but archs() gives {len(archs)}"
    assert len({arch.id for arch in archs}) == len(archs), "archs() gives an arch twice, or two archs have one id"
    taps = {term: float(_num_taps(space.layers(term, workload))) for term in space.all_terms()}
    totals = [sum(taps[term] for term in space.terms(arch)) for arch in archs]
    found, exact = space.extremes(taps), (min(totals), max(totals))
    assert np.allclose(found, exact, rtol=1e-9), f"extremes() gives {found}, the archs have {exact}"


def _num_taps(layers: Iterable[Layer]) -> int:
    return sum(layer.num_taps for layer in layers)
