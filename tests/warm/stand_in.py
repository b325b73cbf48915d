"""What `python` is to a caller: hands its arguments, environment and streams to the server, and ends as the fork does.

It runs in a bare interpreter (`-IS`) and imports as little as it can, so that it starts in some hundredths of a second.
"""

import json
import os
import signal
import socket
import sys
from typing import NoReturn

from protocol import FORK_OR_FAIL, NO_FORK, early_text  # beside this file, which is no module of the package here

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def can_be_forked(words: list[str], early: str) -> bool:
    """Whether a fork of a loaded interpreter is what these arguments and this environment ask for."""
    while words and words[0] in ("-u", "-P"):
        words = words[1:]
    if not words or (words[0].startswith("-") and (words[0] not in ("-m", "-c") or len(words) == 1)):
        return False
    if words[0] == "-c" and "multiprocessing" in words[1]:  # a worker's start, with descriptors of its own
        return False
    return early_text(os.environ) == early


def request(server: socket.socket, words: list[str]) -> None:
    """Send what is to be run. Signals wait until it is sent, and are handed on then."""
    umask = os.umask(0)
    os.umask(umask)
    text = json.dumps(
        {
            "argv": words,
            "executable": os.path.abspath(sys.argv[0]),
            "directory": os.getcwd(),
            "environment": dict(os.environ),
            "umask": umask,
        }
    ).encode()
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    socket.send_fds(server, [b"\0"], [0, 1, 2])
    server.sendall(len(text).to_bytes(8, "big") + text)
    for number in PASSED_ON:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, frame: server.sendall(bytes([number])))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)


def main(python: str, address: str, early: str) -> NoReturn:
    """Run `sys.argv[1:]` as `python` would."""
    words = sys.argv[1:]
    if not can_be_forked(words, early):
        if os.environ.get(FORK_OR_FAIL):
            sys.stderr.write("a fork cannot be what these arguments and this environment ask for\n")
            os._exit(NO_FORK)
        os.execv(python, [python, *words])
    answer = ""
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(address)
            request(server, words)
            with server.makefile() as answers:
                answer = answers.readline()
    except OSError as error:
        sys.stderr.write(f"{address}: {error}\n")
    if not answer:
        sys.stderr.write("the process with the libraries loaded is gone\n")
        sys.stderr.flush()
        os._exit(NO_FORK)
    status = int(answer)
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) != signal.SIGKILL:
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))
