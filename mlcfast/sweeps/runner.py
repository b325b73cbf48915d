"""Trains the runs of a sweep that are not finished, several at a time, each in a process of its own."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from mlcfast.cli import load
from mlcfast.config import Config
from mlcfast.engine import watch_ancestors
from mlcfast.errors import RunError, UsageError
from mlcfast.runs.directory import RunDirectory
from mlcfast.sweeps.grid import Cell


def run_all(cells: Sequence[Cell], jobs: int) -> dict[str, str]:
    """Train the cells that are not finished; returns the reasons of those that failed, by name."""
    todo = [cell.config for cell in cells if not is_finished(cell.config)]
    failures: dict[str, str] = {}
    _say(f"{len(cells)} runs, {len(cells) - len(todo)} of them finished before")
    if "seed" in cells[0].choices and any(_divides_by_seed(cell.config) for cell in cells):
        _say("each seed divides data.train anew: other images judge its runs; data.val_seed=0 has the same for all")
    done = len(cells) - len(todo)
    for config, problem in _finished_runs(todo, jobs):
        done += 1
        if problem:
            failures[config.name] = problem
        reached = problem or f"validation mAP {_outcome(config)['validation_mAP']:.2f}"
        _say(f"[{done}/{len(cells)}] {config.name}: {reached}")
    return failures


def _divides_by_seed(config: Config) -> bool:
    return config.data.val_share is not None and config.data.val_seed is None


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


NEEDS = ("timm", "mlcfast.training.run")  # take seconds to import

_device = 0  # this worker's GPU


def _prepare_worker(numbers: Any, jobs: int) -> None:
    global _device
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a run at once; its last checkpoint is there
    watch_ancestors()  # a killed sweep must not leave runs behind that a second one would take up while they go on
    os.environ["TQDM_DISABLE"] = "1"
    import torch

    from mlcfast.runs.journal import LOGGER

    LOGGER.setLevel("INFO")
    LOGGER.propagate = False
    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    _device = numbers.get() % max(1, torch.cuda.device_count())


def _train(config: Config) -> str:
    """Train one run, or go on with it; the reason it failed, or ""."""
    load(NEEDS)
    from mlcfast.engine import Process, start
    from mlcfast.training.run import run

    process = Process(local_rank=_device)
    start(process)
    resume = config.run_directory if _is_begun(config) else None
    try:
        run(config, process, resume)
    except (UsageError, RunError) as error:
        return " ".join(str(error).split())
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split())
    return ""


def is_finished(config: Config) -> bool:
    """Whether a run with exactly this configuration has ended."""
    return _is_of(config) and RunDirectory(config.run_directory).outcome.exists()


def _is_begun(config: Config) -> bool:
    return _is_of(config) and (RunDirectory(config.run_directory).checkpoints / "latest").exists()


def _is_of(config: Config) -> bool:
    try:
        return RunDirectory(config.run_directory).config.read_text(encoding="utf-8") == config.to_yaml()
    except OSError:
        return False


def _outcome(config: Config) -> dict[str, Any]:
    return RunDirectory(config.run_directory).read_outcome()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
