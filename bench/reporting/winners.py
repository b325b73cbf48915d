"""Who wins a row: the fastest, and by how much over the next; what lies within 3 % is even."""

from dataclasses import dataclass, field
from typing import Any

from bench.reporting.markdown import DASH, milliseconds, ratio
from bench.reporting.records import Row

EVEN = 1.03


@dataclass
class Contest:
    """One row of a table: what ran side by side, in milliseconds, and what was refused and why.

    ours: the contender that a user gets; kin: our other ones, which are shown but win nothing.
    """

    id: str
    ours: str
    kin: tuple[str, ...]
    rows: list[Row]
    label: tuple[str, ...] = ()
    name_of: str = "contender"
    timed: dict[str, Row] = field(init=False)
    refused: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.timed = {row[self.name_of]: row for row in self.rows if row.get("p50_ms")}
        refused = {row.get(self.name_of, DASH): row["refused"] for row in self.rows if "refused" in row}
        self.refused = {name: reason for name, reason in refused.items() if name not in self.timed}

    def get(self, name: str, column: str) -> Any:
        """A number of a contender, None where there is none."""
        return self.timed.get(name, {}).get(column)

    def best_peer(self) -> str | None:
        """The fastest that is not ours."""
        peers = [name for name in self.timed if name != self.ours and name not in self.kin]
        return min(peers, key=lambda name: self.timed[name]["p50_ms"], default=None)

    @property
    def standing(self) -> str:
        """won, even or lost against the best peer; lost too where ours was refused; alone without a peer."""
        peer = self.best_peer()
        if peer is None:
            return "alone"
        if self.ours not in self.timed:
            return "lost"
        lead = self.timed[peer]["p50_ms"] / self.timed[self.ours]["p50_ms"]
        return "won" if lead > EVEN else "lost" if lead < 1 / EVEN else "even"

    def winner(self) -> str:
        """The last cell of the row."""
        peer, standing = self.best_peer(), self.standing
        if standing == "alone":
            return f"{self.ours}, nothing else ran" if self.ours in self.timed else "nothing ran"
        if self.ours not in self.timed:
            return f"**{peer}**; {self.ours} refused"
        ours, theirs = self.timed[self.ours]["p50_ms"], self.timed[peer]["p50_ms"]
        if standing == "even":
            text = f"even: {self.ours}, {peer}"
        elif standing == "won":
            text = f"{self.ours} {ratio(theirs / ours)} over {peer}"
        else:
            text = f"**{peer}** {ratio(ours / theirs)} over {self.ours}"
        kin = self.faster_kin()
        return f"{text}; {kin} {ratio(ours / self.timed[kin]['p50_ms'])} over {self.ours}" if kin else text

    def faster_kin(self) -> str | None:
        """The fastest of our others where it beats what a user gets."""
        ours = self.get(self.ours, "p50_ms") or 0.0
        faster = [name for name in self.kin if name in self.timed and self.timed[name]["p50_ms"] * EVEN < ours]
        return min(faster, key=lambda name: self.timed[name]["p50_ms"], default=None)

    def cell(self, name: str) -> str:
        """Median milliseconds, for all but ours with the multiple of ours."""
        if name in self.refused or DASH in self.refused:
            return "refused"
        if name not in self.timed:
            return DASH
        time = self.timed[name]["p50_ms"]
        ours = self.get(self.ours, "p50_ms")
        return milliseconds(time) + (f" ({ratio(time / ours)})" if ours and name != self.ours else "")


def refusals(contests: list[Contest]) -> str:
    """Who was refused, in how many rows, and why: a line each, or nothing."""
    counts: dict[tuple[str, str], int] = {}
    for contest in contests:
        for item in contest.refused.items():
            counts[item] = counts.get(item, 0) + 1
    lines = [
        f"- {name} refused in {count} of {len(contests)} rows: {reason}" for (name, reason), count in counts.items()
    ]
    return "\n" + "\n".join(lines) + "\n" if lines else ""
