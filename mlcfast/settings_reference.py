"""The page of all settings, made of the typed configuration: what each means, its default, what values it takes."""

import difflib
import types
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import annotated_types
import yaml
from pydantic import AfterValidator
from pydantic.fields import FieldInfo

from mlcfast.errors import UsageError
from mlcfast.settings import Config, Section

HEAD = """\
# Settings

Every key of a configuration file. On the command line `section.key=value` sets one; `null` means that there is none.
The page is what `python -m mlcfast.train --help-settings` prints; with a key or a section behind it, only that part.
"""
PLAIN = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


class Setting(NamedTuple):
    """One key: its dotted name and how the configuration declares it."""

    key: str
    field: FieldInfo

    @property
    def section(self) -> str:
        """The name before the dot; "" for a key of the top level."""
        return self.key.rpartition(".")[0]


def settings(model: type[Section] = Config, prefix: str = "") -> Iterator[Setting]:
    """Every setting in the order of declaration, those of the top level first."""
    inner = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            inner.append((field.annotation, f"{prefix}{name}."))
        else:
            yield Setting(prefix + name, field)
    for section, section_prefix in inner:
        yield from settings(section, section_prefix)


def defaults() -> dict[str, Any]:
    """The value of every setting that has one without being set, by dotted key, as YAML holds it."""
    every = [each for each in settings() if not each.field.is_required()]
    return {each.key: _plain(each.field.default) for each in every}


def flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """A nested configuration by dotted key; what a setting itself holds, such as options, stays whole."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        field = Config.model_fields.get(name)
        is_section = field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        if is_section and isinstance(value, Mapping):
            flat |= {f"{name}.{key}": _plain(inner) for key, inner in value.items()}
        else:
            flat[name] = _plain(value)
    return flat


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def reference(key: str | None = None) -> str:
    """The Markdown page; with a key or a section the entries of that alone. UsageError suggests the nearest key."""
    every = list(settings())
    if key is None:
        return HEAD + "".join(_section(name, every) for name in dict.fromkeys(each.section for each in every))
    chosen = [each for each in every if key in (each.key, each.section)]
    if not chosen:
        known = [*(each.key for each in every), *{each.section for each in every}]
        near = difflib.get_close_matches(key, known, n=1) or [name for name in known if name.endswith(f".{key}")]
        raise UsageError(f"no setting {key!r}" + (f": did you mean {near[0]}?" if near else ""))
    return "".join(map(entry, chosen))


def _section(name: str, every: list[Setting]) -> str:
    model: type[Section] = Config if not name else Config.model_fields[name].annotation  # type: ignore[assignment]  # this is a section
    about = "The run." if not name else " ".join((model.__doc__ or "").split())
    entries = "".join(entry(each) for each in every if each.section == name)
    return f"\n## {name or 'Top level'}\n\n{about}\n\n{entries}"


def entry(setting: Setting) -> str:
    """The setting as an item of a Markdown list: key, values and default, meaning."""
    default = "must be set" if setting.field.is_required() else f"default `{_written(setting.field.default)}`"
    return f"- `{setting.key}`: {values(setting.field)}; {default}.\n  {setting.field.description}\n"


def _written(value: Any) -> str:
    return yaml.safe_dump(_plain(value), default_flow_style=True).removesuffix("\n").removesuffix("\n...")


def values(field: FieldInfo) -> str:
    """What a setting may hold, in words."""
    for check in field.metadata:
        if isinstance(check, AfterValidator) and isinstance(check.func, partial):
            return f"{', '.join(check.func.keywords['known'])} or package.module:name"
    kinds = [field.annotation]
    if is_union(field.annotation):
        kinds = list(get_args(field.annotation))
    words = " or ".join(_type(each) for each in kinds if each is not type(None))
    words = " ".join([words, " and ".join(filter(None, map(_bound, field.metadata)))]).rstrip()
    return f"{words} or null" if type(None) in kinds else words


def is_union(annotation: Any) -> bool:
    """Whether a setting takes one kind of value or another."""
    return get_origin(annotation) in (Union, types.UnionType)


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(filter(None, (", ".join(map(str, inner[:-1])), str(inner[-1]))))
    if origin is tuple:
        return f"a list of {len(inner)} numbers"
    if origin is list:
        return "a list"
    if origin is dict:
        return "keys with values"
    return PLAIN[annotation]


def _bound(check: Any) -> str:
    words = {
        annotated_types.Ge: lambda: f"of at least {check.ge}",
        annotated_types.Gt: lambda: f"above {check.gt}",
        annotated_types.Lt: lambda: f"below {check.lt}",
        annotated_types.Le: lambda: f"at most {check.le}",
    }
    return words[type(check)]() if type(check) in words else ""
