"""docs/benchmarks.md and the README's short section, from the devices' rows."""

from bench.parts import SHARES
from bench.reporting import facts, races
from bench.reporting.contests import PARTS, contests, leftovers
from bench.reporting.markdown import DASH, milliseconds, ratio, table
from bench.reporting.records import Device
from bench.reporting.winners import Contest
from bench.reporting.work import EXPLAINED

NOTES = "notes.md#where-we-lose"
UNMEASURED = {
    "ceilings": "the device's copy and matrix rates",
    "compiled": "registers and spills of the kernels, compiled for the device",
    "correctness": "every operator's tests on the device",
    "losses": "times and memory of the losses' kernels",
    "attention": "times and memory of label-query attention",
    "training": "whole training steps",
    "memory": "planned against measured memory at 12 GiB",
}
SECTIONS = {
    "Ceilings": facts.ceilings,
    "Correctness": facts.correctness,
    "Losses": races.losses,
    "Label-query attention": races.attention,
    "Training steps": races.training,
    "Memory of 12 GiB": facts.memory,
    "Compiled kernels": facts.compiled,
}
PART_OF = {"Losses": "losses", "Label-query attention": "attention", "Training steps": "training"}


def benchmarks(devices: list[Device], plots: dict[str, list[tuple[str, str]]]) -> str:
    """The page: what no GPU has measured, where we lose, then each device; plots: device -> (title, file)."""
    pieces = [unmeasured(devices), _losing(devices)]
    for device in devices:
        pieces += [f"## {device.name}\n", facts.provenance(device), facts.parts(device, tuple(SHARES))]
        for title, section in SECTIONS.items():
            found = section(device)
            found += (
                [f"- refused: {reason}\n" for reason in leftovers(device, PART_OF[title])] if title in PART_OF else []
            )
            pieces += [f"### {title}\n", *found] if found else []
        drawn = plots.get(device.name, [])
        pieces += [f"### Plots\n\n{EXPLAINED}\n"] * bool(drawn) + [f"![{title}]({file})\n" for title, file in drawn]
    return "\n" + "\n".join(pieces)


def unmeasured(devices: list[Device]) -> str:
    """Which parts have no row from any GPU."""
    gpus = [device for device in devices if device.is_gpu]
    missing = [name for name in UNMEASURED if not any(_measured(device, name) for device in gpus)]
    if not missing:
        return f"Recorded on {', '.join(device.name for device in gpus)}; every part has been measured on a GPU.\n"
    start = f"Recorded on {', '.join(device.name for device in gpus)}." if gpus else "**No GPU has been recorded.**"
    lines = [f"- {name}: {UNMEASURED[name]}" for name in missing]
    return f"{start} Not measured on any GPU:\n\n" + "\n".join(lines) + "\n"


def _measured(device: Device, part: str) -> bool:
    return any("refused" not in row for row in device.part(part))


def lost(device: Device) -> list[Contest]:
    """The rows of the device in which something else is faster or ours was refused."""
    return [contest for part in PARTS for contest in contests(device, part) if contest.standing == "lost"]


def _losing(devices: list[Device]) -> str:
    lines = [
        f"- {device.name}: `{contest.id}`: {contest.winner()} ([why]({NOTES}))"
        for device in devices for contest in lost(device)
    ]  # fmt: skip
    nothing = "No recorded row." if devices else "Nothing has been recorded."
    return "## Where we lose\n\n" + ("\n".join(lines) or nothing) + "\n"


def summary(devices: list[Device]) -> str:
    """The README's section: how often we win and by how much on the GPU measured last, or else on the CPU."""
    gpus = [device for device in devices if device.is_gpu]
    start = "" if gpus else "No GPU has been recorded yet; what stands unmeasured is in docs/benchmarks.md.\n\n"
    shown = (gpus or devices)[:1]
    text = start + "".join(_summary(device) for device in shown)
    return f"\n{text}Every row, plot and lost row: [docs/benchmarks.md](docs/benchmarks.md).\n"


def _summary(device: Device) -> str:
    rows = [row for part in PARTS if (row := _standings(part, contests(device, part)))]
    if not rows:
        return ""
    where = facts.caption(device, [row for part in PARTS for row in device.part(part)])
    head = ["", "rows", "won", "even", "lost", "median against the fastest other", "largest row"]
    return f"On {where}:\n\n{table(head, rows)}\n\n"


def _standings(part: str, every: list[Contest]) -> list[str]:
    met = [contest for contest in every if contest.best_peer() and contest.get(contest.ours, "p50_ms")]
    standings = [contest.standing for contest in every]
    leads = sorted(contest.get(contest.best_peer(), "p50_ms") / contest.get(contest.ours, "p50_ms") for contest in met)
    counts = [str(standings.count(name)) for name in ("won", "even", "lost")]
    middle = ratio(leads[len(leads) // 2]) if leads else DASH
    longest = max(met, key=lambda contest: contest.get(contest.ours, "p50_ms"), default=None)
    example = f"`{longest.id}`: {milliseconds(longest.get(longest.ours, 'p50_ms'))} ms" if longest else DASH
    return [part, str(len(every)), *counts, middle, example] if every else []
