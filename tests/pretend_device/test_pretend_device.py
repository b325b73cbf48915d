"""Every command on a GPU that is not there, and faults that only a GPU shows, planted and caught."""

import csv
import inspect
import json
import shutil
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mlcfast import evaluate, export, features, predict, train
from mlcfast.api import Classifier
from mlcfast.config import load_config
from mlcfast.engine import Process, build_engine, compiling
from mlcfast.engine.compiling import COMPILED, EAGER, GRAPHS
from mlcfast.losses import build_loss
from mlcfast.losses.build import LOSSES
from mlcfast.report import __main__ as report
from mlcfast.training import trainer
from mlcfast.training.run import run
from tests.conftest import write_colour_set
from tests.engine.compile_trial import Stage
from tests.pretend_device import build_guard, pretend_device
from tests.pretend_device.waiting import NoWaiting
from tests.test_single_positive import feature_config  # noqa: F401  a fixture
from tests.test_train import events

ON_DEVICE = torch.device("cuda", 0)


@pytest.fixture(scope="module")
def guard(tmp_path_factory):
    if torch.cuda.is_available():
        pytest.skip("needs a machine without GPUs: the tests would pretend to another one")
    return build_guard(tmp_path_factory.mktemp("guard"))


@pytest.fixture
def device(guard):
    with pretend_device(guard):
        yield ON_DEVICE


def ended_well(status: int, capsys) -> str:
    """What the command printed; its errors if it failed."""
    said = capsys.readouterr()
    assert status == 0, said.err
    return said.out


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (lambda x, host: x.numpy(), "can't convert cuda:0 device type tensor to numpy"),
        (lambda x, host: np.asarray(x), "can't convert cuda:0 device type tensor to numpy"),
        (lambda x, host: x + host, "same device"),
        (lambda x, host: nn.Linear(4, 2)(x), "same device"),
        (lambda x, host: torch.cat([x, host]), "same device"),
        (lambda x, host: host[x.argmax(1)], "same device"),
        (lambda x, host: host.to(ON_DEVICE, non_blocking=True), "not pinned"),
        (lambda x, host: x.copy_(host, non_blocking=True), "not pinned"),
        (lambda x, host: x.to("cpu", non_blocking=True), "not pinned"),
        (lambda x, host: host.pin_memory().add(1).to(ON_DEVICE, non_blocking=True), "not pinned"),
    ],
)
def test_what_a_gpu_refuses_is_refused(device, fault, says):
    host = torch.arange(12.0).view(3, 4)
    with pytest.raises((TypeError, RuntimeError), match=says):
        fault(host.to(device), host)


def test_what_a_gpu_does_is_done(device):
    """Values, gradients, views and in-place operators are those of the host; a pinned copy may be asynchronous."""
    host = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    x = host.pin_memory().to(device, non_blocking=True).requires_grad_()
    theirs = host.clone().requires_grad_()
    for tensor in (x, theirs):
        y = (tensor * torch.tensor(2.0)).view(6, 5)[1:].clone()
        y[0] += torch.arange(5, device=y.device)
        (y.t().sigmoid() * y.mean()).sum().backward()
    assert x.device == device and x.grad.device == device and x.sum().item() == pytest.approx(host.sum().item())
    torch.testing.assert_close(x.grad.cpu(), theirs.grad)
    assert x[torch.tensor([1, 3])].tolist() == host[[1, 3]].tolist()  # indices of the host go along


