"""The two failures a command reports in one line, what it says where a package is not installed, and counts in words.

Anything else is a defect and keeps its type in the message.
"""

import re

# What would move a terminal's cursor, colour it or ring its bell.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

# What an import needs -> the extra of the distribution that brings it (csrc/requirements.py). The distribution itself
# brings torch and numpy, unless it was installed without what it needs; then a command's extra brings them as well.
OF_ALL = ("torch", "numpy")
EXTRA_OF = {
    "PIL": "train",
    "yaml": "train",
    "safetensors": "train",
    "tqdm": "train",
    "torchvision": "train",
    "timm": "train",
    "pydantic": "train",
    "tensorboard": "train",
    "matplotlib": "train",
    "deepspeed": "deepspeed",
    "onnx": "export",
    "onnxscript": "export",
    "onnxruntime": "export",
    "huggingface_hub": "hub",
    "sklearn": "demo",
    "bitsandbytes": "eight_bit",
    "pyarrow": "parquet",
    "mlflow": "mlflow",
    "wandb": "wandb",
}
# Commands that need less than training, and the extra that is enough for them.
EXTRA_OF_COMMAND = {"inspect": "data", "export": "export"}

LONGEST = 480  # characters of a message: what a file holds may be repeated in it, and a file may be long


class _OneLineError(Exception):
    """An error whose message is one line of at most LONGEST characters, its middle left out where it has more."""

    def __init__(self, message: str):
        super().__init__(shortened(printable(" ".join(message.split("\n")))))


class UsageError(_OneLineError):
    """The command line, the configuration or the data set it names is wrong: exit status 2."""


class MissingImageError(UsageError):
    """A label file names an image file that is not there."""


class RunError(_OneLineError):
    """A run that started could not finish: exit status 1."""


def printable(text: str) -> str:
    """A text with its control characters but breaks and tabs as escapes: a file may hold some, a terminal obeys."""
    return CONTROLS.sub(lambda sign: f"\\x{ord(sign[0]):02x}", text)


def dead_worker(error: Exception) -> str | None:
    """What to say where torch tells of a data worker that died, which it may do amid any line of the main process."""
    said = str(error).splitlines()
    if not isinstance(error, RuntimeError) or not said or not said[0].startswith("DataLoader worker (pid"):
        return None
    return (
        "a data worker died, most often for lack of memory or of shared memory (/dev/shm): "
        f"lower data.workers ({said[0]})"
    )


def shortened(text: str, most: int = LONGEST) -> str:
    """The text, or its beginning, which names the file, and its end, which says what to do."""
    end = most // 3
    return text if len(text) <= most else f"{text[: most - end - 3]} … {text[-end:]}"


def counted(count: int, noun: str) -> str:
    """`1 label`, `2 labels`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def missing_extra(error: ImportError, command: str) -> str | None:
    """What to install where an import failed because an extra is not there; None where that is not the reason.

    command: the one that was called, such as train.
    """
    package = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or package not in (*EXTRA_OF, *OF_ALL):
        return None
    extra = EXTRA_OF.get(package, "train")
    extra = EXTRA_OF_COMMAND.get(command, extra) if extra == "train" else extra
    return f"mlcfast {command} needs {package}: pip install 'mlcfast[{extra}]'"
