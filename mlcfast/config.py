"""Typed configuration: YAML in, dotted overrides on top, one-line errors that suggest the nearest key."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mlcfast import settings_reference
from mlcfast.documents import parse_yaml, reading
from mlcfast.errors import UsageError
from mlcfast.registry import hint_path
from mlcfast.settings import (
    FORMATS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Config,
    DataConfig,
    EngineConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    Section,
    SweepConfig,
    TrainConfig,
)

__all__ = [
    "FORMATS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Config",
    "DataConfig",
    "EngineConfig",
    "LossConfig",
    "ModelConfig",
    "OptimConfig",
    "Section",
    "SweepConfig",
    "TrainConfig",
    "load_config",
    "parse_config",
    "read_yaml",
    "set_value",
]


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, apply `section.key=value` overrides and validate.

    Raises UsageError, one line, for a missing or malformed file, an unknown key (with the nearest one), a wrong
    type or an impossible combination.
    """
    for override in overrides:
        _setting(override)  # what is wrong there is not the file's
    with reading(Path(path)):
        return parse_config(read_yaml(Path(path)), overrides, source=str(path))


def parse_config(values: dict[str, Any], overrides: Sequence[str] = (), source: str = "configuration") -> Config:
    """Validate a nested dict of settings, as `load_config` does for a file."""
    settings = [_setting(override) for override in overrides]
    for key, value in sorted(settings, key=lambda setting: setting[0] not in ("loss", "loss.name")):
        set_value(values, key, value)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{source}: {_one_line(error)}") from error
    _check_loss(config.loss, source)
    return _as_the_backbone_was_trained(config)


def set_value(values: dict[str, Any], key: str, value: Any) -> None:
    """Set one dotted key of a nested dict of settings.

    Another `loss.name`, or `loss` set to a name, drops the options of the loss before; an option of null is removed.
    UsageError where a part of the key is no section.
    """
    *parents, leaf = key.split(".")
    if key == "loss" and isinstance(value, str):
        parents, leaf = ["loss"], "name"
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise UsageError(f"{key}: {parent} is not a section")
    if parents == ["loss"] and leaf == "name" and values.get("name") != value:
        values.clear()
    if parents == ["loss"] and leaf != "name" and value is None:
        values.pop(leaf, None)
    else:
        values[leaf] = value


def _as_the_backbone_was_trained(config: Config) -> Config:
    """With data.mean and data.std of timm's record of a pretrained backbone, where neither is given."""
    data, model = config.data, config.model
    if data.names_normalisation or model.weights in (None, "none") or data.format == "features":
        return config
    import timm  # takes seconds, and most configurations need none of it

    try:
        record = timm.get_pretrained_cfg(model.backbone)
    except RuntimeError:  # a variant that timm does not have, which is said where the model is built
        return config
    if record is None or (record.mean, record.std) == (IMAGENET_MEAN, IMAGENET_STD):
        return config
    return config.normalised(record.mean, record.std)


def _check_loss(loss: LossConfig, source: str) -> None:
    """UsageError unless there is such a loss and it takes these options."""
    from mlcfast.losses import build_loss  # needs torch, which settings alone do not

    try:
        made = build_loss(loss.name, **loss.options)
        if getattr(made, "reduction", None) == "none":
            raise ValueError("loss reduction must be mean or sum: a run needs one number")
    except (ValueError, TypeError) as error:
        raise UsageError(f"{source}: loss: {str(error).removeprefix('loss ')}") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings of a configuration file as they stand there; UsageError names a file that is none."""
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the configuration: {error.strerror}{_near(path, error)}") from error
    except ValueError as error:
        raise UsageError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: expected `key: value` lines at the top level")
    return values


def _near(path: Path, error: OSError) -> str:
    """The nearest file that is there, for one that is not, among those of its directory and of configs/."""
    if not isinstance(error, FileNotFoundError):
        return ""
    return hint_path(path) or hint_path(Path("configs") / path.name)


def _setting(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UsageError(f"override {override!r} is not of the form section.key=value")
    try:
        return key, parse_yaml(text)
    except ValueError as error:
        raise UsageError(f"override {override!r}: the value is not valid YAML") from error


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    where = _place(first)
    if first["type"] == "extra_forbidden":
        return f"unknown key {where}{_suggestion(first['loc'])}"
    if first["type"] == "missing":
        return f"missing key {where}"
    given = "" if isinstance(first["input"], dict | BaseModel) else f", not {_written(first['input'])}"
    message = _wanted(first, where)
    return f"{where}: {message}{given}" if where else message


def _place(error: ErrorDetails) -> str:
    """The dotted place of what is wrong; of a setting that takes one kind or another its key, without the kinds."""
    where = ".".join(str(part) for part in error["loc"])
    for setting in settings_reference.settings():
        if where.rpartition(".")[0] == setting.key and settings_reference.is_union(setting.field.annotation):
            return setting.key
    return where


def _wanted(error: ErrorDetails, where: str) -> str:
    """What is said of a value that does not do: the reason of a check of ours, else what the setting may hold."""
    if error["type"] == "string_pattern_mismatch":  # of the run's name, which is also that of a directory
        return "must be letters, digits, '.', '_' and '-', and begin with a letter, a digit or '_'"
    of_an_element = any(isinstance(part, int) for part in error["loc"])
    if error["type"] in ("value_error", "finite_number") or of_an_element:
        return error["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)
    setting = next((each for each in settings_reference.settings() if f"{where}.".startswith(f"{each.key}.")), None)
    return f"must be {settings_reference.values(setting.field)}" if setting else "must be a section, keys with values"


def _written(value: object) -> str:
    """A value that was given: as in YAML where that has a word for it."""
    words = {"None": "null", "True": "true", "False": "false"}
    return words.get(repr(value), repr(value))


def _suggestion(location: Iterable[Any]) -> str:
    *parents, leaf = (str(part) for part in location)
    known = list(_keys(Config))
    prefix = ".".join([*parents, ""]) if parents else ""
    siblings = [key for key in known if key.startswith(prefix) and key.count(".") == len(parents)]
    near = difflib.get_close_matches(f"{prefix}{leaf}", siblings, n=1, cutoff=0.6)
    near = near or [key for key in known if key.rpartition(".")[2] == leaf]
    return f": did you mean {near[0]}?" if near else f"; known here: {', '.join(siblings)}"


def _keys(model: type[BaseModel], prefix: str = "") -> Iterable[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _keys(field.annotation, f"{prefix}{name}.")
