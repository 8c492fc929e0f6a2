"""docs/translation_space.md: its commands compose, its sizes and prices are what the spaces give, its Python runs."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from composed import built, compose
from shiftaddnas.cli.archs import find_arch
from tasks.translation import TranslationSpace, TranslationWorkload

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "translation_space.md").read_text()
COMMANDS = [
    re.sub(r"\s+# .*", "", line)
    for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
    for line in block.splitlines()
]
PAIR = TranslationWorkload(source_length=30, target_length=30, beam=4, vocab_size=32_768)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_composes(command: str) -> None:
    program, name, *overrides = shlex.split(command)
    assert (program, name) == ("shiftaddnas", "price")
    assert compose("price", *overrides).space.name in ("gettext", "transformer_v3")


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 5


def test_limits_as_the_guide_sets_them_compose() -> None:
    (text,) = re.findall(r"`(hardware=composite[^`]*)`", GUIDE)
    config = compose("search", *text.split())
    assert config.hardware.parts.flops.name == "transformer_flops"
    assert config.search.max_flops == 3e9


def test_sizes() -> None:
    rows = re.findall(r"^\| (`[^|]*) \|[^|]*\| ([\de., ]+) \|$", GUIDE, re.MULTILINE)
    stated = {
        name: size
        for names, sizes in rows
        for name, size in zip(re.findall(r"`(\w+)`", names), sizes.split(", "), strict=True)
    }
    assert len(stated) == 7
    for name, size in stated.items():
        digits = len(size.split("e")[0].replace(".", "")) - 1
        assert float(f"{built('space', f'space={name}').size():.{digits}e}") == float(size)


def test_energy_of_decoding_and_of_one_pass() -> None:
    rows = re.findall(r"^\| `(decoding|forward)` \| ([\d.,]+) \| ([\d.,]+) \| ([\d.,]+) \|$", GUIDE, re.MULTILINE)
    assert [row[0] for row in rows] == ["decoding", "forward"]
    for lowering, *numbers in rows:
        space: TranslationSpace = built("space", "space=transformer_v3", f"space.lowering={lowering}")
        cost = built("hardware", "hardware=eyeriss_fair").bind(space, PAIR)
        values = cost(find_arch("wmt_en_de/v3_350ms_jul13", space)).values
        expected = [float(number.replace(",", "")) for number in numbers]
        assert [values["energy_mj"], values["dram_mj"], values["latency_ms"]] == pytest.approx(expected, abs=0.051)


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    monkeypatch.chdir(ROOT)
    exec(compile(example, "translation_space.md", "exec"), {})
    shipped = Path("conf/archs/wmt_en_de/v3_350ms_jul13.yaml").read_text()
    assert yaml.safe_load(capsys.readouterr().out) == yaml.safe_load(shipped)
