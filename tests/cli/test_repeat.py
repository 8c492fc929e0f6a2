"""The command line that repeats settings says each that differs, in Hydra's grammar."""

import pytest

from shiftaddnas.cli.repeat import _overrides


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
