"""Train a model from a configuration file."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlcfast import cli
from mlcfast.api.training import train
from mlcfast.config import load_config
from mlcfast.engine import discover
from mlcfast.errors import UsageError
from mlcfast.settings_reference import reference


class ShowSettings(argparse.Action):
    """Prints the reference of the settings and ends, as --help does."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Print what was asked for and exit."""
        try:
            text = reference(str(values) if values else None)
        except UsageError as error:
            parser.error(str(error))
        print(text, end="")
        parser.exit()


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.train`."""
    parser = cli.Parser("train", __doc__, "python -m mlcfast.train configs/demo.yaml optim.lr=3e-4 --resume")
    parser.add_argument("config", help="YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace the file's")
    parser.add_argument(
        "--resume", nargs="?", type=Path, const=True, metavar="DIR", help="go on from DIR or the last checkpoint"
    )
    parser.add_argument(
        "--with-changes",
        action="store_true",
        help="let --resume go on with other settings or data than the run had; what changed is written down",
    )
    parser.add_argument(
        "--help-settings",
        nargs="?",
        action=ShowSettings,
        metavar="KEY",
        help="print all settings, or a section's, or KEY's: meaning, values, default",
    )
    return parser


def work(args: argparse.Namespace) -> None:
    """Train as the arguments say and print the best validation mAP as the last line of stdout."""
    if isinstance(args.resume, Path) and "=" in args.resume.name and not args.resume.exists():
        args.overrides, args.resume = [*args.overrides, str(args.resume)], True  # `--resume key=value` means no DIR
    if args.with_changes and args.resume is None:
        raise UsageError("--with-changes goes with --resume")
    config = load_config(args.config, args.overrides)
    result = train(config, resume=args.resume, with_changes=args.with_changes)
    if discover().is_main:
        print(f"mAP {result.mAP:.2f}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv, needs=["timm"])


if __name__ == "__main__":
    sys.exit(main())
