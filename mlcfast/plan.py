"""Predict the memory of a training run, with no GPU, and find the settings that fit best."""

import argparse
import json
import logging
import re
import sys
from collections.abc import Sequence

from mlcfast import cli

# isort: split
from mlcfast.config import load_config
from mlcfast.engine import usable_gpus
from mlcfast.errors import UsageError
from mlcfast.planning import Planner, as_json, as_table
from mlcfast.planning.for_run import gpu_memory
from mlcfast.planning.kept import trace_directory
from mlcfast.runs.journal import log_to_console

LOGGER = logging.getLogger("mlcfast")
# The hardware that must suffice, where there is no GPU to ask: two cards of 12 GB. torch finds 11.75 or 11.76 GiB on an
# RTX 3060 under Linux (its out-of-memory messages in github.com/TencentARC/PhotoMaker/issues/47 and
# github.com/Kunhao-Liu/StyleGaussian/issues/12). What a desktop takes of that differs too much to be assumed.
DEFAULT_GPUS, DEFAULT_MEMORY = 2, int(11.75 * 2**30)
UNITS = {"": 1, "B": 1, "MB": 10**6, "GB": 10**9, "MIB": 2**20, "GIB": 2**30}


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.plan`."""
    parser = cli.Parser("plan", __doc__, "python -m mlcfast.plan configs/cvt_w24.yaml --gpu-memory 12GiB --gpus 2")
    parser.add_argument("config", help="YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace the file's")
    parser.add_argument("--gpu-memory", type=size, metavar="SIZE", help="of one GPU; what is free here or 11.75GiB")
    parser.add_argument("--gpus", type=count, help="how many; this machine's or 2")
    parser.add_argument("--labels", type=count, default=80, help="in the training set (80, as MS-COCO)")
    parser.add_argument("--images", type=count, default=82_081, help="in the training set; ROLE keeps a row for each")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    return parser


def size(text: str) -> int:
    """Bytes from `12GiB`, `12000MB` or a plain number of bytes."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMG]?I?B?)", text.strip(), re.IGNORECASE)
    if match is None or match[2].upper() not in UNITS or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 12GiB, 12000MB or a number of bytes")
    number = int(float(match[1]) * UNITS[match[2].upper()])
    if number < UNITS["MB"]:
        raise argparse.ArgumentTypeError(f"{text!r} is {number} bytes: did you mean {match[1]}GiB?")
    return number


def count(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def work(args: argparse.Namespace) -> int:
    """Print the plan; 1 if no settings fit."""
    config = load_config(args.config, args.overrides)
    log_to_console()
    present = usable_gpus()
    gpus = args.gpus or present or DEFAULT_GPUS
    memory = args.gpu_memory or (min(map(gpu_memory, range(min(gpus, present)))) if present else DEFAULT_MEMORY)
    if not (present or args.gpus or args.gpu_memory):
        LOGGER.info(
            "no GPU here: planned for %d of %.2f GiB; --gpus and --gpu-memory name others. Training on this machine "
            "uses the CPU and its memory, and says after the first steps how long it takes",
            gpus,
            memory / 2**30,
        )
    elif present and not args.gpu_memory:
        LOGGER.info("planned for the %.2f GiB that are free on a GPU here now", memory / 2**30)
    if config.engine.name == "single" and gpus > 1:
        raise UsageError(f"engine.name single uses one GPU, not {gpus}: pass --gpus 1 or set it to auto")
    plan = Planner(config, gpus, memory, args.labels, args.images, trace_directory()).plan()
    print(json.dumps(as_json(plan)) if args.json else as_table(plan))
    return 0 if plan.fits or plan.best else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv, needs=["timm"])


if __name__ == "__main__":
    sys.exit(main())
