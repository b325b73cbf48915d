"""The tree passes the linter and the formatter, and the rooms import only what they may."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Room -> the project's modules it may import, beside itself.
ALLOWED = {
    "ops": set(),
    "losses": {"ops"},
    "models": {"ops", "errors", "files"},
    "data": {"config", "errors"},
    "engine": {"config", "errors", "files", "losses", "models", "objective"},
    "report": {"config", "data", "errors", "files", "metrics"},
}


@pytest.mark.parametrize("words", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff(words):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *words, "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def imported(path: Path) -> set[str]:
    """Every module a file imports, by its full name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("room", ALLOWED)
def test_rooms_import_one_way(room):
    for path in (ROOT / "mlcfast" / room).rglob("*.py"):
        if path.name == "__main__.py":  # an entry point, which may import from everywhere
            continue
        for name in imported(path):
            first, _, rest = name.partition(".")
            if first == "mlcfast" and rest:
                assert rest.split(".")[0] in ALLOWED[room] | {room}, f"{path} imports {name}"
            if first == "deepspeed" or name.startswith("torch.distributed"):
                assert room == "engine", f"{path} imports {name}"
            if first == "matplotlib":
                assert room == "report", f"{path} imports {name}"
