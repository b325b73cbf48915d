"""The published checkpoint layout, written here from the architectures' definitions and independent of the loader."""

import os
import re

import numpy as np
import pytest
import torch

from mlcfast.errors import UsageError
from mlcfast.models import PUBLISHED, build_model, load_published
from mlcfast.models.loading import fill, read_weights
from mlcfast.models.published import fill_published

MILLIONS = {
    "Q2L-R101-448": 194.4,
    "Q2L-R101-576": 194.7,
    "Q2L-TResL-448": 245.1,
    "Q2L-TResL_22k-448": 196.0,
    "Q2L-SwinL-384": 302.4,
    "Q2L-CvT_w24-384": 340.0,
}
WIDTH_AND_GRID = {
    "Q2L-R101-448": (2048, (14, 14)),
    "Q2L-R101-576": (2048, (18, 18)),
    "Q2L-TResL-448": (2432, (14, 14)),
    "Q2L-TResL_22k-448": (2048, (14, 14)),
    "Q2L-SwinL-384": (1536, (12, 12)),
    "Q2L-CvT_w24-384": (1024, (24, 24)),
}
# Small relatives of the four backbone families, of the same structure.
SMALL = {
    "resnet": ("resnet26", 64, {}),
    "tresnet": ("tresnet_m", 64, {"layers": [1, 1, 1, 1]}),
    "tresnet_v2": ("tresnet_v2_l", 64, {"layers": [1, 1, 1, 1]}),
    "swin": (
        "swin_tiny_patch4_window7_224",
        64,
        {"depths": (2, 2, 2, 2), "embed_dim": 24, "window_size": 4, "num_heads": (1, 2, 4, 8)},
    ),
    "cvt": ("cvt_13", 64, {}),
}


def meta_model(name):
    published = PUBLISHED[name]
    with torch.device("meta"):
        return build_model("query2label", published.backbone, 80, published.image_size, freeze="published")


def small_model(family, size=None):
    backbone, side, options = SMALL[family]
    side = size or side
    torch.manual_seed(0)
    model = build_model(
        "query2label", backbone, 5, side, feedforward=16, freeze="published", backbone_options=options
    ).eval()
    for name, buffer in model.named_buffers():
        if "running" in name or (name.endswith("weight") and "bn" in name):
            buffer.uniform_(0.5, 1.5)
    return model


def original_layout(model):
    """The model's state under the original implementation's names, with the buffers that it stores."""
    family = type(model.backbone.body).__name__
    width, (height, breadth) = model.embed_dim, model.grid
    state = {"backbone.1.pe": model.position.transpose(1, 2).reshape(1, width, height, breadth).clone()}
    for name, tensor in model.state_dict().items():
        if not name.startswith("backbone."):
            state[name] = tensor
        else:
            original, value = {
                "ResNet": resnet_entry,
                "TResNet": tresnet_entry,
                "SwinTransformer": swin_entry,
                "CvT": lambda name, tensor: ("backbone.0." + name, tensor),
            }[family](name.removeprefix("backbone.body."), tensor)
            if value is not None:
                state[original] = value
    if family == "SwinTransformer":
        for name, buffer in model.backbone.body.named_buffers():
            state["backbone.0." + name] = buffer
    return state


def resnet_entry(name, tensor):
    return "backbone.0.body." + name, tensor


def tresnet_entry(name, tensor):
    """Sequential(conv, ABN), inside another Sequential with the anti-aliasing where a block's stride is 2."""
    stage = re.match(r"body\.layer(\d)\.0\.(conv\d)\.", name)
    bottlenecks_from = 1 if tresnet_entry.v2 else 3
    strided = None
    if stage:
        strided = "conv2" if int(stage[1]) >= bottlenecks_from else "conv1"
    inner = "0." if stage and int(stage[1]) > 1 and stage[2] == strided else ""
    name = re.sub(r"(conv\d|downsample\.\d)\.conv\.", rf"\1.{inner}0.", name)
    if re.search(r"\.bn\.", name):
        if name.endswith("num_batches_tracked"):
            return name, None
        value = tensor - 1e-5 if name.endswith("weight") else tensor
        sign = (
            torch.where(torch.arange(len(tensor), device=tensor.device) % 2 == 0, 1.0, -1.0)
            if name.endswith("weight")
            else 1.0
        )
        return "backbone.0.body." + re.sub(r"(conv\d|downsample\.\d)\.bn\.", rf"\1.{inner}1.", name), value * sign
    return "backbone.0.body." + name, tensor


