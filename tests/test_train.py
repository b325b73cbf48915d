"""The train and evaluate commands: what they leave, exact resumption, early stop, interruption."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from mlcfast import evaluate, train
from mlcfast.config import load_config
from mlcfast.data import LabelledImages
from mlcfast.engine import Process, load_checkpoint, save_checkpoint
from mlcfast.errors import RunError, UsageError
from mlcfast.evaluation import gather
from mlcfast.losses.asymmetric import AsymmetricLoss
from mlcfast.runs.directory import find_checkpoints
from mlcfast.training import trainer
from mlcfast.training.announce import labels_of_every_image, labels_without_positives
from mlcfast.training.run import run as run_training
from tests.conftest import COLOURS, copy_as_stopped, write_colour_set

NEWEST = "newest"  # of the run's own checkpoints


def run(config_file: Path, *overrides: str, resume: Path | None = None) -> float:
    config = load_config(config_file, overrides)
    return run_training(config, Process(), config.run_directory if resume == NEWEST else resume).best


def events(directory: Path, kind: str) -> list[dict]:
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == kind]


def without_time(lines: list[dict]) -> list[dict]:
    return [
        {k: v for k, v in line.items() if k not in ("time", "images_per_second", "host_peak_bytes")} for line in lines
    ]


def test_run_directory_holds_what_is_promised(config_file, tmp_path):
    best = run(config_file)
    directory = tmp_path / "runs" / "tiny"
    names = {entry.name for entry in directory.iterdir()}
    assert names == {
        "config.yaml",
        "log.txt",
        "metrics.jsonl",
        "summary.csv",
        "split.csv",
        "tensorboard",
        "checkpoints",
        "best",
        "result.png",
        "report.html",
        ".lock",
    }
    assert load_config(directory / "config.yaml") == load_config(config_file)
    picture = np.asarray(Image.open(directory / "result.png").convert("RGB"))
    assert picture.shape == (639, 1518, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 500
    card = json.loads((directory / "best" / "model.json").read_text())
    assert card["labels"] == ["red", "green", "blue"]
    assert card["weights"] in ("raw", "ema")
    assert card["metrics"]["mAP"] == best
    assert len(card["thresholds"]) == 3
    rows = (directory / "summary.csv").read_text().splitlines()
    assert len(rows) == 3
    assert rows[0].startswith("epoch,step,raw_mAP,")
    assert [line["step"] for line in events(directory, "train")] == list(range(1, 11))
    assert [p.name for p in sorted((directory / "checkpoints").iterdir())] == ["00000005", "00000010", "latest"]


def test_evaluate_gives_the_metrics_of_the_card(config_file, tmp_path, capsys):
    run(config_file)
    best = tmp_path / "runs" / "tiny" / "best"
    assert evaluate.main([str(config_file), "--checkpoint", str(best), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    whole = json.loads((best / "model.json").read_text())
    card, calibration = whole["metrics"], whole["calibration"]
    assert report["images"] == 13
    assert calibration == pytest.approx({name: report["reliability"][name] for name in calibration}, abs=1e-3)
    assert sorted(calibration) == ["error", "error_with_temperature", "temperature"]
    assert report["mAP"] == pytest.approx(card["mAP"], abs=1e-9)
    assert report["per_label"] == pytest.approx(card["per_label"], abs=1e-9)
    assert evaluate.main([str(config_file), "--checkpoint", str(best)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"mAP {card['mAP']:.2f}"


def test_evaluate_compares_two_models(config_file, tmp_path, capsys):
    """The second is of another architecture and input size, which its card tells; differences are first − second."""
    for words in ([], ["name=other", "model.head=linear", "data.image_size=48", "train.epochs=1", "seed=5"]):
        run(config_file, *words)
    first, second = (tmp_path / "runs" / name / "best" for name in ("tiny", "other"))
    words = [str(config_file), "--checkpoint", str(first), "--against", str(second)]
    assert evaluate.main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    cards = [json.loads((best / "model.json").read_text())["metrics"] for best in (first, second)]
    against = report["against"]
    for found, card in zip((report, against), cards, strict=True):
        assert found["mAP"] == pytest.approx(card["mAP"], abs=1e-9)
        assert found["per_label"] == pytest.approx(card["per_label"], abs=1e-9)
    differences = against["difference"]["per_label"] | {"mAP": against["difference"]["mAP"]}
    for name, difference in differences.items():
        expected = cards[0]["per_label"].get(name, cards[0]["mAP"]) - cards[1]["per_label"].get(name, cards[1]["mAP"])
        assert difference["value"] == pytest.approx(expected, abs=1e-9)
        assert difference["low"] <= difference["high"]
    assert evaluate.main([*words, "--picture", str(tmp_path / "both.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    with Image.open(tmp_path / "both.png") as picture:
        assert picture.width > 1000
    assert evaluate.main([*words, "--picture", str(tmp_path / "no" / "both.png")]) == 2
    assert evaluate.main([*words[:3], "--picture", str(tmp_path / "one.png")]) == 2
    assert "name the second with --against" in capsys.readouterr().err
    assert lines[:2] == [f"A  {first}/model.safetensors", f"B  {second}/model.safetensors"]
    assert sum(line.split()[0] in (*COLOURS, "mAP") for line in lines[3:7]) == 4
    assert lines[-1] == f"mAP {cards[0]['mAP']:.2f}"


@pytest.mark.parametrize(("stopped_at", "mix"), [(3, "none"), (5, "none"), (7, "none"), (7, "splicemix")])
def test_resumed_run_equals_the_uninterrupted_one(config_file, tmp_path, stopped_at, mix):
    """Steps 3 and 7 are in the middle of an epoch of 5, with two micro-batches a step, augmentation and dropout."""
    settings = ["train.checkpoint_every=1", "train.keep_checkpoints=20", f"data.mix={mix}"]
    run(config_file, *settings)
    whole = tmp_path / "runs" / "tiny"
    cut = tmp_path / "cut" / "tiny"
    copy_as_stopped(whole, cut, stopped_at)
    run(config_file, *settings, f"output={tmp_path / 'cut'}", resume=NEWEST)
    for kind in ("train", "evaluation"):
        assert without_time(events(cut, kind)) == without_time(events(whole, kind))
    for name in ("weights", "average", "moments"):
        a, b = (
            safetensors.torch.load_file(d / "checkpoints" / "00000010" / f"{name}.safetensors") for d in (whole, cut)
        )
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert (cut / "summary.csv").read_text() == (whole / "summary.csv").read_text()


def test_damaged_checkpoint_is_named(config_file, tmp_path):
    run(config_file)
    checkpoint = tmp_path / "runs" / "tiny" / "checkpoints" / "00000010"
    weights = checkpoint / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(RunError, match=r"00000010/weights\.safetensors: damaged"):
        run(config_file, resume=checkpoint)


def test_second_run_keeps_the_first(config_file, tmp_path):
    run(config_file, "train.epochs=1")
    first = (tmp_path / "runs" / "tiny" / "metrics.jsonl").read_text()
    run(config_file, "train.epochs=1")
    assert (tmp_path / "runs" / "tiny.1" / "metrics.jsonl").read_text() == first


def test_early_stop_counts_epochs_without_a_new_best(config_file, tmp_path, monkeypatch):
    values = iter([50.0, 60.0, 59.0, 58.0, 57.0, 99.0, 99.0, 99.0])
    original = gather.multilabel_report
    monkeypatch.setattr(gather, "multilabel_report", lambda *a: original(*a) | {"mAP": next(values)})
    best = run(config_file, "train.epochs=8", "train.early_stop=2", "train.ema_decay=0")
    assert best == 60.0
    assert len(events(tmp_path / "runs" / "tiny", "evaluation")) == 5


@pytest.mark.parametrize(
    ("raw_and_ema", "epochs"),
    [
        ([(50, 70), (55, 60), (56, 59), (50, 58), (50, 57), (50, 56)], 5),  # the raw weights are best in the third
        ([(60, 10), (50, 20), (50, 30), (50, 29), (50, 28)], 4),  # the average rises until the third
        ([(60, 50), (50, 40), (50, 40), (50, 40)], 3),
        ([(60, 50), (50, 50), (50, 50), (50, 50)], 3),  # as good as it ever was is no rise
    ],
)
def test_early_stop_waits_for_raw_weights_and_average(config_file, tmp_path, monkeypatch, raw_and_ema, epochs):
    values = iter(float(value) for pair in raw_and_ema for value in pair)
    original = gather.multilabel_report
    monkeypatch.setattr(gather, "multilabel_report", lambda *a: original(*a) | {"mAP": next(values)})
    best = run(config_file, "train.epochs=9", "train.early_stop=1", "train.ema_decay=0.9")
    assert best == max(max(pair) for pair in raw_and_ema)
    assert len(events(tmp_path / "runs" / "tiny", "evaluation")) == 2 * epochs


@pytest.mark.parametrize(("decay", "which"), [(0, "raw"), (0.9, "ema")])
def test_the_last_weights_are_kept_where_validation_does_not_choose(config_file, tmp_path, monkeypatch, decay, which):
    values = iter([90.0, 40.0, 50.0, 30.0] if decay else [90.0, 30.0])  # raw weights and average in turn
    original = gather.multilabel_report
    monkeypatch.setattr(gather, "multilabel_report", lambda *a: original(*a) | {"mAP": next(values)})
    words = ["train.epochs=2", "train.early_stop=1", f"train.ema_decay={decay}", "train.choose=last"]
    assert run(config_file, *words) == 30.0
    directory = tmp_path / "runs" / "tiny"
    card = json.loads((directory / "best" / "model.json").read_text())
    assert card["weights"] == which and card["metrics"]["mAP"] == 30.0
    assert card["step"] == events(directory, "evaluation")[-1]["step"]
    assert json.loads((directory / "best" / "outcome.json").read_text())["epoch"] == 2


def test_non_finite_gradient_leaves_the_weights_and_ends_the_run(config_file, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "SKIPS_IN_A_ROW", 4)
    monkeypatch.setattr("mlcfast.losses.asymmetric.AsymmetricLoss.forward", lambda self, x, y: x.sum() * float("nan"))
    with pytest.raises(
        RunError, match=r"not finite in 4 steps in a row, step 4 .*: lower optim.lr or set optim.grad_clip$"
    ):
        run(config_file)
    train_lines = events(tmp_path / "runs" / "tiny", "train")
    assert [line["skipped"] for line in train_lines] == [1, 2, 3, 4]
    assert train_lines[0]["loss"] is None


def test_one_bad_step_is_skipped_and_counted(config_file, tmp_path, monkeypatch):
    original, calls = AsymmetricLoss.forward, iter(range(1000))

    def poisoned(self, logits, labels):
        return original(self, logits, labels) * (float("inf") if next(calls) == 4 else 1.0)

    monkeypatch.setattr(AsymmetricLoss, "forward", poisoned)
    best = run(config_file)
    assert np.isfinite(best)
    assert [line["skipped"] for line in events(tmp_path / "runs" / "tiny", "train")] == [0, 0, 1, 1, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_trains(config_file, precision):
    assert run(config_file, f"engine.precision={precision}", "train.epochs=6", "optim.lr=3e-3") > 90


def test_activation_checkpointing_changes_nothing_but_memory(config_file, tmp_path):
    """The recomputed forward pass draws the same dropout and leaves BatchNorm's statistics alone."""
    weights = []
    for setting in ("none", "blocks"):
        run(config_file, f"engine.activation_checkpointing={setting}", "train.epochs=1")
        weights.append(
            safetensors.torch.load_file(tmp_path / "runs" / "tiny" / "checkpoints/00000005/weights.safetensors")
        )
    torch.testing.assert_close(weights[1], weights[0], rtol=0, atol=0)


