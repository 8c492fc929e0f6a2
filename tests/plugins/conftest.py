"""A package of somebody else, built and installed as users install one, without a network."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

THIRD_PARTY = Path(__file__).parent / "third_party"

collect_ignore = ["third_party"]  # its own tests run where it is installed


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package's source, for building leaves files there."""
    copy = tmp_path_factory.mktemp("source") / "traffic"
    shutil.copytree(THIRD_PARTY, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="session")
def installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed to."""
    target = tmp_path_factory.mktemp("installed")
    # setuptools, which builds it, comes with torch.
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return target
