"""What the stand-in and the server say to each other, by a Unix socket; imports what a bare interpreter has.

The stand-in sends one byte with its standard streams' descriptors, eight bytes with the length of what follows, and a
request as JSON (`warm_server.Request`); after it a byte for each signal it gets, which is the signal's number. It is
answered by a line, the number that `os.waitpid` gave.
"""

from collections.abc import Mapping

# The beginnings of the names of variables that Python or a library reads when it is loaded.
READ_EARLY = (
    "PYTHON", "OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "LD_", "MALLOC_", "GLIBC_", "CUDA_", "NVIDIA_", "TORCH",
    "PYTORCH", "TRITON_", "ATEN_", "TIMM_", "HF_", "HUGGINGFACE_", "XDG_", "MPL", "MATPLOTLIB", "LANG", "LC_", "TZ",
    "HOME",
)  # fmt: skip
# Of these, what the fork takes over itself, and what is read later.
READ_ANEW = (
    "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONSAFEPATH", "OMP_NUM_THREADS", "TORCHELASTIC_", "TORCH_NCCL_",
    "CUDA_VISIBLE_DEVICES", "PYTORCH_NVML_BASED_CUDA_CHECK", "TORCHINDUCTOR_CACHE_DIR",
)  # fmt: skip
NO_FORK = 125  # the stand-in's status where it could not do what it is for; no program of ours ends with it
FORK_OR_FAIL = "WARM_PYTHON_FORK_OR_FAIL"  # set by tests for which a fresh interpreter would prove nothing


def early_text(environment: Mapping[str, str]) -> str:
    """The variables whose values a loaded process has already taken over, to compare."""
    names = (name for name in sorted(environment) if name.startswith(READ_EARLY) and not name.startswith(READ_ANEW))
    return "\0".join(f"{name}={environment[name]}" for name in names)
