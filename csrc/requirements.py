"""What setup.py asks pip to install: two packages for ops, losses and metrics, and an extra for each further use."""

REQUIRED = ["torch>=2.11", "numpy>=2.0"]  # torch brings Triton where Triton runs

PARQUET = ["pyarrow>=16"]
DEMO = ["scikit-learn>=1.5"]
EIGHT_BIT = ["bitsandbytes>=0.50"]
# What sends a run to a server (train.trackers); not of `all`, since it is of use only to who has such a server.
MLFLOW = ["mlflow-skinny>=3.1"]  # MLflow without its server: one that runs elsewhere is all that training needs
WANDB = ["wandb>=0.31"]
# Label files and images: `mlcfast inspect` needs no more than this.
DATA = ["pillow>=10", "pyyaml>=6.0", "safetensors>=0.5", "tqdm>=4.66", *PARQUET]
# Everything from a configuration to a trained model, its report and its predictions.
TRAIN = [
    "pillow>=10",
    "pyyaml>=6.0",
    "safetensors>=0.5",
    "tqdm>=4.66",
    "simplejpeg>=1.7",
    "torchvision>=0.26",
    "timm>=1.0.20",
    "pydantic>=2.10",
    "tensorboard>=2.18",
    "matplotlib>=3.11",
]
DEEPSPEED = [*TRAIN, "deepspeed>=0.19.3"]
EXPORT = [*TRAIN, "onnx>=1.17", "onnxscript>=0.3", "onnxruntime>=1.20"]
HUB = [*TRAIN, "huggingface_hub>=1.0"]
# The compiler of torch's own CUDA version, which torch's requirements pin; for builds with --no-build-isolation.
CUDA = ["cuda-toolkit[nvcc]; platform_system == 'Linux'"]
TEST = [
    "pytest>=8",
    "pytest-benchmark>=5",
    "pytest-xdist>=3.6",
    "ruff>=0.8",
    "mypy>=1.14",
    "transformers>=4.50",
    "playwright>=1.49",
    "axe-playwright-python>=0.1.4",
    "pypdf>=5",
    "pycocotools>=2.0.8",
    "nbclient>=0.10",
    "ipykernel>=6.29",
    "lightning>=2.5",
    "accelerate>=1.3",
    *MLFLOW,
    *WANDB,
    # MLflow's server, which the tests start. The package `mlflow` would bring it, and an older pyarrow.
    "flask>=3",
    "flask-cors>=5",
    "sqlalchemy>=2",
    "alembic>=1.13",
    "huey>=2.5.4",
    "pandas>=2.2",
]


def _together(*extras: list[str]) -> list[str]:
    """Each requirement once, in the order in which it is first named."""
    return list(dict.fromkeys(requirement for extra in extras for requirement in extra))


ALL = _together(TRAIN, DATA, DEEPSPEED, EXPORT, HUB, DEMO, EIGHT_BIT)
EXTRAS = {
    "data": DATA,
    "train": TRAIN,
    "deepspeed": DEEPSPEED,
    "export": EXPORT,
    "hub": HUB,
    "cuda": CUDA,
    "parquet": _together(PARQUET, DATA),
    "demo": _together(DEMO, TRAIN),
    "eight_bit": _together(EIGHT_BIT, TRAIN),
    "mlflow": _together(MLFLOW, TRAIN),
    "wandb": _together(WANDB, TRAIN),
    "all": ALL,
    "test": _together(TEST, ALL),
}
