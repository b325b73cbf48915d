"""MLflow's real server receives a run whole, also where it is away for a while."""

import json
import math
from pathlib import Path

import pytest

from mlcfast import train
from mlcfast.api import Callback, load_config
from mlcfast.api import train as api_train
from mlcfast.runs.trackers import Scalars, TrackedRun
from mlcfast.runs.trackers.mlflow import KEY, VALUE, MLflow, metric_key, parameter
from tests.documents.workshop import free_port
from tests.runs.tracked import MLflowServer

pytest.importorskip("mlflow", reason="mlflow is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = MLflowServer(tmp_path_factory.mktemp("mlflow"), free_port())
    made.start()
    yield made
    made.stop()


def expected(metrics_file) -> set[tuple[str, int, float]]:
    """Key, step and value of every number in metrics.jsonl."""
    found = set()
    for line in map(json.loads, metrics_file.read_text().splitlines()):
        stream = f"{line['event']}/{line['weights']}" if "weights" in line else line["event"]
        for name, value in line.items():
            if name not in ("event", "step", "time") and isinstance(value, int | float):
                found.add((f"{stream}/{name}", line["step"], value))
    return found


def received(client, run_id) -> list[tuple[str, int, float]]:
    keys = client.get_run(run_id).data.metrics
    return [(key, each.step, each.value) for key in keys for each in client.get_metric_history(run_id, key)]


def the_run(server, experiment):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=server.uri)
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return client, run


class Outage(Callback):
    """The server is away for the middle third of 15 steps."""

    def __init__(self, server):
        self.server = server

    def on_step(self, step, values):
        if step == 5:
            self.server.stop()
        elif step == 10:
            self.server.start()


def test_a_run_arrives_whole_although_the_server_was_down_for_its_middle_third(
    server, config_file, tmp_path, caplog, capsys
):
    trackers = [{"name": "mlflow", "uri": server.uri, "experiment": "outage"}]
    config = load_config(config_file, {"train.epochs": 3, "train.trackers": trackers})
    result = api_train(config, callbacks=[Outage(server)], quiet=True)
    assert not capsys.readouterr().out

    client, run = the_run(server, "outage")
    arrived, wanted = received(client, run.info.run_id), expected(result.directory / "metrics.jsonl")
    assert {step for _, step, _ in wanted} >= set(range(1, 16))
    assert set(arrived) == wanted and len(arrived) == len(set(arrived))
    assert run.info.status == "FINISHED" and run.info.run_name == "tiny"
    assert run.data.params["optim.lr"] == "0.001" and run.data.params["model.backbone"] == "test_resnet"

    held = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert held >= {"config.yaml", "report.html", "summary.csv", "figures", "best"}
    assert [file.path for file in client.list_artifacts(run.info.run_id, "figures")] == ["figures/result.png"]
    for name in ("model.safetensors", "model.json"):
        place = client.download_artifacts(run.info.run_id, f"best/{name}", str(tmp_path))
        assert Path(place).read_bytes() == (result.best / name).read_bytes()
    assert "training goes on, and it is tried again" in caplog.text
    assert "not delivered" not in caplog.text


def test_a_resumed_run_goes_on_with_its_own_and_doubles_nothing(server, config_file, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    words = [str(config_file), "train.trackers=[{name: mlflow, experiment: resumed}]"]
    assert train.main([*words, "train.epochs=1"]) == 0
    before = the_run(server, "resumed")[1].info.run_id
    assert train.main([*words, "train.epochs=2", "--resume"]) == 0

    client, run = the_run(server, "resumed")
    assert run.info.run_id == before and run.info.status == "FINISHED"
    arrived = received(client, before)
    assert {step for key, step, _ in arrived if key == "train/loss"} == set(range(1, 11))
    assert len({(key, step) for key, step, _ in arrived}) == len(arrived)
    assert run.data.params["train.epochs"] == "1" and run.data.tags["now/train.epochs"] == "2"


def test_ten_thousand_labels_and_odd_names_are_taken(server, tmp_path):
    names = {f"label {n} ü (x)": f"{n}%" for n in range(10_000)}
    tracker = MLflow(server.uri, "many labels")
    settings = {"train.renamed_labels": names, "name": "many"} | {f"data.key{n}": n for n in range(250)}
    for _ in range(2):  # the first one's answer may have been lost
        tracker.open(TrackedRun(tmp_path, "many", settings, "0123456789abcdef"))
    tracker.scalars([Scalars(1, 5.0, {f"AP/{name}": 1.0 for name in list(names)[:1500]} | {"../x//50%": 2.0})])
    tracker.close(finished=False)
    _, run = the_run(server, "many labels")
    assert run.info.status == "KILLED"
    assert len(run.data.metrics) == 1501 and run.data.metrics["AP/label 7 ü -28-x-29-"] == 1.0
    assert len(run.data.params) == 252 and run.data.params["train.renamed_labels"].endswith("(whole in config.yaml)")


def test_names_and_values_are_made_fit_and_stay_apart():
    names = ["train/loss", "a b-c_d.e", "50%", "50‰", "a:b", "(x)", "../x", "", "a//b", "/", "é", "a\nb"]
    keys = [metric_key(name) for name in names]
    assert keys[:2] == names[:2] and len(set(keys)) == len(names)
    assert metric_key("cat (black)") == "cat -28-black-29-" and metric_key("../x") == "_../x"
    long = [metric_key("x" * 300 + end) for end in "ab"]
    assert all(len(key) <= KEY for key in long) and long[0] != long[1]
    assert parameter(None) == "null" and parameter([1, "ü"]) == '[1, "ü"]' and parameter("x") == "x"
    assert len(parameter(["label"] * 10_000)) == VALUE and math.isfinite(float(parameter(1e-5)))


def test_without_a_server_named_it_says_how(config_file, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert train.main([str(config_file), "train.trackers=[mlflow]"]) == 2
    said = capsys.readouterr().err
    assert "train.trackers: mlflow: it needs a server: {name: mlflow, uri: http://HOST:5000}" in said
