"""The runs of a sweep: every variant of a configuration at every point of a grid, each with a name of its own."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlcfast.config import Config, SweepConfig, parse_config, set_value
from mlcfast.documents import parse_yaml
from mlcfast.errors import UsageError

VARIANT = "variant"


@dataclass(frozen=True)
class Cell:
    """One run: its choices by axis (dotted keys, and `variant`) and its whole configuration."""

    choices: dict[str, Any]
    config: Config


def parse_axes(words: Sequence[str]) -> tuple[list[str], dict[str, list[Any]]]:
    """Split `key=value` words into plain overrides and, where there are several values, axes of the grid.

    Values are separated by commas outside brackets and quotes, each of them YAML.
    """
    plain, axes = [], {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise UsageError(f"{word!r} is not of the form section.key=value,value")
        values = _values(word, text)
        if len(values) > 1:
            axes[key] = values
        else:
            plain.append(word)
    return plain, axes


def parse_variants(words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`NAME: key=value key=value` words as SweepConfig holds them."""
    variants = {}
    for word in words:
        name, colon, settings = word.partition(":")
        if not colon or not name.strip():
            raise UsageError(f"variant {word!r} is not of the form 'NAME: section.key=value …'")
        pairs = [setting.partition("=") for setting in settings.split()]
        wrong = [key for key, equals, _ in pairs if not equals]
        if wrong:
            raise UsageError(f"variant {name}: {wrong[0]!r} is not of the form section.key=value")
        variants[name.strip()] = {key: parse_yaml(text) for key, _, text in pairs}
    return variants


def make_cells(
    config: Config, grid: Mapping[str, Sequence[Any]], variants: Mapping[str, Mapping[str, Any]]
) -> list[Cell]:
    """Every run; their directories are OUTPUT/NAME/<choices>. Where the global batch is smaller than the micro-batch,
    the micro-batch follows it. UsageError for an impossible configuration, and for two choices of one name."""
    axes = [[(key, value) for value in values] for key, values in grid.items()]
    sides = [{VARIANT: name} for name in variants] or [{}]
    # The variants of one point follow each other: what an interrupted sweep leaves can be compared.
    cells = [_cell(config, side | dict(point), variants) for point in itertools.product(*axes) for side in sides]
    names = [cell.config.name for cell in cells]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"two runs of the sweep would be called {twice[0]!r}: leave one of them out")
    return cells


def _cell(config: Config, choices: dict[str, Any], variants: Mapping[str, Mapping[str, Any]]) -> Cell:
    settings = {**variants.get(choices.get(VARIANT, ""), {}), **{k: v for k, v in choices.items() if k != VARIANT}}
    values = config.model_dump(mode="json")
    if not config.data.names_normalisation:  # it follows the backbone
        del values["data"]["mean"], values["data"]["std"]
    for key, value in sorted(settings.items(), key=lambda setting: setting[0] not in ("loss", "loss.name")):
        if key.split(".")[0] == "sweep":
            raise UsageError(f"{key} cannot be part of a sweep")
        set_value(values, key, value)
    name = "-".join(_slug(key, value, choices) for key, value in choices.items()) or "run"
    values |= {"name": name, "output": str(Path(config.output) / config.name), "sweep": SweepConfig().model_dump()}
    shown = ", ".join(f"{key}={value}" for key, value in choices.items())
    return Cell(choices, parse_config(values, source=f"sweep ({shown})"))


def _slug(key: str, value: Any, choices: Mapping[str, Any]) -> str:
    if key == VARIANT:
        return re.sub(r"[^A-Za-z0-9._]+", "_", str(value))
    leaf = key.rpartition(".")[2]
    unique = sum(other.rpartition(".")[2] == leaf for other in choices) == 1
    return re.sub(r"[^A-Za-z0-9._]+", "_", f"{leaf if unique else key}_{value}")


def _values(word: str, text: str) -> list[Any]:
    pieces, depth, quote, start = [], 0, "", 0
    for position, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        elif sign == "," and not depth:
            pieces.append(text[start:position])
            start = position + 1
    try:
        values = [_number(parse_yaml(piece)) for piece in [*pieces, text[start:]]]
    except ValueError as error:
        raise UsageError(f"{word!r}: a value is not valid YAML") from error
    return values


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-3, without a point, as text."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value
