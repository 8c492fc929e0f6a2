import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shiftaddnas.errors import UserError
from shiftaddnas.hardware import BoundCost, Cost, OpEnergy
from shiftaddnas.search import (
    EvolutionSearcher,
    Feasibility,
    Limits,
    Proposal,
    Record,
    Result,
    Searcher,
    SearchLog,
    follow_search,
    read_records,
    run_search,
)
from shiftaddnas.spaces import Arch
from shiftaddnas.testing.searcher import CodeSum
from shiftaddnas.testing.tiny_space import TinySpace

SPACE = TinySpace()
KEYS = [
    "index", "arch_id", "arch", "label", "generation", "origin", "status", "score", "metrics", "costs", "message",
]  # fmt: skip


class Accuracy:
    """Scores an arch by its id, and remembers what it was asked; the log shows all earlier candidates by then."""

    metric, unit, maximize = "accuracy", "%", True

    def __init__(self, log: Path | None = None, special: Mapping[str, float] | None = None) -> None:
        self.log = log
        self.special = special or {}
        self.asked: list[Arch] = []

    def __call__(self, arch: Arch) -> dict[str, float]:
        if self.log is not None:
            written = self.log.read_text() if self.log.exists() else ""
            assert written.count("\n") == len(self.asked)
        self.asked.append(arch)
        score = self.special.get(arch.id, int(arch.id, 16) % 97 / 97)
        return {"loss": 1 / 3, "accuracy": score}


def evolution(seed: int = 0, **changes: Any) -> EvolutionSearcher:
    sizes = {"population": 5, "num_generations": 2, "num_parents": 3, "num_mutations": 2, "num_crossovers": 1} | changes
    return EvolutionSearcher(SPACE, Feasibility(CodeSum(SPACE), Limits()), np.random.default_rng(seed), **sizes)


def search(path: Path, searcher: Searcher | None = None, evaluator: Any = None, cost: BoundCost | None = None) -> Any:
    return run_search(searcher or evolution(), evaluator or Accuracy(), cost or CodeSum(SPACE), SearchLog(path))


def test_every_candidate_is_on_the_disk_before_the_next_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "search.jsonl"
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    evaluator = Accuracy(log=path)
    records = search(path, evaluator=evaluator)
    assert len(records) == len(evaluator.asked) == len(synced) == 15
    assert read_records(path) == records
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [list(line) for line in lines] == [KEYS] * 15
    for index, (line, arch) in enumerate(zip(lines, evaluator.asked, strict=True)):
        score = int(arch.id, 16) % 97 / 97
        assert line == {
            "index": index,
            "arch_id": arch.id,
            "arch": arch.to_json(),
            "label": SPACE.describe(arch),
            "generation": index // 5,
            "origin": line["origin"],
            "status": "ok",
            "score": score,
            "metrics": {"loss": 1 / 3, "accuracy": score},
            "costs": {"code_sum": float(sum(SPACE.encode(arch)))},
            "message": None,
        }
    times = [json.loads(line) for line in (tmp_path / "search_times.jsonl").read_text().splitlines()]
    assert [(time["index"], time["arch_id"]) for time in times] == [(r.index, r.arch_id) for r in records]
    assert all(time["seconds"] >= 0 for time in times)


