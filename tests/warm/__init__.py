"""Python processes that start with the libraries loaded, for tests that start many.

Of a command's seconds in the suite most go into importing torch, torchvision and timm, which are the same each time.
A `WarmPython` is a process that has imported these libraries and nothing of this project. Its `executable` is a
stand-in for `python`: it asks that process to fork, and the fork runs the module, program or file as a fresh
interpreter would, with the caller's arguments, environment, directory, umask and standard streams, and ends with its
status or by its signal. The caller's signals are handed on; when the caller is killed, so is the fork.

What a fork cannot be is left to the real interpreter: other options than `-m`, `-c`, `-u` and `-P`, and an environment
that differs in a variable which the libraries read when they are loaded (`protocol.READ_EARLY`). What a fork does not
show, and tests with real interpreters must:

- that a program imports each library, and each of its modules, that it uses;
- what depends on the order of sets of strings: all forks of a process have one seed of hashes;
- an interpreter's own end, in which what is loaded is taken apart: a fork stops after its last output;
- how a process behaves whose parent is its launcher.

Tests of launchers, of signals, of two ranks' files and of a command's imports therefore start real interpreters, and
tests/engine/test_parity.py gives the ranks of one case under DDP and of one under ZeRO-2 seeds of their own.
"""

from tests.warm.process import WarmPython, shared

__all__ = ["WarmPython", "shared"]
