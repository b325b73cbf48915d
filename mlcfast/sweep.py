"""Train every combination of some settings and tabulate them; best run by validation mAP, test mAP beside it."""

import argparse
import sys
from collections.abc import Sequence

from mlcfast import cli
from mlcfast.config import load_config
from mlcfast.engine import discover
from mlcfast.errors import UsageError
from mlcfast.runs.directory import RunDirectory
from mlcfast.runs.journal import log_to_console
from mlcfast.sweeps.grid import make_cells, parse_axes, parse_variants
from mlcfast.sweeps.results import draw_sweep, read_outcome, table, write_means, write_results
from mlcfast.sweeps.runner import run_all


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.sweep`."""
    parser = cli.Parser(
        "sweep", __doc__, "python -m mlcfast.sweep configs/role_linear.yaml optim.lr=1e-2,1e-3 engine.global_batch=8,16"
    )
    parser.add_argument("config", help="YAML file; its `sweep` section is the grid, which the command line adds to")
    parser.add_argument(
        "settings", nargs="*", metavar="key=value[,value…]", help="several values are an axis of the grid"
    )
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="'NAME: key=value …'",
        help="settings that belong together as one value of an axis; repeat for each variant",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="runs at a time, spread over the GPUs there are"
    )
    return parser


def work(args: argparse.Namespace) -> int:
    """Run what is not finished yet and print the table; the last line names the best run."""
    if discover().world_size > 1:
        raise UsageError("a sweep starts its trainings itself: call it without a launcher, --jobs N for N at a time")
    if args.jobs < 1:
        raise UsageError(f"--jobs must be at least 1, not {args.jobs}")
    plain, axes = parse_axes(args.settings)
    config = load_config(args.config, plain)
    if config.engine.name in ("ddp", "zero2"):
        raise UsageError(f"engine.name {config.engine.name}: a sweep's runs are of one process each; set it to single")
    given = {word.partition("=")[0] for word in plain}
    grid = {key: values for key, values in config.sweep.grid.items() if key not in given} | axes
    variants = config.sweep.variants | parse_variants(args.variant)
    if not grid and not variants:
        raise UsageError("nothing to sweep over: give key=value,value or a sweep section in the configuration")
    cells = make_cells(config, grid, variants)
    RunDirectory(config.run_directory).check_writable()
    log_to_console()
    failures = run_all(cells, args.jobs)
    results = [read_outcome(cell, failures.get(cell.config.name, "")) for cell in cells]
    write_results(config.run_directory, results)
    write_means(config.run_directory, results)
    draw_sweep(config.run_directory, cells)
    print(table(results))
    return 1 if failures else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
