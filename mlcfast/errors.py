"""The two failures a command reports in one line; anything else is a defect and keeps its type in the message."""


class UsageError(Exception):
    """The command line, the configuration or the data set it names is wrong: exit status 2."""


class RunError(Exception):
    """A run that started could not finish: exit status 1."""
