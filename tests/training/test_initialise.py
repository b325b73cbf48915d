"""A run that starts from one with other labels: what belongs to a label is found by its name."""

from dataclasses import replace

import pytest
import torch

from mlcfast import train
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
