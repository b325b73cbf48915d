"""What is not traced: bytes and speeds of the card this project is made for, a GeForce RTX 3060 with 12 GB.

None of these figures has been measured on such a card here; each says where it comes from.
"""

MIB = 2**20
GIB = 2**30

# A CUDA context with lazily loaded kernels; nvidia-smi shows 150 to 300 MiB for a process that has done little else.
CONTEXT = 300 * MIB
# NCCL's channels and proxy buffers for a few ranks on one host: some 4 MiB a channel and protocol (NCCL_BUFFSIZE).
COLLECTIVES = 150 * MIB
# cuBLAS asks torch for 4096 KiB x 2 + 16 KiB x 8 a handle (CUBLAS_WORKSPACE_CONFIG's default before Hopper), once for
# the forward thread and once for autograd's, cuBLASLt 1 MiB each; cuDNN's convolution algorithms get what remains.
WORKSPACES = 64 * MIB
# Of what torch allocates and frees within a step, this share again is lost to holes between blocks.
FRAGMENTATION = 0.04

FLOPS = 10e12  # matrix products in bf16 with fp32 sums: 40 % of the card's 25.6e12
GPU_BANDWIDTH = 250e9  # 70 % of the card's 360e9 bytes a second
HOST_BANDWIDTH = 20e9  # a desktop's two memory channels, shared by all ranks of the host
LINK_BANDWIDTH = 10e9  # PCIe 4.0, 8 lanes, one direction
MICRO_BATCH_SECONDS = 0.05  # launching a pass's kernels and what else does not grow with the images
