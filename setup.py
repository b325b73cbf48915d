"""Builds and installs mlcfast; csrc/build_native.py compiles the optional native kernels."""

import re
import sys
from pathlib import Path

from setuptools import find_packages, setup

sys.path.insert(0, str(Path(__file__).resolve().parent / "csrc"))
from build_native import BuildNative, native_extensions

VERSION = re.search(r'__version__ = "(.+)"', (Path(__file__).resolve().parent / "mlcfast" / "__init__.py").read_text())[
    1
]
EIGHT_BIT = ["bitsandbytes>=0.50"]
EXPORT = ["onnx>=1.17", "onnxscript>=0.3", "onnxruntime>=1.20"]
PARQUET = ["pyarrow>=16"]

setup(
    name="mlcfast",
    version=VERSION,
    description="Multi-label image classification: Query2Label and single positive labels, made fast and made to fit",
    license="Apache-2.0",
    python_requires=">=3.11",
    ext_modules=native_extensions(),
    cmdclass={"build_ext": BuildNative},
    packages=find_packages(include=["mlcfast", "mlcfast.*"]),
    package_data={"mlcfast": ["py.typed"]},
    install_requires=[
        "torch>=2.11",
        "torchvision>=0.26",
        "timm>=1.0.20",
        "triton>=3.6; platform_system == 'Linux'",
        "deepspeed>=0.19.3",
        "pycocotools>=2.0.8",
        "numpy>=2.0",
        "pyyaml>=6.0",
        "pydantic>=2.10",
        "safetensors>=0.5",
        "tqdm>=4.66",
        "tensorboard>=2.18",
        "matplotlib>=3.11",
    ],
    entry_points={"console_scripts": ["mlcfast = mlcfast.__main__:main"]},
    extras_require={
        "demo": ["scikit-learn>=1.5"],
        "eight_bit": EIGHT_BIT,
        "export": EXPORT,
        "parquet": PARQUET,
        "test": [
            "pytest>=8",
            "pytest-benchmark>=5",
            "scikit-learn>=1.5",
            "ruff>=0.8",
            "transformers>=4.50",
            "playwright>=1.49",
            *EIGHT_BIT,
            *EXPORT,
            *PARQUET,
        ],
    },
)
