"""Tables of bench/results/losses.jsonl in Markdown."""

import json
from pathlib import Path

from bench.reporting.markdown import replace_between

KEYS = ("loss", "dtype", "device", "threads", "torch")
SUMMARISED = ("textbook", "in-place", "torch.compile")


def write_table(results: Path, page: Path) -> None:
    """Replace what stands between the two marks of `page` with one table for each loss and dtype, and the peaks."""
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        if "p50_ms" in row:
            groups.setdefault(tuple(row[key] for key in KEYS), []).append(row)
    tables = [_times(dict(zip(KEYS, key, strict=True)), group) for key, group in groups.items()]
    peaks = [row for row in rows if "peak_bytes" in row]
    replace_between(page, "\n" + "\n".join([*tables, *([_peaks(peaks)] if peaks else [])]))


def write_summary(results: Path, page: Path, shapes: tuple[tuple[int, int], ...] = ((64, 80), (4096, 9605))) -> None:
    """Replace what stands between the two marks of `page` with fp32 times, the others' as multiples of mlcfast's."""
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    rows = [row for row in rows if row.get("dtype") == "float32" and (row["B"], row["K"]) in shapes]
    latest = {(row["loss"], row["B"], row["K"], row["contender"]): row["p50_ms"] for row in rows}
    lines = ["| forward + backward | mlcfast | " + " | ".join(SUMMARISED) + " |", "|---" * (2 + len(SUMMARISED)) + "|"]
    for loss, B, K in dict.fromkeys(key[:3] for key in latest):
        ours = latest[loss, B, K, "mlcfast"]
        times = [latest.get((loss, B, K, name)) for name in SUMMARISED]
        cells = ["–" if time is None else f"{time / ours:.1f}×" for time in times]
        lines.append(f"| {loss}, {B}×{K} | {ours:.3g} ms | " + " | ".join(cells) + " |")
    where = f"Medians on {rows[-1]['threads']} threads of an {rows[-1]['device']}, torch {rows[-1]['torch']}."
    replace_between(page, "\n" + "\n".join([*lines, "", where]) + "\n")


def _times(key: dict, rows: list[dict]) -> str:
    latest = {(row["B"], row["K"], row["contender"]): row for row in rows}
    names = list(dict.fromkeys(name for *_, name in latest))
    commits = ", ".join(dict.fromkeys(row["commit"] for row in latest.values()))
    lines = [
        f"**{key['loss']}**, {key['dtype']}; {key['device']}, {key['threads']} threads, torch {key['torch']}, "
        f"commit {commits}. Median ms of forward + backward (p20–p80), and how many times mlcfast's.",
        "",
        "| B×K | " + " | ".join(names) + " |",
        "|---" * (1 + len(names)) + "|",
    ]
    for B, K in dict.fromkeys((B, K) for B, K, _ in latest):
        ours = latest[B, K, "mlcfast"]["p50_ms"]
        cells = [_cell(latest.get((B, K, name)), ours) for name in names]
        lines.append(f"| {B}×{K} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(row: dict | None, ours: float) -> str:
    if row is None:
        return "–"
    times = f"{row['p50_ms']:.3g} ({row['p20_ms']:.3g}–{row['p80_ms']:.3g})"
    return times if row["contender"] == "mlcfast" else f"{times}, {row['p50_ms'] / ours:.1f}×"


def _peaks(rows: list[dict]) -> str:
    latest = {(row["B"], row["K"], row["contender"]): row for row in rows}
    lines = ["**Peak memory** of one asymmetric step above its inputs, in gradient tensors of 4·B·K bytes.", ""]
    lines += ["| B×K | contender | MiB | gradients |", "|---|---|---|---|"]
    for (B, K, name), row in latest.items():
        lines.append(f"| {B}×{K} | {name} | {row['peak_bytes'] / 2**20:.0f} | {row['gradients']:.2f} |")
    return "\n".join(lines) + "\n"
