"""docs/benchmarks.md and the README's two sections, from the devices' rows."""

from bench.report import tables
from bench.report.comparisons import EXPLAINED, LAYOUTS, Comparison, comparisons, leftovers, lost
from bench.report.markdown import DASH, milliseconds, ratio, table
from bench.report.records import Device
from bench.suites import SUITES

NOTES = "notes.md#where-we-lose"
UNMEASURED = {
    "ceilings": "the device's copy and matrix rates",
    "resources": "registers and spills of the kernels, compiled for the device",
    "correctness": "every operator's tests on the device",
    "losses": "times and memory of the losses' kernels",
    "attention": "times and memory of label-query attention",
    "training": "whole training steps",
    "memory": "planned against measured memory at 12 GiB",
}
TITLES = {
    "ceilings": "Ceilings: bytes copied and FLOP a second",
    "correctness": "Correctness",
    "losses": "Losses",
    "attention": "Label-query attention",
    "training": "Training steps",
    "memory": "Memory of 12 GiB, planned and measured",
    "resources": "Compiled kernels",
    "loss_memory": "Resident memory of a loss's step on the CPU",
    "decoder": "Decoder and head as labels grow",
    "backbones": "What backbones keep an image, and CPU steps",
    "label_estimates": "A ROLE step with the label estimator's table",
    "linear_epoch": "A linear epoch at MS-COCO's size",
    "full_size": "The whole model on two CPU processes",
    "predict": "Prediction from files",
    "attention_maps": "Attention inside a label's boxes",
}
SHOWN = {(64, 80), (4096, 9605)}  # in the README
RIVALS = ("textbook", "in-place", "torch.compile")


def benchmarks(devices: list[Device], plots: dict[str, list[tuple[str, str]]]) -> str:
    """The page: what no GPU has measured, where we lose, then each device; plots: device -> (title, file)."""
    pieces = [unmeasured(devices), _losing(devices)]
    for device in devices:
        pieces += [f"## {device.name}\n", tables.provenance(device), tables.suites(device, SUITES)]
        for suite, title in TITLES.items():
            found = section(device, suite)
            pieces += [f"### {title}\n", *found] if found else []
        drawn = plots.get(device.name, [])
        pieces += [f"### Plots\n\n{EXPLAINED}\n"] * bool(drawn) + [f"![{title}]({file})\n" for title, file in drawn]
    return "\n" + "\n".join(pieces)


def section(device: Device, suite: str) -> list[str]:
    """The tables of one suite."""
    if suite == "correctness":
        return tables.correctness(device)
    if suite in LAYOUTS:
        return tables.compared(device, suite) + [f"- refused: {reason}\n" for reason in leftovers(device, suite)]
    return tables.listed(device, suite)


def unmeasured(devices: list[Device]) -> str:
    """Which suites have no row from any GPU."""
    gpus = [device for device in devices if device.is_gpu]
    missing = [name for name in UNMEASURED if not any(_measured(device, name) for device in gpus)]
    start = f"Recorded on {', '.join(device.name for device in gpus)}" if gpus else "**No GPU has been recorded.**"
    if not missing:
        return f"{start}; every suite has been measured on a GPU.\n"
    lines = [f"- {name}: {UNMEASURED[name]}" for name in missing]
    return f"{start}{'.' * bool(gpus)} Not measured on any GPU:\n\n" + "\n".join(lines) + "\n"


def _measured(device: Device, suite: str) -> bool:
    return any("refused" not in row for row in device.suite(suite))


def _losing(devices: list[Device]) -> str:
    lines = [f"- {d.name}: `{each.id}`: {each.winner()} ([why]({NOTES}))" for d in devices for each in lost(d)]
    nothing = "No recorded row." if devices else "Nothing has been recorded."
    return "## Where we lose\n\n" + ("\n".join(lines) or nothing) + "\n"


def summary(devices: list[Device]) -> str:
    """The README's section: how often we win and by how much on the GPU measured last, or else on the CPU."""
    gpus = [device for device in devices if device.is_gpu]
    start = "" if gpus else "No GPU has been recorded yet; what stands unmeasured is in docs/benchmarks.md.\n\n"
    text = start + "".join(_summary(device) for device in (gpus or devices)[:1])
    return f"\n{text}Every row, plot and lost row: [docs/benchmarks.md](docs/benchmarks.md).\n"


def _summary(device: Device) -> str:
    rows = [row for suite in LAYOUTS if (row := _standings(suite, comparisons(device, suite)))]
    if not rows:
        return ""
    where = device.caption(row for suite in LAYOUTS for each in comparisons(device, suite) for row in each.rows)
    head = ["", "rows", "won", "even", "lost", "median against the fastest other", "largest row"]
    return f"On {where}:\n\n{table(head, rows)}\n\n"


def _standings(suite: str, every: list[Comparison]) -> list[str]:
    met = [each for each in every if each.best_peer() and each.get(each.ours, "p50_ms")]
    standings = [each.standing for each in every]
    leads = sorted(each.get(each.best_peer(), "p50_ms") / each.get(each.ours, "p50_ms") for each in met)
    counts = [str(standings.count(name)) for name in ("won", "even", "lost")]
    middle = ratio(leads[len(leads) // 2]) if leads else DASH
    longest = max(met, key=lambda each: each.get(each.ours, "p50_ms"), default=None)
    example = f"`{longest.id}`: {milliseconds(longest.get(longest.ours, 'p50_ms'))} ms" if longest else DASH
    return [suite, str(len(every)), *counts, middle, example] if every else []


def loss_summary(devices: list[Device]) -> str:
    """The README's table of fp32 losses: ours in milliseconds, the others as multiples of it."""
    for device in devices:
        rows, shown = [], []
        for each in comparisons(device, "losses"):
            row, ours = each.rows[0], each.get(each.ours, "p50_ms")
            if ours and row["dtype"] == "float32" and (row["B"], row["K"]) in SHOWN:
                times = [each.get(name, "p50_ms") for name in RIVALS]
                cells = [DASH if time is None else ratio(time / ours) for time in times]
                rows.append([f"{row['loss']}, {row['B']}×{row['K']}", f"{milliseconds(ours)} ms", *cells])
                shown += each.rows
        if rows:
            text = table(["forward + backward", "mlcfast", *RIVALS], rows)
            return f"\n{text}\n\nMedians on {device.caption(shown)}.\n"
    return "\nNothing has been recorded.\n"
