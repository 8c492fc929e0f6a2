"""The archs that are shipped with the configs: legal, written as `write_arch` writes them, and found by their names."""

from pathlib import Path

import pytest

from composed import compose
from shiftaddnas.cli.app import config_folder
from shiftaddnas.cli.archs import find_arch
from shiftaddnas.spaces import write_arch
from tasks.image_classification import HybridSpace

FILES = {path.stem: path for path in sorted((config_folder() / "archs").glob("*.yaml"))}
LABELS = {
    "digits_all_conv": "C CC CCC",
    "digits_all_shift": "S SS SSS",
    "digits_all_add": "A AA AAA",
    "digits_mixed": "C CA STA",
}


def test_these_are_shipped() -> None:
    assert set(FILES) == set(LABELS)


@pytest.mark.parametrize("name", LABELS)
def test_a_shipped_arch_is_what_its_name_says(name: str, digits_space: HybridSpace) -> None:
    arch = find_arch(name, digits_space)
    digits_space.validate(arch)
    assert digits_space.describe(arch) == LABELS[name]


@pytest.mark.parametrize("name", LABELS)
def test_a_shipped_file_is_as_written_by_write_arch(name: str, digits_space: HybridSpace, tmp_path: Path) -> None:
    """Its id, in the comment, included."""
    arch = find_arch(name, digits_space)
    write_arch(arch, tmp_path / "arch.yaml")
    assert FILES[name].read_text() == (tmp_path / "arch.yaml").read_text()
    assert FILES[name].read_text().startswith(f"# arch {arch.id}\n")


def test_arch_is_a_plain_setting_and_no_config_group() -> None:
    assert compose("train", "arch=digits_mixed")["arch"] == "digits_mixed"


def test_an_arch_may_be_given_in_the_released_notation(digits_space: HybridSpace) -> None:
    assert find_arch("[1],[1,2],[3,0,2]", digits_space) == find_arch("digits_mixed", digits_space)
