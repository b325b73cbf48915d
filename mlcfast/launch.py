"""Start training with the launcher its configuration needs, on every GPU of this machine."""

import argparse
import os
import sys
from collections.abc import Sequence

from mlcfast import cli

# isort: split
from mlcfast.config import Config, load_config
from mlcfast.engine import discover, usable_gpus
from mlcfast.errors import UsageError


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.launch`."""
    parser = cli.Parser("launch", __doc__, "python -m mlcfast.launch configs/cvt_w24.yaml engine.micro_batch=16")
    parser.add_argument("config", help="YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace the file's")
    parser.add_argument("--resume", nargs="?", const="", metavar="DIR", help="go on from DIR or the last checkpoint")
    parser.add_argument("--with-changes", action="store_true", help="with --resume: go on although it is another run")
    return parser


def command(config: Config, gpus: int) -> list[str]:
    """The words before `mlcfast.train`: DeepSpeed's launcher for zero2, torchrun for several GPUs, else Python.

    `auto` uses as many GPUs as can share the global batch evenly.
    """
    name, batch = config.engine.name, config.engine.global_batch
    if name == "auto":
        gpus = max(count for count in range(1, max(gpus, 1) + 1) if batch % count == 0)
    scripts = os.path.dirname(sys.executable)
    if name == "zero2":
        return [os.path.join(scripts, "deepspeed"), "--num_gpus", str(max(gpus, 1)), "--module"]
    if name == "ddp" or (name == "auto" and gpus > 1):
        return [os.path.join(scripts, "torchrun"), "--nproc_per_node", str(max(gpus, 1)), "-m"]
    return [sys.executable, "-m"]


def work(args: argparse.Namespace) -> None:
    """Become the launcher; this process ends as it does."""
    if discover().world_size > 1:
        raise UsageError("launch starts the processes itself: call it without a launcher")
    words = command(load_config(args.config, args.overrides), usable_gpus())
    words += ["mlcfast.train", args.config, *args.overrides]
    if args.resume is not None:
        words += ["--resume", *([args.resume] if args.resume else [])]
    words += ["--with-changes"] if args.with_changes else []
    words += ["--debug"] if args.debug else []
    os.execv(words[0], words)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status if no launcher could be started."""
    return cli.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
