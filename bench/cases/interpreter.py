"""Lets Triton 3.6's interpreter run with numpy 2.4 and newer, which no longer make a number of an array of one element.

The line is private to Triton (runtime/interpreter.py, read in 3.6 and 3.8): a scalar becomes an index by
`int(self.handle.data)`, in 3.8 by `int(self.handle.data.squeeze())`.
"""

from typing import Any


def let_scalars_be_indices() -> None:
    """For kernels that this process interprets from now on; changes nothing where Triton does it by itself."""
    from triton.runtime import interpreter

    plain = interpreter._patch_lang_tensor

    def patched(tensor: Any, scope: Any) -> None:
        plain(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda scalar: int(scalar.handle.data.squeeze()))

    interpreter._patch_lang_tensor = patched
