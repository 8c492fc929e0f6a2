import json
from pathlib import Path

import numpy as np
import pytest
from latency_lab import ARCHS, PROTOCOL, SPACE, Lab

from shiftaddnas.errors import UserError
from shiftaddnas.latency import Conditions, Measurements, measure, sample_archs
from shiftaddnas.spaces import Law

CONDITIONS = Conditions({"cpu": "abacus"}, {"space": "tiny"})
CHOSEN = ARCHS[::11]


def opened(path: Path) -> Measurements:
    return Measurements(path, CONDITIONS, "output")


def test_archs_are_timed_in_turns(tmp_path: Path) -> None:
    lab = Lab()
    timings = measure(CHOSEN, lab.networks(), opened(tmp_path / "m.jsonl"), PROTOCOL, clock=lab.clock)
    assert lab.order == [arch.id for arch in CHOSEN] * 4
    for arch, timing in zip(CHOSEN, timings, strict=True):
        # the rounds take d, d + 0.1, d + 0.2, d + 0.3
        assert timing.latency_ms == pytest.approx(len(arch.decisions) + 0.075)
        assert timing.iqr_ms == pytest.approx(0.15)
        assert timing.num_samples == 4


def test_every_round_is_a_line_that_tells_all(tmp_path: Path) -> None:
    lab, path = Lab(), tmp_path / "m.jsonl"
    measure(CHOSEN[:1], lab.networks(), opened(path), PROTOCOL, phase="retest", clock=lab.clock)
    header, *lines = map(json.loads, path.read_text().splitlines())
    assert header == {"machine": {"cpu": "abacus"}, "network": {"space": "tiny"}}
    assert len(lines) == 4
    assert lines[1] == {
        "phase": "retest",
        "round": 1,
        "arch_id": CHOSEN[0].id,
        "arch": CHOSEN[0].to_json(),
        "fastest_ms": pytest.approx(len(CHOSEN[0].decisions) + 0.1),
        "median_ms": pytest.approx(len(CHOSEN[0].decisions) + 0.1),
        "iqr_ms": pytest.approx(0, abs=1e-9),
        "num_calls": 2,
    }


@pytest.mark.parametrize("torn", [b"", b'{"phase": "first", "rou'])
def test_what_was_killed_goes_on_where_it_stopped(tmp_path: Path, torn: bytes) -> None:
    path, lab, done = tmp_path / "m.jsonl", Lab(), []

    def killed_after_six() -> None:
        done.append(1)
        if len(done) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(CHOSEN, lab.networks(), opened(path), PROTOCOL, on_round=killed_after_six, clock=lab.clock)
    path.write_bytes(path.read_bytes() + torn)
    resumed = measure(CHOSEN, lab.networks(), opened(path), PROTOCOL, clock=lab.clock)
    assert lab.order == [arch.id for arch in CHOSEN] * 4

    whole = Lab()
    assert resumed == measure(CHOSEN, whole.networks(), opened(tmp_path / "w.jsonl"), PROTOCOL, clock=whole.clock)
    assert path.read_bytes() == (tmp_path / "w.jsonl").read_bytes()
    again = Lab()
    assert measure(CHOSEN, again.networks(), opened(path), PROTOCOL, clock=again.clock) == resumed
    assert not again.order


def test_the_phases_are_measured_on_their_own(tmp_path: Path) -> None:
    lab, measurements = Lab(), opened(tmp_path / "m.jsonl")
    first = measure(CHOSEN, lab.networks(), measurements, PROTOCOL, clock=lab.clock)
    again = measure(CHOSEN, lab.networks(), measurements, PROTOCOL, phase="retest", clock=lab.clock)
    assert [b.latency_ms - a.latency_ms for a, b in zip(first, again, strict=True)] == pytest.approx([0.4] * 4)


def test_other_conditions_are_told_in_one_line(tmp_path: Path) -> None:
    opened(tmp_path / "m.jsonl")
    other = Conditions({"cpu": "slide rule"}, {"space": "tiny"})
    with pytest.raises(UserError, match="cpu is abacus there and slide rule here") as raised:
        Measurements(tmp_path / "m.jsonl", other, "output")
    assert "fresh=true" in str(raised.value)


@pytest.mark.parametrize(
    ("line", "number", "message"),
    [
        ("not JSON", 2, "line 2, is no measurement"),
        ('{"phase": "first"}', 2, "line 2, is no measurement"),
        ("[1, 2]", 2, "it is no mapping"),
        ('{"index": 0}', 1, "holds no measurements of networks"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, line: str, number: int, message: str) -> None:
    path = tmp_path / "m.jsonl"
    if number == 2:
        opened(path)
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=message) as raised:
        opened(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("law", ["archs", "decisions"])
def test_sampled_archs_are_different_and_begin_alike(law: Law) -> None:
    few, many = (sample_archs(SPACE, num, np.random.default_rng(5), law) for num in (10, 30))
    assert many[:10] == few
    assert len(set(many)) == 30
    assert few != sample_archs(SPACE, 10, np.random.default_rng(6), law)
    assert set(sample_archs(SPACE, SPACE.size(), np.random.default_rng(5), law)) == set(ARCHS)


def test_more_archs_than_there_are_are_refused() -> None:
    with pytest.raises(UserError, match="num_archs=45 is more than the 44 archs of space tiny"):
        sample_archs(SPACE, 45, np.random.default_rng(0), "archs")
