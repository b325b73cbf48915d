"""A pytest plugin: the operators of the CPU run the emulated CUDA kernels, and memory that nobody wrote is NaN.

`MLCFAST_EMULATED_LIBRARY=… python -m pytest -p tests.cuda_emulator.plugin tests/ops/test_loss_accuracy.py`
"""

import os
import warnings

import torch

import mlcfast.ops.library  # noqa: F401  the schemas, and the CPU's kernels that are replaced

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns of the kernels it replaces
    torch.ops.load_library(os.environ["MLCFAST_EMULATED_LIBRARY"])
torch.use_deterministic_algorithms(True, warn_only=True)
torch.utils.deterministic.fill_uninitialized_memory = True