def swin_entry(name, tensor):
    name = re.sub(r"layers\.(\d)\.downsample", lambda match: f"layers.{int(match[1]) - 1}.downsample", name)
    return "backbone.0." + name, tensor


@pytest.fixture(params=SMALL)
def small(request):
    tresnet_entry.v2 = request.param == "tresnet_v2"
    return small_model(request.param)


@pytest.mark.parametrize("name", PUBLISHED)
def test_size_width_and_grid_of_the_published_models(name):
    model = meta_model(name)
    count = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    assert abs(count / 1e6 - MILLIONS[name]) < 0.06
    assert (model.embed_dim, model.grid) == WIDTH_AND_GRID[name]
    assert not model.input_proj.state_dict()


def test_original_layout_loads_and_gives_the_same_logits(small):
    state = original_layout(small)
    other = build_model_like(small)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = small(images)
        assert (other(images) - expected).abs().max() > 1e-2
        fill_published(other, state, "file")
        torch.testing.assert_close(other(images), expected, rtol=1e-4, atol=1e-5)


def build_model_like(small):
    other = small_model(next(family for family in SMALL if SMALL[family][0] == small_name(small)))
    for parameter in other.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return other


def small_name(small):
    body = type(small.backbone.body).__name__
    if body == "TResNet":
        return "tresnet_v2_l" if tresnet_entry.v2 else "tresnet_m"
    return {"ResNet": "resnet26", "SwinTransformer": "swin_tiny_patch4_window7_224", "CvT": "cvt_13"}[body]


def test_every_tensor_is_needed_and_none_may_be_added(small):
    state = original_layout(small)
    optional = ("num_batches_tracked", "relative_position_index", "attn_mask")
    required = [name for name in state if not name.endswith(optional)]
    for name in required[:: max(1, len(required) // 12)]:
        with pytest.raises(UsageError, match="1 missing"):
            fill_published(small, {key: tensor for key, tensor in state.items() if key != name}, "file")
        with pytest.raises(UsageError, match=r"of another shape|backbone.1.pe is|has no"):
            fill_published(small, state | {name: torch.zeros(*state[name].shape, 2)}, "file")
    with pytest.raises(UsageError, match=r"1 unexpected: backbone.body.other.weight"):
        fill_published(small, state | {"backbone.0.other.weight": torch.zeros(1)}, "file")
    with pytest.raises(UsageError, match=r"1 unexpected: input_proj.weight"):
        fill_published(small, state | {"input_proj.weight": torch.zeros(1)}, "file")


def test_a_swin_file_for_another_window_is_refused():
    model = small_model("swin")
    state = original_layout(model)
    name = next(name for name in state if name.endswith("relative_position_index"))
    with pytest.raises(UsageError, match="another window"):
        fill_published(model, state | {name: state[name] + 1}, "file")


def test_another_position_code_is_refused():
    model = small_model("resnet")
    state = original_layout(model)
    with pytest.raises(UsageError, match="another position code"):
        fill_published(model, state | {"backbone.1.pe": state["backbone.1.pe"] + 0.01}, "file")


def test_a_file_for_another_size_of_image_is_taken():
    """The position code follows the grid, so that nothing in the file belongs to a size."""
    one, other = small_model("resnet"), small_model("resnet", 128)
    assert one.grid != other.grid
    expected = other.position.clone()
    fill_published(other, original_layout(one), "file")
    assert torch.equal(other.position, expected)
    torch.testing.assert_close(other.query_embed.weight, one.query_embed.weight)


@pytest.mark.filterwarnings("ignore:.*non-meta parameter.*")
@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("Q2L-R101-448", 194.4),
        ("Q2L-TResL-448", 245.1),
        ("Q2L-TResL_22k-448", 196.0),
        ("Q2L-SwinL-384", 302.4),
        ("Q2L-CvT_w24-384", 340.0),
    ],
)
def test_published_parameter_counts_with_buffers(name, millions):
    published = PUBLISHED[name]
    with torch.device("meta"):
        model = build_model("query2label", published.backbone, 80, published.image_size, freeze="published")
    counted = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    assert counted / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize("name", PUBLISHED)
