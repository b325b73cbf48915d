"""Train every combination of some settings and tabulate them; best run by validation mAP, test mAP beside it."""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from mlcfast import cli
from mlcfast.config import Config, load_config
from mlcfast.errors import RunError, UsageError
from mlcfast.runs.journal import check_output_writable, log_to_console
from mlcfast.sweeps.grid import Cell, make_cells, parse_axes, parse_variants
from mlcfast.sweeps.results import draw_sweep, read_outcome, table, write_results


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
    check_output_writable(config)
    log_to_console()
    failures = _run_all(cells, args.jobs)
    results = [read_outcome(cell, failures.get(cell.config.name, "")) for cell in cells]
    write_results(config.run_directory, results)
    draw_sweep(config.run_directory, cells)
    print(table(results))
    return 1 if failures else 0


def _run_all(cells: Sequence[Cell], jobs: int) -> dict[str, str]:
    """Train the cells that are not finished; returns the reasons of those that failed, by name."""
    todo = [cell.config for cell in cells if not is_finished(cell.config)]
    failures: dict[str, str] = {}
    _say(f"{len(cells)} runs, {len(cells) - len(todo)} of them finished before")
    done = len(cells) - len(todo)
    for config, problem in _finished_runs(todo, jobs):
        done += 1
        if problem:
            failures[config.name] = problem
        outcome = problem or f"validation mAP {_outcome(config)['validation_mAP']:.2f}"
        _say(f"[{done}/{len(cells)}] {config.name}: {outcome}")
    return failures


def _finished_runs(todo: Sequence[Config], jobs: int) -> Iterator[tuple[Config, str]]:
    """Each configuration with the reason of its failure, or "", as they end."""
    if not todo:
        return
    jobs = min(jobs, len(todo))
    context = multiprocessing.get_context("spawn")
    numbers = context.Queue()
    for number in range(jobs):
        numbers.put(number)
    pool = ProcessPoolExecutor(jobs, context, _prepare_worker, (numbers, jobs))
    try:
        waiting: dict[Future, Config] = {pool.submit(_train, config): config for config in todo}
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), future.result()
    except BrokenProcessPool as error:
        raise RunError(
            "a run's process was killed, most often for lack of memory: lower --jobs; "
            "the same command goes on where it stopped"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


_device = 0  # this worker's GPU


def _prepare_worker(numbers: Any, jobs: int) -> None:
    global _device
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a run at once; its last checkpoint is there
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    os.environ["TQDM_DISABLE"] = "1"
    import torch

    from mlcfast.runs.journal import LOGGER

    LOGGER.setLevel("INFO")
    LOGGER.propagate = False
    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    _device = numbers.get() % max(1, torch.cuda.device_count())


def _end_with_parent(parent: int) -> None:
    """A killed sweep must not leave runs behind that a second one would take up while they go on."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _train(config: Config) -> str:
    """Train one run, or go on with it; the reason it failed, or ""."""
    from mlcfast import train
    from mlcfast.engine import Process, start

    process = Process(local_rank=_device)
    start(process)
    resume = train.NEWEST if _is_begun(config) else None
    try:
        train.run(config, process, resume)
    except (UsageError, RunError) as error:
        return " ".join(str(error).split())
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split())
    return ""


def is_finished(config: Config) -> bool:
    """Whether a run with exactly this configuration has ended."""
    return _is_of(config) and (config.run_directory / "best" / "outcome.json").exists()


def _is_begun(config: Config) -> bool:
    return _is_of(config) and (config.run_directory / "checkpoints" / "latest").exists()


def _is_of(config: Config) -> bool:
    try:
        return (config.run_directory / "config.yaml").read_text(encoding="utf-8") == config.to_yaml()
    except OSError:
        return False


def _outcome(config: Config) -> dict[str, Any]:
    return json.loads((config.run_directory / "best" / "outcome.json").read_text(encoding="utf-8"))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
