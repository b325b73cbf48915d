"""How much work a row needs at least: FLOP and bytes, for its place under the roofline."""

from bench.reporting.records import Row

SIZES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
LOSS_FLOP = {"asymmetric": 50, "role": 60, "epr": 20, "an": 20}
EXPLAINED = (
    "Losses: bytes as in their table; FLOP an entry are an estimate of the forward and backward formulas, each +, ×, "
    f"exp and log one: {', '.join(f'{name} {count}' for name, count in LOSS_FLOP.items())}. Attention: two FLOP a "
    "multiplication of the form that needs fewest, thrice that with the backward pass; bytes are the cells, positions, "
    "queries, weights and output once, in training once more, and their gradients once. A contender that does more "
    "than that is not credited for it."
)


def loss_work(row: Row) -> tuple[float, float]:
    """FLOP and bytes of a timed loss row; the bytes are those that its rate was reckoned from."""
    return LOSS_FLOP[row["loss"]] * row["B"] * row["K"], row["bytes_per_second"] * row["p50_ms"] / 1e3


def attention_work(row: Row) -> tuple[float, float]:
    """FLOP and bytes of an attention row by the cheapest of the forms that mlcfast.ops chooses from."""
    B, K, N, D = (row[name] for name in "BKND")
    shared, passes = row["queries"] == "shared", 3 if row["mode"] == "training" else 1
    forms = multiplications(shared, K, N, D, row["heads"])
    once = K * D * D if shared else 0
    flop = 2 * passes * (B * (min(forms.values()) + K * D * D) + once)
    queries = K * D * (1 if shared else B)
    elements = B * N * D + N * D + queries + 4 * D * D + B * K * D
    return flop, SIZES[row["dtype"]] * passes * elements


def multiplications(shared: bool, K: int, N: int, D: int, H: int) -> dict[str, int]:
    """Form -> multiplications an image without the output projection, as the operator's plan counts them."""
    projected, folded_values = N * D * D + K * N * D, K * H * N * D + K * D * D
    folded_keys = K * H * N * D + (0 if shared else K * D * D)
    return {
        "folded": folded_keys + folded_values,
        "mixed": folded_keys + projected,
        "projected": 2 * projected,
    }
