"""The roofline: every timed loss and attention row under the device's own copy and matrix ceilings."""

from matplotlib.figure import Figure

from bench.reporting.contests import contests
from bench.reporting.records import Device
from bench.reporting.style import INK, look
from bench.reporting.winners import Contest
from bench.reporting.work import attention_work, loss_work

STYLES = {"bf16 product": "-", "tf32 product": "--", "fp32 product": ":"}


def roofline(device: Device) -> Figure | None:
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
    for part, work in (("losses", loss_work), ("attention", attention_work)):
        for contest in contests(device, part):
            row = next(iter(contest.timed.values()), None)
            if row:
                name = row["loss"] if part == "losses" else f"attention, {row['mode']}"
                found.setdefault(f"{name}, {row['dtype']}", []).append((*work(row), _seconds(contest)))
    return found


def _seconds(contest: Contest) -> tuple[float, float]:
    names = contest.ours, contest.best_peer()
    return tuple((contest.get(name, "p50_ms") or 0.0) / 1e3 for name in names)


def _ceilings(axes: object, ceilings: dict[str, float], low: float, high: float) -> None:
    copy, products = ceilings["copy"], {name: rate for name, rate in ceilings.items() if name in STYLES}
    top = max(products.values(), default=copy * high)
    bend = min(max(top / copy, low), high)
    axes.plot([low, bend], [low * copy, bend * copy], color=INK, linewidth=1.4, label=f"copy, {copy / 1e9:,.0f} GB/s")
    for name, rate in products.items():
        left = min(max(rate / copy, low), high)
        label = f"{name}, {rate / 1e12:,.3g} TFLOP/s"
        axes.plot([left, high], [rate, rate], color=INK, linewidth=1.4, linestyle=STYLES[name], label=label)
