"""Who may import whom: the method knows no task, tasks know no other, the report reads files."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "shiftaddnas"

# package: what it must not import, beyond tasks
FORBIDDEN = {
    "spaces": ("torch", "pytorch_lightning", "shiftaddnas.search", "shiftaddnas.engine", "shiftaddnas.cli"),
    "hardware": ("torch", "pytorch_lightning", "shiftaddnas.search", "shiftaddnas.engine", "shiftaddnas.cli"),
    "ops": ("pytorch_lightning", "shiftaddnas.sharing", "shiftaddnas.engine", "shiftaddnas.cli", "shiftaddnas.spaces"),
    "sharing": ("pytorch_lightning", "shiftaddnas.engine", "shiftaddnas.cli", "shiftaddnas.spaces"),
    "supernets": ("pytorch_lightning", "shiftaddnas.engine", "shiftaddnas.cli"),
    "search": ("torch", "shiftaddnas.engine", "shiftaddnas.cli", "shiftaddnas.report"),
    "engine": ("shiftaddnas.cli", "shiftaddnas.report", "hydra", "omegaconf"),
    "latency": (
        "pytorch_lightning",
        "shiftaddnas.search",
        "shiftaddnas.engine",
        "shiftaddnas.supernets",
        "shiftaddnas.sharing",
        "shiftaddnas.report",
        "shiftaddnas.cli",
        "hydra",
        "omegaconf",
    ),
    "export": ("pytorch_lightning", "shiftaddnas.cli", "shiftaddnas.report", "hydra", "omegaconf"),
    "tracing": (
        "pytorch_lightning",
        "shiftaddnas.engine",
        "shiftaddnas.cli",
        "shiftaddnas.spaces",
        "hydra",
        "omegaconf",
    ),
    "tracking": ("shiftaddnas.cli", "shiftaddnas.engine", "hydra", "omegaconf"),
    "ranking": ("shiftaddnas.cli", "shiftaddnas.search", "shiftaddnas.latency", "hydra", "omegaconf"),
    "report": ("torch", "pytorch_lightning", "shiftaddnas.engine", "shiftaddnas.cli", "shiftaddnas.supernets"),
    "testing": ("shiftaddnas.cli", "pytest"),
}


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            yield str(node.module)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCE)))
def test_the_method_imports_downwards(file: Path) -> None:
    package = file.relative_to(SOURCE).parts[0]
    forbidden = ("tasks", *FORBIDDEN.get(package, ()))
    if package != "cli":
        forbidden += ("fairseq",)
    wrong = [module for module in imports(file) if any(within(module, name) for name in forbidden)]
    assert not wrong


@pytest.mark.parametrize("task", sorted(path.name for path in (ROOT / "tasks").iterdir() if path.is_dir()))
def test_tasks_import_neither_each_other_nor_the_command_line(task: str) -> None:
    for file in (ROOT / "tasks" / task).rglob("*.py"):
        for module in imports(file):
            assert not within(module, "shiftaddnas.cli"), file
            assert not within(module, "tasks") or within(module, f"tasks.{task}"), file


def test_every_package_has_its_rule() -> None:
    packages = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    assert packages == {*FORBIDDEN, "cli"}
