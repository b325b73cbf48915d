"""What ran side by side in losses, attention and training: who won by how much, and how much work it was at least.

Within 3 % is even.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.record import Row
from bench.report.markdown import DASH, milliseconds, ratio
from bench.report.records import Device, newest
from mlcfast.ops.label_query_attention.plan import multiplications

EVEN = 1.03
SIZES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
LOSS_FLOP = {
    "asymmetric": 50,
    "role": 60,
    "epr": 20,
    "an": 20,
}  # an entry, each +, ×, exp and log one: estimates; others 30


class Layout(NamedTuple):
    """How a suite's rows are compared.

    ours: what a user gets, and the beginning of our others' names. key: rows that agree in these columns were rivals.
    name: their identifier. tables: one for each value of these columns. label: head -> text of the first cells.
    """

    ours: str
    key: tuple[str, ...]
    name: str
    tables: tuple[str, ...]
    label: dict[str, str]


LAYOUTS = {
    "losses": Layout(
        "mlcfast", ("loss", "dtype", "K", "B"), "losses/{loss}/{B}x{K}/{dtype}", ("loss",),
        {"B×K": "{B}×{K}", "dtype": "{dtype}"},
    ),
    "attention": Layout(
        "ours", ("mode", "queries", "dtype", "model", "K", "B"),
        "attention/{model}/{B}x{K}/{queries}/{mode}/{dtype}", ("mode", "queries", "dtype", "dropout"),
        {"model": "{model}", "N": "{N}", "D": "{D}", "B×K": "{B}×{K}"},
    ),
    "training": Layout(
        "mlcfast", ("model", "image_size", "K", "dtype", "micro_batch"),
        "training/{model}/{image_size}/{micro_batch}/{dtype}", (),
        {"model": "{model}, {image_size}", "K": "{K}", "micro-batch": "{micro_batch}", "dtype": "{dtype}"},
    ),
}  # fmt: skip


@dataclass
class Comparison:
    """One row of a table: what ran side by side, in milliseconds, and what was refused and why.

    ours: the contender that a user gets; our_variants: others of ours, which are shown but win nothing.
    """

    id: str
    ours: str
    our_variants: tuple[str, ...]
    rows: list[Row]

    def __post_init__(self) -> None:
        self.timed = {row["contender"]: row for row in self.rows if row.get("p50_ms")}
        refused = {row["contender"]: row["refused"] for row in self.rows if "refused" in row}
        self.refused = {name: reason for name, reason in refused.items() if name not in self.timed}
        self.peers = [name for name in self.timed if name != self.ours and name not in self.our_variants]
        self.best_peer = min(self.peers, key=self.ms, default=None)  # the fastest that is not ours

    def get(self, name: str | None, column: str) -> Any:
        """A number of a contender, None where there is none."""
        return self.timed.get(name, {}).get(column)

    def ms(self, name: str | None) -> float | None:
        """Its median."""
        return self.get(name, "p50_ms")

    @property
    def standing(self) -> str:
        """won, even or lost against the best peer; lost too where ours was refused; alone without a peer."""
        ours, theirs = self.ms(self.ours), self.ms(self.best_peer)
        if ours is None or theirs is None:
            return "lost" if theirs else "alone"
        return "won" if theirs / ours > EVEN else "lost" if ours / theirs > EVEN else "even"

    def winner(self) -> str:
        """The last cell of the row."""
        ours, theirs, peer = self.ms(self.ours), self.ms(self.best_peer), self.best_peer
        if theirs is None:
            return f"{self.ours}, nothing else ran" if ours else "nothing ran"
        if ours is None:
            return f"**{peer}**; {self.ours} refused"
        text = {
            "even": f"even: {self.ours}, {peer}",
            "won": f"{self.ours} {ratio(theirs / ours)} over {peer}",
            "lost": f"**{peer}** {ratio(ours / theirs)} over {self.ours}",
        }[self.standing]
        variant = min((name for name in self.our_variants if name in self.timed), key=self.ms, default=self.ours)
        faster = ours / self.ms(variant)
        return text + (f"; {variant} {ratio(faster)} over {self.ours}" if faster > EVEN else "")

    def cell(self, name: str) -> str:
        """Median milliseconds, for all but ours with the multiple of ours."""
        time, ours = self.ms(name), self.ms(self.ours)
        if time is None:
            return "refused" if name in self.refused else DASH
        return milliseconds(time) + (f" ({ratio(time / ours)})" if ours and name != self.ours else "")


def comparisons(device: Device, suite: str) -> list[Comparison]:
    """Those of a suite, sorted by what they are of; where no row is a user's, the fastest of ours stands for it."""
    layout, found = LAYOUTS[suite], []
    whole = [row for row in device.suite(suite) if not _lacks(suite, row)]
    groups = newest(whole, lambda row: tuple((isinstance(row[name], str), row[name]) for name in layout.key))
    for key in sorted(groups):
        rows = groups[key]
        family = list(dict.fromkeys(row["contender"] for row in rows if row["contender"].startswith(layout.ours)))
        times = {row["contender"]: row["p50_ms"] for row in rows if row.get("p50_ms") and row["contender"] in family}
        ours = layout.ours if layout.ours in family or not times else min(times, key=times.__getitem__)
        variants = tuple(name for name in family if name != ours)
        found.append(Comparison(layout.name.format(**rows[0]).replace(" ", "-"), ours, variants, rows))
    return found


def leftovers(device: Device, suite: str) -> list[str]:
    """Reasons of refusals that belong to no one row of a table, with the case where one is named."""
    layout, found = LAYOUTS[suite], {}
    for row in device.suite(suite):
        if "refused" in row and _lacks(suite, row):
            named = all(row.get(name) is not None for name in layout.key)
            found[f"{layout.name.format(**row)}: {row['refused']}" if named else str(row["refused"])] = None
    return list(found)


def _lacks(suite: str, row: Row) -> bool:
    return any(row.get(name) is None for name in (*LAYOUTS[suite].key, "contender"))


def lost(device: Device) -> list[Comparison]:
    """Those of the device in which something else is faster or ours was refused."""
    return [each for suite in LAYOUTS for each in comparisons(device, suite) if each.standing == "lost"]


def loss_work(row: Row) -> tuple[float, float]:
    """FLOP, and bytes that any implementation must move: logits, their gradient, fp32 labels; ROLE's rows likewise."""
    entries = row["B"] * row["K"]
    entry_bytes = 2 * SIZES[row["dtype"]] + 4 + (8 if row["loss"] == "role" else 0)
    return LOSS_FLOP.get(row["loss"], 30) * entries, entry_bytes * entries


def attention_work(row: Row) -> tuple[float, float]:
    """FLOP and bytes of an attention row by the cheapest of the forms that mlcfast.ops chooses from."""
    B, K, N, D = (row[name] for name in "BKND")
    shared, passes = row["queries"] == "shared", 3 if row["mode"] == "training" else 1
    projected_queries = K * D * D * (1 if shared else B)
    form = min(multiplications(shared, K, N, D, row["heads"]).values())
    flop = 2 * passes * (B * (form + K * D * D) + projected_queries)
    queries = K * D * (1 if shared else B)
    return flop, SIZES[row["dtype"]] * passes * (B * N * D + N * D + queries + 4 * D * D + B * K * D)
