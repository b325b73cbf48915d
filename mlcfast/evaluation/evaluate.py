"""The metrics of stored weights on a split that training has not seen."""

from pathlib import Path
from typing import Any

from mlcfast.config import Config
from mlcfast.engine import Predictor, Process
from mlcfast.errors import UsageError
from mlcfast.evaluation.gather import gather_predictions
from mlcfast.metrics import multilabel_report
from mlcfast.models.card import load_card
from mlcfast.models.loading import fill, find_weights, read_weights
from mlcfast.training.build import evaluation_loader, make_model, open_split


def measure(config: Config, process: Process, checkpoint: Path, split: str) -> dict[str, Any]:
    """`multilabel_report` of the weights at `checkpoint` on every image of `split`; a collective.

    Raises UsageError where the weights do not fit the configuration or were made for other labels.
    """
    weights = find_weights(checkpoint)
    names = load_card(weights).labels if (weights.parent / "model.json").exists() else None
    records = open_split(config.data, split, names)
    if names not in (None, records.names):
        raise UsageError(f"{weights}: made for the labels {_shown(names)}; {split} has {_shown(records.names)}")
    model = make_model(config.without_initial_weights(), len(records.names))
    fill(model, read_weights(weights), weights)
    predictor = Predictor(process, model.to(process.device), config.engine.precision)
    loader = evaluation_loader(config, records, process)
    scores, labels = gather_predictions(predictor, loader, f"evaluating {split}", not process.is_main)
    return multilabel_report(scores, labels, records.names)


def _shown(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" … ({len(names)} in all)" if len(names) > 5 else "")
