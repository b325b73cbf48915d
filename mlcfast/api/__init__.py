"""The package as a program uses it: load a configuration, train with callbacks, predict; docs/python.md shows how."""

from mlcfast.api.configuration import load_config
from mlcfast.api.training import train
from mlcfast.config import Config
from mlcfast.errors import RunError, UsageError
from mlcfast.evaluation.classifier import Classifier, Label
from mlcfast.report.shown import Report
from mlcfast.training.callbacks import Callback
from mlcfast.training.result import TrainingResult

__all__ = [
    "Callback",
    "Classifier",
    "Config",
    "Label",
    "Report",
    "RunError",
    "TrainingResult",
    "UsageError",
    "load_config",
    "train",
]
