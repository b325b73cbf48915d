"""What decoder and head cost as the label set grows, with and without grouped queries: counted, nothing is timed.

FLOP (two a multiplication) come from the shapes; the bytes that autograd keeps an image from running decoder and head
in bf16 on tensors without data, as on a GPU.
"""

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.suites import Context, Rows
from bench.timing import forced, saved_bytes
from mlcfast.models.query2label import GroupWiseLinear
from mlcfast.models.transformer import Decoder
from mlcfast.ops.label_query_attention.plan import form_for, multiplications

LAYERS, HEADS, FEEDFORWARD, BATCH = 2, 4, 8192, 8
SIZES = ((80, 80), (1000, 1000), (1000, 100), (9605, 9605), (9605, 961), (9605, 100))  # labels, queries


def rows(context: Context) -> Rows:
    """One row a number of labels and queries."""
    D, N = context.options["width"], context.options["cells"]
    torch.set_default_dtype(torch.bfloat16)  # this process is the suite's own
    for labels, queries in SIZES:
        attention, feedforward = decoder_flop(queries, N, D)
        kept, plain = (kept_bytes(queries, labels, N, D, backend) for backend in (None, "reference"))
        row = {"labels": labels, "queries": queries, "D": D, "N": N, "dtype": "bfloat16", "attention_flop": attention}
        row |= {"feedforward_flop": feedforward, "saved_bytes_per_image": kept}
        yield row | {"reference_saved_bytes_per_image": plain}


def decoder_flop(queries: int, N: int, D: int) -> tuple[int, int]:
    """(attention, feed-forward) of both layers, forward, an image; queries shared by the batch cost it nothing."""

    def attention(shared: bool) -> int:
        projections = (1 if shared else 2) * queries * D * D  # of the output, and of queries that differ by image
        form = form_for(shared, queries, N, D, HEADS, on_cpu=False)
        return 2 * (multiplications(shared, queries, N, D, HEADS)[form] + projections)

    return attention(True) + (LAYERS - 1) * attention(False), LAYERS * 4 * queries * D * FEEDFORWARD


def kept_bytes(queries: int, labels: int, N: int, D: int, backend: str | None) -> int:
    """Bytes an image that decoder and head keep for the backward pass, beyond parameters and the encoder's output."""
    with forced(backend), FakeTensorMode(), torch.device("cuda"):
        decoder, head = Decoder(LAYERS, D, HEADS, FEEDFORWARD, 0.1, False), GroupWiseLinear(labels, D)
        embedding = torch.empty(queries, D, requires_grad=True)
        memory = torch.empty(BATCH, N, D, requires_grad=True)
        position = torch.empty(1, N, D)
        with saved_bytes((*decoder.parameters(), *head.parameters(), embedding, memory, position)) as saved:
            head(decoder(embedding, memory, position)[0], decoder.norm)
    return saved[0] // BATCH
