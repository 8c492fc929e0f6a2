import hashlib
import pickle
from pathlib import Path

import pytest

from shiftaddnas.errors import UserError
from shiftaddnas.spaces import Arch, as_choice, read_choices, write_arch

ARCH = Arch((("depths", (1, 2)), ("layer_0", "conv"), ("layer_1", 4)))


def test_the_id_is_a_hash_of_the_decisions_in_order() -> None:
    canonical = b'[["depths",[1,2]],["layer_0","conv"],["layer_1",4]]'
    assert ARCH.id == hashlib.sha256(canonical).hexdigest()[:12]
    assert Arch(ARCH.decisions[::-1]).id != ARCH.id


def test_archs_are_equal_and_hash_alike_when_their_decisions_are() -> None:
    same = pickle.loads(pickle.dumps(ARCH))
    assert same == ARCH
    assert len({same, ARCH, Arch(ARCH.decisions[:2])}) == 2


def test_a_written_arch_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "best" / "arch.yaml"
    write_arch(ARCH, path)
    assert read_choices(path) == ARCH.as_dict()
    assert list(path.parent.iterdir()) == [path]
    assert path.read_text().startswith(f"# arch {ARCH.id}\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [("- conv\n", "holds list"), ("a: {b: 1}\n", "not {'b': 1}"), ("a: true\n", "not True"), ("a: [", "is not YAML")],
)
def test_files_that_are_no_archs_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "arch.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        read_choices(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml does not exist"):
        read_choices(tmp_path / "none.yaml")


def test_lists_become_tuples() -> None:
    assert as_choice([1, 2]) == (1, 2)
    with pytest.raises(UserError, match="a choice is"):
        as_choice([1, "a"])
