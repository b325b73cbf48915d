"""What ptxas is known to spill of Triton's kernels: a few words, stored before a loop and loaded after it."""

import re
import subprocess
import tempfile

from tests.ops.disassembly import parsed

# ptxas -> kernel and architecture -> words a thread stores at most. Triton 3.6 brings 12.8, which holds these kernels
# to 80 registers: a predicate, in the balanced loss on 9.0 a shared address too, waits in memory until a loop ends.
# In another it sets 8 bytes aside and does not touch them.
WORDS = {
    "12.8": {
        ("balanced_kernel", 80): 1,
        ("balanced_kernel", 86): 1,
        ("balanced_kernel", 90): 2,
        ("layer_norm_backward_kernel", 90): 1,
        ("two_way_finish_kernel", 120): 0,
    },
}


def spills_outside_loops(name: str, architecture: int, cubin: bytes) -> bool:
    """Whether a kernel spills no more than it is known to with the ptxas that is here, and nothing within a loop."""
    from triton import knobs

    words = WORDS.get(knobs.nvidia.ptxas.version, {}).get((name, architecture))
    if words is None:
        return False
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [knobs.nvidia.nvdisasm.path, "-c", file.name]
        kernel = parsed(name, subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    read = bool(kernel.loops if words else kernel.instructions)
    return read and kernel.count("STL") <= words and not kernel.within_loops(re.compile("STL|LDL"))
