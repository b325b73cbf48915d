"""The plots of a device: roofline, time against K and B, memory against micro-batch, share of the matrix rate."""

from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from bench.reporting.contests import contests
from bench.reporting.records import Device, Row
from bench.reporting.roofline import roofline
from bench.reporting.style import COLOURS, look, save, styled
from bench.reporting.winners import Contest

Drawing = tuple[str, str, Figure]
SIZE = (5.6, 4.0)


def draw(device: Device, folder: Path) -> list[tuple[str, str]]:
    """Write the device's plots into the folder; (title, file name) of each that has something to show."""
    drawn = []
    with styled():
        for name, title, figure in _drawings(device):
            file = f"{device.slug}-{name}.svg"
            save(figure, folder / file, title)
            drawn.append((title, file))
    return drawn


def _drawings(device: Device) -> Iterator[Drawing]:
    figure = roofline(device)
    if figure:
        yield "roofline", f"Roofline, {device.name}", figure
    for part in ("losses", "attention"):
        for axis, fixed in (("K", "B"), ("B", "K")):
            yield from _series(device, part, axis, fixed)
    yield from _training(device)


def _series(device: Device, part: str, axis: str, fixed: str) -> Iterator[Drawing]:
    """Time against K or B where at least three were timed and all else was the same."""
    keys = ("loss", "dtype") if part == "losses" else ("model", "dtype", "mode", "queries")
    groups: dict[tuple, list[Contest]] = {}
    for contest in contests(device, part):
        row = contest.rows[0]
        groups.setdefault((*(row[key] for key in keys), row[fixed]), []).append(contest)
    for (*key, value), group in groups.items():
        if len({contest.rows[0][axis] for contest in group}) >= 3:
            title = f"{', '.join(key)}, {fixed} {value}: {device.name}"
            name = "-".join([part, *key, f"{fixed}{value}"]).lower().replace(" ", "-").replace("_", "-")
            yield name, title, _lines(title, axis, group)


def _lines(title: str, axis: str, group: list[Contest]) -> Figure:
    figure, axes = _axes(title, {"K": "labels K", "B": "batch B"}[axis], "median time, ms")
    axes.set_xscale("log")
    axes.set_yscale("log")
    names = dict.fromkeys(name for contest in group for name in (contest.ours, *contest.timed))
    for index, name in enumerate(names):
        points = sorted(
            (contest.rows[0][axis], contest.get(name, "p50_ms")) for contest in group if name in contest.timed
        )
        if points:
            axes.plot(
                *zip(*points, strict=True),
                label=name,
                linewidth=2.4 if index == 0 else 1.3,
                zorder=2.5 - 0.01 * index,
                **look(index),
            )
    values = sorted({contest.rows[0][axis] for contest in group})
    _only(axes, values)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    _legend(figure, axes)
    return figure


def _training(device: Device) -> Iterator[Drawing]:
    every = contests(device, "training")
    rows = [row for contest in every for row in contest.timed.values()]
    if any(row.get("share_of_matrix_rate") for row in rows):
        yield "training-share", f"Training, share of the matrix rate: {device.name}", _shares(device, rows)
    for model in dict.fromkeys(row["model"] for row in rows if row.get("peak_bytes")):
        title = f"{model}, peak memory of a training step: {device.name}"
        yield f"memory-{model.lower().replace(' ', '-').replace('_', '-')}", title, _memory(title, rows, model)


def _shares(device: Device, rows: list[Row]) -> Figure:
    """A bar a model and variant, at the micro-batch where it is fastest."""
    best: dict[tuple[str, str], Row] = {}
    for row in (row for row in rows if row.get("share_of_matrix_rate")):
        key = row["model"], row["variant"]
        if key not in best or best[key]["share_of_matrix_rate"] < row["share_of_matrix_rate"]:
            best[key] = row
    bars = sorted(best.items(), reverse=True)
    variants = list(dict.fromkeys(variant for _, variant in best))
    figure, axes = _axes(f"Training, {device.name}", "share of the measured matrix rate, %", "")
    figure.set_size_inches(0.6 * SIZE[0], 1.2 + 0.32 * len(bars))
    for place, ((_, variant), row) in enumerate(bars):
        share = 100 * row["share_of_matrix_rate"]
        axes.barh(place, share, color=COLOURS[variants.index(variant) % len(COLOURS)])
        text = f"{share:.0f} %, B {row['micro_batch']}"
        axes.annotate(text, (share, place), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(range(len(bars)), [f"{model}, {variant}" for (model, variant), _ in bars])
    axes.grid(False, axis="y")
    axes.set_xlim(0, 125 * max(row["share_of_matrix_rate"] for row in best.values()))
    return figure


def _memory(title: str, rows: list[Row], model: str) -> Figure:
    figure, axes = _axes(title, "micro-batch, images", "peak memory, GiB")
    chosen = [row for row in rows if row["model"] == model and row.get("peak_bytes")]
    lines = dict.fromkeys((row["variant"], row["dtype"]) for row in chosen)
    for index, (variant, dtype) in enumerate(lines):
        points = sorted(
            (row["micro_batch"], row["peak_bytes"] / 2**30) for row in chosen
            if (row["variant"], row["dtype"]) == (variant, dtype)
        )  # fmt: skip
        axes.plot(*zip(*points, strict=True), label=f"{variant}, {dtype}", linewidth=1.5, **look(index))
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    _legend(figure, axes)
    return figure


def _axes(title: str, across: str, up: str) -> tuple[Figure, object]:
    figure = Figure(SIZE)
    axes = figure.subplots()
    figure.suptitle(title.replace(": ", "\n"), fontsize=11, y=1.02)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _only(axes: object, values: list[int]) -> None:
    """Ticks at the values that were measured and nowhere else."""
    axes.set_xticks(values, [f"{value:,}" for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, axes: object) -> None:
    """Below the axes, so that it covers no line."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, fontsize=9)
