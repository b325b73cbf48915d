"""Models by their name on the hub, from a cache without a network, and what is uploaded, without uploading it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mlcfast import evaluate, export, predict
from mlcfast.errors import UsageError
from mlcfast.models.card import ModelCard, load_card, save_model
from mlcfast.models.loading import find_weights
from mlcfast.models.trained import load_trained
from tests.conftest import write_colour_set
from tests.test_export import MODELS, save_random

huggingface_hub = pytest.importorskip("huggingface_hub")

from mlcfast.models.hub import PretrainedModel, read_hub_name  # noqa: E402  needs huggingface_hub
from mlcfast.models.hub_front import About  # noqa: E402  as above

MAIN, OLD = "0123456789abcdef0123456789abcdef01234567", "fedcba9876543210fedcba9876543210fedcba98"


@pytest.fixture
def best(tmp_path) -> Path:
    """A trained model of three colours."""
    return save_random(tmp_path / "best", **MODELS["resnet"])


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of huggingface_hub, which is told that there is no network."""
    place = tmp_path / "cache"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(place))
    return place


def put(cache: Path, name: str, directory: Path, commit: str = MAIN, branch: str = "main") -> Path:
    """A directory as a commit of a repository in the cache: a snapshot of links to blobs, and a reference to it."""
    place = cache / f"models--{name.replace('/', '--')}"
    snapshot = place / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(directory.iterdir())):
        blob = place / "blobs" / f"{commit}{number}"
        blob.parent.mkdir(exist_ok=True)
        shutil.copy(file, blob)
        (snapshot / file.name).symlink_to(blob)
    (place / "refs").mkdir(exist_ok=True)
    (place / "refs" / branch).write_text(commit)
    return snapshot


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", ["user/name", "hf://user/name"])
def test_a_name_loads_what_is_in_the_cache(best, cache, name):
    put(cache, "user/name", best)
    model = PretrainedModel.from_pretrained(name)
    expected, card = load_trained(best)
    assert same(model, expected) and model.card == card and not model.training
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(images), expected(images))


@pytest.mark.parametrize(
    ("name", "options"), [("user/name@v1", {}), ("user/name", {"revision": "v1"}), (f"user/name@{OLD}", {})]
)
def test_a_revision_is_another_model(best, cache, tmp_path, name, options):
    older = save_random(tmp_path / "older", **MODELS["resnet_linear"])
    put(cache, "user/name", best)
    put(cache, "user/name", older, OLD, "v1")
    assert same(PretrainedModel.from_pretrained(name, **options), load_trained(older)[0])


def test_a_path_that_exists_wins(best, cache, tmp_path, monkeypatch):
    other = save_random(tmp_path / "user" / "name", **MODELS["resnet_linear"])
    put(cache, "user/name", best)
    monkeypatch.chdir(tmp_path)
    assert same(PretrainedModel.from_pretrained("user/name"), load_trained(other)[0])
    assert same(PretrainedModel.from_pretrained("hf://user/name"), load_trained(best)[0])
    assert same(PretrainedModel.from_pretrained(best), load_trained(best)[0])