def test_names_of_the_full_models_are_a_bijection(name, monkeypatch):
    """On the meta device: every name of the original layout is consumed once and every parameter filled."""
    tresnet_entry.v2 = name == "Q2L-TResL_22k-448"
    model = meta_model(name)
    state = original_layout(model)
    monkeypatch.setattr("mlcfast.models.published._check_position", lambda *arguments: None)
    fill_published(model, state, "file")


@pytest.fixture
def tiny_published(monkeypatch):
    """A published name that stands for a small ResNet, so that whole files can be written and read."""
    published = PUBLISHED["Q2L-R101-448"]
    monkeypatch.setitem(PUBLISHED, "tiny", type(published)("resnet26", 64, 0.0))
    return small_model("resnet")


@pytest.mark.parametrize("key", ["state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_load_published(tmp_path, tiny_published, key, prefix):
    state = {prefix + name: tensor for name, tensor in original_layout(tiny_published).items()}
    torch.save({key: state, "epoch": 7, "best_mAP": np.float64(84.9)}, tmp_path / "checkpoint.pkl")
    model = load_published("tiny", tmp_path / "checkpoint.pkl")
    images = torch.randn(2, 3, 64, 64)
    assert not model.training and model.num_labels == 5
    assert model.preprocessing == {"image_size": 64, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    with torch.no_grad():
        torch.testing.assert_close(model(images), tiny_published(images))


def test_preprocessing_of_tresnet_has_no_normalisation():
    plain = {name for name, published in PUBLISHED.items() if published.normalisation == ((0, 0, 0), (1, 1, 1))}
    assert plain == {"Q2L-TResL-448", "Q2L-TResL_22k-448"}


class Command:
    """A pickle of it would make a directory when loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("damage", ["other", "truncated", "text", "code", "absent"])
def test_wrong_files_are_one_line_errors(tmp_path, tiny_published, damage):
    path = tmp_path / "checkpoint.pkl"
    other = small_model("cvt")
    contents = {"state_dict": original_layout(other if damage == "other" else tiny_published)}
    if damage == "code":
        contents["run"] = Command(tmp_path / "ran")
    torch.save(contents, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "text":
        path.write_text("weights, honestly")
    elif damage == "absent":
        path.unlink()
    with pytest.raises(UsageError) as raised:
        load_published("tiny", path)
    assert "\n" not in str(raised.value) and str(path) in str(raised.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("published", [False, True])
def test_evaluation_fills_either_layout(tmp_path, tiny_published, published):
    path = tmp_path / "checkpoint.pkl"
    torch.save({"state_dict": original_layout(tiny_published) if published else tiny_published.state_dict()}, path)
    model = build_model("query2label", "resnet26", 5, 64, feedforward=16).eval()  # BatchNorm not frozen
    fill(model, read_weights(path), path)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(images), tiny_published(images), rtol=1e-4, atol=1e-5)


def test_a_published_checkpoint_needs_a_query2label(tmp_path, tiny_published):
    path = tmp_path / "checkpoint.pkl"
    torch.save(original_layout(tiny_published), path)
    with pytest.raises(UsageError, match=r"checkpoint\.pkl: .* model\.head query2label"):
        fill(build_model("linear", "resnet26", 5, 64), read_weights(path), path)


def test_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match="Q2L-CvT_w24-384"):
        load_published("Q2L", tmp_path / "checkpoint.pkl")


@pytest.mark.parametrize("name", PUBLISHED)
def test_forward_at_published_size(name):
    published = PUBLISHED[name]
    model = build_model("query2label", published.backbone, 80, published.image_size, freeze="published").eval()
    with torch.inference_mode():
        logits = model(torch.randn(1, 3, published.image_size, published.image_size))
    assert logits.shape == (1, 80) and logits.isfinite().all()
