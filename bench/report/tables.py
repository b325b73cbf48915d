"""The page's tables: where it ran, how suites ended, correctness, comparisons, and the rows of every other suite."""

import json
from collections import Counter
from collections.abc import Iterable

from bench.report.comparisons import LAYOUTS, Comparison, comparisons, loss_work
from bench.report.markdown import DASH, byte_count, byte_unit, number, percent, table
from bench.report.records import Device, newest

KEYS = {  # of suites whose rows are listed: what tells one row from another
    "ceilings": ("ceiling",),
    "memory": ("config", *(f"engine.{name}" for name in ("name", "micro_batch", "offload_optimizer"))),
    "resources": ("arch", "dtype", "kernel"),
    "tiles": ("kernel", "shape", "dtype", "contender"),
    "loss_memory": ("loss", "B", "K", "dtype", "contender"),
    "decoder": ("labels", "queries", "D", "N"),
    "backbones": ("backbone", "image_size", "contender"),
    "label_estimates": ("images", "contender"),
    "linear_epoch": ("images", "contender"),
    "counted_memory": ("model", "precision", "checkpointing", "dropout"),
    "full_size": ("config", "image_size"),
    "predict": ("backbone", "image_size", "images"),
    "attention_maps": ("checkpoint", "split"),
}


def provenance(device: Device) -> str:
    """A row a run: versions and commit; then the GPU as nvidia-smi and torch found it before anything ran."""
    found = device.suite("device")
    gpu = next((row for row in reversed(found) if "gpu" in row), {})
    triton = {row["run"]: row["packages"].get("triton") for row in found if "packages" in row}
    columns, runs = ("commit", "torch", "python", "threads"), device.runs.items()
    rows = [[run, *(str(row.get(each) or DASH) for each in columns), triton.get(run) or DASH] for run, row in runs]
    words = [f"{key} {_text(value)}" for key, value in gpu.items() if key not in ("run", "suite", "gpu")]
    return f"{', '.join([device.name, *words])}\n\n{table(['run (UTC)', *columns, 'triton'], rows)}\n"


def suites(device: Device, every: Iterable[str]) -> str:
    """How each suite ended when it was last run, with the reason where it was skipped or broke off."""
    rows = []
    for name in every:
        row, measured = device.events().get(name), device.suite(name)
        if row is None and measured:
            run = measured[-1]["run"]
            row = {"run": run, "event": "an earlier record" if "converted_from" in device.runs[run] else "did not end"}
        if row:
            reason = row.get("reason") or (f"exit code {row['exit_code']}" if "exit_code" in row else "")
            took = f"{row['seconds']} s" if "seconds" in row else DASH
            rows.append([name, row["run"], row["event"] + (f": {reason}" if reason else ""), took])
    return f"How the suites ended — {device.name}\n\n{table(['suite', 'run', 'end', 'took'], rows)}\n"


def correctness(device: Device) -> list[str]:
    """A row an operator and backend: how many cases passed and how close the worst came to its bound."""
    rows = [row for row in device.suite("correctness") if "operator" in row]
    lines, failures = [], []
    for (operator, backend), group in sorted(newest(rows, lambda row: (row["operator"], row["backend"])).items()):
        cases = [row for row in group if "passed" in row]
        passed = sum(row["passed"] for row in cases)
        shares = [row["error"] / row["bound"] for row in cases if row.get("bound") and row.get("error") is not None]
        refused = "; ".join(dict.fromkeys(str(row["refused"]) for row in group if "refused" in row)) or DASH
        worst = f"{max(shares):.2g}" if shares else DASH
        lines.append([operator, backend, f"{passed} of {len(cases)}", worst, refused])
        if passed < len(cases):
            first = next(row for row in cases if not row["passed"])
            why = first.get("reason") or f"error {first.get('error')}, bound {first.get('bound')}"
            failures.append(f"- **{operator} by {backend} fails {len(cases) - passed}**, first {first.get('dtype')}, "
                            f"{first.get('case')}: {why}\n")  # fmt: skip
    head = ["operator", "backend", "cases passed", "worst error / bound", "not run"]
    return [f"{device.caption(rows)}\n\n{table(head, lines)}\n", *failures] if rows else []