def test_linear_head_takes_the_same_path(config_file, tmp_path):
    assert run(config_file, "model.head=linear", "train.epochs=9", "optim.lr=3e-3") > 90


@pytest.mark.parametrize("loss", ["role", "epr", "an_ls"])
def test_single_positive_labels_train(config_file, tmp_path, loss):
    """One observed label an image; a fifth of the training list validates; the estimator is part of the checkpoint."""
    write_colour_set(tmp_path, at_least=1, train=40)
    words = [f"data.root={tmp_path}", "data.labels=single_positive", f"loss={{name: {loss}}}", "train.epochs=2"]
    assert 0 < run(config_file, *words) <= 100
    directory = tmp_path / "runs" / "tiny"
    assert {line["images"] for line in events(directory, "evaluation")} == {8}
    tensors = safetensors.torch.load_file(next((directory / "checkpoints").glob("0*")) / "weights.safetensors")
    assert ("estimator.table" in tensors) == (loss == "role")


def snapshot(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.embed_dim=32", "do not fit this model"),
        ("train.epochs=1", "cannot resume at step 10: train.epochs ends the run at step 5"),
        ("engine.global_batch=20", "cannot resume with global_batch 20: the checkpoint was written with 8"),
        ("seed=3", "cannot resume with seed 3"),
    ],
)
def test_refused_resumption_touches_nothing(config_file, tmp_path, override, says):
    run(config_file)
    before = snapshot(tmp_path / "runs")
    with pytest.raises(UsageError, match=says):
        run(config_file, override, resume=NEWEST)
    assert snapshot(tmp_path / "runs") == before


