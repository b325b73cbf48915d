"""Uncertain labels taken as soft ones: what is read, what a loss is given, what metrics and inspect make of them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from mlcfast import inspect
from mlcfast.config import Config, DataConfig
from mlcfast.data import labels as tables
from mlcfast.data.build import evaluation_loader, open_samples, train_loader
from mlcfast.data.label_rows import LabelRows
from mlcfast.data.labels import SparseLabels, from_entries, hard_states, holds_soft, lacking, soft_code
from mlcfast.data.readers.probabilities import write_probabilities
from mlcfast.data.readers.recognise import read_labels
from mlcfast.data.readers.source import TableOptions
from mlcfast.engine import Process
from mlcfast.errors import UsageError
from mlcfast.evaluation.gather import evaluate_loader
from mlcfast.losses import build_loss
from mlcfast.training.build import make_training_module

TABLE = "image,Edema,Fracture\na.png,-1,-1\nb.png,0,\nc.png,1,0\nd.png,,1\na.png,0,\n"


@pytest.fixture
def root(tmp_path):
    for name in "abcd":
        Image.new("RGB", (8, 8), "red").save(tmp_path / f"{name}.png")
    (tmp_path / "t.csv").write_text(TABLE)
    return tmp_path


def config_of(root, loss: str = "iu", **data) -> Config:
    data = {"format": "csv", "root": str(root), "train": "t.csv", "val": "t.csv", "allow_overlap": True, **data}
    return Config.model_validate(
        {
            "name": "soft",
            "data": {**data, "image_size": 8, "workers": 0, "augment": "none"},
            "model": {"head": "linear", "backbone": "resnet18", "weights": "none"},
            "loss": {"name": loss},
            "engine": {"micro_batch": 4, "global_batch": 4},
        }
    )


def test_a_number_or_one_by_label_is_read(root):
    half = read_labels(root / "t.csv", TableOptions(uncertain=0.5))
    assert half.states.tolist() == [[51, 51], [-1, 0], [1, -1], [0, 1]]  # the row that names a.png again is merged
    assert "taken as 0.5" in " ".join(half.assumptions)
    both = read_labels(root / "t.csv", TableOptions(uncertain={"Edema": 0.29, "Fracture": "positive"}))
    assert both.states[0].tolist() == [30, 1]
    assert "0.29 for Edema, positive for Fracture" in " ".join(both.assumptions)


@pytest.mark.parametrize("value", [0.705, 1.0, 0.0, 1.5, -0.3, 1, "0.7x", True, {"Edema": 2}, None])
def test_what_is_no_policy_is_refused(value):
    with pytest.raises(ValueError, match=r"unknown, positive, negative or 0\.01 to 0\.99 in hundredths"):
        DataConfig(format="csv", root="x", uncertain=value)
    assert DataConfig(format="csv", root="x", uncertain={"a": 0.29, "b": "unknown"}).uncertain["a"] == 0.29


def test_every_hundredth_is_kept_and_nothing_between():
    values = [number / 100 for number in range(1, 100)]
    codes = [soft_code(value) for value in values]
    assert codes == list(range(2, 101))
    rows = LabelRows(np.array([codes, [1, 0, -1] * 33], np.int8))(torch.tensor([1, 0]))
    assert rows.dtype == torch.float32 and rows[0, :3].tolist() == [1, 0, -1]
    assert torch.allclose(rows[1], torch.tensor(values), atol=1e-7)
    for value in (0.005, 0.995, 0.123):
        with pytest.raises(ValueError, match="hundredths"):
            soft_code(value)
    assert hard_states(rows.numpy())[1].tolist() == [0] * 99


def test_a_sparse_table_holds_them(monkeypatch):
    monkeypatch.setattr(tables, "DENSE_ENTRIES", 0)
    table = from_entries(np.array([0, 3]), np.array([2, 9]), (50, 40), np.array([71, 1]))
    assert isinstance(table, SparseLabels) and holds_soft(table) and not holds_soft(table[3:5])
    rows = LabelRows(table)(torch.tensor([3, 0]))
    assert rows[1, 2] == pytest.approx(0.7) and rows[0, 9] == 1 and rows[0, 0] == -1
    for labels in (table, table.dense()):
        assert np.flatnonzero(~lacking(labels, 1)).tolist() == [0, 3] and (~lacking(labels, 0)).nonzero()[
            0
        ].tolist() == [2, 9]
    assert not LabelRows(table[1:]).soft and LabelRows(table[1:])(torch.tensor([0])).dtype == torch.int8


@pytest.mark.parametrize("name", ["bce", "an", "iu", "asymmetric"])
def test_the_loss_is_that_share_of_present_and_the_rest_of_absent(name):
    """Of asymmetric without its focal weights, with which a soft label has a weight of its own."""
    options = {"gamma_neg": 0, "gamma_pos": 0, "clip": 0} if name == "asymmetric" else {}
    loss = build_loss(name, reduction="none", **options)
    loss.soft_labels = True
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    soft = torch.full((6, 5), 0.7, dtype=torch.float64)
    ones = torch.ones_like(soft)
    assert torch.allclose(loss(logits, soft), 0.7 * loss(logits, ones) + 0.3 * loss(logits, -ones), rtol=1e-12)


def test_iu_on_floats_is_iu_on_whole_numbers():
    random = torch.Generator().manual_seed(1)
    logits = torch.randn(7, 9, generator=random)
    labels = torch.randint(-1, 2, (7, 9), generator=random)
    for options in ({}, {"reduction": "sum"}, {"pos_weight": 3.0, "class_weight": 0.5}):
        loss = build_loss("iu", **options)
        loss.soft_labels = True
        assert torch.allclose(loss(logits, labels.float()), loss(logits, labels), rtol=1e-6)


def test_a_run_trains_on_them_and_evaluates_without(root):
    config = config_of(root, uncertain=0.7)
    samples = open_samples(config)
    module = make_training_module(config, samples.train)
    images, labels, index = next(iter(train_loader(config, samples.train, Process())))
    assert labels[index == 0].tolist() == [pytest.approx([0.7, 0.7])]
    assert torch.isfinite(module(images, labels, index))

    class Model:
        def predict(self, images):
            return torch.full((len(images), 2), 0.5)

    loader = evaluation_loader(config, samples.validation, Process())
    result = evaluate_loader(Model(), loader, samples.train.names, "", quiet=True)
    assert result.labels.tolist() == [[0, 0], [-1, 0], [1, -1], [0, 1]] and result.report["unknown"] == 4


def test_a_loss_without_soft_labels_says_so_before_training(root):
    config = config_of(root, loss="role", uncertain={"Edema": 0.7})
    with pytest.raises(UsageError, match=r"loss.name role knows no soft labels, which data\.uncertain or a model"):
        make_training_module(config, open_samples(config).train)


def test_inspect_says_it(root, capsys):
    assert inspect.main([str(root / "t.csv"), "--json", "--uncertain", "Edema=0.7,Fracture=negative"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert any("0.7 for Edema, negative for Fracture" in line for line in about["assumptions"])
    assert about["unknown"] == {"Edema": 2, "Fracture": 1} and about["positives"] == {"Edema": 1, "Fracture": 1}
    for wrong in ("0.705", "perhaps", "Edema=0.7,0.3"):
        with pytest.raises(SystemExit) as ended:
            inspect.main([str(root / "t.csv"), "--uncertain", wrong])
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert "error" in said and said.count("\n") <= 2, said


def probabilities(root, **changes) -> None:
    scores = np.array([[0.004, 0.5], [0.994, 0.996], [0.126, 1.0], [0.0, 0.25]], np.float32)
    arrays = {"images": [f"{name}.png" for name in "abcd"], "labels": ["Edema", "Fracture"], "probabilities": scores}
    np.savez(root / "soft.npz", **{name: np.array(value) for name, value in (arrays | changes).items()})


def test_a_models_probabilities_are_labels_in_hundredths(root):
    write_probabilities(root / "soft.npz", [str(root / "a.png"), str(root / "b.png")], ["x;y", "ä"], np.eye(2) * 0.7)
    with np.load(root / "soft.npz") as held:
        assert held["images"].tolist() == ["a.png", "b.png"] and held["probabilities"].dtype == np.float16
    source = read_labels(root / "soft.npz", TableOptions())
    assert source.names == ["x;y", "ä"] and source.states.tolist() == [[71, -1], [-1, 71]]
    probabilities(root)
    source = read_labels(root / "soft.npz", TableOptions())
    assert source.states.tolist() == [[-1, 51], [100, 1], [14, 1], [-1, 26]] and source.format == "probabilities"


def test_a_run_learns_from_them(root):
    """Validated on a table of hard labels; the student's labels are in the teacher's order."""
    probabilities(root)
    (root / "hard.csv").write_text("image,Fracture,Edema\na.png,1,0\nb.png,0,1\n")
    config = config_of(root, "bce", train="soft.npz", val="hard.csv", format="auto")
    samples = open_samples(config)
    assert samples.validation.labels.tolist() == [[0, 1], [1, 0]]
    module = make_training_module(config, samples.train)
    images, labels, index = next(iter(train_loader(config, samples.train, Process())))
    assert labels[index == 0].tolist() == [pytest.approx([0.0, 0.5])]
    assert torch.isfinite(module(images, labels, index))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"probabilities": np.full((4, 2), 1.5)}, "'Edema' of 'a.png' is 1.5: no probability"),
        ({"probabilities": np.full((4, 2), np.nan)}, "is nan: no probability"),
        ({"probabilities": np.ones((4, 3))}, r"of the shape \(4, 2\), not \(4, 3\)"),
        ({"probabilities": np.ones((4, 2), int)}, "must be floating"),
        ({"labels": np.array(["a", None])}, "soft.npz"),  # which only a pickle could hold
    ],
)
def test_what_are_no_probabilities_is_refused(root, changes, says):
    probabilities(root, **changes)
    with pytest.raises(UsageError, match=says):
        read_labels(root / "soft.npz", TableOptions())
    np.savez(root / "other.npz", scores=np.ones(3))
    with pytest.raises(UsageError, match=r"other\.npz: has no array 'images'"):
        read_labels(root / "other.npz", TableOptions())
