"""A made-up record of a run, for tests alone: no number in it was measured."""

import json
from pathlib import Path

FIRST, SECOND = "20010101T000000Z", "20010102T000000Z"
GPU, CPU = "Test device", "Test processor"


def record(path: Path, name: str = GPU, run: str = FIRST, speed: float = 1.0, again: bool = False) -> Path:
    """Append a run with every suite, refused and lost rows, a skipped suite and, on a GPU, a last line cut short."""
    gpu = name == GPU
    begin = {
        "event": "begin",
        "device": name,
        "threads": 2,
        "torch": "0.0.0+test",
        "python": "0.0",
        "commit": "abc0000",
    }
    begin |= {"sources": "0" * 12, "tested_on": name if gpu else "cpu", "minutes": 1}
    rows = [("run", begin), *_device(gpu), *_correctness(), *_losses(speed, gpu), *_attention(gpu)]
    rows += [*_training(), *_memory()] if gpu else []
    if again:  # a run of the losses alone
        rows = [("run", begin), *_losses(speed, gpu)]
    text = "".join(json.dumps({"run": run, "suite": suite, **row}) + "\n" for suite, row in rows)
    with path.open("a", encoding="utf-8") as file:
        file.write(text + ('{"run": "' if gpu and not again else ""))
    return path


def _device(gpu: bool) -> list[tuple[str, dict]]:
    found = {
        "gpu": GPU, "capability": "0.0", "multiprocessors": 10, "memory_bytes": 2**35, "cuda": "0.0",
        "driver_version": "000.00", "clocks.sm": "1000 MHz", "clocks.max.sm": "2000 MHz", "pstate": "P0",
    }  # fmt: skip
    products = {"copy": 2e12, "bf16 product": 5e14, "fp32 product": 5e13, "tf32 product": 2e14}
    scale = 1 if gpu else 1e-2
    return [
        ("device", {"packages": {"triton": "0.0.0", "pydantic": None}, "python": "0.0"}),
        *[("device", found)] * gpu,
        ("device", {"event": "done", "seconds": 0.5}),
        *[("ceilings", {"ceiling": n, "per_second": r * scale, "p50_ms": 1.5}) for n, r in products.items()],
        ("resources", {"kernel": "attend", "dtype": "bf16", "arch": 0, "registers": 99, "spilled_bytes": 8,
                      "shared_bytes": 12288}),
    ]  # fmt: skip


def _correctness() -> list[tuple[str, dict]]:
    common = {"operator": "asymmetric_loss", "backend": "native", "dtype": "float32"}
    return [
        ("correctness", common | {"case": "K=1", "error": 1e-7, "bound": 1e-6, "passed": True}),
        ("correctness", common | {"case": "K=81", "error": 3e-6, "bound": 1e-6, "passed": False}),
        ("correctness", common | {"backend": "triton", "case": "-", "refused": "no kernels here"}),
    ]


def _losses(speed: float, gpu: bool) -> list[tuple[str, dict]]:
    """Won at asymmetric, even at epr 64x80, lost at epr 256x9605, ours refused at role."""
    rows = []
    for B, K in [(64, K) for K in (20, 80, 320, 1280, 9605)] + [(B, 80) for B in (16, 256, 1024, 4096, 16384)]:
        base = speed * (5e-3 + B * K * 1e-8)
        times = {"mlcfast": base, "mlcfast triton": 1.2 * base, "torch.compile": 2 * base, "textbook": 9 * base}
        rows += [_loss("asymmetric", B, K, name, time, gpu) for name, time in times.items()]
    rows += [_loss("epr", 64, 80, name, time, gpu) for name, time in (("mlcfast", 0.1), ("torch.compile", 0.102))]
    rows += [_loss("epr", 256, 9605, name, time, gpu) for name, time in (("mlcfast", 0.4), ("torch.compile", 0.2))]
    rows += [_loss("role", 64, 80, "textbook", 0.3, gpu)]
    role = {"operator": "role_loss", "loss": "role", "B": 64, "K": 80, "dtype": "float32"}
    rows += [("losses", role | {"contender": "mlcfast", "refused": "failed 1 of 2 correctness cases"})]
    return [*rows, ("losses", {"event": "out of time", "seconds": 85.0})]


