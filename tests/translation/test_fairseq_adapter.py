"""fairseq leaves Hydra, logging and random numbers as they were; its settings are not shared; its checkpoints load."""

import argparse
import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import pytest
import torch
from joblib.externals.loky import get_reusable_executor
from omegaconf import OmegaConf

from shiftaddnas.errors import UserError

ROOT = Path(__file__).parents[2]

CHECK = """
import logging, random, sys, warnings
warnings.simplefilter("error", UserWarning)
import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import MissingConfigException
from shiftaddnas.cli.app import config_folder
import tasks.image_classification, tasks.translation

assert "fairseq" not in sys.modules

root = logging.getLogger()
root.setLevel(logging.ERROR)
kept = logging.NullHandler()
root.addHandler(kept)
names, drawn = sorted(ConfigStore.instance().repo), random.getstate()

import tasks.translation.fairseq_adapter

assert "fairseq" in sys.modules
assert sorted(ConfigStore.instance().repo) == names
assert (root.level, root.handlers, logging.root.manager.disable) == (logging.ERROR, [kept], 0)
assert random.getstate() == drawn
with hydra.initialize_config_dir(sys.argv[1], version_base="1.3"):
    assert dict(hydra.compose("config")) == {"answer": 42}
with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
    hydra.compose("train", ["task=digits"])
    try:
        hydra.compose("train", ["task=translation"])
    except MissingConfigException as error:
        print("refused")
"""


@pytest.mark.slow
def test_images_and_prices_do_without_fairseq_and_importing_it_changes_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("answer: 42\n")
    finished = subprocess.run(
        [sys.executable, "-c", CHECK, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip() == "refused"


def names_after_import() -> tuple[list[str], list[str], int, int]:
    import logging

    from hydra.core.config_store import ConfigStore

    before, level = sorted(ConfigStore.instance().repo), logging.getLogger().level
    import tasks.translation.fairseq_adapter  # noqa: F401

    return before, sorted(ConfigStore.instance().repo), level, logging.getLogger().level


@pytest.mark.slow
def test_nor_in_a_worker_of_joblib() -> None:
    try:
        (found,) = joblib.Parallel(n_jobs=2, backend="loky")([joblib.delayed(names_after_import)()])
    finally:
        get_reusable_executor().shutdown()
    before, after, level, level_after = found
    assert after == before
    assert level_after == level


def test_nothing_else_imports_fairseq() -> None:
    importing = [
        file.relative_to(ROOT).as_posix()
        for folder in ("src", "tasks")
        for file in (ROOT / folder).rglob("*.py")
        if re.search(r"^\s*(from|import) fairseq\b", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert importing == ["tasks/translation/fairseq_adapter.py"]


def test_without_fairseq_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tasks.translation.fairseq_adapter", raising=False)
    for name in [name for name in sys.modules if name.startswith("fairseq.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fairseq", None)
    with pytest.raises(UserError, match=r"pip install 'shiftaddnas\[translation\]'"):
        importlib.import_module("tasks.translation.fairseq_adapter")


def test_settings_are_not_shared() -> None:
    from tasks.translation.fairseq_adapter import transformer_config

    one, other = transformer_config(), transformer_config()
    one.encoder.embed_dim, one.decoder.layers = 96, 1
    assert (other.encoder.embed_dim, other.decoder.layers) == (512, 6)
    assert transformer_config().encoder.embed_dim == 512


def checkpoint(folder: Path, **entries: Any) -> Path:
    file = folder / "checkpoint_best.pt"
    torch.save(entries, file)
    return file


def test_a_checkpoint_with_fairseqs_settings_is_read_and_only_there(tmp_path: Path) -> None:
    from tasks.translation.fairseq_adapter import load_checkpoint

    allowed = set(torch.serialization.get_safe_globals())
    settings = OmegaConf.create({"model": {"arch": "transformer"}})
    file = checkpoint(
        tmp_path, model={"weight": torch.arange(3.0)}, args=argparse.Namespace(arch="transformer"), cfg=settings
    )
    loaded = load_checkpoint(file)
    assert torch.equal(loaded["model"]["weight"], torch.tensor([0.0, 1.0, 2.0]))
    assert loaded["args"].arch == "transformer"
    assert loaded["cfg"]["model"]["arch"] == "transformer"
    assert set(torch.serialization.get_safe_globals()) == allowed


class Foreign:
    pass


def test_other_objects_and_files_are_refused(tmp_path: Path) -> None:
    from tasks.translation.fairseq_adapter import load_checkpoint

    with pytest.raises(UserError, match="cannot be read"):
        load_checkpoint(checkpoint(tmp_path, model={}, foreign=Foreign()))
    with pytest.raises(UserError, match="no entry 'model'"):
        load_checkpoint(checkpoint(tmp_path, weights={}))
    with pytest.raises(UserError, match="cannot be read"):
        load_checkpoint(tmp_path / "missing.pt")
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(UserError, match="cannot be read"):
        load_checkpoint(tmp_path / "text.pt")
