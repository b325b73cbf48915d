"""The tables of losses, attention and training: a row a contest, the winner last."""

from bench.reporting.contests import contests
from bench.reporting.facts import caption
from bench.reporting.markdown import DASH, gibibytes, mebibytes, percent, table
from bench.reporting.records import Device
from bench.reporting.winners import Contest, refusals

LOSSES = (
    "Forward + backward, median ms; in brackets the multiple of ours. *mlcfast* is what a user gets. Bytes/s counts "
    "only what any implementation must move (logits, their gradient, labels); peak is memory above the inputs."
)
ATTENTION = (
    "Median ms; in brackets the multiple of ours. *ours* is what a user gets, *ours_folded* and so on one form always. "
    "Saved: what autograd keeps an image, ours / the least of the others; peak: memory above the inputs, likewise."
)
TRAINING = (
    "Images a second, peak GiB and share of the measured bf16 matrix rate (fp32 for fp32), forward work counted once "
    "and backward twice."
)


def losses(device: Device) -> list[str]:
    """A table for each loss."""
    ceiling = device.ceilings().get("copy")
    groups = _grouped(contests(device, "losses"), "loss")
    return [f"{LOSSES}\n"] * bool(groups) + [_losses(device, name, group, ceiling) for name, group in groups.items()]


def _losses(device: Device, name: str, group: list[Contest], ceiling: float | None) -> str:
    columns = _columns(group)
    rows = []
    for contest in group:
        moved = contest.get(contest.ours, "bytes_per_second")
        share = percent(moved / ceiling) if moved and ceiling else DASH
        speed = f"{moved / 1e9:,.3g} ({share})" if moved else DASH
        rows.append([*contest.label, *map(contest.cell, columns), speed, _least(contest, "peak_extra_bytes")])
    head = ["B×K", "dtype", *columns, "GB/s (of copy)", "peak MiB, ours / least other"]
    return _table(device, name, head, rows, group)


def attention(device: Device) -> list[str]:
    """A table for each mode, kind of queries and dtype."""
    groups = _grouped(contests(device, "attention"), "mode", "queries", "dtype")
    return [f"{ATTENTION}\n"] * bool(groups) + [_attention(device, name, group) for name, group in groups.items()]


def _attention(device: Device, name: str, group: list[Contest]) -> str:
    columns = _columns(group)
    rows = [
        [*contest.label, *map(contest.cell, columns)]
        + [_least(contest, column) for column in ("saved_bytes_per_image", "peak_extra_bytes")]
        for contest in group
    ]
    head = ["model", "N", "D", "B×K", *columns, "saved MiB an image", "peak MiB"]
    dropout = ", ".join(sorted({str(row.get("dropout")) for contest in group for row in contest.rows}))
    return _table(device, f"{name.replace(', shared', ', shared queries')}, dropout {dropout}", head, rows, group)


def training(device: Device) -> list[str]:
    """One table of whole steps."""
    group = contests(device, "training")
    if not group:
        return []
    columns = _columns(group)
    rows = [[*contest.label, *(_step(contest, name) for name in columns)] for contest in group]
    return [f"{TRAINING}\n", _table(device, "steps", ["model", "K", "micro-batch", "dtype", *columns], rows, group)]


def _step(contest: Contest, variant: str) -> str:
    row = contest.timed.get(variant)
    if row is None:
        return contest.cell(variant)
    share = percent(row.get("share_of_matrix_rate"))
    speed = row.get("images_per_second") or 1e3 * row["micro_batch"] / row["p50_ms"]
    return f"{speed:,.1f}/s, {gibibytes(row.get('peak_bytes'))} GiB, {share}"


def _table(device: Device, title: str, head: list[str], rows: list[list[str]], group: list[Contest]) -> str:
    where = caption(device, [row for contest in group for row in contest.rows])
    lines = [[*row, contest.winner()] for row, contest in zip(rows, group, strict=True)]
    return f"**{title}** — {where}\n\n{table([*head, 'winner'], lines)}\n{refusals(group)}"


def _columns(group: list[Contest]) -> list[str]:
    """Ours first, then our others, then the rest as they come."""
    names = dict.fromkeys(row.get(contest.name_of, DASH) for contest in group for row in contest.rows)
    ours = dict.fromkeys(contest.ours for contest in group)
    kin = dict.fromkeys(name for contest in group for name in contest.kin)
    return [name for name in dict.fromkeys((*ours, *kin, *names)) if name not in (DASH, "-")]


def _grouped(every: list[Contest], *columns: str) -> dict[str, list[Contest]]:
    groups: dict[str, list[Contest]] = {}
    for contest in every:
        groups.setdefault(", ".join(contest.rows[0][column] for column in columns), []).append(contest)
    return groups


def _least(contest: Contest, column: str) -> str:
    """Ours and the least of the peers, in MiB."""
    peers = [name for name in contest.timed if name != contest.ours and name not in contest.kin]
    others = [value for name in peers if (value := contest.get(name, column)) is not None]
    ours = contest.get(contest.ours, column)
    return DASH if ours is None and not others else f"{mebibytes(ours)} / {mebibytes(min(others, default=None))}"
