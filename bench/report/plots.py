"""The plots of a device: roofline, time against K and B, memory against micro-batch, share of the matrix rate.

They are SVG files that follow the reader's light or dark scheme.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from bench.record import Row, slug
from bench.report.comparisons import Comparison, attention_work, comparisons, loss_work
from bench.report.records import Device

PAPER, INK, FAINT = "#fefefe", "#202124", "#c9cdd2"
DARK = {
    PAPER: "#14171c", INK: "#e6e8eb", FAINT: "#474d56",
    "#0072b2": "#4aa8e0", "#d55e00": "#f0803c", "#009e73": "#2fc79c", "#aa4f8a": "#dc8fc0",
    "#8a6d00": "#e0b93a", "#5b5fc7": "#9ea2f5", "#66707a": "#a3adb8", "#00828c": "#45c3cd", "#9c3b30": "#e08a80",
}  # fmt: skip
COLOURS = list(DARK)[3:]  # told apart by colour-blind readers together with the marks
MARKS = "osD^vP*Xh<>"
SETTINGS = {
    "svg.fonttype": "none", "svg.hashsalt": "mlcfast", "font.family": "sans-serif", "font.size": 11,
    "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.facecolor": PAPER, "figure.facecolor": PAPER, "legend.facecolor": PAPER, "legend.edgecolor": FAINT,
    "grid.color": FAINT, "axes.grid": True, "grid.linewidth": 0.6, "axes.axisbelow": True, "axes.titlesize": 11,
}  # fmt: skip
STYLES = {"bf16 product": "-", "tf32 product": "--", "fp32 product": ":"}
LABELS = {"K": "labels K", "B": "batch B"}
BELOW = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.17), "ncols": 2, "fontsize": 9}  # so that it covers no line
Points = dict[str, list[tuple[float, float]]]  # line -> its (x, y)


def draw(device: Device, folder: Path) -> list[tuple[str, str]]:
    """Write the device's plots into the folder; (title, file name) of each that has something to show."""
    drawn = []
    with matplotlib.rc_context(SETTINGS):
        for name, title, figure in _drawings(device):
            file = f"{slug(device.name)}-{slug(name)}.svg"
            _save(figure, folder / file, f"{title}: {device.name}")
            drawn.append((f"{title}: {device.name}", file))
    return drawn


def _drawings(device: Device) -> Iterator[tuple[str, str, Figure]]:
    """(name, title without the device, figure)."""
    if figure := _roofline(device):
        yield "roofline", "Roofline", figure
    for suite, keys in {"losses": ("loss", "dtype"), "attention": ("model", "dtype", "mode", "queries")}.items():
        for axis, fixed in (("K", "B"), ("B", "K")):
            groups: dict[tuple, list[Comparison]] = {}
            for each in comparisons(device, suite):
                groups.setdefault((*(each.rows[0][key] for key in keys), f"{fixed} {each.rows[0][fixed]}"), []).append(
                    each
                )
            for key, group in groups.items():
                if len({each.rows[0][axis] for each in group}) >= 3:  # fewer points are no line
                    title = ", ".join(key)
                    yield f"{suite} {title.replace(f'{fixed} ', fixed)}", title, _times(title, device, axis, group)
    rows = [row for each in comparisons(device, "training") for row in each.timed.values()]
    if any(row.get("share_of_matrix_rate") for row in rows):
        yield "training-share", "Training, share of the matrix rate", _shares(device, rows)
    for model in dict.fromkeys(row["model"] for row in rows if row.get("peak_bytes")):
        title, points = f"{model}, peak memory of a training step", {}
        for row in rows:
            if row["model"] == model and row.get("peak_bytes"):
                line = points.setdefault(f"{row['contender']}, {row['dtype']}", [])
                line.append((row["micro_batch"], row["peak_bytes"] / 2**30))
        figure = _lines(title, device, "micro-batch, images", "peak memory, GiB", points)
        figure.axes[0].set(xlim=(0, None), ylim=(0, None))
        yield f"memory {model}", title, figure


