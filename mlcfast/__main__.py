"""One command for the whole package: `mlcfast COMMAND …` runs `python -m mlcfast.COMMAND …`."""

import ast
import difflib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from mlcfast import cli
from mlcfast.errors import missing_extra

# The map of the product, in the order of the help.
STAGES = {
    "Begin with your data": ("inspect", "init", "demo_data"),
    "Train": ("plan", "train", "launch", "sweep", "features"),
    "Judge": ("evaluate", "report", "track"),
    "Use": ("predict", "export"),
    "In your shell": ("completion",),
}


def source_of(command: str) -> Path:
    """The file that a command's module is; it need not exist."""
    path = Path(__file__).with_name(f"{command}.py")
    return path if path.exists() else path.with_name(command) / "__main__.py"


def summary(command: str) -> str:
    """The first line of a command's docstring, read without importing it."""
    return (ast.get_docstring(ast.parse(source_of(command).read_text(encoding="utf-8"))) or "").splitlines()[0]


def commands() -> list[str]:
    """The commands that are installed."""
    return [name for stage in STAGES.values() for name in stage if source_of(name).exists()]


def usage() -> str:
    """The help: a line a command."""
    there = commands()
    width = max(map(len, there))
    lines = [
        "usage: mlcfast COMMAND …",
        "",
        "Multi-label image classification: find every label that applies to a picture.",
    ]
    for stage, names in STAGES.items():
        lines += ["", f"{stage}:"]
        lines += [f"  {name:<{width}}  {summary(name)}" for name in names if name in there]
    return "\n".join(
        [
            *lines,
            "",
            "mlcfast COMMAND --help explains one; mlcfast --version says which this is.",
            "example:",
            "  mlcfast init photos/labels.csv && mlcfast train photos.yaml",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status, 2 for one that does not exist or lacks a package."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words in (["--version"], ["-V"]):
        from mlcfast import __version__

        print(__version__)
        return 0
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    name = words[0].replace("-", "_")
    if name not in commands():
        near = difflib.get_close_matches(name, commands(), n=1)
        hint = f"did you mean {near[0]}?" if near else "see mlcfast --help"
        print(f"error: no command {words[0]!r}: {hint}", file=sys.stderr)
        return 2
    module = f"mlcfast.{name}" if source_of(name).stem == name else f"mlcfast.{name}.__main__"
    try:
        with cli.loading():
            command = importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = missing_extra(error, name)
        if missing is None or "--debug" in words:
            raise
        print(f"error: {missing}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # torch takes seconds to import
        if "--debug" in words:
            raise
        print("interrupted", file=sys.stderr)
        return 130
    return command.main(words[1:])


if __name__ == "__main__":
    sys.exit(main())