def listed(device: Device, suite: str) -> list[str]:
    """Every column of a suite's newest rows; a refusal stands in a column of its own."""
    groups = newest(device.suite(suite), lambda row: tuple(row.get(name) for name in KEYS[suite]))
    rows = [{k: v for k, v in group[-1].items() if k not in ("run", "suite")} for group in groups.values()]
    if not rows:
        return []
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [_column(name, [row.get(name) for row in rows]) for name in names]
    cells = zip(*(cells for _, cells in columns), strict=True)
    where = device.caption(group[-1] for group in groups.values())
    return [f"{where}\n\n{table([head for head, _ in columns], cells)}\n"]


def _column(name: str, values: list[object]) -> tuple[str, list[str]]:
    """Head and cells; bytes are in the unit that suits the largest."""
    counts = [value for value in values if isinstance(value, int | float)]
    if "bytes" not in name or not counts:
        return name.replace("_", " "), [_text(value) for value in values]
    unit, size = byte_unit(max(counts))
    head = f"{name.replace('_bytes', '').replace('_', ' ')}, {unit}"
    return head, [DASH if value is None else f"{value / size:,.4g}" for value in values]


def _text(value: object) -> str:
    if value is None:
        return DASH
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value) if isinstance(value, bool | str) else number(value)


def compared(device: Device, suite: str) -> list[str]:
    """A table for each group of comparisons, the winner last."""
    groups: dict[tuple, list[Comparison]] = {}
    for each in comparisons(device, suite):
        groups.setdefault(tuple(str(each.rows[0].get(name)) for name in LAYOUTS[suite].tables), []).append(each)
    return [_compared(device, suite, *each) for each in groups.items()]


def _compared(device: Device, suite: str, title: tuple[str, ...], group: list[Comparison]) -> str:
    names = dict.fromkeys(row["contender"] for each in group for row in each.rows)
    first = dict.fromkeys([each.ours for each in group] + [name for each in group for name in each.our_variants])
    columns, label = list(first | names), LAYOUTS[suite].label
    cell = _step if suite == "training" else Comparison.cell
    rows = []
    for each in group:
        row = [text.format(**each.rows[0]).replace("Q2L-", "") for text in label.values()]
        row += [cell(each, name) for name in columns] + [extra(each, device) for extra in EXTRAS[suite].values()]
        rows.append([*row, each.winner()])
    words = ", ".join(f"{name} {value}" if name in ("queries", "dropout") else value
                      for name, value in zip(LAYOUTS[suite].tables, title, strict=True))  # fmt: skip
    where = device.caption(row for each in group for row in each.rows)
    head = [*label, *columns, *EXTRAS[suite], "winner"]
    counts = Counter(item for each in group for item in each.refused.items())  # a line for each that was refused
    lines = [f"- {name} refused in {count} of {len(group)} rows: {why}\n" for (name, why), count in counts.items()]
    return f"**{words or suite}** — {where}\n\n{table(head, rows)}\n" + "".join(["\n" * bool(lines), *lines])


def _step(each: Comparison, name: str) -> str:
    row = each.timed.get(name)
    if row is None:
        return each.cell(name)
    speed = row.get("images_per_second") or 1e3 * row["micro_batch"] / row["p50_ms"]
    return f"{speed:,.1f}/s, {byte_count(row.get('peak_bytes'))}, {percent(row.get('share_of_matrix_rate'))}"


def _speed(each: Comparison, device: Device) -> str:
    """Bytes that must be moved a second, and the share of what copying reaches."""
    time, ceiling = each.ms(each.ours), device.ceilings().get("copy")
    moved = loss_work(each.rows[0])[1] / time * 1e3 if time else None
    return f"{moved / 1e9:,.3g} ({percent(moved / ceiling if ceiling else None)})" if moved else DASH


def _least(each: Comparison, column: str) -> str:
    """Ours and the least of the peers."""
    others = [value for name in each.peers if (value := each.get(name, column)) is not None]
    ours = each.get(each.ours, column)
    return DASH if ours is None and not others else f"{byte_count(ours)} / {byte_count(min(others, default=None))}"


PEAK, SAVED = "peak, ours / least other", "saved an image, likewise"
EXTRAS = {
    "losses": {"GB/s (of copy)": _speed, PEAK: lambda each, device: _least(each, "peak_extra_bytes")},
    "attention": {
        PEAK: lambda each, device: _least(each, "peak_extra_bytes"),
        SAVED: lambda each, device: _least(each, "saved_bytes_per_image"),
    },
    "training": {},  # in its cells
}