def _loss(loss: str, B: int, K: int, contender: str, p50: float, gpu: bool) -> tuple[str, dict]:
    row = {"operator": f"{loss}_loss", "loss": loss, "B": B, "K": K, "dtype": "float32", "contender": contender}
    row |= {"p20_ms": 0.9 * p50, "p50_ms": p50, "p80_ms": 1.1 * p50, "rounds": 5}
    row |= {"peak_extra_bytes": 4 * B * K if gpu else None}
    return "losses", row


def _attention(gpu: bool) -> list[tuple[str, dict]]:
    """Won everywhere, but folded is faster than what is chosen at 16x9605."""
    shapes = [(16, K) for K in (20, 80, 320, 1000, 9605)] + [(B, 80) for B in (1, 4, 64, 256)]
    rows = []
    for B, K in shapes:
        ours = 0.05 + B * K * 1e-5
        times = {"ours": ours, "ours_folded": ours * (0.8 if K == 9605 else 1.0), "ours_projected": 1.5 * ours}
        times |= {"sdpa_flash": 2.1 * ours, "sdpa_math": 4 * ours, "multihead": 3 * ours, "compiled": 1.8 * ours}
        case = {"model": "Q2L-CvT_w24-384", "B": B, "K": K, "N": 576, "D": 1024, "heads": 4, "queries": "shared"}
        case |= {"dtype": "bfloat16", "dropout": 0.1, "mode": "training"}
        for name, time in times.items():
            row = {"contender": name, "p20_ms": time, "p50_ms": time, "p80_ms": time}
            row |= {"peak_extra_bytes": B * K * 4096 if gpu else None, "saved_bytes_per_image": K * 2**14}
            rows.append(("attention", case | row))
        rows.append(("attention", case | {"contender": "sdpa_cudnn", "refused": "No available kernel | at all"}))
    return [*rows, ("attention", {"event": "stopped", "reason": "did not end within 100 s"})]


def _training() -> list[tuple[str, dict]]:
    rows = []
    for model, flop, size in (("Q2L-CvT_w24-384", 388e9, 384), ("Q2L-R101-448", 62e9, 448)):
        for micro_batch in (8, 16, 32):
            case = {"model": model, "image_size": size, "K": 80, "micro_batch": micro_batch, "dtype": "bfloat16"}
            for variant, share, gib in (
                ("mlcfast", 0.4, 0.5),
                ("mlcfast blocks", 0.33, 0.2),
                ("plain torch", 0.3, 1.1),
            ):
                speed = share * 5e14 / (3 * flop)
                time = {"p20_ms": 1.0, "p50_ms": 1e3 * micro_batch / speed, "p80_ms": 1.0, "images_per_second": speed}
                time |= {"peak_bytes": (3 + gib * micro_batch) * 2**30, "forward_flop_per_image": flop}
                rows.append(("training", case | {"contender": variant} | time | {"share_of_matrix_rate": share}))
        rows.append(("training", case | {"micro_batch": 64, "contender": "plain torch", "refused": "out of memory"}))
    rows.append(("training", {"refused": "no room for any model"}))
    return rows


def _memory() -> list[tuple[str, dict]]:
    row = {"config": "cvt_w24", "engine.name": "zero2", "engine.micro_batch": 48, "predicted_bytes": 11 * 2**30}
    return [
        ("memory", row | {"measured_bytes": 10 * 2**30, "reserved_bytes": 12 * 2**30}),
        ("memory", {"event": "skipped", "reason": "pydantic is not installed"}),
    ]
