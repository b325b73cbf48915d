"""The process with the libraries loaded, which forks for each stand-in that calls.

It is imported by a `__main__` that holds nothing else, prints `ready`, and ends, with all that it has forked and its
folder, when its standard input does.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import threading
from typing import NamedTuple, NoReturn, TextIO

import numpy
import torch

# Beside torch. None that makes a thread when it is imported, as pyarrow does, which pandas imports.
LIBRARIES = ("yaml", "PIL.Image", "torchvision.transforms.v2", "timm", "matplotlib", "pydantic")
LEFT_OUT = ("wandb",)  # timm imports it where it is; it makes folders then, which the first fork to end would remove
PATIENCE = 20.0  # seconds that a stand-in may take to send what is to be run
EVERY_MAIN_HAS = {"__annotations__", "__builtins__", "__doc__", "__loader__", "__name__", "__package__", "__spec__"}
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of linux/prctl.h


class Request(NamedTuple):
    """What a fork is to run."""

    argv: list[str]
    executable: str
    directory: str
    environment: dict[str, str]
    umask: int


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
        while True:
            for key, _ in self.ready.select():
                if key.fileobj == 0:
                    for fork in self.running.values():
                        kill(fork)
                    return None
                if key.fileobj is self.listener:
                    request = self.accept()
                    if request is not None:
                        return request
                elif key.fd in self.running:
                    self.report(key.fd)
                elif key.data in self.running.values():  # it may have been reported just before
                    self.hand_on(key.data)

    def accept(self) -> Request | None:
        """The request, in the child; None in the server."""
        caller, _ = self.listener.accept()
        caller.settimeout(PATIENCE)
        streams: list[int] = []
        try:
            _, streams, _, _ = socket.recv_fds(caller, 1, 3)
            request = Request(**json.loads(exactly(caller, int.from_bytes(exactly(caller, 8), "big"))))
        except (OSError, ValueError):  # a caller that was killed, or stopped, before it had said what it wants
            caller.close()
            for stream in streams:
                os.close(stream)
            return None
        caller.settimeout(None)
        server = os.getpid()
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)  # a process group, so that what the fork starts can be ended with it
            ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
            if os.getppid() != server:
                os._exit(1)
            self.leave(caller, streams)
            return request
        for stream in streams:
            os.close(stream)
        ended = os.pidfd_open(child)
        self.running[ended] = Fork(child, caller)
        self.ready.register(ended, selectors.EVENT_READ)
        self.ready.register(caller, selectors.EVENT_READ, self.running[ended])
        return None

    def leave(self, caller: socket.socket, streams: list[int]) -> None:
        """In a fork: close what is the server's, and take the caller's standard streams."""
        self.ready.close()
        self.listener.close()
        caller.close()
        for ended, fork in self.running.items():
            fork.caller.close()
            os.close(ended)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)

    def report(self, ended: int) -> None:
        """Tell the caller how its fork has ended."""
        fork = self.running.pop(ended)
        status = os.waitpid(fork.child, 0)[1]
        self.ready.unregister(ended)
        os.close(ended)
        with contextlib.suppress(KeyError):  # of a caller that was killed
            self.ready.unregister(fork.caller)
        with contextlib.suppress(OSError):
            fork.caller.sendall(f"{status}\n".encode())
        fork.caller.close()

    def hand_on(self, fork: Fork) -> None:
        """The caller has got signals, or was killed itself."""
        try:
            numbers = fork.caller.recv(16)
        except OSError:
            numbers = b""
        for number in numbers:
            os.kill(fork.child, number)
        if not numbers:
            self.ready.unregister(fork.caller)
            kill(fork)


def exactly(caller: socket.socket, count: int) -> bytes:
    """As many bytes; ValueError if the caller has fewer to send."""
    data = bytearray()
    while len(data) < count:
        part = caller.recv(count - len(data))
        if not part:
            raise ValueError("the caller is gone")
        data += part
    return bytes(data)


def kill(fork: Fork) -> None:
    """With all that it has started and that has not left its process group."""
    for end in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            end(fork.child, signal.SIGKILL)


def become(request: Request) -> list[str]:
    """Take over the caller's directory, environment and path of modules; the arguments after `-u` and `-P`."""
    os.umask(request.umask)
    os.chdir(request.directory)
    os.environ.clear()
    os.environ.update(request.environment)
    tempfile.tempdir = None  # of another TMPDIR
    words = list(request.argv)
    options = []
    while words[0] in ("-u", "-P"):
        options.append(words.pop(0))
    if "OMP_NUM_THREADS" in os.environ:  # OpenMP read it when torch was loaded; process.py starts the server without it
        torch.set_num_threads(min(int(os.environ["OMP_NUM_THREADS"]), torch.get_num_threads()))
    if "-u" in options or os.environ.get("PYTHONUNBUFFERED"):
        sys.stdout, sys.stderr = unbuffered(1, sys.stdout), unbuffered(2, sys.stderr)
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
    kind = words[0]
    first = {"-m": request.directory, "-c": ""}.get(kind, os.path.dirname(os.path.realpath(kind)))
    safe = "-P" in options or os.environ.get("PYTHONSAFEPATH")
    sys.path.remove(os.path.dirname(__file__))
    places = [os.path.abspath(place) for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:0] = places if safe else [first, *places]
    numpy.random.seed()  # each process has other random numbers; Python's own generator sees to that in a fork itself
    torch.default_generator.seed()
    sys.executable = request.executable
    sys.orig_argv = [request.executable, *request.argv]
    return words


def unbuffered(number: int, stream: TextIO) -> TextIO:
    """What `-u` makes of a standard stream."""
    raw = io.FileIO(number, "w", closefd=False)
    return io.TextIOWrapper(raw, stream.encoding, stream.errors, write_through=True)  # type: ignore[arg-type]


def run(words: list[str]) -> None:
    """What `python WORDS` runs, as `__main__`."""
    main = sys.modules["__main__"]
    for name in set(vars(main)) - EVERY_MAIN_HAS:
        delattr(main, name)
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


def run_and_end(words: list[str]) -> NoReturn:
    """Run, and end as an interpreter does, but for taking apart what is loaded, which takes longer than many runs."""
    status, interrupted = 0, False
    try:
        run(words)
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
        if status and left.code != status:
            sys.stderr.write(f"{left.code}\n")
    except BaseException as error:
        status, interrupted = 1, isinstance(error, KeyboardInterrupt)
        sys.excepthook(*sys.exc_info())
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if not stream.closed:
                stream.flush()
        except OSError:
            status = 120  # as Python's own
    if interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status & 0xFF)


def main(address: str) -> None:
    """Load, serve, and in a fork run what was asked for."""
    gc.disable()
    sys.modules.update(dict.fromkeys(LEFT_OUT))  # an ImportError for who can do without
    for name in LIBRARIES:
        importlib.import_module(name)
    for name in LEFT_OUT:
        del sys.modules[name]
    gc.freeze()  # not gone through again in any fork, whose pages would be copied for it
    server = Server(address)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    request = server.serve()
    if request is None:
        shutil.rmtree(os.path.dirname(address), ignore_errors=True)
        return
    words = become(request)
    gc.enable()
    run_and_end(words)
