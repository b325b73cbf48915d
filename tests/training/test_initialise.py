"""A run that starts from one with other labels: what belongs to a label is found by its name."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mlcfast import evaluate, train
from mlcfast.config import load_config
from mlcfast.data.build import open_samples
from mlcfast.errors import UsageError
from mlcfast.losses import LabelEstimator
from mlcfast.models.weights import read_state_dict
from mlcfast.runs.directory import write_arrays
from mlcfast.training.build import make_training_module
from mlcfast.training.initialise import _copy_estimates, initialise_from_run, matching_rows


@pytest.mark.parametrize("head", ["query2label", "ml_decoder", "linear"])
def test_a_label_is_added_and_another_renamed(config_file, colour_set, tmp_path, caplog, head):
    """`red` stays, `green` is now `grass`, `new` is new, `blue` is left out; the order is another one."""
    caplog.set_level("INFO", "mlcfast")
    words = [f"model.head={head}", "train.epochs=1"]
    assert train.main([str(config_file), *words]) == 0
    best = tmp_path / "runs" / "tiny" / "best"
    held = read_state_dict(best / "model.safetensors")
    rows = [line.split(",") for line in (colour_set / "train.csv").read_text().splitlines()]
    (colour_set / "later.csv").write_text(
        "".join(f"{a},{c},{d},{b}\n" for a, b, c, d in [["image", "red", "grass", "new"], *rows[1:]])
    )
    config = load_config(config_file, [*words, "data.train=later.csv", "data.val=0.2"])
    records = open_samples(config).train
    assert records.names == ["grass", "new", "red"]
    module = make_training_module(config, records)
    fresh = {name: tensor.clone() for name, tensor in module.model.state_dict().items()}
    initialise_from_run(module, records, best, {"grass": "green"})
    now = module.model.state_dict()
    of_queries = {"fc.W": 1, "fc.b": 1, "query_embed.weight": 0}
    for name, axis in ({"fc.weight": 0, "fc.bias": 0} if head == "linear" else of_queries).items():
        rows_now, rows_held, rows_fresh = (each[name].movedim(axis, 0) for each in (now, held, fresh))
        assert torch.equal(rows_now[0], rows_held[1]) and torch.equal(rows_now[2], rows_held[0])
        assert torch.equal(rows_now[1], rows_fresh[1])
    other = next(name for name in held if name.startswith("backbone.") and held[name].is_floating_point())
    assert torch.equal(now[other], held[other])
    said = caplog.text
    assert "labels matched by name: 2 of 3 are taken over" in said
    assert "labels that are new, which start afresh: new" in said and "labels that are left out: blue" in said
    assert "if 'blue' is now called 'new': train.renamed_labels={new: blue}" in said


def test_what_judges_a_run_has_not_trained_the_one_that_it_starts_from(config_file, colour_set, tmp_path, capsys):
    words = [str(config_file), "train.epochs=1", "data.val=0.25"]
    assert train.main([*words, "name=first"]) == 0
    rows = [line.split(",") for line in (colour_set / "train.csv").read_text().splitlines()]
    added = [[*row, str(int(n % 3 == 0))] for n, row in enumerate(rows[1:])]
    lines = [",".join(row) for row in [[*rows[0], "new"], *added]]
    for file in ("later.csv", "judged.csv"):
        (colour_set / file).write_text("\n".join(lines) + "\n")
    first = tmp_path / "runs" / "first"
    words += ["data.train=later.csv", f"train.initialise_from={first}", "name=second"]
    assert train.main(words) == 0
    parts = [dict(csv.reader((tmp_path / "runs" / name / "split.csv").open())) for name in ("first", "second")]
    assert parts[0] == parts[1] and set(parts[0].values()) == {"split", "train", "val"}
    said = capsys.readouterr().err
    assert f"{len(rows) - 1} images keep the part that the earlier run gave them; of 0 others 0 validate" in said
    assert "figures of them flatter" not in said
    assert train.main([*words, "name=third", "data.val=judged.csv", "data.allow_overlap=true"]) == 0
    seen = sum(part == "train" for part in parts[0].values())
    told = f"{seen} of {len(rows) - 1} validation images trained the run that train.initialise_from names"
    assert told in capsys.readouterr().err


def test_a_run_judged_by_a_file_of_its_own_hands_its_parts_on_too(config_file, colour_set, tmp_path, capsys):
    """Its validation images, in one file with the others later, validate again."""
    rows, others = ((colour_set / f"{part}.csv").read_text().splitlines() for part in ("train", "val"))
    (colour_set / "merged.csv").write_text("\n".join([*rows, *others[1:]]) + "\n")
    assert train.main([str(config_file), "train.epochs=1", "name=first"]) == 0
    first = tmp_path / "runs" / "first"
    words = [str(config_file), "train.epochs=1", "data.train=merged.csv", "data.val=0.25", "name=second"]
    assert train.main([*words, f"train.initialise_from={first}"]) == 0
    parts = [dict(csv.reader((tmp_path / "runs" / name / "split.csv").open())) for name in ("first", "second")]
    assert parts[0] == parts[1] and set(parts[0].values()) == {"split", "train", "val"}
    capsys.readouterr()
    asked = [str(first / "config.yaml"), "--checkpoint", str(first / "best"), "data.val=0.5"]
    assert evaluate.main(asked) == 0  # the run divided nothing: a share of its training file is drawn by the seed
    assert f"of the {(len(rows) - 1) // 2} images trained the model" in capsys.readouterr().err


def test_images_of_two_folders_that_are_called_alike_are_not_taken_for_the_same(
    config_file, colour_set, tmp_path, capsys
):
    """Ids of folders begin in each part: none of these is said to have been trained on."""
    for part in ("train", "val", "more"):
        rows = (colour_set / "train.csv").read_text().splitlines()[1:17]
        for n, row in enumerate(rows):
            source = colour_set / row.split(",")[0]
            place = tmp_path / "parts" / part / ("cat", "dog")[n % 2] / f"{n}{source.suffix}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(source.read_bytes() + part.encode())
    words = ["data.format=folders", f"data.root={tmp_path / 'parts'}", "data.train=train", "data.val=val"]
    assert train.main([str(config_file), *words, "train.epochs=1", "name=first"]) == 0
    first = tmp_path / "runs" / "first"
    assert not (first / "split.csv").exists()
    for split in ("val", "more"):
        asked = [str(first / "config.yaml"), "--checkpoint", str(first / "best"), "--split", split]
        assert evaluate.main(asked) == 0
    again = [*words, "train.epochs=1", "name=second", f"train.initialise_from={first}"]
    assert train.main([str(config_file), *again]) == 0
    assert "trained the" not in capsys.readouterr().err


def test_another_backbone_is_named(config_file, tmp_path, capsys):
    assert train.main([str(config_file), "train.epochs=1"]) == 0
    words = [f"train.initialise_from={tmp_path / 'runs' / 'tiny'}", "name=other", "model.backbone=test_convnext"]
    assert train.main([str(config_file), *words]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith("; the backbone there is test_resnet, model.backbone is test_convnext")


def test_a_comparison_says_which_images_trained_one_of_the_two(config_file, tmp_path, capsys):
    words = [str(config_file), "train.epochs=1", "data.val=0.25"]
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert train.main([*words, f"name={name}", f"seed={seed}"]) == 0
    runs = tmp_path / "runs"
    for other, said in (("b", False), ("c", True)):
        capsys.readouterr()
        asked = [str(runs / "a" / "config.yaml"), "--checkpoint", str(runs / "a" / "best")]
        assert evaluate.main([*asked, "--against", str(runs / other / "best")]) == 0
        assert (f"images trained the model of {runs / other / 'best'}" in capsys.readouterr().err) == said


@pytest.mark.parametrize("before", [False, True])
def test_a_run_with_a_linear_layer_beside_its_decoder_and_one_without_hand_over(config_file, tmp_path, caplog, before):
    """In either direction, by train.initialise_from and as a file of weights; other labels make no difference."""
    caplog.set_level("INFO", "mlcfast")
    words = ["model.head=query2label", "train.epochs=1"]
    assert train.main([str(config_file), *words, f"model.auxiliary_linear={str(before).lower()}"]) == 0
    file = tmp_path / "runs" / "tiny" / "best" / "model.safetensors"
    held = read_state_dict(file)
    assert ("auxiliary.fc.weight" in held) == before
    words += [f"model.auxiliary_linear={str(not before).lower()}"]
    config = load_config(config_file, words)
    records = open_samples(config).train
    for handed in ("initialise_from", "renamed", "weights"):
        caplog.clear()
        if handed == "weights":
            module = make_training_module(load_config(config_file, [*words, f"model.weights={file}"]), records)
        else:
            module = make_training_module(config, records)
            now = replace(records, names=["rouge", *records.names[1:]]) if handed == "renamed" else records
            start = {n: t.clone() for n, t in module.model.state_dict().items() if n.startswith("auxiliary")}
            initialise_from_run(module, now, file.parent, {"rouge": records.names[0]} if handed == "renamed" else {})
            assert all(torch.equal(tensor, module.model.state_dict()[name]) for name, tensor in start.items())
        own = module.model.state_dict()
        shared = own.keys() & held.keys()
        assert "fc.W" in shared and all(torch.equal(own[name], held[name]) for name in shared)
        assert ("is left out" if before else "starts afresh") in caplog.text


def test_what_cannot_be_matched_is_said():
    with pytest.raises(
        UsageError, match=r"made for other labels than those of data\.train: none is shared, such as 'cat'"
    ):
        matching_rows(["cat", "dog"], ["owl"], {}, "x")
    with pytest.raises(UsageError, match=r"data\.train has no label 'owls': did you mean owl\?"):
        matching_rows(["cat"], ["owl"], {"owls": "cat"}, "x")
    with pytest.raises(UsageError, match=r"that run has no label 'cats': did you mean cat\?"):
        matching_rows(["cat"], ["owl"], {"owl": "cats"}, "x")


def test_label_estimates_are_matched_by_image_and_by_label(config_file, tmp_path):
    records = open_samples(load_config(config_file)).train.subset([0, 1])
    logits = torch.arange(6.0).reshape(2, 3).numpy()
    write_arrays(tmp_path / "estimates.npz", logits=logits, ids=records.image_ids[::-1], names=["red", "green", "blue"])
    estimator = LabelEstimator(2, 3, torch.zeros(2, 3), torch.Generator().manual_seed(0), sparse=False)
    before = estimator.table.detach().clone()
    _copy_estimates(estimator, records, tmp_path / "estimates.npz", [2, None, 0])
    assert estimator.table[:, 0].tolist() == [5, 2] and estimator.table[:, 2].tolist() == [3, 0]
    assert torch.equal(estimator.table[:, 1], before[:, 1])


def test_estimates_are_taken_over_as_probabilities_up_to_one_in_a_hundred_thousand(config_file, tmp_path):
    """ln 99,999 = 11.5129 is the logit of 1 - 1e-5; what is less certain keeps its value."""
    records = open_samples(load_config(config_file)).train.subset([0, 1])
    logits = np.array([[-30.0, 11.5, 0.25], [20.0, -11.52, -11.51]], np.float32)
    write_arrays(tmp_path / "estimates.npz", logits=logits, ids=records.image_ids, names=["red", "green", "blue"])
    estimator = LabelEstimator(2, 3, torch.zeros(2, 3), sparse=False)
    _copy_estimates(estimator, records, tmp_path / "estimates.npz", [0, 1, 2])
    largest = math.log(99_999)
    expected = torch.tensor([[-largest, 11.5, 0.25], [largest, -largest, -11.51]])
    assert torch.allclose(estimator.table, expected, rtol=0, atol=1e-5)