def test_going_back_drops_the_abandoned_checkpoints(config_file, tmp_path):
    run(config_file)
    checkpoints = tmp_path / "runs" / "tiny" / "checkpoints"
    state, progress = load_checkpoint(checkpoints / "00000005")
    save_checkpoint(checkpoints, 6, state, progress, keep=1)
    assert sorted(entry.name for entry in checkpoints.iterdir()) == ["00000006", "latest"]
    assert find_checkpoints(tmp_path / "runs" / "tiny")[0] == checkpoints / "00000006"


def test_resume_takes_overrides_and_run_directories(config_file, tmp_path, capsys):
    run(config_file, "train.epochs=1")
    assert train.main([str(config_file), "--resume", "train.epochs=2"]) == 0
    assert train.main([str(config_file), "train.epochs=3", "--resume", str(tmp_path / "runs" / "tiny")]) == 0
    assert [line["step"] for line in events(tmp_path / "runs" / "tiny", "train")] == list(range(1, 16))


def test_labels_of_another_data_set_are_refused(config_file, tmp_path, colour_set, capsys):
    run(config_file, "train.epochs=1")
    rows = [line.split(",") for line in (colour_set / "val.csv").read_text().splitlines()]
    (colour_set / "swapped.csv").write_text("".join(f"{a},{c},{b},{d}\n" for a, b, c, d in rows))
    card = tmp_path / "runs" / "tiny" / "best"
    assert evaluate.main([str(config_file), "--checkpoint", str(card), "--split", "swapped.csv"]) == 0
    (colour_set / "other.csv").write_text("image,red,green,violet\nval0.jpg,1,0,0\n")
    assert evaluate.main([str(config_file), "--checkpoint", str(card), "--split", "other.csv"]) == 2
    assert "blue" in capsys.readouterr().err