def with_fault(function, old: str, new: str):
    """The function with its source changed, as it was before the fault was mended."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1
    scope = dict(vars(inspect.getmodule(function)))
    exec(source.replace(old, new), scope)
    return scope[function.__name__]


@pytest.mark.parametrize(
    ("owner", "name", "old", "new", "says"),
    [
        # configs/role_linear.yaml could not be evaluated: its labels are gathered on the GPU
        (trainer, "evaluate_weights_in_turn", "targets.cpu()", "targets", "can't convert cuda:0"),
        (Process, "place", "tensor.is_pinned()", "True", "not pinned"),
        (trainer.Trainer, "_step", "engine.to_device(*batch)", "batch", "same device"),
    ],
)
def test_a_fault_in_the_product_is_found(device, feature_config, monkeypatch, owner, name, old, new, says):  # noqa: F811
    function, room = getattr(owner, name), 1 << 40 if owner is trainer else 0  # whether the features fit the device
    monkeypatch.setattr(owner, name, with_fault(function, old, new))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (room, room))
    with pytest.raises((TypeError, RuntimeError), match=says):
        run(load_config(feature_config, ["train.epochs=1"]), Process())


def test_role_on_features(device, feature_config, tmp_path, capsys):  # noqa: F811
    """Trained, cut short, resumed, evaluated and reported; the last checkpoint is that of the whole run."""
    words = [str(feature_config), "train.checkpoint_every=5", "train.keep_checkpoints=9"]
    ended_well(train.main(words), capsys)
    whole, cut = tmp_path / "runs" / "linear", tmp_path / "cut" / "linear"
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / "checkpoints" / f"{20:08d}")
    (cut / "checkpoints" / "latest").write_text(f"{15:08d}")
    ended_well(train.main([*words, f"output={tmp_path / 'cut'}", "--resume"]), capsys)
    scores = [[event["mAP"] for event in events(directory, "evaluation")] for directory in (whole, cut)]
    assert scores[0] == scores[1] and len(scores[0]) == 2
    said = ended_well(evaluate.main([*words[:1], "--checkpoint", str(whole / "best"), "--json"]), capsys)
    assert json.loads(said)["images"] == 30
    ended_well(report.main([str(whole)]), capsys)
    assert np.load(whole / "best" / "estimates.npz")["logits"].shape == (80, 5)


@pytest.mark.parametrize("head", ["query2label", "ml_decoder"])
def test_heads_that_attend_on_images(device, config_file, colour_set, tmp_path, capsys, head):
    """Trained in bf16 with an average of the weights, resumed, evaluated, predicted with attention, exported."""
    words = [str(config_file), "engine.precision=bf16", "model.dropout=0.1", "data.workers=0", f"model.head={head}"]
    ended_well(train.main([*words, "train.epochs=1"]), capsys)
    ended_well(train.main([*words, "--resume"]), capsys)
    best = tmp_path / "runs" / "tiny" / "best"
    assert [event["epoch"] for event in events(best.parent, "evaluation")] == [0, 0, 1, 1]
    ended_well(evaluate.main([*words, "--checkpoint", str(best), "--errors", str(tmp_path / "errors.csv")]), capsys)
    pictures = ["--attention", str(tmp_path / "maps"), "--csv", str(tmp_path / "table.csv"), "--json"]
    rows = ended_well(predict.main([str(best), *(str(colour_set / f"val{n}.jpg") for n in (0, 1)), *pictures]), capsys)
    assert all(Path(row["attention"]).is_file() for row in json.loads(rows)) and len(json.loads(rows)) == 2
    with (tmp_path / "table.csv").open() as file:
        assert len(list(csv.reader(file))) == 3
    assert Classifier(best).scores([colour_set / "val0.jpg"]).shape == (1, 3)
    ended_well(export.main([str(best), str(tmp_path / "out"), "--format", "safetensors"]), capsys)
    ended_well(report.main([str(best.parent)]), capsys)


@pytest.mark.parametrize(("room", "form"), [(11 << 30, GRAPHS), (1 << 20, EAGER)], ids=["room", "no room"])
def test_a_form_is_chosen(device, config_file, monkeypatch, room, form):
    """By a made-up clock; one that leaves no room for the optimizer's state is none. The memory tried is given back."""
    emptied, stages = [], []

    def build(*arguments):
        engine = build_engine(*arguments)
        stages.append(Stage(engine.training_module.model, {EAGER: 100.0, COMPILED: 90.0, GRAPHS: 50.0}))
        monkeypatch.setattr(compiling, "execute_as", stages[-1].execute_as)
        monkeypatch.setattr(compiling, "_seconds", lambda device: stages[-1].clock())
        return engine

    monkeypatch.setattr("mlcfast.training.run.build_engine", build)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (room, 12 << 30))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(len(stages[-1].forms)))
    config = load_config(config_file, ["engine.compile=auto", "engine.micro_batch=8", "train.epochs=1"])
    run(config, Process())
    (event,) = events(config.run_directory, "compile")
    assert event["form"] == form and stages[-1].forms[-1] == form and emptied == [0, 1, 2, len(stages[-1].forms)]
    assert event["timings"][EAGER]["step"] == 100.0
    if form == EAGER:
        for name in (COMPILED, GRAPHS):
            assert event["timings"][name]["failure"].startswith("MemoryError: it takes 0.00 GiB with the optimizer's")


