"""One command for the whole package: `mlcfast COMMAND …` runs `python -m mlcfast.COMMAND …`."""

import ast
import difflib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

# In the order of the help: look at the data, train, judge, use.
COMMANDS = (
    "inspect", "demo_data", "plan", "train", "launch", "sweep", "features", "evaluate", "report", "predict", "export",
)  # fmt: skip


def summary(command: str) -> str:
    """The first line of a command's docstring, read without importing it."""
    path = Path(__file__).with_name(f"{command}.py")
    path = path if path.exists() else path.with_name(command) / "__main__.py"
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]


def commands() -> list[str]:
    """The commands that are installed."""
    place = Path(__file__).parent
    return [name for name in COMMANDS if (place / f"{name}.py").exists() or (place / name / "__main__.py").exists()]


def usage() -> str:
    """The help: a line a command."""
    names = commands()
    width = max(map(len, names))
    lines = ["usage: mlcfast COMMAND …", "", "Multi-label image classification. The commands:", ""]
    lines += [f"  {name:<{width}}  {summary(name)}" for name in names]
    return "\n".join(
        [*lines, "", "mlcfast COMMAND --help explains one.", "example:", "  mlcfast train configs/demo.yaml"]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status, 2 for one that does not exist."""
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
    module = f"mlcfast.{name}"
    if not Path(__file__).with_name(f"{name}.py").exists():
        module += ".__main__"
    return importlib.import_module(module).main(words[1:])


if __name__ == "__main__":
    sys.exit(main())
