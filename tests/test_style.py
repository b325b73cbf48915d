"""The tree passes the linter and the formatter, and the rooms import only what they may."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

# The ground lies below every room but those named in STRICT.
GROUND = {
    "config", "cli", "documents", "errors", "files", "metrics", "registry", "settings", "settings_data",
    "settings_reference",
}  # fmt: skip
COMMANDS = {path.stem for path in (ROOT / "mlcfast").glob("*.py")} - GROUND - {"__init__", "__main__"}

# Room -> the rooms of the project that it may import, beside itself; the table of docs/architecture.md.
ALLOWED = {
    "ops": set(),
    "losses": {"ops"},
    "models": {"ops"},
    "data": set(),
    "runs": set(),
    "engine": {"losses", "models", "data"},
    "report": {"data", "runs"},
    "planning": {"engine", "data", "losses", "models", "ops"},
    "evaluation": {"planning", "report", "runs", "engine", "data", "losses", "models", "ops"},
    "training": {"evaluation", "planning", "report", "runs", "engine", "data", "losses", "models", "ops"},
    "sweeps": {"training", "report", "runs", "engine", "data"},
}
# What a module of the ground may import of the rooms: a configuration checks a loss's options by its signature.
UNDER_THE_GROUND = {"config": {"losses"}}
# Rooms that others use without the rest of the project, and what of the ground they may import.
STRICT = {"ops": set(), "losses": {"registry"}, "models": {"documents", "errors", "files", "registry"}}


@pytest.mark.parametrize("words", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff(words):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *words, "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_silenced_type_error_gives_its_code_and_its_reason():
    reasoned = re.compile(r"# type: ignore\[[a-z-]+(, [a-z-]+)*\]  # .*[a-z]{2,}.* [a-z]{2,}")
    for path in (ROOT / "mlcfast").rglob("*.py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            assert "type: ignore" not in line or reasoned.search(line), f"{path}:{number}: {line}"


def kernel_modules() -> list[Path]:
    """The modules that pyproject.toml frees of annotations for the sake of their Triton kernels."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    (names,) = [each["module"] for each in settings["overrides"] if each.get("disallow_untyped_defs") is False]
    return [path for name in names for path in ROOT.glob(f"{name.replace('.', '/')}.py")]


def test_only_kernels_go_without_annotations():
    modules = kernel_modules()
    assert any(path.name == "triton_kernels.py" for path in modules)
    for path in modules:
        functions = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)]
        for function in functions:
            if any(ast.unparse(decorator).startswith("triton.jit") for decorator in function.decorator_list):
                continue
            arguments = ast.walk(function.args)
            bare = [each.arg for each in arguments if isinstance(each, ast.arg) and each.annotation is None]
            assert function.returns is not None and not bare, f"{path}: {function.name} {bare}"


def imported(path: Path) -> set[str]:
    """Every module a file imports, by its full name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms() -> set[str]:
    return {path.name for path in (ROOT / "mlcfast").iterdir() if (path / "__init__.py").exists()}


def project_modules(path: Path) -> set[str]:
    """What a file imports of the project: the first names below `mlcfast`."""
    names = (name.split(".") for name in imported(path))
    return {parts[1] for parts in names if parts[0] == "mlcfast" and len(parts) > 1}


def test_the_law_names_every_room():
    assert rooms() == set(ALLOWED)


@pytest.mark.parametrize("room", ALLOWED)
def test_rooms_import_one_way(room):
    for path in (ROOT / "mlcfast" / room).rglob("*.py"):
        if path.name == "__main__.py":  # an entry point, which may import from everywhere
            continue
        allowed = ALLOWED[room] | STRICT.get(room, GROUND) | {room}
        climbs = (project_modules(path) & (rooms() | GROUND | COMMANDS)) - allowed
        assert not climbs, f"{path} imports {sorted(climbs)}"
        for name in imported(path):
            if name.startswith(("deepspeed", "torch.distributed")):
                assert room == "engine", f"{path} imports {name}"
            if name.startswith("matplotlib"):
                assert room == "report", f"{path} imports {name}"


def test_nobody_imports_a_command():
    for path in (ROOT / "mlcfast").rglob("*.py"):
        commands = project_modules(path) & COMMANDS
        assert path.name == "__main__.py" or not commands, f"{path} imports the command {sorted(commands)}"


@pytest.mark.parametrize("name", sorted(GROUND))
def test_the_ground_imports_no_room(name):
    climbs = project_modules(ROOT / "mlcfast" / f"{name}.py") - GROUND
    assert climbs <= UNDER_THE_GROUND.get(name, set()), f"{name}.py imports {sorted(climbs)}"
