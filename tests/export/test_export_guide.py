"""docs/export.md: its commands compose and its Python runs."""

import re
import shlex
from pathlib import Path

import pytest

from composed import compose

GUIDE = (Path(__file__).parents[2] / "docs" / "export.md").read_text()


def test_the_commands_compose() -> None:
    (block,) = re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert len(lines) == 3
    for program, command, *overrides in lines:
        assert (program, command) == ("shiftaddnas", "export")
        assert compose(command, *overrides).run == "runs/digits/0123456789ab"


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(compile(block, "export.md", "exec"), {})
    shape, shift, adder, difference = capsys.readouterr().out.splitlines()
    assert shape == "torch.Size([1, 4, 8, 8])"
    assert shift.startswith("_0_weight shift 5")
    assert adder.startswith("_3_weight add 16 576")
    assert float(difference) < 0.1