def _roofline(device: Device) -> Figure | None:
    """FLOP a byte against FLOP a second, ours filled and the fastest other hollow; None without rows or ceilings."""
    ceilings, points = device.ceilings(), {}
    for suite, work in (("losses", loss_work), ("attention", attention_work)):
        for each in comparisons(device, suite):
            row = each.rows[0]
            name = row["loss"] if suite == "losses" else f"attention, {row['mode']}"
            flop, moved = work(row)
            for place, contender in enumerate((each.ours, each.best_peer)):
                if time := each.ms(contender):
                    pair = points.setdefault(f"{name}, {row['dtype']}", ([], []))
                    pair[place].append((flop / moved, flop / time * 1e3))
    if "copy" not in ceilings or not points:
        return None
    figure, axes = _figure("Roofline", f"{device.name}\nfilled: ours, hollow: fastest other")
    for index, (label, pair) in enumerate(points.items()):
        for xy, face in zip(pair, ({}, {"markerfacecolor": "none"}), strict=True):
            if xy:
                axes.plot(*zip(*xy, strict=True), linestyle="none", label=label, **_look(index) | face)
                label = None
    x = [place for pair in points.values() for xy in pair for place, _ in xy]
    low, high, copy = min(x) / 2, max(x) * 3, ceilings["copy"]
    products = {name: rate for name, rate in ceilings.items() if name in STYLES}
    bend = min(max(max(products.values(), default=copy * high) / copy, low), high)
    axes.plot([low, bend], [low * copy, bend * copy], color=INK, linewidth=1.4, label=f"copy, {copy / 1e9:,.0f} GB/s")
    for name, rate in products.items():
        span, words = [min(max(rate / copy, low), high), high], f"{name}, {rate / 1e12:,.3g} TFLOP/s"
        axes.plot(span, [rate, rate], color=INK, linewidth=1.4, linestyle=STYLES[name], label=words)
    axes.set(xscale="log", yscale="log", xlabel="FLOP a byte that must be moved", ylabel="FLOP a second")
    axes.legend(**BELOW)
    return figure


def _times(title: str, device: Device, axis: str, group: list[Comparison]) -> Figure:
    """A line a contender, ours first; ticks at the values that were measured and nowhere else."""
    names = dict.fromkeys(name for each in group for name in (each.ours, *each.timed))
    points = {name: [(each.rows[0][axis], each.ms(name)) for each in group if name in each.timed] for name in names}
    figure = _lines(title, device, LABELS[axis], "median time, ms", points)
    axes, values = figure.axes[0], sorted({each.rows[0][axis] for each in group})
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(values, [f"{value:,}" for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    return figure


def _lines(title: str, device: Device, across: str, up: str, lines: Points) -> Figure:
    figure, axes = _figure(title, device.name)
    for index, (name, points) in enumerate(line for line in lines.items() if line[1]):
        style = _look(index) | {"linewidth": 2.4 if index == 0 else 1.3, "zorder": 2.5 - 0.01 * index}
        axes.plot(*zip(*sorted(points), strict=True), label=name, **style)
    axes.set(xlabel=across, ylabel=up)
    axes.legend(**BELOW)
    return figure


def _shares(device: Device, rows: list[Row]) -> Figure:
    """A bar a model and contender, at the micro-batch where it is fastest; ours has the colour of the other plots."""
    rows = sorted((row for row in rows if row.get("share_of_matrix_rate")), key=lambda row: row["share_of_matrix_rate"])
    best = {(row["model"], row["contender"]): row for row in rows}
    bars, contenders = sorted(best.items(), reverse=True), list(dict.fromkeys(["mlcfast", *(name for _, name in best)]))
    figure, axes = _figure(f"Training, {device.name}", "")
    figure.set_size_inches(3.4, 1.2 + 0.32 * len(bars))
    for place, ((_, contender), row) in enumerate(bars):
        share = 100 * row["share_of_matrix_rate"]
        axes.barh(place, share, color=COLOURS[contenders.index(contender) % len(COLOURS)])
        text = f"{share:.0f} %, B {row['micro_batch']}"
        axes.annotate(text, (share, place), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(range(len(bars)), [f"{model}, {contender}" for (model, contender), _ in bars])
    axes.grid(False, axis="y")
    axes.set(xlabel="share of the measured matrix rate, %", xlim=(0, 125 * rows[-1]["share_of_matrix_rate"]))
    return figure


def _figure(title: str, below: str) -> tuple[Figure, object]:
    figure = Figure((5.6, 4.0))
    axes = figure.subplots()
    figure.suptitle(f"{title}\n{below}".strip(), fontsize=11, y=1.02)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _look(index: int) -> dict[str, str | float]:
    """Colour and mark of the index-th line."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKS[index % len(MARKS)], "markersize": 5}


def _save(figure: Figure, path: Path, title: str) -> None:
    """Write the figure as SVG, the same bytes for the same figure; every colour becomes a property of the scheme."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Title": title, "Date": None, "Creator": None})
    text = path.read_text(encoding="utf-8")
    names = {colour: f"--c{index}" for index, colour in enumerate(DARK)}
    for colour, name in names.items():
        text = re.sub(re.escape(colour), f"var({name}, {colour})", text, flags=re.IGNORECASE)
    light = "".join(f"{name}:{colour};" for colour, name in names.items())
    dark = "".join(f"{names[colour]}:{shade};" for colour, shade in DARK.items())
    sheet = f"<style>:root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}</style>"
    lines = re.sub(r"(<svg [^>]*>)", lambda found: f"{found[1]}\n {sheet}", text, count=1).splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")
