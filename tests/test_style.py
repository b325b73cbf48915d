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
    "ancestors", "config", "cli", "documents", "errors", "files", "metrics", "registry", "settings", "settings_data",
    "settings_reference", "stopwatch", "tensor_files",
}  # fmt: skip
COMMANDS = {path.stem for path in (ROOT / "mlcfast").glob("*.py")} - GROUND - {"__init__", "__main__"}

# Room -> the rooms of the project that it may import, beside itself; the table of docs/architecture.md.
ALLOWED = {
    "ops": set(),
    "losses": {"ops"},
    "models": {"ops"},
    "data": {"ops"},
    "runs": set(),
    "engine": {"losses", "models", "data"},
    "report": {"data", "runs"},
    "planning": {"engine", "data", "losses", "models", "ops"},
    "evaluation": {"planning", "report", "runs", "engine", "data", "losses", "models", "ops"},
    "training": {"evaluation", "planning", "report", "runs", "engine", "data", "losses", "models", "ops"},
    "sweeps": {"training", "report", "runs", "engine", "data"},
    "api": {"training", "evaluation", "report", "runs", "engine"},
}
# What a module of the ground may import of the rooms: a configuration checks a loss's options by its signature.
UNDER_THE_GROUND = {"config": {"losses"}}
# Rooms that others use without the rest of the project, and what of the ground they may import.
STRICT = {"ops": set(), "losses": {"registry"}, "models": {"documents", "errors", "files", "registry", "tensor_files"}}


@pytest.mark.parametrize("words", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff(words):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *words, "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def mypy(request: pytest.FixtureRequest, *words: str) -> str:
    """What the checker says; its cache lies beside pytest's own, so that only the first run takes long."""
    cache = request.config.cache.mkdir("mypy")
    line = [sys.executable, "-m", "mypy", "--cache-dir", str(cache), "--config-file", "pyproject.toml", *words]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr  # 2 where the checker itself did not run
    return done.stdout


def test_mypy(request):
    said = mypy(request)
    assert said.startswith("Success"), said


def test_mypy_refuses_what_has_no_type_and_what_may_be_none(request, tmp_path):
    file = tmp_path / "wrong.py"
    file.write_text(
        "def untyped(x):\n    return x\n\n\n"
        "def unguarded(x: str | None) -> int:\n    return len(x)\n\n\n"
        "def implicit(x: str = None) -> str:  # type: ignore[misc]\n    return x\n"
    )
    said = mypy(request, str(file))
    for line, code in ((1, "no-untyped-def"), (6, "arg-type"), (9, "assignment"), (9, "unused-ignore")):
        assert re.search(rf"wrong\.py:{line}: .*\[{code}\]", said), said


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
            bare = [
                each.arg
                for each in arguments
                if isinstance(each, ast.arg) and not each.annotation and each.arg != "self"
            ]
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