@pytest.mark.parametrize("missing", ["model.json", "model.safetensors"])
def test_a_file_that_is_missing_is_one_line(best, cache, missing):
    (best / missing).unlink()
    put(cache, "user/name", best)
    with pytest.raises(UsageError, match=r"^hf://user/name: not in the cache, and the hub cannot be reached"):
        PretrainedModel.from_pretrained("user/name")


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (404, "RepoNotFound", "no such model, or one for which to log in: `hf auth login`"),
        (404, "RevisionNotFound", "has no revision v9"),
        (404, "EntryNotFound", "no model of mlcfast: it lacks model.json or model.safetensors"),
        (503, "", "503"),
    ],
)
def test_what_the_hub_answers_is_one_line(cache, monkeypatch, status, code, says):
    """Its answers as huggingface_hub makes errors of them, by their status and the header that names the reason."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import hf_raise_for_status

    http = __import__(HfHubHTTPError.__mro__[1].__module__.partition(".")[0])  # the client that this version uses

    def answer(*_, **__):
        request = http.Request("GET", "https://huggingface.co/api/models/user/name/resolve/v9/model.json")
        hf_raise_for_status(http.Response(status, headers={"X-Error-Code": code}, request=request))

    monkeypatch.setattr("mlcfast.models.hub.hf_hub_download", answer)
    with pytest.raises(UsageError) as raised:
        PretrainedModel.from_pretrained("user/name@v9")
    assert str(raised.value).startswith("hf://user/name: ") and says in str(raised.value)


@pytest.mark.parametrize("text", ["name", "a/b/c", "a/b@", "a b/c", "", "a/b@v 1"])
def test_what_is_no_name_is_refused(text):
    with pytest.raises(UsageError, match="USER/NAME"):
        read_hub_name(text)


@pytest.mark.parametrize("key", ["head", "backbone"])
def test_code_is_not_run_from_the_hub(best, cache, key):
    _, card = load_trained(best)
    save_model(best, load_trained(best)[0].state_dict(), replace(card, model=card.model | {key: "shutil:rmtree"}))
    put(cache, "user/name", best)
    with pytest.raises(UsageError, match=rf"its model\.{key} is the code shutil:rmtree, which is not run"):
        PretrainedModel.from_pretrained("user/name")


def test_code_that_the_cards_configuration_names_is_not_run_from_the_hub(best, cache, tmp_path, capsys):
    """`evaluate` takes the model from there where its own configuration has none."""
    model, card = load_trained(best)
    named = {"model": {**card.model, "backbone": "shutil:rmtree"}}
    save_model(best, model.state_dict(), replace(card, config=named))
    put(cache, "user/name", best)
    (tmp_path / "data.yaml").write_text("data: {train: a.csv, val: b.csv}\n")
    assert evaluate.main([str(tmp_path / "data.yaml"), "--checkpoint", "hf://user/name"]) == 2
    assert "its model.backbone is the code shutil:rmtree, which is not run" in capsys.readouterr().err


def test_a_card_sets_nothing_of_the_data_but_the_input(best):
    _, card = load_trained(best)
    save_model(
        best, load_trained(best)[0].state_dict(), replace(card, preprocessing=card.preprocessing | {"format": "a:b"})
    )
    with pytest.raises(
        UsageError, match=r"model.json: not a model card: preprocessing has format beside image_size, mean"
    ):
        load_card(best)


def test_a_local_directory_is_of_no_commit(best, cache, tmp_path, monkeypatch):
    asked = []

    def fetched(repository, file, revision=None, local_dir=None):
        asked.append(revision)
        return str(best / file)

    monkeypatch.setattr("mlcfast.models.hub.hf_hub_download", fetched)
    PretrainedModel.from_pretrained("user/name@v1", local_dir=best)
    assert asked == ["v1", "v1"]


@pytest.mark.parametrize("path", ["/missing", "../missing", "~/missing", "a b/missing"])
def test_what_cannot_be_on_the_hub_is_not_called_a_name_of_it(path):
    with pytest.raises(UsageError, match=r"holds one\)$"):
        find_weights(Path(path))


def test_damage_in_the_cache_is_named(best, cache):
    snapshot = put(cache, "user/name", best)
    blob = (snapshot / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x01")
    with pytest.raises(UsageError, match=r"model\.safetensors: damaged"):
        PretrainedModel.from_pretrained("user/name")


def test_the_commands_take_a_name(best, cache, tmp_path, capsys):
    write_colour_set(tmp_path, val=6)
    put(cache, "user/name", best)
    image = str(tmp_path / "val0.jpg")
    (tmp_path / "c.yaml").write_text(
        f"name: c\ndata: {{root: {tmp_path}, format: csv, train: val.csv, val: val.csv}}\n"
    )
    answers = []
    for name in (str(best), "hf://user/name"):
        capsys.readouterr()
        assert predict.main([name, image, "--top-k", "3", "--json"]) == 0
        answers.append([capsys.readouterr().out])
        assert evaluate.main([str(tmp_path / "c.yaml"), "--checkpoint", name, "--json"]) == 0
        answers[-1].append(json.loads(capsys.readouterr().out)["per_label"])
    assert answers[0] == answers[1]
    words = ["--checkpoint", "hf://user/name", "--thresholds", "f1", "--write"]
    assert evaluate.main([str(tmp_path / "c.yaml"), *words]) == 2
    assert "--write: hf:/user/name is of the hub" in capsys.readouterr().err
    assert predict.main(["hf://user/none", image]) == 2
    assert capsys.readouterr().err.startswith("error: hf://user/none: not in the cache")
    assert predict.main(["user/none", image]) == 2
    assert capsys.readouterr().err.endswith("holds one); on the hub hf://user/none\n")


def test_what_is_uploaded_is_what_export_writes(best, tmp_path, monkeypatch):
    """Two methods of HfApi stand in for the hub: create_repo, and upload_folder, which keeps what it is given."""
    pushed = tmp_path / "pushed"

    def upload(self, *, folder_path, repo_id, **options):
        shutil.copytree(folder_path, pushed)
        return f"https://huggingface.co/{repo_id}/commit/{options['revision']}"

    made = []
    monkeypatch.setattr(
        huggingface_hub.HfApi, "create_repo", lambda self, repo_id, **options: made.append(options) or
        huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")
    )  # fmt: skip
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload)
    model, card = load_trained(best)
    save_model(best, model.state_dict(), replace(card, config={"output": "/home/alice/runs"}))
    given = PretrainedModel.from_pretrained(best, about=About("", license="mit"))
    assert given.push_to_hub("user/name", private=True, branch="v2") == "https://huggingface.co/user/name/commit/v2"
    assert made == [{"private": True, "exist_ok": True}]
    assert export.main([str(best), str(tmp_path / "user/name"), "--format", "hub", "--license", "mit"]) == 0
    for file in (tmp_path / "user" / "name").iterdir():
        expected = file.read_bytes()
        if file.name == "README.md":  # which knows the whole name here
            readme = (pushed / file.name).read_text(encoding="utf-8")
            assert 'from_pretrained("user/name")' in readme and "- name: user/name" in readme
            expected = readme.replace("user/name", "name").encode()
            assert expected.decode() == file.read_text(encoding="utf-8")
            continue
        assert (pushed / file.name).read_bytes() == expected, file.name
    assert not any(b"alice" in file.read_bytes() for file in pushed.iterdir())


def test_what_is_saved_loads_again(best, tmp_path):
    PretrainedModel.from_pretrained(best).save_pretrained(tmp_path / "saved")
    again = PretrainedModel.from_pretrained(tmp_path / "saved")
    assert same(again, load_trained(best)[0])
    assert isinstance(again.card, ModelCard) and again.card.labels == load_card(best).labels
    with pytest.raises(UsageError, match="must be new or empty"):
        again.save_pretrained(tmp_path / "saved")
