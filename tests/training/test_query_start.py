"""Label queries that begin with vectors of the user's."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mlcfast import train
from mlcfast.errors import UsageError
from mlcfast.models import build_model
from mlcfast.models.weights import read_state_dict
from mlcfast.training.query_start import fitted, read_vectors, start_queries

NAMES = ["red", "green/blue", "ein Apfel, rot"]


def model(width=16, **options):
    return build_model("query2label", "test_resnet", 3, 32, embed_dim=width, feedforward=8, **options)


@pytest.mark.parametrize(
    ("labels", "features", "width"), [(3, 5, 16), (40, 5, 16), (10, 64, 16), (17, 64, 16), (1, 8, 4)]
)
def test_distances_between_labels_are_kept(labels, features, width):
    vectors = torch.randn(labels, features, dtype=torch.float64) + 3
    queries = fitted(vectors, width, seed=0)
    assert queries.shape == (labels, width) and queries.square().mean().item() == pytest.approx(1, abs=1e-5)
    given, made = torch.cdist(vectors, vectors), torch.cdist(queries.double(), queries.double())
    if labels > 1:
        ratio = made.sum() / given.sum()
        assert torch.allclose(made, ratio * given, atol=1e-5 * ratio.item() * given.max().item())
    assert torch.equal(queries, fitted(vectors, width, seed=0))
    assert not torch.equal(queries, fitted(vectors, width, seed=1))


def test_of_too_many_dimensions_the_widest_are_kept():
    vectors = torch.randn(50, 30, dtype=torch.float64) * torch.linspace(10, 0.1, 30)
    queries = fitted(vectors, 8, seed=0).double()
    kept = torch.linalg.svdvals(queries) / torch.linalg.svdvals(queries)[0]
    widest = torch.linalg.svdvals(vectors - vectors.mean(0))[:8]
    assert torch.allclose(kept, widest / widest[0], atol=1e-5)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_vectors_are_found_by_name(tmp_path, suffix):
    vectors = {
        name: np.random.default_rng(n).normal(size=6).astype(np.float32) for n, name in enumerate([*NAMES, "more"])
    }
    file = tmp_path / f"vectors{suffix}"
    if suffix == ".npz":
        np.savez(file, **vectors)
    else:
        save_file({name: torch.from_numpy(vector) for name, vector in vectors.items()}, file)
    built, turned = model(), model()
    start_queries(built, NAMES, file, seed=0)
    start_queries(turned, NAMES[::-1], file, seed=0)
    expected = fitted(torch.stack([torch.from_numpy(vectors[name]).double() for name in NAMES]), 16, seed=0)
    assert torch.allclose(built.query_embed.weight, expected)
    a, b = built.query_embed.weight, turned.query_embed.weight.flip(0)
    assert torch.allclose(torch.cdist(a, a), torch.cdist(b, b), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"red": None}, r"no vector for 'red': did you mean reds\?"),
        ({"red": None, "green/blue": None}, "no vector for 'red' and 1 more"),
        ({"green/blue": np.zeros(4)}, r"'green/blue' is \(4,\), 'red' \(6,\)"),
        ({"red": np.zeros((2, 3))}, r"'red' is \(2, 3\)"),
        ({"red": np.full(6, np.nan)}, "'red' holds a number that is not finite"),
        ({}, "the vectors of all labels are alike"),
        ({"red": np.array(["a"])}, "cannot be read: could not convert string"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, says):
    vectors = {name: np.ones(6) for name in NAMES} | {"reds": np.ones(6)} | change
    np.savez(tmp_path / "v.npz", **{name: vector for name, vector in vectors.items() if vector is not None})
    with pytest.raises(UsageError, match=rf"model.query_start .*v.npz: .*{says}"):
        start_queries(model(), NAMES, tmp_path / "v.npz", seed=0)


@pytest.mark.parametrize("damage", ["compressed", "empty"])
def test_a_damaged_file_is_one_line(tmp_path, damage):
    file = tmp_path / "v.npz"
    np.savez_compressed(file, red=np.random.default_rng(0).normal(size=3000))
    held = file.read_bytes()
    file.write_bytes(held[:60] + bytes(200) + held[260:] if damage == "compressed" else b"")
    with pytest.raises(UsageError, match=r"model.query_start .*v.npz: cannot be read: "):
        read_vectors(file)


def test_heads_without_a_query_for_each_label_are_refused(tmp_path):
    linear = build_model("linear", "test_resnet", 3, 32)
    with pytest.raises(UsageError, match=r"model.head has no label queries; query2label and ml_decoder have"):
        start_queries(linear, NAMES, tmp_path / "v.npz", seed=0)
    with pytest.raises(UsageError, match=r"3 labels share 2 queries: give as many query_groups"):
        start_queries(model(query_groups=2), NAMES, tmp_path / "v.npz", seed=0)
    for name, content in (("v.npz", b"no zip"), ("v.npy", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=rf"model.query_start .*{name}: "):
            read_vectors(tmp_path / name)


def test_a_run_begins_with_them_and_resumes_without(config_file, tmp_path, capsys):
    file = tmp_path / "vectors.npz"
    words = [str(config_file), "train.epochs=1", "optim.lr=1e-12", f"model.query_start={file}"]
    assert train.main(words) == 2
    assert f"model.query_start {file}: there is no such file" in capsys.readouterr().err
    vectors = {name: np.eye(3)[n] for n, name in enumerate(("red", "green", "blue"))}
    np.savez(file, **vectors)
    assert train.main(words) == 0
    assert "label queries begin with the vectors of" in capsys.readouterr().err
    held = read_state_dict(tmp_path / "runs" / "tiny" / "best" / "model.safetensors")["query_embed.weight"]
    expected = torch.cdist(*[torch.stack([torch.from_numpy(vector) for vector in vectors.values()])] * 2)
    distances = torch.cdist(held, held).double()
    assert torch.allclose(distances / distances.max(), expected / expected.max(), atol=1e-3)
    file.unlink()
    assert train.main([*words, "train.epochs=2", "--resume"]) == 0
    best = tmp_path / "runs" / "tiny" / "best"
    assert train.main([*words, f"train.initialise_from={best}"]) == 2
    assert "train.initialise_from gives the queries already" in capsys.readouterr().err
