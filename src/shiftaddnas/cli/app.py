"""What every command is started with: Hydra, run folders named by config, and errors in one line."""

import errno
import importlib.resources
import logging
import os
import re
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from shiftaddnas.cli import plugins, schema
from shiftaddnas.cli.build import suggest
from shiftaddnas.errors import UserError
from shiftaddnas.tracking import config_hash

SWEEP = "SHIFTADDNAS_SWEEP"


def config_folder() -> Path:
    """The shipped configs: in the installed package, or in the checkout it is run from."""
    packaged = Path(str(importlib.resources.files("shiftaddnas"))) / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "conf"


def plain_config(config: DictConfig) -> dict[str, Any]:
    """The resolved config as plain containers, without Hydra's own part."""
    return {
        str(key): OmegaConf.to_container(config[key], resolve=True) if OmegaConf.is_config(config[key]) else config[key]
        for key in config
        if key != "hydra"
    }


def _run_hash(*, _root_: DictConfig) -> str:
    return config_hash(plain_config(_root_))


# At import, for a launcher's worker processes import this module and nothing more.
schema.register()
plugins.register()
OmegaConf.register_new_resolver("run_hash", _run_hash, replace=True)


def start(config_name: str, job: Callable[[DictConfig], object]) -> None:
    """Run a command under Hydra; what the user can mend is reported in one line, with exit code 1."""
    full_errors = "HYDRA_FULL_ERROR" in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then leaves errors to us
    os.environ.setdefault(SWEEP, datetime.now(UTC).strftime("sweep-%Y%m%d-%H%M%S"))

    def guarded(config: DictConfig) -> object:
        # Hydra has set up the root logger with a prefix of its own.
        logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
        runtime = HydraConfig.get().runtime
        for note in plugins.ambiguities(runtime.choices, runtime.config_sources):
            print(f"note: {note}", file=sys.stderr)
        try:
            return job(config)
        except (UserError, HydraException, OmegaConfBaseException) as error:
            # In a sweep Hydra says first which of its jobs failed.
            if full_errors or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            _fail(_one_line(error, config_name), 1)

    try:
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=config_name)(guarded)()
    except (KeyboardInterrupt, SystemExit) as error:
        if type(error).__name__ == "SIGTERMException":  # Lightning's
            _fail("terminated; the same command goes on where it stopped", 128 + signal.SIGTERM)
        # Lightning turns an interruption of a training into an exit.
        if isinstance(error, SystemExit) and not isinstance(error.__context__, KeyboardInterrupt):
            raise
        _fail("interrupted; the same command goes on where it stopped", 130)
    except (UserError, HydraException, OmegaConfBaseException) as error:
        if full_errors:
            raise
        _fail(_one_line(error, config_name), 1)
    except OSError as error:
        if full_errors or not (error.filename or error.errno == errno.ENOSPC):
            raise
        where = f"{error.filename2 or error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror}", 1)
    except ValueError as error:  # what Hydra has no exception of its own for
        if not str(error).startswith("Config group override must be") or full_errors:
            raise
        _fail(f"{_null_group()}: a group needs one of its options, --help lists them", 1)


def _null_group() -> str:
    """The override that gives a group nothing."""
    return next((argument for argument in sys.argv[1:] if re.fullmatch(r"[\w/@.]+=null", argument)), "=null")


def _fail(message: str, code: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def _one_line(error: Exception, config_name: str) -> str:
    text = str(error)
    unknown = re.match(r"Could not override '([^']*)'", text) or re.match(r"Key '([^']*)' is not in struct", text)
    if unknown:
        return _unknown_setting(unknown[1], config_name)
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override} is not an override ({text.splitlines()[0]}); write setting=value, in quotes if need be"
        )
    parts = [text]
    if isinstance(error.__cause__, OmegaConfBaseException) and str(error.__cause__) not in text:
        parts.append(str(error.__cause__))
    lines = [line.strip() for part in parts for line in part.splitlines()]
    kept = [
        line
        for line in lines
        if line and not line.startswith(("object_type=", "reference_type=", "Config search path", "provider="))
    ]
    return re.sub(r"\s+", " ", " ".join(kept)).replace("full_key:", "setting:")


def _unknown_setting(name: str, config_name: str) -> str:
    """Which settings there are beside the one that does not exist, with the groups that the command line chose."""
    parent, _, key = name.rpartition(".")
    groups = [argument for argument in sys.argv[1:] if re.match(r"[\w/]+=[\w-]+$", argument)]
    node: Any = None
    for overrides in (groups, []):
        try:
            with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
                node = hydra.compose(config_name, overrides)
                for part in parent.split(".") if parent else []:
                    node = node[part]
            break
        except (HydraException, OmegaConfBaseException, TypeError):
            continue
    allowed = {str(item) for item in node} if isinstance(node, DictConfig) else set()
    if not allowed:
        return f"{name} is not a setting; --cfg job prints all there are"
    if key in allowed:
        return f"{name} has no such entry yet; entries are added one by one, with +{name}.NAME=VALUE"
    return f"{name} is not a setting; {suggest(key, allowed - {'_target_', '_partial_'}, parent)}"
