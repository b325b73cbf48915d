"""Shows a run on an MLflow server."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mlcfast.runs.trackers.base import Scalars, TrackedRun, Tracker

# What a server takes (mlflow/utils/validation.py of MLflow 3.17): entries of a batch, characters of a name and a value.
METRICS, PARAMETERS, KEY, VALUE = 1000, 100, 250, 6000
NOT_IN_A_KEY = re.compile(r"[^\w.\- /]")
KEY_TAG = "mlcfast.key"
CUT = " … (whole in config.yaml)"
# Read by MLflow at its import and at each request; what the environment says already goes before. The courier tries
# again itself, so that MLflow need not for minutes.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # which is for results
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}


class MLflow(Tracker):
    """uri: of the server, MLFLOW_TRACKING_URI if not given; experiment: its name, made where it is not there."""

    needs: ClassVar[Sequence[str]] = ("mlflow",)

    def __init__(self, uri: str = "", experiment: str = "mlcfast"):
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI", "")
        self.experiment, self.place = experiment, f"{self.uri} {experiment}"
        if not self.uri:
            raise ValueError("it needs a server: {name: mlflow, uri: http://HOST:5000}, or set MLFLOW_TRACKING_URI")

    def open(self, run: TrackedRun) -> None:
        """Begin or go on; settings become parameters."""
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=self.uri)
        self._id = self._find_or_begin(run)
        self._client.update_run(self._id, status="RUNNING")
        self._set_parameters(run.settings)

    def scalars(self, batch: Sequence[Scalars]) -> None:
        """As metrics, at their steps and times; a server takes what is sent again for what it has."""
        from mlflow.entities import Metric

        metrics = [
            Metric(metric_key(name), float(value), round(1000 * line.time), line.step)
            for line in batch
            for name, value in line.values.items()
        ]
        for part in _parts(metrics, METRICS):
            self._client.log_batch(self._id, metrics=part)

    def file(self, path: Path) -> None:
        """As an artifact, pictures under figures/."""
        self._client.log_artifact(self._id, str(path), "figures" if path.suffix == ".png" else None)

    def model(self, directory: Path) -> None:
        """As artifacts under best/."""
        self._client.log_artifacts(self._id, str(directory), "best")

    def close(self, finished: bool) -> None:
        """End it as FINISHED, or as KILLED where it may be resumed."""
        self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")

    def _find_or_begin(self, run: TrackedRun) -> str:
        """The server's id of the run with this key; it may have made one whose answer did not arrive."""
        found = self._client.get_experiment_by_name(self.experiment)
        experiment = found.experiment_id if found else self._client.create_experiment(self.experiment)
        held = self._client.search_runs([experiment], filter_string=f"tags.`{KEY_TAG}` = '{run.key}'")
        if held:
            return str(held[0].info.run_id)
        tags = {KEY_TAG: run.key, "mlcfast.directory": str(run.directory)}
        return str(self._client.create_run(experiment, run_name=run.name, tags=tags).info.run_id)

    def _set_parameters(self, settings: Mapping[str, Any]) -> None:
        """MLflow keeps a parameter as it was first; what a resumed run has changed stands in tags `now/KEY`."""
        from mlflow.entities import Param, RunTag

        held = self._client.get_run(self._id).data.params
        texts = {metric_key(key): parameter(value) for key, value in settings.items()}
        new = [Param(key, text) for key, text in texts.items() if key not in held]
        for part in _parts(new, PARAMETERS):
            self._client.log_batch(self._id, params=part)
        changed = [RunTag(f"now/{key}", text) for key, text in texts.items() if held.get(key, text) != text]
        for part in _parts(changed, PARAMETERS):
            self._client.log_batch(self._id, tags=part)


def metric_key(name: str) -> str:
    """A name as MLflow takes it: another character than letters, digits, `_.- /` becomes `-HEX-`, its code point.

    Parts between slashes that are empty or of dots alone, which it would take for directories, get a `_` before them.
    What is too long ends in a digest.
    """
    spelt = NOT_IN_A_KEY.sub(lambda found: f"-{ord(found[0]):x}-", name)
    key = "/".join(part if part.strip(".") else f"_{part}" for part in spelt.split("/"))
    return key if len(key) <= KEY else f"{key[: KEY - 17]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def parameter(value: Any) -> str:
    """A setting's value as text; a long one, such as a list of thousands of labels, is cut, and says so."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= VALUE else text[: VALUE - len(CUT)] + CUT


def _parts(entries: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    for first in range(0, len(entries), most):
        yield entries[first : first + most]
