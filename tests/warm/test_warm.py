"""A warm Python is to its caller what a fresh one is."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.warm import WarmPython
from tests.warm.protocol import FORK_OR_FAIL, NO_FORK

TOLD = "import json, os, sys; print(json.dumps([sys.argv, os.getcwd(), sys.path[:2], os.environ.get('GIVEN')]))"
WAITING = """
import pathlib, signal, sys, time
def on_term(number, frame):
    print("told", flush=True)
    sys.exit(5)
if "heed" in sys.argv:
    signal.signal(signal.SIGTERM, on_term)
print("waits", flush=True)
while True:
    time.sleep(0.02)
    pathlib.Path(sys.argv[1]).touch()
"""


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmPython]:
    with contextlib.closing(WarmPython(os.environ)) as python:
        yield python


def both(warm: WarmPython, *words: str, env=None, forks=True, **options) -> list[subprocess.CompletedProcess]:
    """What the real interpreter does with these arguments, and what the warm one does, which must be to fork."""
    environment = (env or dict(os.environ)) | {FORK_OR_FAIL: "1" if forks else ""}
    environment.pop("PYTHONUNBUFFERED", None)
    return [
        subprocess.run(
            [python, *words], capture_output=True, text=True, check=False, timeout=120, env=environment, **options
        )
        for python in (sys.executable, str(warm.executable))
    ]


def seen(done: subprocess.CompletedProcess) -> tuple:
    return done.returncode, done.stdout, done.stderr


def test_libraries_are_loaded_and_nothing_of_this_project(warm):
    code = "import sys; print('torch' in sys.modules, [m for m in sys.modules if m.startswith(('mlcfast', 'tests'))])"
    assert both(warm, "-c", code)[1].stdout == "True []\n"


@pytest.mark.parametrize("options", [[], ["-u"], ["-P"]], ids=["plain", "unbuffered", "safe path"])
@pytest.mark.parametrize("kind", ["code", "module", "file"])
def test_arguments_directory_environment_and_path(warm, tmp_path, kind, options):
    (tmp_path / "told.py").write_text(TOLD)
    words = {"code": ["-c", TOLD], "module": ["-m", "told"], "file": ["told.py"]}[kind]
    environment = os.environ | {"GIVEN": "ä", "PYTHONPATH": str(tmp_path)}
    real, other = both(warm, *options, *words, "one", "two words", cwd=tmp_path, env=environment)
    assert seen(real) == seen(other) and real.returncode == 0 and '"two words"' in real.stdout


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.exit()",
        "import sys; sys.exit(7)",
        "import sys; sys.exit('a reason')",
        "import atexit; atexit.register(print, 'at the end')",
        "import threading, time; threading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()",
        "import os; os.kill(os.getpid(), 9)",
        "import os; os.kill(os.getpid(), 15)",
        "import os; os.umask(0o27); os.system('umask')",
        "import os; print('not flushed', end=''); os._exit(3)",
        "import sys; sys.stdout.close()",
        "import sys; print(sys.stdin.read().upper(), end='')",
        "print(sorted(set(globals()) - {'__annotations__'}))",
    ],
)
def test_it_ends_as_a_fresh_interpreter_does(warm, code):
    real, other = both(warm, "-c", code, input="said\n")
    assert seen(real) == seen(other)


def test_nothing_is_left_for_the_first_fork_to_clear_away(warm):
    """wandb makes temporary folders when it is imported, which go when the interpreter ends."""
    code = "import sys, tempfile, weakref; print('wandb' in sys.modules, sum(isinstance(f.peek()[0],"
    code += " tempfile.TemporaryDirectory) for f in weakref.finalize._registry))"
    assert both(warm, "-c", code)[1].stdout == "False 0\n"


def test_an_exception_ends_it_with_status_1(warm):
    real, other = both(warm, "-c", "{}['missing']")
    assert real.returncode == other.returncode == 1
    assert other.stderr.splitlines()[-1] == real.stderr.splitlines()[-1] == "KeyError: 'missing'"


def test_ctrl_c_ends_it_by_the_signal_after_its_last_words(warm):
    code = "import atexit; atexit.register(print, 'at the end'); print('before'); raise KeyboardInterrupt"
    real, other = both(warm, "-c", code)
    assert real.returncode == other.returncode == -signal.SIGINT
    assert real.stdout == other.stdout == "before\nat the end\n"
    assert other.stderr.splitlines()[-1] == real.stderr.splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize("unbuffered", [["-u"], []], ids=["option", "variable"])
def test_what_is_unbuffered_is_said_at_once(warm, unbuffered):
    code = "import os, subprocess; print('said', end=''); subprocess.run(['printf', 'then']); os._exit(3)"
    environment = os.environ | {FORK_OR_FAIL: "1"} | ({} if unbuffered else {"PYTHONUNBUFFERED": "1"})
    words = [str(warm.executable), *unbuffered, "-c", code]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (3, "saidthen")


def test_the_umask_is_the_callers(warm, tmp_path):
    before = os.umask(0o77)
    try:
        real, other = both(warm, "-c", "import os; os.system('umask')")
    finally:
        os.umask(before)
    assert real.stdout == other.stdout == "0077\n"


def test_no_two_forks_draw_the_same_random_numbers(warm):
    code = "import random, numpy, torch; print(random.random(), numpy.random.rand(), torch.rand(1).item())"
    done = [*both(warm, "-c", code), *both(warm, "-c", code)]
    assert len({number for one in done for number in one.stdout.split()}) == 3 * 4


@pytest.mark.parametrize("threads", [{}, {"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "3"}], ids=str)
def test_as_many_threads_are_used(warm, threads):
    code = "import torch; print(torch.__config__.parallel_info())"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | threads
    real, other = both(warm, "-c", code, env=environment)
    assert real.stdout == other.stdout


def waiting(warm: WarmPython, alive: Path, *words: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [str(warm.executable), "-c", WAITING, str(alive), *words],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {FORK_OR_FAIL: "1"},
    )
    assert process.stdout.readline() == "waits\n"
    return process


def test_a_signal_is_handed_on(warm, tmp_path):
    process = waiting(warm, tmp_path / "alive", "heed")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[0] == "told\n" and process.returncode == 5


def test_a_fork_whose_caller_is_killed_ends(warm, tmp_path):
    alive = tmp_path / "alive"
    process = waiting(warm, alive)
    process.kill()
    process.wait(60)
    assert_ends(alive)


def assert_ends(alive: Path) -> None:
    """That the fork, which makes the file anew as long as it lives, ends."""
    deadline = time.monotonic() + 60
    while alive.exists():
        assert time.monotonic() < deadline
        alive.unlink(missing_ok=True)
        time.sleep(0.5)


def test_all_ends_with_the_server_and_its_folder_goes(tmp_path):
    warm = WarmPython(os.environ)
    process = waiting(warm, tmp_path / "alive")
    warm.close()
    assert_ends(tmp_path / "alive")
    assert process.wait(60) in (-signal.SIGKILL, NO_FORK)
    assert not warm.executable.parent.exists()


def test_a_server_that_is_killed_takes_its_forks_with_it(tmp_path):
    warm = WarmPython(os.environ)
    process = waiting(warm, tmp_path / "alive")
    warm._server.kill()
    assert_ends(tmp_path / "alive")
    assert process.wait(60) == NO_FORK
    shutil.rmtree(warm.executable.parent)


def test_callers_that_go_away_or_talk_nonsense_cost_the_others_nothing(warm):
    address = str(warm.executable.parent / "socket")
    for sent in (b"", b"\0", b"\0" + bytes(7), b"\0" + (5).to_bytes(8, "big") + b"{", b"\0" + bytes(8)):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(address)
            caller.sendall(sent)
    assert both(warm, "-c", "print('still here')")[1].stdout == "still here\n"


def test_several_at_once_are_told_apart(warm):
    code = "import sys, time; time.sleep(0.3); print(sys.argv[1]); sys.exit(int(sys.argv[1]))"
    environment = os.environ | {FORK_OR_FAIL: "1"}
    words = [str(warm.executable), "-c", code]
    started = [
        subprocess.Popen([*words, str(number)], env=environment, stdout=subprocess.PIPE, text=True)
        for number in range(12)
    ]
    said = [process.communicate(timeout=60)[0] for process in started]
    assert said == [f"{number}\n" for number in range(12)]
    assert [process.returncode for process in started] == list(range(12))


def test_a_signal_right_at_the_start_ends_it(warm):
    """Whenever it comes: before the server has been asked, while it is asked, or after."""
    for delay in range(0, 100, 5):
        words = [str(warm.executable), "-c", "import time; time.sleep(100)"]
        process = subprocess.Popen(words, env=os.environ | {FORK_OR_FAIL: "1"})
        time.sleep(delay / 1000)
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
    assert both(warm, "-c", "print('still here')")[1].stdout == "still here\n"


@pytest.mark.parametrize(
    "words, environment",
    [(["-O"], {}), (["-W", "error"], {}), ([], {"OMP_SCHEDULE": "static"}), ([], {"PYTHONHASHSEED": "3"})],
    ids=["-O", "-W", "OpenMP", "hashes"],
)
def test_what_a_fork_cannot_be_is_a_fresh_interpreter(warm, words, environment):
    code = "import sys; print('torch' in sys.modules, __debug__, sys.warnoptions)"
    real, other = both(warm, *words, "-c", code, env=os.environ | environment, forks=False)
    assert seen(real) == seen(other) and real.stdout.startswith("False")


def test_commands_beside_it_start_warm(warm, tmp_path):
    scripts = Path(sys.executable).parent
    warm.install(scripts, tmp_path / "bin")
    words = [str(tmp_path / "bin" / "torchrun"), "--help"]
    environment = os.environ | {FORK_OR_FAIL: "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert "--nproc" in done.stdout
