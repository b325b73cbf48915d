"""`mlcfast COMMAND`: the same commands under one name."""

import gc
import importlib.metadata
import os
import subprocess
import sys

import pytest
from PIL import Image

import mlcfast
from mlcfast import __main__ as entry
from mlcfast import cli
from tests.conftest import ROOT, run_command


def test_help_names_every_command_without_importing_torch():
    code = "import sys; from mlcfast.__main__ import main; main(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in entry.commands():
        assert f"  {name} " in done.stdout and entry.summary(name) in done.stdout


SLOW = ("timm", "torchvision", "torch._dynamo", "deepspeed", "matplotlib", "onnx", "tensorboard")


def test_no_command_imports_what_takes_long_before_it_works():
    """Its help, its usage errors and `launch` wait for nothing but torch; any two of these take as long as that."""
    modules = [f"mlcfast.{name}" for name in entry.commands() if entry.source_of(name).stem == name]
    code = (
        f"import {', '.join(modules)}, sys; sys.exit(str([name for name in {SLOW} if name in sys.modules] or '') or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


AS_MODULE = "import runpy; runpy.run_module('mlcfast.inspect', run_name='__main__', alter_sys=True)"
AS_COMMAND = "from mlcfast.__main__ import main; main(['inspect', *sys.argv[1:]])"


@pytest.mark.parametrize("way", [AS_MODULE, AS_COMMAND], ids=["module", "command"])
@pytest.mark.parametrize("word", ["--help", "nowhere"])
def test_the_collector_leaves_aside_what_a_command_has_imported(way, word):
    """It works while the command does; where only help is printed, the process ends before."""
    code = f"""import gc, sys
try:
    {way}
finally:
    print(gc.isenabled(), gc.get_freeze_count() > 10_000)
"""
    words = [sys.executable, "-c", code, word]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    ended_before = word == "--help" and way == AS_MODULE
    assert done.stdout.endswith(f"\n{not ended_before} True\n" if word == "--help" else "True True\n")


def test_what_a_command_needs_is_imported_before_it_works_and_not_for_a_usage_error(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "colorsys", None)
    monkeypatch.delitem(sys.modules, "colorsys")
    parser = cli.Parser("inspect", "Look.", "nothing")

    def run(*words: str, needs: str) -> tuple[int | None, bool]:
        frozen = gc.get_freeze_count()
        try:
            return cli.run(parser, lambda _: "colorsys" in sys.modules and gc.isenabled(), words, needs=[needs]), False
        except SystemExit:
            return None, "colorsys" in sys.modules
        finally:
            if gc.get_freeze_count() > frozen:
                gc.unfreeze()

    assert run("nonsense", needs="colorsys") == (None, False)
    assert run(needs="colorsys") == (True, False)
    monkeypatch.setitem(sys.modules, "tqdm.made_up", None)
    assert run(needs="tqdm.made_up.part")[0] == 2 and "needs" in capsys.readouterr().err


def test_the_collector_goes_on_after_an_import_that_failed():
    try:
        with pytest.raises(ImportError), cli.loading():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_every_module_that_is_a_command_is_listed():
    commands = {path.stem for path in (ROOT / "mlcfast").glob("*.py") if "def build_parser" in path.read_text()}
    assert commands | {"report"} == set(entry.commands())


def test_a_command_runs_with_its_arguments_and_status(capsys, config_file):
    with pytest.raises(SystemExit) as ended:
        entry.main(["train", "--help"])
    assert ended.value.code == 0 and "mlcfast.train" in capsys.readouterr().out
    assert entry.main(["evaluate", str(config_file), "loss.nme=bce", "--checkpoint", "x"]) == 2


def test_names_of_other_bytes_than_utf_8_are_shown_with_these(tmp_path):
    """As old archives unpack them."""
    for folder in (b"caf\xe9", b"tea"):
        place = os.path.join(os.fsencode(tmp_path), folder)
        os.mkdir(place)
        Image.new("RGB", (8, 8), len(folder)).save(os.fsdecode(os.path.join(place, b"a.png")))
    done = run_command("mlcfast.inspect", str(tmp_path))
    assert done.returncode == 2 and "the label 'caf\\udce9' is not UTF-8" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("package", "command", "extra"),
    [("torch", "predict", "train"), ("torch", "export", "export"), ("numpy", "inspect", "data")],
)
def test_a_command_without_torch_or_numpy_says_what_to_install(tmp_path, package, command, extra):
    (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError('no {package}', name={package!r})")
    for words in ([f"mlcfast.{command}"], ["mlcfast", command]):
        done = run_command(*words, "--help", PYTHONPATH=str(tmp_path))
        assert done.returncode == 2
        assert done.stderr == f"error: mlcfast {command} needs {package}: pip install 'mlcfast[{extra}]'\n"


@pytest.mark.parametrize(("word", "says"), [("trian", "did you mean train?"), ("xyz", "see mlcfast --help")])
def test_unknown_commands_suggest_the_nearest(capsys, word, says):
    assert entry.main([word]) == 2
    assert says in capsys.readouterr().err


def test_the_version_is_the_distributions(capsys):
    assert entry.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == mlcfast.__version__
    assert importlib.metadata.version("mlcfast") == mlcfast.__version__


def test_the_distribution_brings_no_command_of_anothers():
    (scripts,) = [importlib.metadata.entry_points(group="console_scripts")]
    ours = {script.name for script in scripts if script.dist and script.dist.name == "mlcfast"}
    assert ours == {"mlcfast"}


def test_python_m_mlcfast_is_the_same_command():
    done = run_command("mlcfast", "predict", "nowhere", "photo.jpg")
    assert done.returncode == 2 and "nowhere" in done.stderr


def test_ctrl_c_while_torch_is_imported_is_one_line(monkeypatch, capsys):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("importlib.import_module", interrupted)
        assert entry.main(["predict", "x", "y"]) == 130
    with pytest.raises(SystemExit) as ended:
        cli._end_in_one_line(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert ended.value.code == 130 and capsys.readouterr().err == "interrupted\n" * 2
