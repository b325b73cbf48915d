"""Objects found by name: the project's own, and those of anybody's module as `package.module:name`."""

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Our entries by name; `find` also imports what is named `package.module:name` or `directory/file.py:name`.

    what: the words an error begins with, such as the configuration's key. error: the exception for a name that is not
    found or cannot be imported; its message is one line and says what would be right.
    """

    def __init__(self, what: str, entries: Mapping[str, Entry], error: type[Exception] = ValueError):
        self.what, self.error = what, error
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: object) -> Entry:
        """The entry called `name`, or what a user's module holds under it."""
        if isinstance(name, str) and name in self._entries:
            return self._entries[name]
        if is_import_name(name):
            return cast(Entry, imported(str(name), self.what, self.error))
        choices = ", ".join(self)
        raise self.error(f"{self.what} must be one of {choices} or package.module:name, not {name!r}{hint(name, self)}")


def check_options(
    make: Callable[..., object],
    options: Iterable[str],
    what: str,
    given: Iterable[str] = (),
    error: type[Exception] = ValueError,
) -> None:
    """Raise `error`, with the nearest name, unless `make` has a parameter for each of the options.

    what: the words the error begins with. given: the parameters that the caller fills itself. A callable that takes
    `**options`, or whose signature cannot be read, takes all.
    """
    try:
        parameters = inspect.signature(make).parameters
    except ValueError:
        return
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    known = sorted(set(parameters) - set(given))
    for option in options:
        if option not in known:
            has = f"it has {', '.join(known) or 'none'}"
            raise error(f"{what} has no option {option!r}{hint(option, known)}; {has}")


def as_callable(entry: object, what: str, error: type[Exception] = ValueError) -> Callable[..., Any]:
    """The entry itself; `error` unless it can be called."""
    if not callable(entry):
        raise error(f"{what}: {entry!r} is a {type(entry).__name__}, not a class or function")
    return entry


def is_import_name(name: object) -> bool:
    """Whether this is of the form `package.module:name` or `directory/file.py:name`."""
    if not isinstance(name, str):
        return False
    module, colon, attribute = name.rpartition(":")
    return bool(colon and module) and attribute.isidentifier()


def imported(name: str, what: str, error: type[Exception] = ValueError) -> object:
    """As `import_by_name`; `error`, which begins with `what`, where that fails."""
    try:
        return import_by_name(name)
    except ValueError as reason:
        raise error(f"{what}: {reason}") from reason


def import_by_name(name: str) -> object:
    """What `package.module:name` or `directory/file.py:name` means.

    The module is looked for in the current directory and wherever Python looks. ValueError, one line, where there is no
    such module, it cannot be imported, or it has no such name.
    """
    place, _, attribute = name.rpartition(":")
    module = _module_of_file(Path(place)) if place.endswith(".py") else _module(place)
    try:
        return getattr(module, attribute)
    except AttributeError:
        public = [entry for entry in vars(module) if not entry.startswith("_")]
        raise ValueError(f"{place} has no {attribute!r}{hint(attribute, public)}") from None


def hint(name: object, known: Iterable[str]) -> str:
    """`: did you mean …?` with the nearest known name, or nothing."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f": did you mean {near[0]}?" if near else ""


def hint_path(path: str | Path) -> str:
    """`: did you mean …?` with the existing path nearest to one that does not exist, or nothing.

    The first part of the path that does not exist is compared with what lies beside it.
    """
    missing = Path(path).absolute()
    if missing.exists():
        return ""
    while not missing.parent.exists():
        missing = missing.parent
    try:
        siblings = os.listdir(missing.parent)
    except OSError:  # no directory, or one that may not be read
        return ""
    near = difflib.get_close_matches(missing.name, siblings, n=1)
    written = Path(path).parts[: len(Path(path).parts) - len(Path(path).absolute().relative_to(missing).parts) - 1]
    return f": did you mean {Path(*written, near[0])}?" if near else ""


def _module(name: str) -> ModuleType:
    # The console script does not put the current directory on the path, as `python -m` does.
    if not any(os.path.realpath(place or ".") == os.getcwd() for place in sys.path):
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ValueError(f"{name} cannot be imported: {error}") from error
        looked = "the current directory and Python's path (PYTHONPATH adds to it)"
        raise ValueError(f"there is no module {error.name} in {looked}") from error
    except Exception as error:  # a user's module may raise anything
        raise ValueError(f"{name} cannot be imported: {type(error).__name__}: {_first_line(error)}") from error


def _module_of_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    if not file.stem.isidentifier():
        raise ValueError(f"{file}: the file's name is no Python name, so that it cannot be imported")
    directory = str(file.resolve().parent)
    if directory not in sys.path:
        sys.path.append(directory)
    module = _module(file.stem)
    found = getattr(module, "__file__", None)
    if found is None or not os.path.samefile(found, file):
        raise ValueError(f"{file}: another module is called {file.stem} ({found}): give the file another name")
    return module


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
