"""Operator schedules: which stage an epoch belongs to."""

import pytest

from shiftaddnas.engine import OperatorSchedule, Stage
from shiftaddnas.errors import UserError


def test_stages_follow_their_shares() -> None:
    schedule = OperatorSchedule([Stage(0.3, ("conv",)), Stage(0.6, ("add",), ("conv",)), Stage(1.0)])
    ends = [schedule.stage(epoch, 10).until for epoch in range(10)]
    assert ends == [0.3] * 3 + [0.6] * 3 + [1.0] * 4


@pytest.mark.parametrize(("until", "num_epochs", "num_in_stage"), [(0.28, 25, 7), (0.56, 100, 56), (0.3, 7, 3)])
def test_a_share_that_floats_cannot_hold_ends_where_it_should(until: float, num_epochs: int, num_in_stage: int) -> None:
    schedule = OperatorSchedule([Stage(until, ("conv",)), Stage(1.0)])
    assert [schedule.stage(epoch, num_epochs).until for epoch in range(num_epochs)].count(until) == num_in_stage


def test_training_beyond_its_end_stays_in_the_last_stage() -> None:
    assert OperatorSchedule([Stage(0.5, ("conv",)), Stage(1.0)]).stage(12, 10).operators is None


@pytest.mark.parametrize("ends", [(), (0.5,), (0.6, 0.3, 1.0), (0.0, 1.0), (0.5, 0.5, 1.0), (0.5, 1.5)])
def test_ends_must_rise_to_one(ends: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="until"):
        OperatorSchedule([Stage(end) for end in ends])
