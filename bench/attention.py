"""Label-query attention against torch's: python -m bench.attention [--device cuda] … then --table docs/attention.md

Every contender is held against the fp64 reference before it is timed; one that is off, or refuses the shape, leaves
its reason in its row instead.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from bench.attention_contenders import contenders, counting_saved_bytes
from bench.attention_table import write_table
from bench.part import first_line
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


@dataclass
class Case:
    """One shape: a published model's, with B images and K labels; queries shared or per image."""

    model: str
    B: int
    K: int
    queries: str = "shared"

    def row(self) -> dict[str, str | int]:
        """Its columns."""
        D, N = PUBLISHED[self.model]
        return {
            "model": self.model, "B": self.B, "K": self.K, "N": N, "D": D, "heads": HEADS, "queries": self.queries
        }  # fmt: skip


@dataclass
class Setting:
    """Where and how cases are measured; refusals: contenders that may not be timed, and why."""

    device: str
    dtype: str = "float32"
    dropout: float = 0.0
    rounds: int = 9
    compiled: bool = False
    only: tuple[str, ...] = ()
    refusals: dict[str, str] = field(default_factory=dict)


def main() -> None:
    """Parse, measure, write."""
    args = _parser().parse_args()
    if args.table:
        write_table(args.results, args.table)
        return
    torch.set_num_threads(args.threads)
    where = provenance(args.device)
    setting = Setting(args.device, args.dtype, args.dropout, args.rounds, args.compiled, tuple(args.only or ()))
    cases = [
        Case(model, B, K, queries)
        for B in args.batch for K in args.labels for model in args.models for queries in ("shared", "per image")
    ]  # fmt: skip
    with args.results.open("a") as results:
        for row in (row for case in cases for row in measure(case, setting, args.modes)):
            results.write(json.dumps(row | where) + "\n")
            results.flush()
            print(row["model"], row["queries"], row["mode"], row["contender"], row.get("p50_ms", row.get("refused")))


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


def measure(case: Case, setting: Setting, modes: tuple[str, ...] = ("training", "inference")) -> Iterator[dict]:
    """Rows of every contender in every mode, and of those that were refused."""
    shape = case.row() | {"dtype": setting.dtype, "dropout": setting.dropout}
    tensors = _tensors(case, setting)
    accepted, refused = _accepted(tensors, setting)
    for mode in modes:
        for row in _timed(accepted, tensors, mode == "training", setting):
            yield {**shape, "mode": mode, **row}
    for name, reason in refused.items():
        yield {**shape, "mode": "-", "contender": name, "refused": reason}


def _tensors(case: Case, setting: Setting) -> list[Tensor]:
    generator = torch.Generator(setting.device).manual_seed(0)
    B, K, (D, N) = case.B, case.K, PUBLISHED[case.model]

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        x = torch.randn(shape, generator=generator, device=setting.device) * scale
        return x.to(getattr(torch, setting.dtype))

    queries = normal(K, D) if case.queries == "shared" else normal(B, K, D)
    parameters = [normal(3 * D, D, scale=D**-0.5), normal(3 * D), normal(D, D, scale=D**-0.5), normal(D)]
    learnt = [t.requires_grad_() for t in (queries, normal(B, N, D), *parameters)]
    return [*learnt[:2], normal(1, N, D), *learnt[2:]]


def _accepted(tensors: list[Tensor], setting: Setting) -> tuple[dict[str, Callable], dict[str, str]]:
    """Contenders that run a whole step and agree with fp64 on the first image, and the reasons of those that do not."""
    image = [t.detach()[:1] if t.ndim == 3 else t.detach() for t in tensors]
    truth = reference(*(t.double() for t in image), HEADS)[0]
    accepted, refused = {}, {}
    for name, function in contenders(setting.device, setting.compiled).items():
        if setting.only and name not in setting.only:
            continue
        reason = setting.refusals.get(name) or _refusal(function, tensors, truth, setting)
        if reason:
            refused[name] = reason
        else:
            accepted[name] = function
    return accepted, refused


def _refusal(function: Callable, tensors: list[Tensor], truth: Tensor, setting: Setting) -> str:
    try:
        out = function(*(t.detach() for t in tensors), HEADS)[:1].double()
        _step(function, tensors, True, setting.dropout)()
    except Exception as error:  # a shape that a contender does not take, in whatever way it says so
        return first_line(error)
    error = ((out - truth).norm() / truth.norm()).item()
    return "" if error <= TOLERANCE[getattr(torch, setting.dtype)] else f"off by {error:.1e} relative to fp64"


def _timed(accepted: dict[str, Callable], tensors: list[Tensor], training: bool, setting: Setting) -> Iterator[dict]:
    steps = {name: _step(function, tensors, training, setting.dropout) for name, function in accepted.items()}
    times = interleaved(steps, setting.rounds, setting.device, at_least=2e-3)
    for name, function in accepted.items():
        row = {"contender": name, **quantiles_ms(times[name]), "rounds": setting.rounds}
        row["peak_extra_bytes"] = peak_extra_bytes(steps[name], setting.device)
        if training:
            with counting_saved_bytes(tensors) as saved:
                function(*tensors, HEADS, setting.dropout)
            row["saved_bytes_per_image"] = saved[0] // len(tensors[1])
        yield row


def _step(function: Callable, tensors: list[Tensor], training: bool, dropout: float) -> Callable[[], None]:
    learnt = [t for t in tensors if t.requires_grad]
    grad = torch.randn_like(function(*(t.detach() for t in tensors), HEADS)) if training else None

    def train() -> None:
        for tensor in learnt:
            tensor.grad = None
        function(*tensors, HEADS, dropout).backward(grad)

    @torch.no_grad()
    def infer() -> None:
        function(*tensors, HEADS)

    return train if training else infer


if __name__ == "__main__":
    main()
