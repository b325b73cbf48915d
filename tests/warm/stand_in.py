"""What `python` is to a caller: hands its arguments, environment and streams to the server, and ends as the fork does.

It runs in a bare interpreter (`-IS`) and imports as little as it can, so that it starts in some hundredths of a second.
"""

import json
import os
import signal
import socket
import sys
from typing import NoReturn

from protocol import early_text  # beside this file, which is no module of the package when it runs

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def can_be_forked(words: list[str], early: str) -> bool:
    """Whether a fork of a loaded interpreter is what these arguments and this environment ask for."""
    while words and words[0] in ("-u", "-P"):
        words = words[1:]
    if not words or (words[0].startswith("-") and words[0] not in ("-m", "-c")):
        return False
    if words[0] == "-c" and "multiprocessing" in words[1]:  # a worker's start, with descriptors of its own
        return False
    return early_text(os.environ) == early


def main(python: str, address: str, early: str) -> NoReturn:
    """Run `sys.argv[1:]` as `python` would."""
    words = sys.argv[1:]
    if not can_be_forked(words, early):
        os.execv(python, [python, *words])
    request = {"argv": words, "executable": sys.argv[0], "directory": os.getcwd(), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        for number in PASSED_ON:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda number, frame: server.sendall(bytes([number])))
        socket.send_fds(server, [b"\0"], [0, 1, 2])
        server.sendall(json.dumps(request).encode() + b"\n")
        with server.makefile() as answers:
            answer = answers.readline()
    if not answer:
        sys.exit("the process with the libraries loaded is gone")
    status = int(answer)
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) != signal.SIGKILL:
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))
