"""Label-query attention against torch's: python -m bench.attention [--device cuda] … then --table docs/attention.md

The check of every contender against the fp64 reference runs before it is timed; a row is written for every contender.
"""

import argparse
import json
from pathlib import Path

import torch

from bench.attention_contenders import contenders, counting_saved_bytes
from bench.attention_table import write_table
from bench.timing import interleaved, peak_extra_bytes, provenance, quantiles_ms
from mlcfast.ops.label_query_attention.reference import label_query_attention as reference

PUBLISHED = {  # model: width D, cells N
    "Q2L-R101-448": (2048, 196),
    "Q2L-R101-576": (2048, 324),
    "Q2L-TResL-448": (2432, 196),
    "Q2L-TResL_22k-448": (2048, 196),
    "Q2L-SwinL-384": (1536, 144),
    "Q2L-CvT_w24-384": (1024, 576),
}
HEADS = 4
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}


def main() -> None:
    """Parse, measure, write."""
    args = _parser().parse_args()
    if args.table:
        write_table(args.results, args.table)
        return
    torch.set_num_threads(args.threads)
    chosen = {name: PUBLISHED[name] for name in args.models}
    with args.results.open("a") as results:
        for row in _rows(args, chosen):
            results.write(json.dumps(row) + "\n")
            results.flush()
            print(
                row["model"],
                row["queries"],
                row["mode"],
                row["contender"],
                row.get("p50_ms", row.get("refused")),
                flush=True,
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--batch", type=int, nargs="+", default=[4])
    parser.add_argument("--labels", type=int, nargs="+", default=[80])
    parser.add_argument("--models", nargs="+", default=list(PUBLISHED), choices=list(PUBLISHED))
    parser.add_argument("--modes", nargs="+", default=["training", "inference"], choices=("training", "inference"))
    parser.add_argument("--only", nargs="+", help="contenders to run, by name")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--compiled", action="store_true", help="also torch.compile of the re-associated form")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--results", type=Path, default=Path("bench/results/attention.jsonl"))
    parser.add_argument("--table", type=Path, help="write the tables of the results into this page and stop")
    return parser


def _rows(args, chosen):
    where = provenance(args.device)
    for B, K, (model, (D, N)) in ((b, k, m) for b in args.batch for k in args.labels for m in chosen.items()):
        for queries in ("shared", "per image"):
            tensors = _tensors(B, K, N, D, queries == "shared", args)
            accepted, refused = _accepted(tensors, args)
            shape = {"model": model, "B": B, "K": K, "N": N, "D": D, "heads": HEADS, "queries": queries}
            shape |= {"dtype": args.dtype, "dropout": args.dropout}
            for mode in args.modes:
                yield from ({**shape, "mode": mode, **row, **where} for row in _measure(accepted, tensors, mode, args))
            yield from ({**shape, "mode": "-", "contender": n, "refused": why, **where} for n, why in refused.items())


def _tensors(B, K, N, D, shared, args):
    generator = torch.Generator(args.device).manual_seed(0)

    def normal(*shape, scale=1.0):
        x = torch.randn(shape, generator=generator, device=args.device) * scale
        return x.to(getattr(torch, args.dtype))

    queries = normal(K, D) if shared else normal(B, K, D)
    parameters = [normal(3 * D, D, scale=D**-0.5), normal(3 * D), normal(D, D, scale=D**-0.5), normal(D)]
    learnt = [t.requires_grad_() for t in (queries, normal(B, N, D), *parameters)]
    return [*learnt[:2], normal(1, N, D), *learnt[2:]]


def _accepted(tensors, args):
    """Contenders that run and agree with fp64 on the first image, and the reasons of those that do not."""
    image = [t.detach()[:1] if t.ndim == 3 else t.detach() for t in tensors]
    truth = reference(*(t.double() for t in image), HEADS)[0]
    accepted, refused = {}, {}
    for name, function in contenders(args.device, args.compiled).items():
        if args.only and name not in args.only:
            continue
        try:
            out = function(*(t.detach() for t in tensors), HEADS)[:1].double()
            function(*tensors, HEADS, args.dropout)
        except (RuntimeError, torch.OutOfMemoryError) as error:
            refused[name] = str(error).splitlines()[0][:120]
            continue
        error = ((out - truth).norm() / truth.norm()).item()
        if error > TOLERANCE[getattr(torch, args.dtype)]:
            raise SystemExit(f"{name} is off by {error:.1e} relative to fp64: not timed")
        accepted[name] = function
    return accepted, refused


def _measure(accepted, tensors, mode, args):
    training = mode == "training"
    steps = {name: _step(function, tensors, training, args.dropout) for name, function in accepted.items()}
    times = interleaved(steps, args.rounds, args.device)
    for name, function in accepted.items():
        row = {"contender": name, **quantiles_ms(times[name]), "rounds": args.rounds}
        row["peak_extra_bytes"] = peak_extra_bytes(steps[name], args.device)
        if training:
            with counting_saved_bytes(tensors) as saved:
                function(*tensors, HEADS, args.dropout)
            row["saved_bytes_per_image"] = saved[0] // len(tensors[1])
        yield row


def _step(function, tensors, training, dropout):
    learnt = [t for t in tensors if t.requires_grad]
    grad = torch.randn_like(function(*(t.detach() for t in tensors), HEADS)) if training else None

    def train():
        for tensor in learnt:
            tensor.grad = None
        function(*tensors, HEADS, dropout).backward(grad)

    @torch.no_grad()
    def infer():
        function(*tensors, HEADS)

    return train if training else infer


if __name__ == "__main__":
    main()
