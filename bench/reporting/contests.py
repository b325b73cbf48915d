"""The rows of a device's losses, attention and training, each a contest of what ran side by side."""

from bench.reporting.records import Device, Row, newest
from bench.reporting.winners import Contest

PARTS = ("losses", "attention", "training")


def contests(device: Device, part: str) -> list[Contest]:
    """The contests of a part, sorted by what they are of."""
    whole = [row for row in device.part(part) if not _lacks(part, row)]
    groups = newest(whole, lambda row: tuple(row[name] for name in KEYS[part]))
    found = {name: MAKERS[part](rows) for name, rows in groups.items()}
    return [found[name] for name in sorted(found, key=_order)]


def _loss(rows: list[Row]) -> Contest:
    row = rows[0]
    shape = f"{row['B']}x{row['K']}"
    names = ("losses", row["loss"], shape, row["dtype"])
    kin = _kin(rows, "contender", "mlcfast", "mlcfast")
    return Contest("/".join(names), "mlcfast", kin, rows, (shape.replace("x", "×"), row["dtype"]))


def _attention(rows: list[Row]) -> Contest:
    row = rows[0]
    shape, queries = f"{row['B']}x{row['K']}", row["queries"].replace(" ", "-")
    names = ("attention", row["model"], shape, queries, row["mode"], row["dtype"])
    label = (row["model"].removeprefix("Q2L-"), str(row["N"]), str(row["D"]), shape.replace("x", "×"))
    return Contest("/".join(names), "ours", _kin(rows, "contender", "ours"), rows, label)


def _training(rows: list[Row]) -> Contest:
    row = rows[0]
    names = ("training", row["model"], str(row["image_size"]), str(row["micro_batch"]), row["dtype"])
    timed = [each for each in rows if each.get("p50_ms") and each["variant"].startswith("mlcfast")]
    fastest = min(timed, key=lambda each: each["p50_ms"], default={"variant": "mlcfast"})["variant"]
    plain = any(each["variant"] == "mlcfast" for each in rows)
    ours = "mlcfast" if plain else fastest
    label = (f"{row['model']}, {row['image_size']}", str(row["K"]), str(row["micro_batch"]), row["dtype"])
    return Contest("/".join(names), ours, _kin(rows, "variant", "mlcfast", ours), rows, label, "variant")


def _kin(rows: list[Row], column: str, prefix: str, ours: str = "ours") -> tuple[str, ...]:
    """Our contenders other than the one that a user gets."""
    names = dict.fromkeys(row.get(column, "") for row in rows)
    return tuple(name for name in names if name.startswith(prefix) and name != ours)


def leftovers(device: Device, part: str) -> list[str]:
    """Reasons of refusals that belong to no one row of a table."""
    return list(dict.fromkeys(str(r["refused"]) for r in device.part(part) if "refused" in r and _lacks(part, r)))


def _lacks(part: str, row: Row) -> bool:
    return any(row.get(name) is None for name in (*KEYS[part], "variant" if part == "training" else "contender"))


def _order(key: tuple) -> tuple:
    return tuple((isinstance(value, str), value) for value in key)


MAKERS = {"losses": _loss, "attention": _attention, "training": _training}
KEYS = {
    "losses": ("loss", "dtype", "K", "B"),
    "attention": ("mode", "queries", "dtype", "model", "K", "B"),
    "training": ("model", "image_size", "K", "dtype", "micro_batch"),
}