def test_features_and_a_linear_head_on_images(device, config_file, tmp_path, capsys):
    """Features written and trained on, and the same backbone trained with a linear head on ROLE's estimates."""
    out: Path = tmp_path / "out"
    ended_well(features.main([str(config_file), "--out", str(out)]), capsys)
    assert np.load(out / "val.csv" / "features.npy").shape == (13, 96)
    linear = ["model.head=linear", "engine.name=single", "train.epochs=1"]
    stored = ["data.format=features", f"data.root={out}", "model.backbone=none", "name=stored"]
    ended_well(train.main([str(config_file), *linear, *stored]), capsys)
    write_colour_set(tmp_path, at_least=1, train=20)
    role = ["loss={name: role, expected_positives: 1.5}", "optim.schedule=constant", "name=role"]
    single = ["data.labels=single_positive", f"data.root={tmp_path}", "data.val=null"]
    ended_well(train.main([str(config_file), *linear, *role, *single]), capsys)
    assert (tmp_path / "runs" / "role" / "best" / "estimates.npz").is_file()


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).any()),
        lambda x: x.cpu(),
        lambda x: x.tolist(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x * torch.tensor([1.0, 2.0], device=ON_DEVICE),
        lambda x: x.copy_(torch.zeros(3, 2)),
        lambda x: x.new_tensor(1.0),
        lambda x: torch.equal(x, x),
    ],
)
def test_what_waits_is_found(device, wait):
    x = torch.randn(3, 2).to(device)
    wait(x)
    with NoWaiting(), pytest.raises(RuntimeError, match="waits"):
        wait(x)


OPTIONS = {name: {} for name in LOSSES} | {"epr": {"expected_positives": 2.0}, "role": {"expected_positives": 2.0}}
WEIGHED = {"pos_weight": 3.0, "class_weight": "effective_num"}


@pytest.mark.parametrize(
    ("name", "options"), [*OPTIONS.items(), *((name, WEIGHED) for name in ("bce", "iun", "asymmetric", "poly"))]
)
def test_no_loss_waits_for_the_device(device, name, options):
    """Forward and backward in an epoch that is not plain, once its first call has looked at the label values."""
    loss, (B, K) = build_loss(name, **options), (6, 5)
    loss.begin_epoch(3, 8)
    loss.set_label_counts(torch.arange(1, K + 1), 10)
    random = torch.Generator().manual_seed(0)
    x, e = (torch.randn(B, K, generator=random).to(device).requires_grad_() for _ in range(2))
    z = torch.randint(-1, 2, (B, K), generator=random)
    labels, truth = z.to(device), (z > 0).to(device)
    loss(x, labels, e, truth)
    with NoWaiting():
        value = loss(x, labels, e, truth)
        value.backward()
        loss.new_positives()
    assert value.device == device and value.cpu().isfinite() and x.grad.cpu().isfinite().all()
