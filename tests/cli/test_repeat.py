"""The command line that repeats settings says each that differs, in Hydra's grammar."""

import math

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from shiftaddnas.cli.repeat import _overrides, _written


@pytest.mark.parametrize(
    ("before", "after", "written"),
    [
        (1.0, 1, ["trainer.limit_test_batches=1"]),  # one batch is not all of them
        (1, 1, []),
        (None, "a b", ['trainer.limit_test_batches="a b"']),
        ({"a": 1}, {"a": [1, 2], "b": {"c": None}}, None),
    ],
)
def test_what_differs_is_said(before: object, after: object, written: list[str] | None) -> None:
    if written is None:
        written = ["trainer.limit_test_batches.a=[1,2]", "+trainer.limit_test_batches.b={c:null}"]
    assert list(_overrides("trainer.limit_test_batches", before, after)) == written


@pytest.mark.parametrize(
    "value",
    [
        "jürgen", "a b", "", "own (1)", "own, v2", 'says "a"', "it's", "a\\b", "ends with \\", '\\"', "\t", "null", "1",
        "a=b", "[1]", "{a:1}", math.inf, -math.inf, 1e-7, 3, True, None, ["a,b", 1.0], {"a": "x y"},
    ],
)  # fmt: skip
def test_hydra_reads_what_is_written(value: object) -> None:
    override = OverridesParser.create().parse_override(f"key={_written(value)}")
    assert override.value() == value
    assert type(override.value()) is not str or isinstance(value, str)
