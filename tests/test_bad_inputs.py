"""What users get wrong: one line that names the thing, the right exit status, nothing half-written."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlcfast import cli, evaluate, plan, train

CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]


def write_coco(root: Path, annotations: list[tuple[int, int]], categories=CATEGORIES, images: int = 8) -> None:
    """Both splits in MS-COCO's layout; annotations are (image id, category id)."""
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        (root / "annotations").mkdir(exist_ok=True)
        for number in range(images):
            pixels = np.full((32, 32, 3), number * 20 + len(split), np.uint8)  # no image is a copy of another
            Image.fromarray(pixels).save(root / split / f"{number}.jpg")
        document = {
            "images": [{"id": n, "file_name": f"{n}.jpg", "height": 32, "width": 32} for n in range(images)],
            "annotations": [
                {"id": i, "image_id": image, "category_id": category, "bbox": [0, 0, 4, 4], "area": 16, "iscrowd": 0}
                for i, (image, category) in enumerate(annotations)
            ],
            "categories": categories,
        }
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))


@pytest.fixture
def coco(tmp_path, config_file):
    """A good MS-COCO data set and the words that train on it."""
    root = tmp_path / "coco"
    write_coco(root, [(n, 3 + 4 * (n % 2)) for n in range(8)])
    words = [str(config_file), "data.format=coco", f"data.root={root}", "data.train=train", "data.val=val"]
    return root, [*words, "engine.global_batch=4"]


def fails(capsys, words: list[str], status: int, *says: str, command=train, pattern: str = "") -> None:
    """The command ends with `status` and one line on stderr beside the log, with all of `says` and the pattern."""
    capsys.readouterr()
    try:
        code = command.main(words)
    except SystemExit as stopped:
        code = stopped.code
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if "error" in line]
    assert (code, len(lines)) == (status, 1), captured.err
    assert lines[0] == captured.err.splitlines()[-1]
    for text in says:
        assert text in lines[0], lines[0]
    assert re.search(pattern, lines[0]), lines[0]
    assert captured.out == ""


