"""The options of losses that must be more than numbers; ValueError names what is not."""

from mlcfast.ops.checks import as_number


def positive_number(value: object, name: str) -> float:
    """`value` as a float; ValueError unless it is a finite number above 0."""
    number = as_number(value, name)
    if number <= 0:
        raise ValueError(f"{name} must be above 0, not {value!r}")
    return number


def at_least_zero(value: object, name: str) -> float:
    """`value` as a float; ValueError unless it is a finite number, at least 0."""
    number = as_number(value, name)
    if number < 0:
        raise ValueError(f"{name} must be at least 0, not {value!r}")
    return number


def checked_share(value: object, name: str) -> float:
    """`value` as a float; ValueError unless it is in [0, 1]."""
    share = as_number(value, name)
    if not 0 <= share <= 1:
        raise ValueError(f"{name} must be in [0, 1], not {value!r}")
    return share


def checked_balance(value: object, name: str) -> float | None:
    """The share that positives weigh beside the other entries' rest; None, or torchvision's −1, weighs both alike."""
    return None if value is None or value == -1 else checked_share(value, name)


def checked_epochs(value: object, name: str) -> int:
    """`value`; ValueError unless it is a whole number of epochs, at least 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} must be a number of epochs, not {value!r}")
    return value
