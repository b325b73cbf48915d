"""What the decoder costs as the label set grows, with and without grouped queries: python -m bench.head_cost

Counts multiplications and additions (two a product) from the shapes, and the bytes that autograd keeps an image by
running the decoder and the head in bf16 on tensors without data, as on a GPU; nothing is timed.
"""

import argparse
import os

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mlcfast.models.query2label import GroupWiseLinear
from mlcfast.models.transformer import Decoder
from mlcfast.ops.label_query_attention.plan import PLANS, cheapest

LAYERS, HEADS, FEEDFORWARD = 2, 4, 8192


def attention_flop(queries: int, N: int, D: int, shared: bool) -> int:
    """Cross-attention of one layer, forward, in the rule's form; queries shared by the batch cost once."""
    fold_keys, fold_values = PLANS[cheapest(shared, queries, N, D, HEADS)]
    query = 0 if shared else queries * D * D
    keys = queries * HEADS * N * D + (0 if shared else queries * D * D) if fold_keys else N * D * D + queries * N * D
    values = queries * HEADS * N * D + queries * D * D if fold_values else N * D * D + queries * N * D
    return 2 * (query + keys + values + queries * D * D)


def decoder_flop(queries: int, N: int, D: int) -> tuple[int, int]:
    """(attention, feed-forward) of both layers, forward, an image."""
    attention = attention_flop(queries, N, D, True) + (LAYERS - 1) * attention_flop(queries, N, D, False)
    return attention, LAYERS * 4 * queries * D * FEEDFORWARD


def saved_bytes(queries: int, labels: int, N: int, D: int, backend: str, batch: int = 8) -> int:
    """Bytes an image that decoder and head keep for the backward pass, beyond parameters and the encoder's output."""
    os.environ["MLCFAST_BACKEND"] = backend
    seen, total = set(), 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal total
        storage = tensor.untyped_storage()
        if storage._cdata not in seen:
            seen.add(storage._cdata)
            total += storage.nbytes()
        return tensor

    with FakeTensorMode(), torch.device("cuda"):
        decoder = Decoder(LAYERS, D, HEADS, FEEDFORWARD, 0.1, False)
        head = GroupWiseLinear(labels, D)
        embedding = torch.empty(queries, D, requires_grad=True)
        memory = torch.empty(batch, N, D, requires_grad=True)
        position = torch.empty(1, N, D)
        known = (*decoder.parameters(), *head.parameters(), embedding, memory, position)
        seen.update(t.untyped_storage()._cdata for t in known)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            head(decoder(embedding, memory, position)[0], decoder.norm)
    return total // batch


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--cells", type=int, default=196)
    args = parser.parse_args()
    torch.set_default_dtype(torch.bfloat16)
    print("| labels | queries | attention, GFLOP | feed-forward, GFLOP | kept, MiB | kept with the reference, MiB |")
    print("|---" * 6 + "|")
    for labels, queries in ((80, 80), (1000, 1000), (1000, 100), (9605, 9605), (9605, 961), (9605, 100)):
        attention, feedforward = (flop / 1e9 for flop in decoder_flop(queries, args.cells, args.width))
        kept = (saved_bytes(queries, labels, args.cells, args.width, name) / 2**20 for name in ("auto", "reference"))
        print(
            f"| {labels} | {queries} | {attention:.1f} | {feedforward:.1f} | {' | '.join(f'{x:.1f}' for x in kept)} |"
        )


if __name__ == "__main__":
    main()
