"""The device's logarithm and quotient against fp64, with a reciprocal that is worse than the hardware's."""

import shutil
import subprocess

import pytest

from tests.cuda_emulator import build


@pytest.mark.skipif(shutil.which(build.compiler()) is None, reason="no C++ compiler")
def test_logarithm_and_quotient_are_within_a_unit_in_the_last_place(tmp_path):
    build.write_sources(tmp_path)
    includes = [f"-I{tmp_path / 'shims'}", f"-I{build.HERE}", f"-I{tmp_path}", *build.build_native._torch_flags()]
    command = [build.compiler(), "-std=c++20", "-O2", *includes, str(build.HERE / "math.cpp")]
    subprocess.run([*command, "-o", str(tmp_path / "math")], check=True, capture_output=True, text=True)
    done = subprocess.run([str(tmp_path / "math")], check=True, capture_output=True, text=True)
    logarithm, quotient = map(float, done.stdout.split())
    assert 0.5 < logarithm < 0.91 and 0.49 < quotient < 0.51, done.stdout
