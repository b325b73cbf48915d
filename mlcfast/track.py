"""Send a run's trackers what they have not received, of a run that has ended."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mlcfast import cli
from mlcfast.config import parse_config
from mlcfast.errors import UsageError
from mlcfast.runs.directory import RunDirectory
from mlcfast.runs.journal import log_to_console
from mlcfast.runs.trackers import Delivery, say_outcome, sent_later


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.track`."""
    parser = cli.Parser("track", __doc__, "python -m mlcfast.track runs/demo")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory, as runs/<name>")
    return parser


def work(args: argparse.Namespace) -> int:
    """One attempt for each tracker; 1 if one has not received all."""
    log_to_console()
    run = RunDirectory(args.run)
    config = parse_config(run.read_config(), source=str(run.config))
    trackers = sent_later(config.train.trackers)
    if not trackers:
        raise UsageError(f"{run.config}: train.trackers names none that is sent anything")
    finished, failed = run.outcome.exists(), 0
    with run.held(resume=True):
        for name, tracker in trackers:
            delivery = Delivery(name, tracker, run)
            failed += not delivery.attempt(finished, over=True)
            say_outcome(delivery, finished)
    print(f"trackers {len(trackers)}, not reached {failed}")
    return 1 if failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
