"""Run folders as search.py and train.py leave them, made up but of realistic proportions."""

import json

import numpy as np
import pytest

from shiftaddnas.tracking import RunFolder

LETTERS = {"C": "conv", "S": "shift", "A": "add"}
# Picojoules of a multiply-accumulate, of a shift and an addition, and of two additions (45 nm, 8 bits).
TAP_PJ = {"C": 0.23, "S": 0.054, "A": 0.06}
TAPS = 1_600_000


def candidate(index, letters, origin, generation, rng):
    shares = {letter: letters.count(letter) / len(letters) for letter in LETTERS}
    taps = TAPS * (0.6 + 0.4 * len(set(letters)) / 3)
    costs = {
        "energy_mj": sum(taps * shares[letter] * TAP_PJ[letter] for letter in LETTERS) * 1e-9,
        "latency_ms": taps * (shares["C"] + 0.4 * shares["S"] + 0.7 * shares["A"]) * 1e-7,
        "num_params": 48_000.0 + 9_000 * shares["C"],
        "num_macs": taps,
        "num_mults": taps * shares["C"],
        "num_adds": taps * (1 + shares["A"]),
        "num_shifts": taps * shares["S"],
    }
    score = 0.90 + 0.07 * shares["C"] + 0.05 * shares["A"] ** 0.5 + 0.03 * shares["S"] + float(rng.normal(0, 0.008))
    return {
        "index": index,
        "arch_id": f"{hash_of(letters):012x}",
        "arch": {f"operator_{position}": LETTERS[letter] for position, letter in enumerate(letters)},
        "label": f"{letters[:2]} {letters[2:4]} {letters[4:]}",
        "generation": generation,
        "origin": origin,
        "status": "ok",
        "score": min(score, 0.995),
        "metrics": {"accuracy": min(score, 0.995), "loss": 1.2 - score},
        "costs": costs,
        "message": None,
    }


def hash_of(letters):
    return int("".join(str("CSA".index(letter) + 1) for letter in letters), 4) * 1_048_583


def records(count=120):
    rng = np.random.default_rng(0)
    seen, found = set(), []
    while len(found) < count:
        generation = len(found) // 30
        chance = 0.34 + 0.08 * generation
        letters = "".join(rng.choice(list("CAS"), 6, p=[1 - chance, chance / 2, chance / 2]))
        if letters in seen:
            continue
        seen.add(letters)
        origin = "random" if generation == 0 else str(rng.choice(["mutation", "crossover"]))
        found.append(candidate(len(found), letters, origin, generation, rng))
    failed = found[7]
    failed.update(status="failed", score=None, metrics={}, message="RuntimeError: the loss is not finite")
    return found


def network(record, accuracy, **changes):
    return {key: record[key] for key in ("arch_id", "label")} | {
        "test": {"accuracy": accuracy, "loss": 0.1},
        "costs": record["costs"],
        **changes,
    }


def results(found):
    rng = np.random.default_rng(1)
    winner = max((one for one in found if one["score"] is not None), key=lambda one: one["score"])
    multiplying, cheap = (candidate(0, letters, "random", 0, rng) for letters in ("CCCCCC", "SASASA"))
    return {
        "task": "digits",
        "seed": 0,
        "seconds": {"supernet": 61.4, "search": 24.9, "retrain": 75.2},
        "date": "2025-06-01T12:00:00+00:00",
        "command": "python search.py search.num_evaluations=120",
        "space": {"name": "digits", "size": 5328},
        "sharing": "heterogeneous",
        "hardware": "asic45nm",
        "metric": {"name": "accuracy", "unit": "", "maximize": True},
        "objective": "energy_mj",
        "limits": "energy_mj <= 0.0003 mJ",
        "evaluated": len(found),
        "supernet": {"num_params": 712_345, "checkpoint": "supernet.ckpt"},
        "winner": network(winner, 0.9722, score=winner["score"]),
        "baselines": {"all_multiplication": network(multiplying, 0.9778), "all_cheap": network(cheap, 0.9583)},
        "retrain_command": "python train.py arch=runs/digits/0a1b2c3d4e5f/best/arch.yaml seed=0 trainer.max_epochs=60",
    }


def write_search(path, content, found):
    folder = RunFolder(path)
    folder.open({"task": {"name": "digits"}, "seed": 0}, fresh=False, argv=["search.py", "search.num_evaluations=120"])
    folder.close()
    folder.search_log.write_text("".join(json.dumps(record) + "\n" for record in found))
    folder.results.write_text(json.dumps(content))
    return folder


@pytest.fixture
def search_records():
    return records()


@pytest.fixture
def search_results(search_records):
    return results(search_records)


@pytest.fixture
def search_folder(tmp_path, search_results, search_records):
    return write_search(tmp_path / "run", search_results, search_records)


@pytest.fixture
def training_folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.open({"task": {"name": "digits"}}, fresh=False, argv=["train.py", "arch=best"])
    folder.close()
    content = {
        "task": "digits",
        "seed": 0,
        "seconds": {"subnet": 3725.0},
        "date": "2025-06-01T12:00:00+00:00",
        "command": "python train.py arch=best",
        "kind": "subnet",
        "arch_id": "0a1b2c3d4e5f",
        "label": "CA SA CSSA",
        "num_params": 48_200,
        "costs": {"energy_mj": 0.000123, "latency_ms": 0.0421, "num_mults": 1_234_567.0},
        "test": {"accuracy": 0.9722, "loss": 0.0987},
        "checkpoint": "subnet.ckpt",
    }
    folder.results.write_text(json.dumps(content))
    return folder