def test_labels_of_every_image_are_named_before_training():
    labels = np.array([[1, 1, 0], [1, 0, 1], [1, 1, -1]], np.int8)
    records = LabelledImages(["a", "b", "c"], labels, ["always", "cat", "dog"], ["a", "b", "c"])
    assert labels_of_every_image("validation", records) == (
        "every validation image has these labels, which count as AP 100 in the mAP whatever the model says: always"
    )
    assert labels_of_every_image("training", records.subset([0, 2])).endswith("always there: always, cat")
    assert labels_of_every_image("test", records.with_names(["dog", "cat", "always"], "")).endswith(": always")
    assert labels_of_every_image("test", replace(records, labels=labels * np.int8([0, 1, 1]))) == ""


def test_labels_without_positives_are_named_before_training():
    train_labels, val_labels = np.array([[1, 0, 0], [1, 1, 0]], np.int8), np.array([[1, 0, 0]], np.int8)
    names = ["cat", "dog", "owl"]
    parts = [LabelledImages(["x"] * len(rows), rows, names, ["x"] * len(rows)) for rows in (train_labels, val_labels)]
    first, second = (labels_without_positives(*each) for each in zip(("training", "validation"), parts, strict=True))
    assert "no training image" in first and first.endswith("cannot learn: owl")
    assert "no validation image" in second and second.endswith("threshold 0.5: dog, owl")


