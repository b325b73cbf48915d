"""The page of the settings is the configuration's own, and --help-settings prints it."""

import pytest

from mlcfast import train
from mlcfast.config import load_config
from mlcfast.errors import UsageError
from mlcfast.settings_reference import entry, reference, settings
from tests.conftest import ROOT

EVERY = {each.key: each for each in settings()}


def test_the_page_is_up_to_date():
    """`python -m mlcfast.train --help-settings > docs/settings.md` writes it anew."""
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == reference()


def test_every_setting_of_a_configuration_is_on_the_page(config_file):
    held = load_config(config_file).model_dump()
    keys = {f"{section}.{key}" for section, values in held.items() if isinstance(values, dict) for key in values}
    assert keys | {name for name, value in held.items() if not isinstance(value, dict)} == set(EVERY)


@pytest.mark.parametrize("key", EVERY)
def test_every_setting_has_a_meaning_of_its_own(key):
    meaning = EVERY[key].field.description
    assert meaning and meaning.endswith(".") and meaning[0] != " " and len(meaning) > 15
    assert [other for other, each in EVERY.items() if each.field.description == meaning] == [key]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("data.root", "text; must be set."),
        ("data.val", "a number or text or null; default `val`."),
        ("data.augment", "published, query2label, flip, none or package.module:name; default `published`."),
        ("data.std", "a list of 3 numbers; default `[0.229, 0.224, 0.225]`."),
        ("model.embed_dim", "a whole number of at least 4 or null; default `null`."),
        ("model.dropout", "a number of at least 0 and below 1; default `0.1`."),
        ("optim.layer_lr_decay", "a number above 0 and at most 1; default `1.0`."),
        ("data.image_size", "a whole number of at least 8 and at most 4096; default `448`."),
        ("engine.precision", "fp32, bf16 or fp16; default `bf16`."),
        ("engine.compile", "true or false or auto; default `false`."),
        ("sweep.grid", "keys with values; default `{}`."),
    ],
)
def test_what_a_setting_takes_is_read_from_its_type(key, says):
    assert entry(EVERY[key]).startswith(f"- `{key}`: {says}\n  ")


@pytest.mark.parametrize("key", EVERY)
def test_every_bound_of_a_setting_is_said(key):
    said = entry(EVERY[key]).partition(";")[0]
    for check in EVERY[key].field.metadata:
        for word, sign in (("at least", "ge"), ("above", "gt"), ("at most", "le"), ("below", "lt")):
            assert not hasattr(check, sign) or f"{word} {getattr(check, sign)}" in said


def test_a_section_and_a_key_can_be_asked_for(capsys):
    for words, keys in (
        (["--help-settings", "sweep"], ["sweep.grid", "sweep.variants"]),
        (["--help-settings", "optim.lr"], ["optim.lr"]),
    ):
        with pytest.raises(SystemExit) as ended:
            train.main(words)
        assert ended.value.code == 0
        assert capsys.readouterr().out == "".join(entry(EVERY[key]) for key in keys)


def test_without_a_key_the_page_is_printed(capsys):
    with pytest.raises(SystemExit):
        train.main(["--help-settings"])
    assert capsys.readouterr().out == reference()


@pytest.mark.parametrize(("key", "near"), [("optim.lrr", "optim.lr"), ("epochs", "train.epochs"), ("trian", "train")])
def test_a_misspelt_key_suggests_the_right_one(key, near, capsys):
    with pytest.raises(UsageError, match=rf"no setting '{key}': did you mean {near}\?"):
        reference(key)
    with pytest.raises(SystemExit) as ended:
        train.main(["--help-settings", key])
    assert ended.value.code == 2
    assert f"did you mean {near}?" in capsys.readouterr().err
