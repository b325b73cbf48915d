"""What is no contest: where it ran, how parts ended, ceilings, correctness, memory proofs and compiled kernels."""

from bench.reporting.markdown import DASH, gibibytes, milliseconds, table
from bench.reporting.records import Device, Row, newest

GIB = 2**30
ENDS = {
    "done": "done",
    "out of time": "cut when its time was up",
    "skipped": "skipped",
    "crashed": "crashed",
    "stopped": "stopped",
    "interrupted": "interrupted",
}


def caption(device: Device, rows: list[Row]) -> str:
    """The device, and torch and commit of the runs that the rows come from."""
    begins = [device.runs[name] for name in sorted({row["run"] for row in rows})]
    versions = dict.fromkeys(f"torch {row['torch']}, commit {row['commit'] or 'unknown'}" for row in begins)
    return f"{device.name}; " + "; ".join(versions)


def provenance(device: Device) -> str:
    """A row a run: versions, and the clocks as they were found."""
    rows = []
    for name, begin in device.runs.items():
        found = [row for row in device.part("device") if row["run"] == name]
        packages = next((row["packages"] for row in found if "packages" in row), {})
        gpu = next((row for row in found if "gpu" in row), {})
        versions = [begin["torch"], packages.get("triton") or DASH, begin["python"], gpu.get("cuda") or DASH]
        rows.append([name, begin["commit"] or "unknown", *versions, gpu.get("driver_version", DASH), _clocks(gpu)])
    head = ["run (UTC)", "commit", "torch", "triton", "Python", "CUDA", "driver", "as found"]
    return f"{_hardware(device)}\n\n{table(head, rows)}\n"


def _hardware(device: Device) -> str:
    gpu = next((row for row in reversed(device.part("device")) if "gpu" in row), None)
    if gpu is None:
        return f"{device.name}, {device.last_run.get('threads')} threads."
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


def parts(device: Device, every: tuple[str, ...]) -> str:
    """How each part ended when it was last run, with the reason where it was skipped or broke off."""
    events = device.events()
    rows = []
    for name in every:
        row = events.get(name)
        if row is None:
            rows.append([name, DASH, "not run" if not device.part(name) else "did not end", DASH])
            continue
        reason = row.get("reason") or (f"exit code {row['exit_code']}" if "exit_code" in row else "")
        how = ENDS.get(row["event"], row["event"]) + (f": {reason}" if reason else "")
        rows.append([name, row["run"], how, f"{row['seconds']} s" if "seconds" in row else DASH])
    return f"How the parts ended — {device.name}\n\n{table(['part', 'run', 'end', 'took'], rows)}\n"


def ceilings(device: Device) -> list[str]:
    """What the device does itself."""
    last = [rows[-1] for rows in newest(device.part("ceilings"), lambda row: row["ceiling"]).values()]
    rows = [[row["ceiling"], _rate(row), milliseconds(row["p50_ms"])] for row in last if "per_second" in row]
    head = ["ceiling", "measured", "median ms"]
    return [f"{caption(device, last)}\n\n{table(head, rows)}\n"] if rows else []


def _rate(row: Row) -> str:
    if row["ceiling"] == "copy":
        return f"{row['per_second'] / 1e9:,.4g} GB/s, read and written"
    return f"{row['per_second'] / 1e12:,.4g} TFLOP/s"


def correctness(device: Device) -> list[str]:
    """A row an operator and backend: how many cases passed and how close the worst came to its bound."""
    rows = [row for row in device.part("correctness") if "operator" in row]
    if not rows:
        return []
    groups = newest(rows, lambda row: (row["operator"], row.get("backend", DASH)))
    lines, failures = [], []
    for (operator, backend), group in sorted(groups.items()):
        cases = [row for row in group if "passed" in row]
        passed = sum(row["passed"] for row in cases)
        shares = [row["error"] / row["bound"] for row in cases if row.get("bound") and row.get("error") is not None]
        worst = f"{max(shares):.2g}" if shares else DASH
        lines.append([operator, backend, f"{passed} of {len(cases)}", worst, _refused(group)])
        failures += [row for row in cases if not row["passed"]]
    head = ["operator", "backend", "cases passed", "worst error / bound", "not run"]
    text = f"{caption(device, rows)}\n\n{table(head, lines)}\n"
    return [text, "\n".join(_failures(failures)) + "\n"] if failures else [text]


def _failures(rows: list[Row]) -> list[str]:
    """A line an operator and backend: how many fail, and the first of them with its error or exception."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault((row["operator"], row.get("backend")), []).append(row)
    lines = []
    for (operator, backend), failed in groups.items():
        first = failed[0]
        why = first.get("reason") or f"error {first.get('error')}, bound {first.get('bound')}"
        lines.append(f"- **{operator} by {backend} fails {len(failed)}**, first {first.get('dtype')}, "
                     f"{first.get('case')}: {why}")  # fmt: skip
    return lines


def _refused(group: list[Row]) -> str:
    reasons = dict.fromkeys(str(row["refused"]) for row in group if "refused" in row)
    return "; ".join(reasons) or DASH


def memory(device: Device) -> list[str]:
    """Predicted and measured bytes of real steps held to 12 GiB."""
    groups = newest(device.part("memory"), lambda row: (row.get("config"), row.get("engine.micro_batch")))
    last = [rows[-1] for rows in groups.values()]
    head = ["configuration", "settings", "predicted GiB", "measured GiB", "predicted / measured", "reserved GiB"]
    lines = []
    for row in last:
        settings = ", ".join(f"{key.split('.')[-1]} {value}" for key, value in row.items() if "." in key)
        if "refused" in row:
            lines.append([str(row.get("config", DASH)), settings or DASH, f"refused: {row['refused']}", *[DASH] * 3])
            continue
        numbers = [gibibytes(row.get(key)) for key in ("predicted_bytes", "measured_bytes", "reserved_bytes")]
        predicted, measured = row.get("predicted_bytes"), row.get("measured_bytes")
        share = f"{predicted / measured:.3f}" if predicted and measured else DASH
        lines.append([str(row.get("config", DASH)), settings or DASH, *numbers[:2], share, numbers[2]])
    return [f"{caption(device, last)}\n\n{table(head, lines)}\n"] if lines else []


def compiled(device: Device) -> list[str]:
    """Registers, spilled and shared bytes of each compiled kernel."""
    rows = [row for row in device.part("compiled") if "registers" in row]
    if not rows:
        return []
    last = [group[-1] for group in newest(rows, lambda row: (row["arch"], row["dtype"], row["kernel"])).values()]
    lines = [
        [row["kernel"], row["dtype"], f"sm_{row['arch']}"]
        + [f"{row[name]:,}" for name in ("registers", "spilled_bytes", "shared_bytes")]
        for row in last
    ]
    head = ["kernel", "dtype", "for", "registers", "bytes spilled", "bytes shared"]
    return [f"Compiled on {caption(device, last)}\n\n{table(head, lines)}\n"]
