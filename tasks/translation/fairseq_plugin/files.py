"""The files that the model's arguments name: a network, and the space that it is from."""

from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from pydantic import TypeAdapter, ValidationError

from shiftaddnas.errors import UserError
from shiftaddnas.spaces import read_choices
from tasks.translation.arch_yaml import write_arch_yaml
from tasks.translation.choices import DecoderChoices, EncoderChoices
from tasks.translation.config import FULL_PRECISION, SuperShape
from tasks.translation.space import TranslationSpace

PARTS: dict[str, TypeAdapter[Any]] = {
    "shape": TypeAdapter(SuperShape),
    "encoder": TypeAdapter(EncoderChoices),
    "decoder": TypeAdapter(DecoderChoices),
    "num_bits": TypeAdapter(tuple[int, ...]),
}


def read_network(arch: str, space: str) -> dict[str, Any]:
    """A network as plain data: "network", a text in the released code's format, and "super_shape".

    Args:
        arch: a file with decisions by name, or in the released code's format; or a shipped one's name.
        space: a file with a space, or with a config that has one; or a shipped one's name.

    Raises:
        UserError: there is no such file, it does not hold what it should, or the network is not of the space.
    """
    arch_file, space_file = _file(arch, "--arch-yaml", "archs"), _file(space, "--space", "space")
    settings = _space_settings(space_file)
    try:
        return network_data(arch_file, settings)
    except UserError as error:
        raise UserError(f"--arch-yaml {arch} --space {space}: {error}") from None


def network_data(arch_file: Path, space: dict[str, Any]) -> dict[str, Any]:
    """The same, of a file and a space's settings."""
    text = arch_file.read_text(encoding="utf-8", errors="replace")
    bits = _num_bits(text) or space.get("num_bits", [FULL_PRECISION])
    built = _space(space | {"num_bits": bits})
    arch = built.read_notation(text) or built.arch(read_choices(arch_file))
    return {"network": write_arch_yaml(built.config(arch)), "super_shape": asdict(built.shape)}


def _file(name: str, option: str, group: str) -> Path:
    folder = _shipped(group)
    for file in (Path(name), folder / f"{name}.yaml"):
        if file.is_file():
            return file
    known = ", ".join(sorted(file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.yaml")))
    raise UserError(f"{option} {name} is neither a file nor shipped; shipped are {known}")


def _shipped(group: str) -> Path:
    packaged = Path(str(files("shiftaddnas"))) / "conf"
    return (packaged if packaged.is_dir() else Path(__file__).parents[3] / "conf") / group


def _space_settings(file: Path) -> dict[str, Any]:
    content = cast(dict[str, Any], OmegaConf.to_container(_config(file)))
    found = content.get("space", content)
    return found if isinstance(found, dict) else {}


def _config(file: Path) -> DictConfig:
    """A config and those that its defaults list names, of the same folder or shipped, below it.

    Composing it with Hydra would change global state of Hydra's that fairseq then trips over.
    """
    try:
        config = OmegaConf.load(file)
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"--space {file} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(config, DictConfig):
        raise UserError(f"--space {file} is a list, not the settings of a space")
    for name in config.pop("defaults", []):
        if name == "_self_":
            continue
        candidates = (folder / f"{name}.yaml" for folder in (file.parent, _shipped("space")))
        below = next((one for one in candidates if one.is_file() and one != file), None)
        if below is None:
            raise UserError(f"--space {file}: its defaults list has {name}, which is neither beside it nor shipped")
        config = cast(DictConfig, OmegaConf.merge(_config(below), config))
    return config


def _space(settings: dict[str, Any]) -> TranslationSpace:
    parts: dict[str, Any] = {}
    for name, adapter in PARTS.items():
        try:
            parts[name] = adapter.validate_python(settings.get(name))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, (name, *first["loc"])))
            raise UserError(f"the space is none of transformers, its {place} is wrong: {first['msg']}") from None
    return TranslationSpace(str(settings.get("name")), **parts)


def _num_bits(text: str) -> list[int]:
    """Those that a network names: how it is trained is for the network to say, whatever its space has."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return []  # told where the arch is read
    bits = content.get("num_bits") if isinstance(content, dict) else None
    return [FULL_PRECISION if bits == -1 else bits] if type(bits) is int else []
