"""The page's tables: where it ran, how suites ended, correctness, comparisons, and the rows of every other suite."""

import json
from collections.abc import Callable, Iterable

from bench.record import Row
from bench.report.comparisons import LAYOUTS, Comparison, comparisons, loss_work
from bench.report.markdown import DASH, byte_unit, gibibytes, mebibytes, number, percent, table
from bench.report.records import Device, newest

KEYS = {  # of suites whose rows are listed: what tells one row from another
    "ceilings": ("ceiling",),
    "memory": ("config", "engine.micro_batch", "engine", "optimizer_on", "micro_batch", "checkpointing"),
    "resources": ("arch", "dtype", "kernel"),
    "loss_memory": ("loss", "B", "K", "dtype", "contender"),
    "decoder": ("labels", "queries", "D", "N"),
    "backbones": ("backbone", "image_size", "contender"),
    "label_estimates": ("images", "contender"),
    "linear_epoch": ("images", "contender"),
    "full_size": ("config", "image_size"),
    "predict": ("backbone", "image_size", "images"),
    "attention_maps": ("checkpoint", "split"),
}
EXPLAINED = {
    "losses": "Forward + backward, median ms; in brackets the multiple of ours. *mlcfast* is what a user gets. Bytes/s "
    "counts only what any implementation must move (logits, their gradient, labels); peak is memory above the inputs.",
    "attention": "Median ms; in brackets the multiple of ours. *ours* is what a user gets, *ours_folded* and so on one "
    "form always. Saved: what autograd keeps an image, ours / the least of the others; peak: memory, likewise.",
    "training": "Images a second, peak GiB and share of the measured bf16 matrix rate (fp32 for fp32), forward work "
    "counted once and backward twice.",
}


def provenance(device: Device) -> str:
    """A row a run: versions, and the clocks as they were found."""
    rows = []
    for name, begin in device.runs.items():
        found = [row for row in device.suite("device") if row["run"] == name]
        packages = next((row["packages"] for row in found if "packages" in row), {})
        gpu = next((row for row in found if "gpu" in row), {})
        versions = [begin["torch"], packages.get("triton") or DASH, begin["python"], gpu.get("cuda") or DASH]
        rows.append([name, begin["commit"] or "unknown", *versions, gpu.get("driver_version", DASH), _clocks(gpu)])
    head = ["run (UTC)", "commit", "torch", "triton", "Python", "CUDA", "driver", "as found"]
    return f"{_hardware(device)}\n\n{table(head, rows)}\n"


def _hardware(device: Device) -> str:
    gpu = next((row for row in reversed(device.suite("device")) if "gpu" in row), None)
    if gpu is None:
        return f"{device.name}, {device.runs[max(device.runs)].get('threads')} threads."
    return (
        f"{device.name}, compute capability {gpu['capability']}, {gpu['multiprocessors']} multiprocessors, "
        f"{gibibytes(gpu['memory_bytes'])} GiB."
    )


def _clocks(gpu: Row) -> str:
    """What nvidia-smi said before anything ran."""
    names = {
        "clocks.sm": "SM", "clocks.max.sm": "of at most", "clocks.mem": "memory", "clocks.max.mem": "of at most",
        "pstate": "state", "power.limit": "power limit", "temperature.gpu": "°C",
    }  # fmt: skip
    return gpu.get("nvidia_smi") or ", ".join(f"{name} {gpu[key]}" for key, name in names.items() if key in gpu) or DASH


def suites(device: Device, every: Iterable[str]) -> str:
    """How each suite ended when it was last run, with the reason where it was skipped or broke off."""
    events, rows, missing = device.events(), [], []
    for name in every:
        row, measured = events.get(name), device.suite(name)
        if row is None and not measured:
            missing.append(name)
            continue
        if row is None:
            converted = "converted_from" in device.runs[measured[-1]["run"]]
            row = {"run": measured[-1]["run"], "event": "an earlier record" if converted else "did not end"}
        reason = row.get("reason") or (f"exit code {row['exit_code']}" if "exit_code" in row else "")
        how = {"out of time": "cut when its time was up"}.get(row["event"], row["event"])
        took = f"{row['seconds']} s" if "seconds" in row else DASH
        rows.append([name, row["run"], how + (f": {reason}" if reason else ""), took])
    rest = f"\nNot run: {', '.join(missing)}.\n" if missing else ""
    return f"How the suites ended — {device.name}\n\n{table(['suite', 'run', 'end', 'took'], rows)}\n{rest}"


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
    if "bytes" in name and counts:
        unit, size = byte_unit(max(counts))
        head = name.replace("_bytes", "").replace("_", " ")
        return f"{head}, {unit}", [DASH if v is None else f"{v / size:,.4g}" for v in values]
    return name.replace("_", " "), [_text(value) for value in values]


