"""Parses a printed line as its command would, and loads its configuration, without doing anything else."""

import argparse
import contextlib
import importlib
import io
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import yaml

from mlcfast.config import load_config
from mlcfast.engine.deepspeed_cli import translate
from mlcfast.errors import UsageError
from mlcfast.settings_reference import reference
from mlcfast.sweeps.grid import make_cells, parse_axes, parse_variants

ROOT = Path(__file__).parents[2]


class RefusedError(Exception):
    """A line that its command would refuse, with the reason."""


class _ParsedError(BaseException):
    """Ends a command at the moment when it has parsed its arguments."""


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Whatever a parser or a configuration refuses is raised as RefusedError."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            yield
    except SystemExit as ended:
        if ended.code not in (0, None):
            raise RefusedError(" ".join(said.getvalue().split()) or f"status {ended.code}") from None
    except (UsageError, ValueError, OSError, ImportError) as error:
        raise RefusedError(" ".join(str(error).split())) from error


def check_command(text: str) -> bool:
    """Parse every command of a shell line; False where the tests have a parser for none of them.

    RefusedError where one is refused.
    """
    known = [_check(_without_environment(shlex.split(part))) for part in text.split("&&")]
    return any(known)


def _without_environment(words: list[str]) -> list[str]:
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    return words


def _check(words: list[str]) -> bool:
    program, *rest = words
    with _refusals():
        if program == "srun":
            return _check(rest)
        if program == "source":
            return True
        if program == "./launch.sh":
            return _check_launch(rest)
        if Path(program).name == "python" and rest[:1] == ["-m"]:
            return _check_module(rest[1], rest[2:])
        if program == "mlcfast":
            return rest in (["--help"], ["--version"]) or _check_module(f"mlcfast.{rest[0]}", rest[1:])
        if program == "torchrun":
            from torch.distributed.run import get_args_parser

            args = get_args_parser().parse_args(rest)
            return _check_module(args.training_script, args.training_script_args)
        if program == "deepspeed":
            from deepspeed.launcher.runner import parse_args

            args = parse_args(translate(rest))
            return _check_module(args.user_script, args.user_args)
    return False


def _check_launch(words: list[str]) -> bool:
    if words[:1] == ["test"]:
        return _check_module("pytest", words[1:])
    return words in ([], ["setup"]) or _check_module("mlcfast.launch", words)


def _check_module(module: str, words: list[str]) -> bool:
    if module == "pytest":
        missing = [word for word in words if word.startswith("tests/") and not (ROOT / word).exists()]
        if missing:
            raise RefusedError(f"no {missing[0]}")
        return True
    if module.startswith("bench."):
        return _check_bench(module, words)
    if module == "mlcfast.train" and "--help-settings" in words:  # prints and ends, as --help does
        reference(*words[1:2])
        return True
    place = f"{module}.__main__" if (ROOT / module.replace(".", "/")).is_dir() else module
    args = importlib.import_module(place).build_parser().parse_intermixed_args(words)
    if module == "mlcfast.sweep":
        plain, axes = parse_axes(args.settings)
        config = load_config(ROOT / args.config, plain)
        make_cells(config, config.sweep.grid | axes, config.sweep.variants | parse_variants(args.variant))
    elif "config" in args:
        load_config(ROOT / args.config, args.overrides)
    return True


def _check_bench(module: str, words: list[str]) -> bool:
    """The parser of bench.run, which knows its suites; another command builds its own when it is run."""
    if module == "bench.run":
        importlib.import_module(module)._parse(words)
        return True
    source = ROOT / module.replace(".", "/")
    source = source / "__main__.py" if source.is_dir() else source.with_suffix(".py")
    if "ArgumentParser" not in source.read_text(encoding="utf-8"):
        if words:
            raise RefusedError(f"{module} takes no arguments")
        return True
    parse = argparse.ArgumentParser.parse_args

    def parse_only(parser, arguments=None, namespace=None):
        parse(parser, arguments, namespace)
        raise _ParsedError

    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", parse_only),
        mock.patch.object(sys, "argv", [str(source), *words]),
        contextlib.suppress(_ParsedError),
    ):
        runpy.run_module(module, run_name="__main__")
        raise RefusedError(f"{module} did not parse its arguments")
    return True


def check_settings(text: str) -> None:
    """Apply settings of a sentence, `a.b=c d.e=f` or `a.b: c`, to configs/demo.yaml; RefusedError if one is wrong."""
    words = [text.replace(": ", "=", 1)] if re.match(r"[\w.]+: ", text) else text.split()
    with _refusals():
        load_config(ROOT / "configs" / "demo.yaml", words)


def check_option(text: str) -> None:
    """RefusedError unless a command of the package or a benchmark names this option."""
    option = f'"{text.split()[0]}"'
    places = [*(ROOT / "mlcfast").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]
    if not any(option in path.read_text(encoding="utf-8") for path in places):
        raise RefusedError(f"no command has the option {option}")


def shortened(path: Path, settings: dict) -> str:
    """A configuration file as text, with other values for dotted keys; RefusedError for a value that is refused."""
    from mlcfast.config import parse_config, set_value

    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in settings.items():
        set_value(values, key, value)
    text = yaml.safe_dump(values, sort_keys=False)
    with _refusals():
        parse_config(values, source=path.name)
    return text
