"""The guides docs/adding_*.md as a reader follows them: their Python runs, their tests pass, their configs build."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from composed import compose
from shiftaddnas.cli.app import plain_config
from shiftaddnas.cli.build import build
from shiftaddnas.engine import Task
from shiftaddnas.hardware import HardwareCost
from shiftaddnas.search import Feasibility, Limits, Searcher, split_limits
from shiftaddnas.sharing import WeightSharing
from shiftaddnas.spaces import Space
from shiftaddnas.testing.searcher import CodeSum
from shiftaddnas.testing.tiny_space import TinySpace

ROOT = Path(__file__).parents[2]
GUIDES = {path.stem: path.read_text() for path in sorted((ROOT / "docs").glob("adding_*.md"))}
OPERATOR = "adding_an_operator"
"""Its config needs the framework as its diff leaves it."""
INTERFACES: dict[str, Any] = {
    "hardware": HardwareCost,
    "search": Searcher,
    "sharing": WeightSharing,
    "space": Space,
    "task": Task,
}
# What a reader of the operator's guide has at the end, in a process of its own.
PATCHED = """
import numpy as np, torch
from composed import built
from shiftaddnas.sharing import Heterogeneous
from shiftaddnas.testing.supernet import check_supernet
from tasks.image_classification.layers import ImageWorkload
from tasks.image_classification.supernet import HybridSupernet

space = built("space", "hydra.searchpath=[file://{conf}]", "space=digits_signed")
depths = {{"depths": (1, 1, 4)}}
arch = space.arch(depths | {{f"layer_{{layer}}": "signed_sum" for layer in range(6)}})
workload = ImageWorkload(8, 1, 10)
supernet = HybridSupernet(space, workload, Heterogeneous())
check_supernet(supernet, [arch], torch.randn(16, 1, 8, 8), workload)
print(space.describe(arch))
"""


def blocks(guide: str, language: str) -> list[str]:
    """The code blocks of a guide in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDES[guide], re.MULTILINE | re.DOTALL)


def write_configs(guide: str, folder: Path) -> dict[str, str]:
    """Write the YAML blocks where their first lines say; the option that was made in each group last."""
    options = {}
    for text in blocks(guide, "yaml"):
        path = Path(text.splitlines()[0].removeprefix("# "))
        assert path.parts[0] == "my_conf", f"a block of {guide} does not say where it goes"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
        options[str(path.relative_to("my_conf").with_suffix(""))] = path.parts[1]
    return options


def apply_diff(diff: str, tree: Path) -> None:
    """Replace the removed lines of each change by the added ones; the removed must be there, once."""
    path, removed, added = tree, "", ""
    for line in [*diff.splitlines(), "--- "]:
        if removed and added and not line.startswith("+"):
            text = path.read_text()
            assert text.count(removed) == 1, f"{path.name} does not have the line {removed}"
            path.write_text(text.replace(removed, added))
            removed = added = ""
        if line.startswith("--- "):
            path = tree / line[4:]
        elif line.startswith("-"):
            removed += line[1:] + "\n"
        else:
            added += line[1:] + "\n"


@pytest.fixture(params=GUIDES)
def guide(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def package(guide: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module `my_package` with all Python of the guide, so that configs find it and its objects can be pickled."""
    path = tmp_path / "my_package.py"
    path.write_text("\n\n".join(blocks(guide, "python")))
    spec = importlib.util.spec_from_file_location("my_package", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "my_package", module)
    spec.loader.exec_module(module)
    return module


def test_there_are_guides() -> None:
    assert len(GUIDES) == 6


def test_the_code_passes_its_own_tests(package: ModuleType) -> None:
    tests: list[Callable[[], None]] = [value for name, value in vars(package).items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


@pytest.mark.usefixtures("package")
def test_configs_build_what_they_promise(guide: str, tmp_path: Path) -> None:
    options = write_configs(guide, tmp_path)
    assert options
    if guide == OPERATOR:
        return
    space = TinySpace()
    searching = {
        "space": space,
        "feasible": Feasibility(CodeSum(space), Limits()),
        "rng": np.random.default_rng(0),
    }
    for option, group in options.items():
        override = option.replace("/", "=")
        config = plain_config(compose("search", f"hydra.searchpath=[file://{tmp_path}/my_conf]", override))[group]
        given = searching if group == "search" else {}
        assert isinstance(build(split_limits(config)[1], group, **given), INTERFACES[group]), option


@pytest.mark.usefixtures("package")
def test_commands_compose(guide: str, tmp_path: Path) -> None:
    write_configs(guide, tmp_path)
    lines = [line for block in blocks(guide, "bash") for line in block.splitlines()]
    assert lines
    for line in lines:
        python, script, *arguments = shlex.split(line)
        assert (python, arguments[:2]) == ("python", ["--config-dir", "my_conf"]), line
        config = compose(script.removesuffix(".py"), f"hydra.searchpath=[file://{tmp_path}/my_conf]", *arguments[2:])
        assert plain_config(config)


def test_the_operators_diff_makes_it_a_choice(tmp_path: Path) -> None:
    for folder in ("src", "tasks", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    write_configs(OPERATOR, tmp_path)
    (tmp_path / "src/shiftaddnas/ops/signed_sum.py").write_text(blocks(OPERATOR, "python")[0])
    for diff in blocks(OPERATOR, "diff"):
        apply_diff(diff, tmp_path)
    paths = (tmp_path / "src", tmp_path, ROOT / "tests")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    script = PATCHED.format(conf=tmp_path / "my_conf")
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "M M MMMM\n"


@pytest.mark.parametrize("guide", GUIDES)
def test_links_lead_to_a_heading(guide: str) -> None:
    for name, anchor in re.findall(r"\]\(([\w.]+\.md)#?([\w-]*)\)", GUIDES[guide]):
        headings = re.findall(r"^#+ (.*)$", (ROOT / "docs" / name).read_text(), re.MULTILINE)
        assert not anchor or anchor in [heading.lower().replace(" ", "-") for heading in headings], (name, anchor)
