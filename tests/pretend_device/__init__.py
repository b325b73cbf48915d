"""A GPU that is not there: tensors that say they are on it, and refuse what a real one refuses or punishes."""

from tests.pretend_device.surroundings import build_guard, pretend_device

__all__ = ["build_guard", "pretend_device"]
