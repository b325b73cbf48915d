"""A sweep's results: sweep.csv, sweep.md, the table on stdout with means over seeds, and the figures."""

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlcfast.files import write_text
from mlcfast.report.scores import draw_scores
from mlcfast.report.unobserved import draw_unobserved
from mlcfast.runs.directory import RunDirectory
from mlcfast.sweeps.grid import VARIANT, Cell
from mlcfast.training.unobserved import read_unobserved

SEED = "seed"


@dataclass(frozen=True)
class Result:
    """One run: its choices, its best epoch (counted from 1) and its mAPs in percent; None where there are none."""

    name: str
    choices: dict[str, Any]
    epoch: int | None
    validation: float | None
    test: float | None
    problem: str

    @property
    def rank(self) -> float:
        """The validation mAP, below all others where there is none."""
        return -1.0 if self.validation is None else self.validation


@dataclass(frozen=True)
class Group:
    """The runs that differ in their seed alone: what they have in common, and the mAPs of those that ended."""

    name: str
    validation: list[float]
    test: list[float]

    @property
    def rank(self) -> float:
        """The mean validation mAP, below all others where no run ended."""
        return statistics.mean(self.validation) if self.validation else -1.0


def read_outcome(cell: Cell, problem: str) -> Result:
    """The result of a run that ended, or failed for `problem`."""
    if problem:
        return Result(cell.config.name, cell.choices, None, None, None, problem)
    held = RunDirectory(cell.config.run_directory).read_outcome()
    return Result(cell.config.name, cell.choices, held["epoch"], held["validation_mAP"], held["test_mAP"], "")


def write_results(directory: Path, results: Sequence[Result]) -> None:
    """Write DIRECTORY/sweep.csv, best run first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    axes = list(results[0].choices)
    writer.writerow(["run", *axes, "best_epoch", "validation_mAP", "test_mAP", "problem"])
    for result in sorted(results, key=lambda result: -result.rank):
        scores = [_shown(value, 4) for value in (result.validation, result.test)]
        writer.writerow([result.name, *result.choices.values(), result.epoch, *scores, result.problem])
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / "sweep.csv", text.getvalue())


def write_means(directory: Path, results: Sequence[Result]) -> None:
    """Write DIRECTORY/sweep.md, the means over seeds as a table of Markdown, and DIRECTORY/scores.png, a dot a run.

    Both are sorted by mean validation mAP; the figure shows test mAPs where every group has one. Nothing is written
    where no run ended.
    """
    ended = [group for group in grouped(results) if group.validation]
    if not ended:
        return
    tested = all(group.test for group in ended)
    rows = [["runs", "seeds", "validation mAP", "test mAP", f"{'test' if tested else 'validation'} mAP by seed"]]
    rows.append(["---"] * len(rows[0]))
    for group in ended:
        each = " / ".join(_shown(value) for value in (group.test if tested else group.validation))
        name = group.name.replace("|", "\\|")
        rows.append([name, str(len(group.validation)), _spread(group.validation), _spread(group.test), each])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    write_text(directory / "sweep.md", "\n".join([*lines, ""]))
    scores = {group.name: group.test if tested else group.validation for group in ended}
    draw_scores(directory / "scores.png", scores, f"{'test' if tested else 'validation'} mAP (%)")


def grouped(results: Sequence[Result]) -> list[Group]:
    """The results by what they have in common but for the seed, best mean validation mAP first."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        choices = (
            f"{value}" if key == VARIANT else f"{key}={value}" for key, value in result.choices.items() if key != SEED
        )
        groups.setdefault(" ".join(choices) or "all", []).append(result)
    made = [
        Group(
            name,
            [result.validation for result in members if result.validation is not None],
            [result.test for result in members if result.test is not None],
        )
        for name, members in groups.items()
    ]
    return sorted(made, key=lambda group: -group.rank)


def table(results: Sequence[Result]) -> str:
    """Runs by validation mAP, means over seeds where there are several, and last the best run."""
    ordered = sorted(results, key=lambda result: -result.rank)
    rows = [["run", "epoch", "validation mAP", "test mAP"]]
    rows += [
        [r.name, str(r.epoch or ""), _shown(r.validation), _shown(r.test)] if not r.problem else [r.name, r.problem]
        for r in ordered
    ]
    lines = _aligned(rows)
    if len({result.choices.get(SEED) for result in results}) > 1:
        lines += ["", *_aligned(_over_seeds(results))]
    best = ordered[0]
    if best.validation is None:
        return "\n".join([*lines, "no run ended"])
    test = "" if best.test is None else f", test mAP {best.test:.2f}"
    return "\n".join([*lines, f"best {best.name}: validation mAP {best.validation:.2f}{test}"])


def _over_seeds(results: Sequence[Result]) -> list[list[str]]:
    rows = [["mean ± standard deviation over seeds", "seeds", "validation mAP", "test mAP"]]
    for group in grouped(results):
        rows.append([group.name, str(len(group.validation)), _spread(group.validation), _spread(group.test)])
    return rows


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"


def _shown(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    whole = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(len(row[column]) for row in whole) for column in range(len(rows[0]))]
    widths[0] = max(len(row[0]) for row in rows)
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=False))]).rstrip()
        for row in rows
    ]


def draw_sweep(directory: Path, cells: Sequence[Cell]) -> None:
    """Write DIRECTORY/unobserved.png: the first run of each variant, or of each loss, that hides labels."""
    runs: dict[str, Any] = {}
    for cell in cells:
        file = RunDirectory(cell.config.run_directory).unobserved
        title = str(cell.choices.get(VARIANT, cell.config.loss.name))
        if title not in runs and file.exists():
            runs[title] = read_unobserved(file)
    if runs:
        draw_unobserved(directory / "unobserved.png", runs)
