"""The process with the libraries loaded, which forks for each stand-in that calls.

It is imported by a `__main__` that holds nothing else, prints `ready`, and ends, with all that it has forked, when its
standard input does.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import numpy
import torch

# Beside torch. None that makes a thread or a temporary directory when imported, as wandb does and so mlflow, too.
LIBRARIES = ("yaml", "PIL.Image", "torchvision.transforms.v2", "timm", "matplotlib", "pandas", "pydantic")


class Request(NamedTuple):
    """What a fork is to run: a stand-in's message."""

    argv: list[str]
    executable: str
    directory: str
    environment: dict[str, str]


class Fork(NamedTuple):
    """A child and the stand-in that waits for it."""

    child: int
    caller: socket.socket


class Server:
    """Forks, hands signals on and reports how the forks end."""

    def __init__(self, address: str):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(address)
        self.listener.listen()
        self.ready = selectors.DefaultSelector()
        self.ready.register(0, selectors.EVENT_READ)
        self.ready.register(self.listener, selectors.EVENT_READ)
        self.running: dict[int, Fork] = {}  # by the descriptor that is readable when the child has ended

    def serve(self) -> Request | None:
        """None when standard input has ended. In a fork, what that is to run, with the caller's streams in place."""
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            for key, _ in self.ready.select():
                if key.fileobj == 0:
                    self.end_all()
                    return None
                if key.fileobj is self.listener:
                    request = self.fork()
                    if request is not None:
                        return request
                elif key.fd in self.running:
                    self.report(key.fd)
                else:
                    hand_on(key.data)

    def fork(self) -> Request | None:
        """The request, in the child; None in the server."""
        caller, _ = self.listener.accept()
        _, streams, _, _ = socket.recv_fds(caller, 1, 3)
        with caller.makefile() as lines:
            request = Request(**json.loads(lines.readline()))
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)  # a process group, so that what the fork starts can be ended with it
            self.ready.close()
            self.listener.close()
            caller.close()
            for fork in self.running.values():
                fork.caller.close()
            for number in self.running:
                os.close(number)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            return request
        for stream in streams:
            os.close(stream)
        ended = os.pidfd_open(child)
        self.running[ended] = Fork(child, caller)
        self.ready.register(ended, selectors.EVENT_READ)
        self.ready.register(caller, selectors.EVENT_READ, self.running[ended])
        return None

    def report(self, ended: int) -> None:
        """Tell the caller how its fork has ended."""
        fork = self.running.pop(ended)
        status = os.waitpid(fork.child, 0)[1]
        self.ready.unregister(ended)
        self.ready.unregister(fork.caller)
        os.close(ended)
        with contextlib.suppress(BrokenPipeError):  # of a caller that was killed
            fork.caller.sendall(f"{status}\n".encode())
        fork.caller.close()

    def end_all(self) -> None:
        """Kill what still runs."""
        for fork in self.running.values():
            kill(fork)


def hand_on(fork: Fork) -> None:
    """The caller has got signals, or was killed itself."""
    numbers = fork.caller.recv(16)
    for number in numbers:
        os.kill(fork.child, number)
    if not numbers:
        kill(fork)


def kill(fork: Fork) -> None:
    """With all that it has started and that has not left its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(fork.child, signal.SIGKILL)


def become(request: Request) -> list[str]:
    """Take over the caller's directory, environment and path of modules; the arguments after `-u` and `-P`."""
    os.chdir(request.directory)
    os.environ.clear()
    os.environ.update(request.environment)
    words = list(request.argv)
    options = []
    while words[0] in ("-u", "-P"):
        options.append(words.pop(0))
    if "OMP_NUM_THREADS" in os.environ:  # OpenMP read it when torch was loaded; process.py starts the server without it
        torch.set_num_threads(min(int(os.environ["OMP_NUM_THREADS"]), torch.get_num_threads()))
    if "-u" in options or os.environ.get("PYTHONUNBUFFERED"):
        sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
    kind = words[0]
    first = {"-m": request.directory, "-c": ""}.get(kind, os.path.dirname(os.path.realpath(kind)))
    safe = "-P" in options or os.environ.get("PYTHONSAFEPATH")
    sys.path.remove(os.path.dirname(__file__))
    places = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:0] = places if safe else [first, *places]
    numpy.random.seed()  # each process has other random numbers; Python's own generator sees to that in a fork itself
    torch.default_generator.seed()
    sys.executable = request.executable
    sys.orig_argv = [request.executable, *request.argv]
    return words


def run(words: list[str]) -> None:
    """What `python WORDS` runs, as `__main__`."""
    main = sys.modules["__main__"]
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy._run_module_as_main(words[1])  # what `python -m` calls
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(compile(words[1], "<string>", "exec"), main.__dict__)
    else:
        sys.argv = words
        with open(words[0], "rb") as file:
            code = compile(file.read(), words[0], "exec")
        main.__dict__["__file__"] = words[0]
        exec(code, main.__dict__)


def end(run: Callable[[list[str]], None], words: list[str]) -> NoReturn:
    """Run, and end as an interpreter does but for taking apart what is loaded, which takes longer than many runs."""
    status = 0
    try:
        run(words)
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
        if status and left.code != status:
            sys.stderr.write(f"{left.code}\n")
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        status = 1
        sys.excepthook(*sys.exc_info())
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status & 0xFF)


def main(address: str) -> None:
    """Load, serve, and in a fork run what was asked for."""
    gc.disable()
    for name in LIBRARIES:
        with contextlib.suppress(ModuleNotFoundError):  # then no test needs it
            importlib.import_module(name)
    gc.freeze()  # not gone through again in any fork, whose pages would be copied for it
    request = Server(address).serve()
    if request is not None:
        words = become(request)
        gc.enable()
        end(run, words)
