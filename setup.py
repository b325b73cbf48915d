"""Builds and installs mlcfast; csrc holds what compiles the native kernels and the list of requirements."""

import sys
from pathlib import Path

from setuptools import find_packages, setup

sys.path.insert(0, str(Path(__file__).resolve().parent / "csrc"))
from build_native import BuildNative, native_extensions
from requirements import EXTRAS, REQUIRED

setup(
    name="mlcfast",
    version="0.1.0",
    description="Multi-label image classification: Query2Label and single positive labels, made fast and made to fit",
    license="Apache-2.0",
    python_requires=">=3.11",
    ext_modules=native_extensions(),
    cmdclass={"build_ext": BuildNative},
    packages=find_packages(include=["mlcfast", "mlcfast.*"]),
    package_data={"mlcfast": ["py.typed"]},
    install_requires=REQUIRED,
    entry_points={"console_scripts": ["mlcfast = mlcfast.__main__:main"]},
    extras_require=EXTRAS,
)