def test_a_share_of_the_training_file_validates_and_stays_with_the_run(config_file, tmp_path, capsys, monkeypatch):
    """Interrupted and resumed, the run keeps its parts although the seed's draw has changed; evaluate finds them."""
    share = ["data.val=0.25", "train.epochs=2"]
    run(config_file, *share, "name=whole")
    whole, directory = tmp_path / "runs" / "whole", tmp_path / "runs" / "tiny"
    assert len(np.load(whole / "best" / "validation.npz")["labels"]) == 10
    run(config_file, *share, "train.epochs=1")
    monkeypatch.setattr("mlcfast.data.splits.stratified_split", lambda *_: (np.arange(30), np.arange(30, 40)))
    run(config_file, *share, resume=NEWEST)
    assert (directory / "split.csv").read_bytes() == (whole / "split.csv").read_bytes()
    for place in (whole, directory):
        words = [str(config_file), *share, "--checkpoint", str(place / "best"), "--json"]
        assert evaluate.main(words) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["images"] == 10
        assert report["mAP"] == pytest.approx(json.loads((place / "best" / "model.json").read_text())["metrics"]["mAP"])


def test_unknown_labels_are_left_out_of_what_a_run_reports(config_file, colour_set, tmp_path, capsys):
    rows = [line.split(",") for line in (colour_set / "val.csv").read_text().splitlines()]
    marked = [[row[0], *("-1" if cell == "0" else cell for cell in row[1:3]), "0"] for row in rows[1:]]
    marked[0][1] = marked[1][2] = "0"  # the first two unknown, blue in no image known
    (colour_set / "partial.csv").write_text("\n".join(",".join(row) for row in [rows[0], *marked]) + "\n")
    run(config_file, "data.val=partial.csv", "train.epochs=1")
    best = tmp_path / "runs" / "tiny" / "best"
    metrics = json.loads((best / "model.json").read_text())["metrics"]
    assert (metrics["unknown"], metrics["labels_without_positives"]) == (15, ["blue"])
    assert metrics["mAP"] == pytest.approx(metrics["mAP_present"] * 2 / 3)
    assert events(best.parent, "evaluation")[0]["unknown"] == 15
    words = [str(config_file), "--checkpoint", str(best), "--split", "partial.csv"]
    assert evaluate.main(words) == 0
    table = capsys.readouterr().out
    assert "15 of 39 entries are unknown and left out" in table and "0.00  no image has it" in table
    assert "mAP of the 2 labels that some image has" in table and "the other 1 count as 0 in the mAP" in table
    assert "unknown entries, left out</dt><dd>15<" in (best.parent / "report.html").read_text()
    assert evaluate.main([*words, "--against", str(best), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["against"]["difference"]["mAP"] == {"value": 0, "low": 0, "high": 0}
