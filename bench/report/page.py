"""docs/benchmarks.md and the README's two sections, from the devices' rows."""

from bench.report import tables
from bench.report.comparisons import LAYOUTS, Comparison, comparisons, leftovers, lost
from bench.report.markdown import DASH, milliseconds, ratio, table
from bench.report.records import Device
from bench.suites import SUITES

NOTES = "notes.md#where-we-lose"
SECTIONS = [name for name in SUITES if name not in ("build", "device")]
SHOWN, RIVALS = {(64, 80), (4096, 9605)}, ("textbook", "in-place", "torch.compile")  # in the README


def benchmarks(devices: list[Device], plots: dict[str, list[tuple[str, str]]]) -> str:
    """The page: what no GPU has measured, where we lose, then each device; plots: device -> (title, file)."""
    lines = [f"- {d.name}: `{each.id}`: {each.winner()} ([why]({NOTES}))" for d in devices for each in lost(d)]
    lines = lines or ["No recorded row." if devices else "Nothing has been recorded."]
    gpus = [device for device in devices if device.is_gpu]
    measured = {row["suite"] for device in gpus for row in device.rows if "event" not in row and "refused" not in row}
    missing = [name for name in SECTIONS if not SUITES[name].alone and name not in measured] or ["nothing"]
    start = f"Recorded on {', '.join(device.name for device in gpus)}." if gpus else "**No GPU has been recorded.**"
    start += f" Not measured on any GPU: {', '.join(missing)}."
    pieces = [f"{start}\n", "## Where we lose\n\n" + "\n".join(lines) + "\n"]
    for device in devices:
        pieces += [f"## {device.name}\n", tables.provenance(device), tables.suites(device, SUITES)]
        for suite in SECTIONS:
            found = section(device, suite)
            pieces += [f"### {suite}\n", *found] if found else []
        drawn = plots.get(device.name, [])
        pieces += ["### plots\n"] * bool(drawn) + [f"![{title}]({file})\n" for title, file in drawn]
    return "\n" + "\n".join(pieces)


def section(device: Device, suite: str) -> list[str]:
    """The tables of one suite."""
    if suite == "correctness":
        return tables.correctness(device)
    if suite in LAYOUTS:
        return tables.compared(device, suite) + [f"- refused: {reason}\n" for reason in leftovers(device, suite)]
    return tables.listed(device, suite)


def summary(devices: list[Device]) -> str:
    """The README's section: how often we win and by how much on the GPU measured last, or else on the CPU."""
    gpus = [device for device in devices if device.is_gpu]
    text = "" if gpus else "No GPU has been recorded yet; what stands unmeasured is in docs/benchmarks.md.\n\n"
    for device in (gpus or devices)[:1]:
        found = {suite: each for suite in LAYOUTS if (each := comparisons(device, suite))}
        where = device.caption(row for every in found.values() for each in every for row in each.rows)
        head = ["", "rows", "won", "even", "lost", "median against the fastest other", "largest row"]
        text += f"On {where}:\n\n{table(head, [_standings(*item) for item in found.items()])}\n\n" if found else ""
    return f"\n{text}Every row, plot and lost row: [docs/benchmarks.md](docs/benchmarks.md).\n"


def _standings(suite: str, every: list[Comparison]) -> list[str]:
    met, standings = [each for each in every if each.best_peer and each.ms(each.ours)], [e.standing for e in every]
    leads = sorted(each.ms(each.best_peer) / each.ms(each.ours) for each in met)
    counts = [str(standings.count(name)) for name in ("won", "even", "lost")]
    longest = max(met, key=lambda each: each.ms(each.ours), default=None)
    example = f"`{longest.id}`: {milliseconds(longest.ms(longest.ours))} ms" if longest else DASH
    return [suite, str(len(every)), *counts, ratio(leads[len(leads) // 2]) if leads else DASH, example]


def loss_summary(devices: list[Device]) -> str:
    """The README's table of fp32 losses: ours in milliseconds, the others as multiples of it."""
    for device in devices:
        rows, shown = [], []
        for each in comparisons(device, "losses"):
            row, ours = each.rows[0], each.ms(each.ours)
            if ours and row["dtype"] == "float32" and (row["B"], row["K"]) in SHOWN:
                cells = [ratio(each.ms(name) / ours) if each.ms(name) else DASH for name in RIVALS]
                rows.append([f"{row['loss']}, {row['B']}×{row['K']}", f"{milliseconds(ours)} ms", *cells])
                shown += each.rows
        if rows:
            text = table(["forward + backward", "mlcfast", *RIVALS], rows)
            return f"\n{text}\n\nMedians on {device.caption(shown)}.\n"
    return "\nNothing has been recorded.\n"
