"""Write report.html of a run anew, from what is in its directory."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mlcfast import cli
from mlcfast.evaluation.run_report import report_run
from mlcfast.runs.directory import RunDirectory
from mlcfast.runs.journal import log_to_console


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.report`."""
    parser = cli.Parser("report", __doc__, "python -m mlcfast.report runs/demo")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory, as runs/<name>, or its best/")
    return parser


def work(args: argparse.Namespace) -> None:
    """Write the report and say where it is."""
    log_to_console()
    page, _ = report_run(run_of(args.run))
    print(page)


def run_of(place: Path) -> Path:
    """The run that its own directory, or its best/, stands for."""
    whole = place.absolute()
    inside = whole.name == RunDirectory(whole.parent).best.name and RunDirectory(whole.parent).metrics.is_file()
    return place.parent if inside and place.name == whole.name else place


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
