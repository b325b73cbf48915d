"""The two failures a command reports in one line; anything else is a defect and keeps its type in the message."""

LONGEST = 480  # characters of a message: what a file holds may be repeated in it, and a file may be long


class _OneLineError(Exception):
    """An error whose message is one line of at most LONGEST characters, its middle left out where it has more."""

    def __init__(self, message: str):
        super().__init__(shortened(" ".join(message.split("\n"))))


class UsageError(_OneLineError):
    """The command line, the configuration or the data set it names is wrong: exit status 2."""


class RunError(_OneLineError):
    """A run that started could not finish: exit status 1."""


def shortened(text: str, most: int = LONGEST) -> str:
    """The text, or its beginning, which names the file, and its end, which says what to do."""
    end = most // 3
    return text if len(text) <= most else f"{text[: most - end - 3]} … {text[-end:]}"
