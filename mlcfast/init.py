"""Write a first configuration for a data set, fitted to this machine."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mlcfast import cli
from mlcfast.data.overlap import copies, refuse_copies
from mlcfast.errors import UsageError, counted
from mlcfast.files import write_text
from mlcfast.planning.starting import propose
from mlcfast.planning.written import as_yaml, next_steps
from mlcfast.runs.journal import log_to_console
from mlcfast.training.build import check_parts


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.init`."""
    parser = cli.Parser("init", __doc__, "python -m mlcfast.init photos/labels.csv --images photos")
    parser.add_argument("data", type=Path, metavar="DATA", help="a label file, or the directory of a data set")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that are written as they are")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write it (default: NAME.yaml)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="where the images are (default: beside the file)")
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")
    return parser


def work(args: argparse.Namespace) -> None:
    """Propose, write and say what to type next."""
    log_to_console()
    if args.out is not None:
        _refuse(args.out, args.force)
    proposal = propose(args.data, args.images, args.overrides)
    check_parts(proposal.config, resumed=False)  # nothing is written that train would refuse
    samples = proposal.found.samples
    out = args.out or Path(f"{proposal.config.name}.yaml")
    _refuse(out, args.force)
    parts = {"training": samples.train, "validation": samples.validation, "test": samples.test}
    found = copies({name: records for name, records in parts.items() if records is not None})
    refuse_copies(found, proposal.config.data.allow_overlap)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, as_yaml(proposal))
    print(
        f"read as {proposal.found.form}: {counted(len(samples.train), 'image')} for training, "
        f"{len(samples.validation)} for validation, {counted(len(samples.train.names), 'label')}\n"
        f"wrote {out}; look through it, then:"
    )
    print(next_steps(proposal, out))


def _refuse(out: Path, force: bool) -> None:
    if out.exists() and not force:
        raise UsageError(f"{out}: is there already: --force replaces it, --out FILE writes another")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv, needs=["timm"])


if __name__ == "__main__":
    sys.exit(main())
