"""Tables of bench/results/attention.jsonl in Markdown."""

import json
from pathlib import Path

from bench.reporting.markdown import replace_between

KEYS = ("device", "threads", "torch", "dtype", "dropout", "B", "K", "queries", "mode")


def write_table(results: Path, page: Path) -> None:
    """Replace what stands between the two marks of `page` with one table for each device, dtype, batch and mode."""
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    replace_between(page, "\n" + _tables(rows))


def _tables(rows: list[dict]) -> str:
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        if "p50_ms" in row:
            groups.setdefault(tuple(row[key] for key in KEYS), []).append(row)
    return "\n".join(_table(dict(zip(KEYS, key, strict=True)), group) for key, group in groups.items())


def _table(key: dict, rows: list[dict]) -> str:
    latest = {(row["model"], row["D"], row["N"], row["contender"]): row for row in rows}
    contenders = list(dict.fromkeys(name for *_, name in latest))
    shapes = list(dict.fromkeys((model, D, N) for model, D, N, _ in latest))
    training = key["mode"] == "training"
    lines = [_title(key, rows), "", "| model | D | N | " + " | ".join(contenders) + " |"]
    lines.append("|---" * (3 + len(contenders)) + "|")
    for shape in shapes:
        found = [latest.get((*shape, name)) for name in contenders]
        base = _baseline(dict(zip(contenders, found, strict=True)))
        lines.append(
            f"| {' | '.join(map(str, shape))} | " + " | ".join(_cell(row, base, training) for row in found) + " |"
        )
    return "\n".join(lines) + "\n"


def _title(key: dict, rows: list[dict]) -> str:
    commits = ", ".join(dict.fromkeys(row["commit"] for row in rows))
    return (
        f"**{key['mode']}, {key['queries']} queries**, B {key['B']}, K {key['K']}, {key['dtype']}, "
        f"dropout {key['dropout']}; {key['device']}, {key['threads']} threads, torch {key['torch']}, commit {commits}"
    )


def _baseline(found: dict[str, dict | None]) -> float | None:
    """The median of the fastest SDPA."""
    medians = [row["p50_ms"] for name, row in found.items() if row and name.startswith("sdpa")]
    return min(medians, default=None)


def _cell(row: dict | None, base: float | None, training: bool) -> str:
    if row is None:
        return "–"
    ratio = f" ({base / row['p50_ms']:.2f}×)" if base else ""
    peak = row.get("peak_extra_bytes")
    saved = f", {row['saved_bytes_per_image'] / 2**20:.2f} MiB" if training else ""
    return f"{row['p50_ms']:.1f} ms{ratio}{saved}" + (f", peak {peak / 2**20:.0f} MiB" if peak else "")
