"""The plots of a device: roofline, time against K and B, memory against micro-batch, share of the matrix rate."""

from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from bench.record import Row, slug
from bench.report.comparisons import Comparison, attention_work, comparisons, loss_work
from bench.report.records import Device
from bench.report.svg import COLOURS, INK, look, save, styled

Drawing = tuple[str, str, Figure]
SIZE = (5.6, 4.0)
STYLES = {"bf16 product": "-", "tf32 product": "--", "fp32 product": ":"}


def draw(device: Device, folder: Path) -> list[tuple[str, str]]:
    """Write the device's plots into the folder; (title, file name) of each that has something to show."""
    drawn = []
    with styled():
        for name, title, figure in _drawings(device):
            file = f"{slug(device.name)}-{name}.svg"
            save(figure, folder / file, title)
            drawn.append((title, file))
    return drawn


def _drawings(device: Device) -> Iterator[Drawing]:
    figure = _roofline(device)
    if figure:
        yield "roofline", f"Roofline, {device.name}", figure
    for part in ("losses", "attention"):
        for axis, fixed in (("K", "B"), ("B", "K")):
            yield from _series(device, part, axis, fixed)
    yield from _training(device)


def _roofline(device: Device) -> Figure | None:
    """FLOP a byte against FLOP a second, ours filled and the fastest other hollow; None without rows or ceilings."""
    ceilings = device.ceilings()
    points = _points(device)
    if "copy" not in ceilings or not points:
        return None
    figure = Figure((5.6, 4.4))
    axes = figure.subplots()
    for index, (label, pairs) in enumerate(points.items()):
        style = look(index) | {"linestyle": "none"}
        drawn = False
        for place, ours in enumerate((True, False)):
            xy = [(flop / moved, flop / times[place]) for flop, moved, times in pairs if times[place]]
            if xy:
                face = {} if ours else {"markerfacecolor": "none"}
                axes.plot(*zip(*xy, strict=True), label=None if drawn else label, **style, **face)
                drawn = True
    intensities = [flop / moved for pairs in points.values() for flop, moved, _ in pairs]
    _ceilings(axes, ceilings, min(intensities) / 2, max(intensities) * 3)
    axes.set(xscale="log", yscale="log", xlabel="FLOP a byte that must be moved", ylabel="FLOP a second")
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"Roofline, {device.name}\nfilled: ours, hollow: fastest other", fontsize=11, y=1.02)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, fontsize=9)
    return figure


def _points(device: Device) -> dict[str, list[tuple[float, float, tuple[float, float]]]]:
    """Operator and dtype -> (FLOP, bytes, (seconds of ours, seconds of the fastest other)); 0 where not timed."""
    found: dict[str, list] = {}
    for suite, work in (("losses", loss_work), ("attention", attention_work)):
        for each in comparisons(device, suite):
            row = next(iter(each.timed.values()), None)
            if row:
                name = row["loss"] if suite == "losses" else f"attention, {row['mode']}"
                found.setdefault(f"{name}, {row['dtype']}", []).append((*work(row), _seconds(each)))
    return found


def _seconds(each: Comparison) -> tuple[float, float]:
    names = each.ours, each.best_peer()
    return tuple((each.get(name, "p50_ms") or 0.0) / 1e3 for name in names)


def _ceilings(axes: object, ceilings: dict[str, float], low: float, high: float) -> None:
    copy, products = ceilings["copy"], {name: rate for name, rate in ceilings.items() if name in STYLES}
    top = max(products.values(), default=copy * high)
    bend = min(max(top / copy, low), high)
    axes.plot([low, bend], [low * copy, bend * copy], color=INK, linewidth=1.4, label=f"copy, {copy / 1e9:,.0f} GB/s")
    for name, rate in products.items():
        left = min(max(rate / copy, low), high)
        label = f"{name}, {rate / 1e12:,.3g} TFLOP/s"
        axes.plot([left, high], [rate, rate], color=INK, linewidth=1.4, linestyle=STYLES[name], label=label)


def _series(device: Device, part: str, axis: str, fixed: str) -> Iterator[Drawing]:
    """Time against K or B where at least three were timed and all else was the same."""
    keys = ("loss", "dtype") if part == "losses" else ("model", "dtype", "mode", "queries")
    groups: dict[tuple, list[Comparison]] = {}
    for each in comparisons(device, part):
        row = each.rows[0]
        groups.setdefault((*(row[key] for key in keys), row[fixed]), []).append(each)
    for (*key, value), group in groups.items():
        if len({each.rows[0][axis] for each in group}) >= 3:
            title = f"{', '.join(key)}, {fixed} {value}: {device.name}"
            name = "-".join([part, *key, f"{fixed}{value}"]).lower().replace(" ", "-").replace("_", "-")
            yield name, title, _lines(title, axis, group)


def _lines(title: str, axis: str, group: list[Comparison]) -> Figure:
    figure, axes = _axes(title, {"K": "labels K", "B": "batch B"}[axis], "median time, ms")
    axes.set_xscale("log")
    axes.set_yscale("log")
    names = dict.fromkeys(name for each in group for name in (each.ours, *each.timed))
    for index, name in enumerate(names):
        points = sorted((each.rows[0][axis], each.get(name, "p50_ms")) for each in group if name in each.timed)
        if points:
            axes.plot(
                *zip(*points, strict=True),
                label=name,
                linewidth=2.4 if index == 0 else 1.3,
                zorder=2.5 - 0.01 * index,
                **look(index),
            )
    values = sorted({each.rows[0][axis] for each in group})
    _only(axes, values)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    _legend(figure, axes)
    return figure


def _training(device: Device) -> Iterator[Drawing]:
    every = comparisons(device, "training")
    rows = [row for each in every for row in each.timed.values()]
    if any(row.get("share_of_matrix_rate") for row in rows):
        yield "training-share", f"Training, share of the matrix rate: {device.name}", _shares(device, rows)
    for model in dict.fromkeys(row["model"] for row in rows if row.get("peak_bytes")):
        title = f"{model}, peak memory of a training step: {device.name}"
        yield f"memory-{model.lower().replace(' ', '-').replace('_', '-')}", title, _memory(title, rows, model)


def _shares(device: Device, rows: list[Row]) -> Figure:
    """A bar a model and variant, at the micro-batch where it is fastest."""
    best: dict[tuple[str, str], Row] = {}
    for row in (row for row in rows if row.get("share_of_matrix_rate")):
        key = row["model"], row["contender"]
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
    lines = dict.fromkeys((row["contender"], row["dtype"]) for row in chosen)
    for index, (variant, dtype) in enumerate(lines):
        points = sorted(
            (row["micro_batch"], row["peak_bytes"] / 2**30) for row in chosen
            if (row["contender"], row["dtype"]) == (variant, dtype)
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
