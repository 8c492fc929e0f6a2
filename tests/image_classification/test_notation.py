import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shiftaddnas.errors import UserError
from tasks.image_classification import HybridSpace
from tasks.image_classification.notation import by_indices, by_stages, notations, read_notation

SPEC = os.environ.get("SHIFTADDNAS_SPEC")
V3 = "[1,1],[1,1,1,1],[3,1,0,2,2],[0,0,1,0,0]", "11 11 8 8 8 8 7 5 4 6 6 0 0 1 0 0"
V4 = "[1,1],[1,3,1,1],[3,1,0,3,3],[0,0,1,0,0]", "11 11 8 10 8 8 7 5 4 7 7 0 0 1 0 0"


@pytest.mark.parametrize(("stages", "indices"), [V3, V4])
def test_the_searched_networks_in_both_notations(stages: str, indices: str, hytra_space: HybridSpace) -> None:
    arch = read_notation(stages, hytra_space)
    assert arch is not None
    assert arch["depths"] == (2, 4, 5, 5)
    assert arch["layer_6"] == "shift"
    assert arch["layer_8"] == "attention"
    assert read_notation(indices, hytra_space) == arch
    assert by_stages(arch, hytra_space) == stages
    assert by_indices(arch, hytra_space) == indices
    assert hytra_space.notations(arch) == (stages, indices)


@pytest.mark.parametrize(
    "text", ["[[1, 1], [1,3,1,1], [3,1,0,3,3], [0,0,1,0,0]]", "11,11,8,10,8,8,7,5,4,7,7,0,0,1,0,0"]
)
def test_commas_spaces_and_outer_brackets_are_free(text: str, hytra_space: HybridSpace) -> None:
    assert read_notation(text, hytra_space) == read_notation(V4[0], hytra_space)


def test_what_is_written_is_read_again(hytra_space: HybridSpace, digits_space: HybridSpace) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        arch = hytra_space.sample(rng)
        assert read_notation(by_stages(arch, hytra_space), hytra_space) == arch
        assert read_notation(by_indices(arch, hytra_space), hytra_space) == arch
        small = digits_space.sample(rng)
        assert read_notation(by_stages(small, digits_space), digits_space) == small
        assert [read_notation(text, digits_space) for text in notations(small, digits_space)] == [small]


def test_an_operator_without_an_index_is_written_by_stages_alone(hytra_space: HybridSpace) -> None:
    levels = [replace(hytra_space.levels[0], operators=("attention",)), *hytra_space.levels[1:]]
    space = HybridSpace("early", hytra_space.shapes.stem, levels, 4, [(1, 1, 1, 1)], head_dim=32)
    arch = space.all_cheap(space.sample(np.random.default_rng(0)))
    assert space.notations(arch) == ("[0],[3],[3],[1]",)
    assert space.read_notation("[0],[3],[3],[1]") == arch


@pytest.mark.parametrize("text", ["digits_mixed", "runs/arch.yaml", "", "[]", "[a]"])
def test_other_texts_are_left_alone(text: str, hytra_space: HybridSpace) -> None:
    assert read_notation(text, hytra_space) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1],[2]", "has 2 stages, the space 4 levels"),
        ("[1,1],[1,4,1,1],[3,1,0,3,3],[0,0,1,0,0]", "4 stands for no operator; there are 0 attention"),
        ("[1],[1],[1],[1]", "depths"),
        (V4[1].replace("8 10", "8 ] 10"), "has brackets between its indices"),
        ("[0,1],[1,3,1,1],[3,1,0,3,3],[0,0,1,0,0]", "layer_0"),
        (V4[1].replace("11", "14", 1), "14 stands for no operator"),
        ("[1,1],[1,3,1,1],[3,1,0,3,3],[0,0,1,0,0],7", "between or behind"),
        ("[1,1][1,3,1,1]3[3,1,0,3,3],[0,0,1,0,0]", "between or behind"),
        ("8 11 8 10 8 8 7 5 4 7 7 0 0 1 0 0", "a path only goes down"),
    ],
)
def test_wrong_archs_say_what_is_wrong(text: str, message: str, hytra_space: HybridSpace) -> None:
    with pytest.raises(UserError, match=message):
        read_notation(text, hytra_space)


def test_indices_need_four_levels(digits_space: HybridSpace) -> None:
    with pytest.raises(UserError, match=r"digits has 3: write it by stages"):
        read_notation("11 8 4 4 4 4", digits_space)


@pytest.mark.skipif(SPEC is None, reason="SHIFTADDNAS_SPEC names no folder with arch_test_archs.csv")
def test_the_thousand_recorded_archs_are_of_the_space(hytra_space: HybridSpace) -> None:
    with (Path(str(SPEC)) / "arch_test_archs.csv").open() as file:
        rows = [row for row in csv.reader(file) if not row[0].startswith("#")]
    archs = {read_notation(",".join(row), hytra_space) for row in rows}
    assert len(archs) == len(rows) == 1000
    assert None not in archs
