"""What a finished run hands to the program that started it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mlcfast.evaluation.classifier import Classifier
from mlcfast.models.card import load_card
from mlcfast.report.shown import Report
from mlcfast.runs.directory import RunDirectory


@dataclass(frozen=True)
class TrainingResult:
    """A finished run; directory: runs/NAME; epochs: summary.csv's rows, one an epoch."""

    directory: Path
    epochs: list[dict[str, Any]]

    @property
    def best(self) -> Path:
        """The directory of the best model: model.safetensors and its card, model.json."""
        return RunDirectory(self.directory).best

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Of the best model on the validation images, in percent: mAP, CF1, OF1, per_label and so on."""
        return load_card(self.best).metrics

    @property
    def mAP(self) -> float:  # noqa: N802 - the field's spelling
        """The best model's validation mAP in percent."""
        return float(self.metrics["mAP"])

    @property
    def report(self) -> Report:
        """The run's report, which a notebook shows in its output."""
        return Report(RunDirectory(self.directory).report)

    def classifier(self, device: str | None = None) -> Classifier:
        """The best model, to predict with; device: as `Classifier` takes it."""
        return Classifier(self.best, device)
