"""Predicting in a program gives what the command gives, from paths, Pillow's images and arrays alike."""

import json

import numpy as np
import pytest
from PIL import Image

from mlcfast import predict, train
from mlcfast.api import Classifier, RunError, UsageError
from tests.conftest import write_colour_set


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run's best/ and the images it was validated on."""
    root = tmp_path_factory.mktemp("classifier")
    write_colour_set(root, train=24, val=40)
    words = ["name=tiny", f"output={root / 'runs'}", f"data.root={root}", "data.train=train.csv", "data.val=val.csv"]
    words += ["data.image_size=32", "data.workers=0", "model.backbone=test_resnet", "model.weights=none"]
    words += ["model.head=linear", "train.epochs=1", "engine.micro_batch=8", "engine.global_batch=8"]
    words += ["data.format=csv", "engine.precision=fp32"]
    (root / "empty.yaml").write_text("{}\n")
    assert train.main([str(root / "empty.yaml"), *words]) == 0
    return root / "runs" / "tiny" / "best", sorted(root.glob("val*.jpg"))


def test_it_says_what_the_command_says(trained, capsys):
    best, files = trained
    for options, words in (({}, []), ({"top_k": 2}, ["--top-k", "2"]), ({"threshold": 0.4}, ["--threshold", "0.4"])):
        assert predict.main([str(best), *map(str, files), "--json", *words]) == 0
        said = json.loads(capsys.readouterr().out)
        found = Classifier(best).predict(files, **options)
        assert len(found) == len(files) > 32  # more than a batch
        for row, labels in zip(said, found, strict=True):
            assert [label["name"] for label in row["labels"]] == [label.name for label in labels]
            assert [label["score"] for label in row["labels"]] == pytest.approx([x.score for x in labels], abs=1e-5)


def test_paths_images_and_arrays_are_the_same_pictures(trained, tmp_path):
    best, (file, other, *_) = trained
    classifier = Classifier(best.parent, "cpu")
    image = Image.open(file)
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(other).resize((40, 20)).save(turned, exif=exif)
    clear = Image.fromarray(np.dstack([np.asarray(image), np.full((32, 32), 90, np.uint8)]))
    clear.save(tmp_path / "clear.png")
    pictures = [file, str(file), image, np.asarray(image)]
    pictures += [turned, Image.open(turned), tmp_path / "clear.png", clear, image.convert("L")]
    scores = classifier.scores(pictures)
    assert scores.shape == (9, 3) and scores.dtype == np.float32
    for same in (slice(0, 4), slice(4, 6), slice(6, 8)):
        np.testing.assert_allclose(scores[same], np.broadcast_to(scores[same][:1], scores[same].shape), atol=1e-6)
    alone = classifier.predict(image, top_k=3)
    assert alone == classifier.predict([image], top_k=3)[0] and alone[0].score >= alone[1].score
    assert classifier.scores(file).shape == (1, 3) and classifier.predict([]) == []
    assert classifier.card.labels == classifier.labels == ["red", "green", "blue"] and not classifier.model.training


def test_what_is_no_picture_is_named(trained, tmp_path):
    best, files = trained
    classifier = Classifier(best)
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(RunError, match=r"bad\.jpg: not an image"):
        classifier.predict([files[0], tmp_path / "bad.jpg"])
    for wrong, says in (
        (np.zeros((8, 8, 3)), r"image 1: a ndarray float64 \(8, 8, 3\)"),
        (np.zeros((8, 8, 4), np.uint8), r"uint8 \(8, 8, 4\)"),
        (np.zeros((0, 8, 3), np.uint8), "image 1: it has no pixels"),
        (7, "image 1: a int; a PIL image"),
    ):
        with pytest.raises(UsageError, match=says):
            classifier.predict([files[0], wrong])
    with pytest.raises(RunError, match="a picture of mode F"):
        classifier.scores(Image.new("F", (8, 8)))


def test_what_labels_cannot_be_chosen_by_is_refused(trained):
    best, (file, *_) = trained
    classifier = Classifier(best)
    for threshold in (2, -0.1, float("nan"), "x", True):
        with pytest.raises(UsageError, match=rf"^threshold {threshold!r}: must be a number from 0 to 1"):
            classifier.predict(file, threshold=threshold)
    for top_k in (0, -1, 2.5, "x", True):
        with pytest.raises(UsageError, match=rf"^top_k {top_k!r}: must be a whole number of at least 1"):
            classifier.predict(file, top_k=top_k)
    assert len(classifier.predict(file, top_k=np.int64(2), threshold=np.float32(0))) == 2
    for images in (None, 7, b"a.jpg"):
        with pytest.raises(UsageError, match=rf"^images: a {type(images).__name__}; a picture or a sequence of them"):
            classifier.predict(images)


def test_what_is_no_model_and_no_device_is_named(trained, tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        Classifier(tmp_path / "nowhere")
    for device in ("cuda:99", "quantum", "meta"):
        with pytest.raises(UsageError, match=f"device '{device}': cpu and . CUDA devices are here"):
            Classifier(trained[0], device)
