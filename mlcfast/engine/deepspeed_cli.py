"""DeepSpeed's launcher with torchrun's and Python's spelling: `deepspeed --num_gpus 2 -m package.module …`.

DeepSpeed's own parser knows `--module` only. This command is installed under DeepSpeed's name, so that both work.
"""

import sys
from collections.abc import Sequence

from mlcfast import cli

# Options of DeepSpeed's launcher that take no value; every other one before the program takes the next word.
FLAGS = {
    "--no_python", "--module", "--no_ssh", "--no_ssh_check", "--force_multi", "--save_pid", "--bind_cores_to_rank",
    "--no_local_rank", "-m", "-h", "--help", "-q", "--quiet",
}  # fmt: skip


def translate(arguments: Sequence[str]) -> list[str]:
    """The same command line with a `-m` that stands before the program's name spelt `--module`."""
    words = list(arguments)
    position = 0
    while position < len(words) and words[position].startswith("-"):
        takes_value = words[position] not in FLAGS and "=" not in words[position]
        words[position] = "--module" if words[position] == "-m" else words[position]
        position += 2 if takes_value else 1
    return words


def main() -> None:
    """Run DeepSpeed's launcher."""
    with cli.loading():
        from deepspeed.launcher.runner import main as launch

    sys.argv[1:] = translate(sys.argv[1:])
    launch()
