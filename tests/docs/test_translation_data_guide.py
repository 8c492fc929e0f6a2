"""docs/translation_data.md: its commands compose, its Python runs, and the shipped configs say what is missing."""

import re
import shlex
from pathlib import Path

import pytest

from composed import compose
from shiftaddnas.cli.app import plain_config
from shiftaddnas.cli.build import build
from shiftaddnas.errors import UserError

GUIDE = (Path(__file__).parents[2] / "docs" / "translation_data.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("python train.py")
]


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 5


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_composes_and_its_data_build(command: str) -> None:
    _, _, *overrides = shlex.split(command)
    build(plain_config(compose("train", *overrides))["task"]["data"], "task.data")


def test_the_python_example_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(compile(example, "translation_data.md", "exec"), {})
    # Three words and the end.
    assert capsys.readouterr().out == "Datei 4\n"


@pytest.mark.parametrize(
    ("task", "missing"),
    [
        ("wmt14_en_de", r"data/wmt14_en_de/train\.tok\.clean\.bpe\.32000\.en"),
        ("wmt14_en_fr", r"data/wmt14_en_fr/europarl-v7\.fr-en\.en"),
        ("iwslt14_de_en", r"data/iwslt14_de_en/train\.de"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    task: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = build(plain_config(compose("train", f"task={task}"))["task"]["data"], "task.data")
    with pytest.raises(UserError, match=f"^{missing} is missing: put the text there, .*$"):
        data.setup()


def test_wmt14_en_de_is_priced_without_data() -> None:
    data = build(plain_config(compose("train", "task=wmt14_en_de"))["task"]["data"], "task.data")
    assert data.num_symbols == 32768