def test_good_data_set_trains(coco, capsys, tmp_path):
    assert train.main([*coco[1], "train.epochs=1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("mAP ")


def test_missing_root(coco, capsys, tmp_path):
    fails(capsys, [*coco[1], "data.root=/no/such/place"], 2, "/no/such/place")
    assert not (tmp_path / "runs").exists()


def test_annotation_file_that_is_not_json(coco, capsys, tmp_path):
    (coco[0] / "annotations" / "instances_train.json").write_text("{not json")
    fails(capsys, coco[1], 2, "instances_train.json", "JSON")
    assert not (tmp_path / "runs").exists()


def test_missing_annotation_file(coco, capsys):
    (coco[0] / "annotations" / "instances_val.json").unlink()
    fails(capsys, coco[1], 2, "instances_val.json")


def test_unknown_category(tmp_path, config_file, capsys):
    write_coco(tmp_path / "c", [(0, 3), (1, 99)])
    words = [str(config_file), "data.format=coco", f"data.root={tmp_path / 'c'}", "data.train=train", "data.val=val"]
    fails(capsys, words, 2, "99", "instances_train.json")


def test_listed_image_that_is_absent(coco, capsys, tmp_path):
    (coco[0] / "train" / "5.jpg").unlink()
    fails(capsys, coco[1], 2, "5.jpg")
    assert not (tmp_path / "runs").exists()


def test_copies_of_training_images_do_not_validate(coco, capsys, tmp_path):
    two_colours = Image.new("RGB", (40, 30), "red")
    two_colours.paste("blue", (0, 0, 20, 30))
    for copy in ("train/2.jpg", "val/5.jpg"):
        two_colours.save(coco[0] / copy)
    fails(capsys, coco[1], 2, "1 images are in training and, under another name, in validation", "data.allow_overlap")
    assert not (tmp_path / "runs").exists()
    assert train.main([*coco[1], "data.allow_overlap=true", "train.epochs=1"]) == 0


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_unreadable_image_names_its_path(coco, capsys, damage):
    path = coco[0] / "train" / "2.jpg"
    data = path.read_bytes()
    path.write_bytes({"truncated": data[: len(data) // 2], "empty": b"", "text": b"hello"}[damage])
    fails(capsys, coco[1], 1, "train/2.jpg", "leave such images out with data.bad_images=skip")


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_image_is_skipped_on_demand(coco, capsys, workers):
    (coco[0] / "train" / "2.jpg").write_bytes(b"")
    words = [*coco[1], "data.bad_images=skip", "train.epochs=1", f"data.workers={workers}"]
    assert train.main(words) == 0
    log = capsys.readouterr().err
    assert "skipped 1 of 8 images" in log
    assert "train/2.jpg" in log


def test_unreadable_image_in_a_worker_is_one_line(coco, capsys):
    (coco[0] / "train" / "2.jpg").write_bytes(b"")
    fails(capsys, [*coco[1], "data.workers=2"], 1, "train/2.jpg", "leave such images out with data.bad_images=skip")
    (coco[0] / "train" / "2.jpg").unlink()
    skips = "data.bad_images=skip leaves out damaged files alone: take their rows out"
    fails(capsys, [*coco[1], "data.bad_images=skip"], 2, "train/2.jpg: no such image; 1 of 8", skips)
    for name in ("resized_cache=true", "workers=0"):
        (coco[0] / "train" / "2.jpg").write_bytes(b"")
        words = [*coco[1], f"data.{name}", f"name={name[:7]}"]
        fails(capsys, words, 1, "train/2.jpg: empty image file", "data.bad_images=skip")


def test_one_image_at_once_for_a_batch_normalisation(config_file, capsys):
    words = [str(config_file), "engine.micro_batch=1", "engine.global_batch=1", "model.head=linear"]
    remedy = "set engine.micro_batch and engine.global_batch to 2 or more, or a larger data.image_size"
    fails(capsys, words, 2, "engine.micro_batch: a batch normalisation of the model cannot train on one image", remedy)


@pytest.mark.parametrize("mode", ["CMYK", "P", "I;16", "RGBA", "L"])
def test_other_pixel_formats_train(coco, capsys, mode):
    pixels = np.random.RandomState(0).randint(0, 255, (32, 32, 3), np.uint8)
    image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(pixels)
    image = image if mode == "I;16" else image.convert(mode)
    # The file keeps its listed name; what is in it decides how it is read.
    image.save(coco[0] / "train" / "2.jpg", format="JPEG" if mode in ("CMYK", "L") else "PNG")
    assert train.main([*coco[1], "train.epochs=1"]) == 0


def test_no_labels(tmp_path, config_file, capsys):
    write_coco(tmp_path / "c", [], categories=[])
    words = [str(config_file), "data.format=coco", f"data.root={tmp_path / 'c'}", "data.train=train", "data.val=val"]
    fails(capsys, words, 2, "instances_train.json")


def test_no_image_with_a_label(tmp_path, config_file, capsys):
    write_coco(tmp_path / "c", [])
    words = [str(config_file), "data.format=coco", f"data.root={tmp_path / 'c'}", "data.train=train", "data.val=val"]
    fails(capsys, words, 2, "instances_train.json")


def test_misspelt_key(config_file, capsys, tmp_path):
    fails(capsys, [str(config_file), "optim.lrate=1"], 2, "optim.lrate")
    fails(capsys, [str(config_file), "loss.gama_neg=1"], 2, "gama_neg")
    fails(capsys, [str(config_file), "loss.name=asymetric"], 2, "asymetric")
    assert not (tmp_path / "runs").exists()


def test_label_file_that_is_not_there_beside_others(config_file, capsys, colour_set):
    for form in ("wide", "auto", "csv"):
        words = [str(config_file), f"data.format={form}", "data.train=trian.csv"]
        fails(
            capsys,
            words,
            2,
            f"{colour_set / 'trian.csv'}: ",
            "o such file or directory",
            f"did you mean {colour_set / 'train.csv'}?",
        )
    words = [str(config_file), "data.format=coco", "data.train=trian.json"]
    fails(capsys, words, 2, f"{colour_set / 'trian.json'}: no such annotation file")


def test_largest_seed_and_beyond(config_file, capsys):
    assert train.main([str(config_file), "train.epochs=1", f"seed={2**63 - 1}"]) == 0
    fails(capsys, [str(config_file), f"seed={2**63}"], 2, "seed: ", "and below 9223372036854775808")


def test_unknown_implementation_of_the_operators(config_file, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MLCFAST_BACKEND", "bogus")
    fails(capsys, [str(config_file)], 2, "error: MLCFAST_BACKEND='bogus' is not one of auto, triton")
    assert not (tmp_path / "runs").exists()


def test_augmentation_that_wants_arguments(config_file, capsys):
    fails(capsys, [str(config_file), "data.augment=os:system"], 2, "data.augment os:system: called without arguments")


def test_global_batch_that_the_processes_cannot_share(config_file, capsys, monkeypatch):
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "3")):
        monkeypatch.setenv(name, value)
    fails(capsys, [str(config_file), "engine.global_batch=8"], 2, "engine.global_batch 8", "3 processes")


TORCHRUN, SLURM = ("RANK", "LOCAL_RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS")


@pytest.mark.parametrize("names", [TORCHRUN, SLURM], ids=["torchrun", "slurm"])
@pytest.mark.parametrize(
    ("place", "said"),
    [("004", "error: "), ("114", ""), ("204", "error: rank 2: "), ("314", "")],
    ids=["first", "beside it", "first of another machine", "beside that"],
)
def test_errors_of_usage_are_said_once_on_each_machine(config_file, capsys, monkeypatch, names, place, said):
    """The files of another machine may be wrong where those of the first are right."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    for name, value in zip(names, place, strict=True):
        monkeypatch.setenv(name, value)
    assert train.main([str(config_file), "optim.lrr=1"]) == 2
    expected = f"{said}{config_file}: unknown key optim.lrr: did you mean optim.lr?\n" if said else ""
    assert capsys.readouterr().err == expected
    assert waited == ([] if said else [cli.FIRST_SPEAKS])  # for the first, which the launcher would stop before it has


def test_a_rank_without_a_run_says_its_errors(config_file, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")  # a number of the user's own: no launcher sets it alone
    fails(capsys, [str(config_file), "optim.lrr=1"], 2, "optim.lrr")


def test_misspelt_loss_option_is_refused_by_every_command(config_file, capsys):
    for command, words in ((train, []), (plan, []), (evaluate, ["--checkpoint", "nowhere"])):
        assert command.main([str(config_file), "loss.gama_neg=1", *words]) == 2
        assert "did you mean gamma_neg?" in capsys.readouterr().err


def test_resume_from_a_dot_is_this_directory(config_file, capsys, tmp_path, monkeypatch):
    assert train.main([str(config_file), "train.epochs=1"]) == 0
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    fails(capsys, [str(config_file), "--resume", "."], 2, ".: no checkpoint to resume from")


def test_batch_larger_than_the_data_set(config_file, capsys, tmp_path):
    fails(capsys, [str(config_file), "engine.global_batch=64"], 2, "64", "lower it to 40 or less")
    assert not (tmp_path / "runs").exists()


def test_output_that_cannot_be_written(config_file, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    fails(capsys, [str(config_file), f"output={tmp_path / 'file'}"], 2, str(tmp_path / "file"))


def test_unknown_backbone(config_file, capsys, tmp_path):
    fails(capsys, [str(config_file), "model.backbone=resnet5O"], 2, "resnet5O")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("model.backbone=resnet19", "no timm model of timm .*did you mean .*resnet18"),
        ("model.weights={tmp}/tiny.yml", r"weights .*there is no such file: did you mean .*/tiny\.yaml\?"),
        ("model.weights=pretraind", r"weights pretraind: there is no such file: did you mean pretrained\?"),
        ("model.weights=package:no_such_package", "there is no package 'no_such_package' here"),
        ("model.head_options={hiden: 1}", "model.head query2label has no option 'hiden'"),
        ("data.augment=flipp", r"data\.augment: .*did you mean flip\?"),
        ("data.augment={tmp}/mine.py:change", "data.augment: there is no file .*/mine.py"),
        ("data.mean=[0.5, 0.5]", r"data\.mean: must be three numbers, .* not \[0\.5, 0\.5\]"),
        ("data.std=0.5", r"data\.std: must be three numbers, .* not 0\.5"),
        ("optim.options={momentun: 1}", "optim.name adamw has no option 'momentun'"),
        ("train.initialise_from={tmp}/gone", r"train\.initialise_from: .*/gone: no such checkpoint"),
    ],
)
def test_what_needs_no_data_is_refused_before_they_are_read(config_file, capsys, tmp_path, setting, says):
    """There are no data here, which would be the complaint."""
    fails(
        capsys, [str(config_file), "data.root=/no/such/place", setting.replace("{tmp}", str(tmp_path))], 2, pattern=says
    )
    assert not (tmp_path / "runs").exists()


def test_nothing_to_resume(config_file, capsys):
    fails(capsys, [str(config_file), "--resume"], 2, "no checkpoint to resume from")


def test_unknown_option_and_missing_config(capsys):
    fails(capsys, ["--bogus"], 2, "error: ")
    fails(capsys, ["none.yaml"], 2, "none.yaml")


def test_checkpoint_of_another_model(config_file, capsys, tmp_path):
    assert train.main([str(config_file), "train.epochs=1"]) == 0
    best = str(tmp_path / "runs" / "tiny" / "best")
    words = [str(config_file), "--checkpoint", best]
    fails(capsys, [*words, "model.embed_dim=32"], 2, "does not fit", command=evaluate)
    fails(capsys, [str(config_file), "--checkpoint", str(tmp_path)], 2, "no such checkpoint", command=evaluate)
    (tmp_path / "x.safetensors").write_bytes(b"junk")
    words = [str(config_file), "--checkpoint", str(tmp_path / "x.safetensors")]
    fails(capsys, words, 2, "x.safetensors", command=evaluate)


def test_help_shows_an_example(capsys):
    for command in (train, evaluate):
        with pytest.raises(SystemExit) as stopped:
            command.main(["--help"])
        assert stopped.value.code == 0
        assert "example:\n  python -m mlcfast." in capsys.readouterr().out