def _text(value: object) -> str:
    if value is None:
        return DASH
    if isinstance(value, bool | str):
        return str(value)
    return number(value) if isinstance(value, int | float) else json.dumps(value, ensure_ascii=False)


def compared(device: Device, suite: str) -> list[str]:
    """A table for each group of comparisons, the winner last."""
    groups: dict[tuple, list[Comparison]] = {}
    for each in comparisons(device, suite):
        groups.setdefault(tuple(str(each.rows[0].get(name)) for name in LAYOUTS[suite].tables), []).append(each)
    return [f"{EXPLAINED[suite]}\n"] * bool(groups) + [_compared(device, suite, *each) for each in groups.items()]


def _compared(device: Device, suite: str, title: tuple[str, ...], group: list[Comparison]) -> str:
    names = dict.fromkeys(row["contender"] for each in group for row in each.rows)
    first = dict.fromkeys([each.ours for each in group] + [name for each in group for name in each.kin])
    columns, label = list(first | names), LAYOUTS[suite].label
    cell = _step if suite == "training" else Comparison.cell
    rows = [
        [text.format(**each.rows[0]).replace("Q2L-", "") for text in label.values()]
        + [cell(each, name) for name in columns]
        + [extra(each, device) for extra in EXTRAS[suite].values()]
        + [each.winner()]
        for each in group
    ]
    words = ", ".join(f"{name} {value}" if name in ("queries", "dropout") else value
                      for name, value in zip(LAYOUTS[suite].tables, title, strict=True))  # fmt: skip
    where = device.caption(row for each in group for row in each.rows)
    head = [*label, *columns, *EXTRAS[suite], "winner"]
    return f"**{words or suite}** — {where}\n\n{table(head, rows)}\n{_refusals(group)}"


def _step(each: Comparison, name: str) -> str:
    row = each.timed.get(name)
    if row is None:
        return each.cell(name)
    speed = row.get("images_per_second") or 1e3 * row["micro_batch"] / row["p50_ms"]
    return f"{speed:,.1f}/s, {gibibytes(row.get('peak_bytes'))} GiB, {percent(row.get('share_of_matrix_rate'))}"


def _speed(each: Comparison, device: Device) -> str:
    time, ceiling = each.get(each.ours, "p50_ms"), device.ceilings().get("copy")
    if not time:
        return DASH
    moved = loss_work(each.rows[0])[1] / time * 1e3
    return f"{moved / 1e9:,.3g} ({percent(moved / ceiling if ceiling else None)})"


def _least(column: str) -> Callable[[Comparison, Device], str]:
    """Ours and the least of the peers, in MiB."""

    def cell(each: Comparison, device: Device) -> str:
        others = [value for name in each.peers() if (value := each.get(name, column)) is not None]
        ours = each.get(each.ours, column)
        return DASH if ours is None and not others else f"{mebibytes(ours)} / {mebibytes(min(others, default=None))}"

    return cell


EXTRAS = {
    "losses": {"GB/s (of copy)": _speed, "peak MiB, ours / least other": _least("peak_extra_bytes")},
    "attention": {"saved MiB an image": _least("saved_bytes_per_image"), "peak MiB": _least("peak_extra_bytes")},
    "training": {},
}


def _refusals(group: list[Comparison]) -> str:
    """Who was refused, in how many rows, and why: a line each, or nothing."""
    counts: dict[tuple[str, str], int] = {}
    for each in group:
        for item in each.refused.items():
            counts[item] = counts.get(item, 0) + 1
    lines = [f"- {name} refused in {count} of {len(group)} rows: {why}" for (name, why), count in counts.items()]
    return "\n" + "\n".join(lines) + "\n" if lines else ""
