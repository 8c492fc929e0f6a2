"""Mistakes in settings: one line that names the setting and what is allowed, exit code 1, nothing left behind."""

from pathlib import Path

import pytest
from commands import failed_in_one_line, run_forked

SEARCH = {
    "misspelt key": ("trainer.max_epoch=3", ["trainer.max_epoch is not a setting", "did you mean trainer.max_epochs?"]),
    "misspelt root": ("sed=3", ["sed is not a setting", "did you mean seed?"]),
    "misspelt group": ("spce=digits", ["spce is not a setting", "did you mean space?"]),
    "unknown option": ("space=foo", ["space/foo", "digits", "hytra_hybrid"]),
    "wrong type at the root": ("seed=abc", ["seed", "abc", "Integer"]),
    "wrong type in a group": ("search.population=abc", ["search.population='abc'", "valid integer"]),
    "wrong nested type": ("task.data.batch_size=[1]", ["task.data.batch_size=[1]", "valid integer"]),
    "wrong alternative": ("trainer.precision=17", ["trainer.precision=17", "'bf16-mixed'"]),
    "wrong structure": ("space.levels.0.operators=conv", ["space.levels[0].operators='conv'", "valid tuple"]),
    "added key": ("+sharing.bins=3", ["sharing.bins is not a setting", "sharing.num_bins"]),
    "refused value": ("sharing.num_bins=0", ["sharing.num_bins=0"]),
    "wrong target": ("sharing._target_=shiftaddnas.sharing.Nothing", ["shiftaddnas.sharing.Nothing"]),
    "impossible budget": ("search.max_energy_mj=1e-9", ["search.max_energy_mj=1e-09", "allow at least that"]),
    "unknown objective": ("objective=area_mm2", ["objective=area_mm2 is no metric", "energy_mj, latency_ms"]),
    "unknown score": ("score=loss", ["score=loss is no score of task digits", "allowed: accuracy"]),
    "unknown limit": ("+search.max_cost=1", ["search.max_cost", "energy_mj (mJ)"]),
    "unfitting space": ("space=hytra_hybrid", ["images of 8 pixels", "32"]),
    "missing checkpoint": ("ckpt=none.ckpt", ["none.ckpt does not exist"]),
    "bad syntax": ("space=[", ["space=["]),
    "negative seed": ("seed=-1", ["seed=-1"]),
    "folder that cannot be": ("hydra.run.dir=/dev/null/run", ["/dev/null/run: Not a directory"]),
    "setting of the command itself": ("+trainer.logger=true", ["trainer.logger is no setting"]),
    "no batch to score with": ("trainer.limit_val_batches=0", ["trainer.limit_val_batches=0 leaves no batch"]),
    "training without an end": ("trainer.max_epochs=-1", ["trainer.max_epochs=-1 has no end", "+trainer.max_steps"]),
    "entry of an open setting": ("optim.operator_lr={shift: 3.0}", ["+optim.operator_lr.NAME=VALUE"]),
    "missing device": ("trainer.accelerator=gpu", ["trainer", "gpu"]),
    "group without an option": ("logger=null", ["logger=null", "--help"]),
    "unshareable operator": ("space.shift_form=ps", ["shift", "sharing=independent"]),
}


@pytest.mark.parametrize("mistake", SEARCH)
def test_a_mistake_is_named_in_one_line(mistake: str, tmp_path: Path) -> None:
    override, messages = SEARCH[mistake]
    line = failed_in_one_line(run_forked("search.py", override, folder=tmp_path))
    for message in messages:
        assert message in line
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


TRAIN = {
    "missing arch": ("arch=none", ["arch=none is neither a file, nor a shipped arch"]),
    "arch that is no file of archs": ("arch=broken.yaml", ["broken.yaml"]),
    "arch of another space": ("arch=foreign.yaml", ["foreign.yaml", "depths"]),
    "truncated checkpoint": ("ckpt=broken.ckpt", ["broken.ckpt", "truncated"]),
    "setting of the other command": ("search=random", ["search is not a setting"]),
}


@pytest.mark.parametrize("mistake", TRAIN)
def test_a_mistake_in_training_is_named_in_one_line(mistake: str, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("- 1\n- 2\n")
    (tmp_path / "foreign.yaml").write_text("depths: [3, 3]\nlayer_0: conv\n")
    (tmp_path / "broken.ckpt").write_bytes(b"PK\x03\x04 this was a checkpoint")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    override, messages = TRAIN[mistake]
    line = failed_in_one_line(run_forked("train.py", override, folder=tmp_path))
    for message in messages:
        assert message in line
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