def test_a_killed_search_ends_as_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = tmp_path / "whole" / "search.jsonl"
    records = search(whole)
    content = whole.read_bytes()
    ends = [position + 1 for position, byte in enumerate(content) if byte == ord("\n")]
    starts = [0, *ends[:-1]]
    cuts = {
        cut for start, end in zip(starts, ends, strict=True) for cut in (start, start + 1, (start + end) // 2, end - 1)
    }
    for cut in sorted(cuts | {len(content)}):
        path = tmp_path / str(cut) / "search.jsonl"
        path.parent.mkdir()
        path.write_bytes(content[:cut])
        evaluator = Accuracy()
        seen: list[Record] = []
        resumed = run_search(evolution(), evaluator, CodeSum(SPACE), SearchLog(path), on_record=seen.append)
        assert path.read_bytes() == content
        assert resumed == seen == records
        assert len(evaluator.asked) == len(records) - content[:cut].count(b"\n")


def test_another_process_follows_a_search_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, path = tmp_path / "whole.jsonl", tmp_path / "search.jsonl"
    leading, following = evolution(), evolution()
    records = search(whole, leading)
    content = whole.read_bytes()
    steps = [content[:cut] for cut in (0, 100, len(content) // 2, len(content) - 1, len(content))]
    waiting = iter(steps)
    monkeypatch.setattr("time.sleep", lambda _: path.write_bytes(next(waiting)))
    assert follow_search(following, path, maximize=True) == records
    assert following.state_dict() == leading.state_dict()
    assert not list(waiting)
    assert path.read_bytes() == content


def test_only_the_same_search_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "search.jsonl"
    search(path)
    with pytest.raises(UserError, match="of another configuration"):
        follow_search(evolution(seed=1), path, maximize=True)


def test_torn_bytes_of_a_lost_page_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "search.jsonl"
    search(path)
    content = path.read_bytes()
    path.write_bytes(content + b"\0\0\xff")
    assert len(read_records(path)) == 15
    assert path.read_bytes() == content + b"\0\0\xff"
    search(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("other", [evolution(seed=1), evolution(num_generations=0)], ids=["seed", "shorter"])
def test_the_log_of_another_configuration_is_refused(tmp_path: Path, other: Searcher) -> None:
    path = tmp_path / "search.jsonl"
    search(path)
    content = path.read_bytes()
    with pytest.raises(UserError, match=r"search\.jsonl.* of another configuration; start over with fresh=true"):
        search(path, searcher=other)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda line: line.replace(b"{", b"", 1), "Extra data"),
        (lambda line: b"[" + line + b"]", "just the keys"),
        (lambda line: b"\xff" + line, "codec"),
        (lambda line: line.replace(b'"label"', b'"name"'), "just the keys index, arch_id"),
        (lambda line: line.replace(b'"generation": 0', b'"generation": "0"'), "generation='0'"),
        (lambda line: line.replace(b'"index": 3', b'"index": 4'), "its index is 4, expected 3"),
        (lambda line: line.replace(b'"status": "ok"', b'"status": "failed"'), "does not go with score"),
        (lambda line: line.replace(b'"loss": 0.3333333333333333', b'"loss": NaN'), "finite numbers"),
        (lambda line: line.replace(b'"loss": 0.3333333333333333', b'"loss": "1"'), "finite numbers"),
    ],
)
def test_whatever_else_is_in_the_log_is_named_with_its_line(tmp_path: Path, change: Any, reason: str) -> None:
    path = tmp_path / "search.jsonl"
    search(path)
    lines = path.read_bytes().split(b"\n")
    assert change(lines[3]) != lines[3]
    lines[3] = change(lines[3])
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(UserError, match=rf"search\.jsonl, line 4, .*{reason}"):
        SearchLog(path)
    assert path.read_bytes() == b"\n".join(lines)


def test_a_score_that_is_not_finite_fails_the_candidate(tmp_path: Path) -> None:
    first = search(tmp_path / "whole" / "search.jsonl")
    special = {first[0].arch_id: math.nan, first[1].arch_id: math.inf}
    path = tmp_path / "failing" / "search.jsonl"
    records = search(path, evaluator=Accuracy(special=special))
    assert [(r.status, r.score, r.message) for r in records[:2]] == [
        ("failed", None, "accuracy is nan"),
        ("failed", None, "accuracy is inf"),
    ]
    assert records[0].metrics == {"loss": 1 / 3, "accuracy": None}
    assert records[0].costs
    assert read_records(path) == records
    assert len(records) == 15


class Breaking(CodeSum):
    def estimate(self, arch: Arch) -> Cost:
        if arch["op0"] == "shift":
            raise OSError("device lost")
        return super().estimate(arch)


def test_a_cost_model_that_fails_spoils_only_the_candidate(tmp_path: Path) -> None:
    evaluator = Accuracy()
    records = search(tmp_path / "search.jsonl", evaluator=evaluator, cost=Breaking(SPACE))
    failed = [record for record in records if record.status == "failed"]
    assert {record.arch["op0"] for record in failed} == {"shift"}
    assert all("OSError: device lost" in str(record.message) and record.costs == {} for record in failed)
    assert all(arch["op0"] == "conv" for arch in evaluator.asked)
    assert read_records(tmp_path / "search.jsonl") == records


def test_a_bug_in_the_evaluator_shows_and_the_search_goes_on_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "search.jsonl"
    whole = search(tmp_path / "whole" / "search.jsonl")

    class Buggy(Accuracy):
        def __call__(self, arch: Arch) -> dict[str, float]:
            if len(self.asked) == 7:
                raise ZeroDivisionError
            return super().__call__(arch)

    with pytest.raises(ZeroDivisionError):
        search(path, evaluator=Buggy())
    assert len(read_records(path)) == 7
    assert search(path) == whole


def test_an_evaluator_without_its_metric_is_a_bug(tmp_path: Path) -> None:
    evaluator = Accuracy()
    evaluator.metric = "top1"
    with pytest.raises(ValueError, match="scores by top1, but gives loss, accuracy"):
        search(tmp_path / "search.jsonl", evaluator=evaluator)


class Repeating(Searcher):
    """Proposes one arch three times, and remembers what it is told."""

    def __init__(self) -> None:
        super().__init__(SPACE, Feasibility(CodeSum(SPACE), Limits()))
        self.told: list[Result] = []

    @property
    def num_evaluations(self) -> int:
        return 3

    def ask(self, n: int) -> list[Proposal]:
        left = range(len(self.told), 3)
        return [Proposal(next(SPACE.archs()), "random", generation) for generation in left[:n]]

    def tell(self, results: Any) -> None:
        self.told += results

    def state_dict(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("maximize", [True, False])
def test_an_arch_is_evaluated_once_and_told_as_a_loss(tmp_path: Path, maximize: bool) -> None:
    evaluator = Accuracy(special={next(SPACE.archs()).id: 0.25})
    evaluator.maximize = maximize
    searcher = Repeating()
    records = search(tmp_path / "search.jsonl", searcher=searcher, evaluator=evaluator)
    assert len(evaluator.asked) == 1
    assert [(record.index, record.generation, record.score) for record in records] == [(i, i, 0.25) for i in range(3)]
    objective = -0.25 if maximize else 0.25
    assert searcher.told == [Result(next(SPACE.archs()), objective, {"code_sum": 0.0})] * 3


def test_a_search_under_a_layer_model_records_its_metrics(tmp_path: Path) -> None:
    kinds = ("mult", "add", "shift")
    model = OpEnergy("asic", dict.fromkeys(kinds, 1.0), lanes=dict.fromkeys(kinds, 1), clock_mhz=1)
    records = search(tmp_path / "search.jsonl", cost=model.bind(SPACE, 4))
    assert [list(record.costs) for record in records] == [[metric.name for metric in model.metrics]] * 15
    assert all(record.costs["energy_mj"] == pytest.approx(2 * record.costs["num_macs"] / 1e9) for record in records)
