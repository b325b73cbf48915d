"""report.html: what it says, that it needs nothing else, and how a browser shows it."""

import base64
import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlcfast.config import load_config
from mlcfast.engine import Process
from mlcfast.errors import UsageError
from mlcfast.report import __main__ as command
from mlcfast.report import attention
from mlcfast.report.page import render, write_report
from mlcfast.report.record import precision_recall, rates, read_run, wrongly_added
from mlcfast.report.svg import Series, line_chart, ticks
from mlcfast.training.run import run as run_training
from tests.conftest import without_digests
from tests.report.records import Page, record_of

BROWSERS = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def run(tmp_path_factory, colour_set) -> Path:
    """The directory of a short run whose labels and name try the page's escaping."""
    root = tmp_path_factory.mktemp("report")
    for split in ("train", "val"):
        rows = list(csv.reader((colour_set / f"{split}.csv").open()))
        rows[0][1:] = ["red", "green & <i>lush</i>", "blue"]
        for row in rows[1:]:
            shutil.copy(colour_set / row[0], root)
        with (root / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    overrides = [
        f"output={root}", "name=tiny", "data.format=csv", f"data.root={root}", "data.train=train.csv",
        "data.val=val.csv", "data.image_size=32", "data.workers=0", "data.augment=none", "model.weights=none",
        "model.backbone=test_resnet", "model.embed_dim=16", "model.feedforward=32", "model.num_heads=2",
        "engine.precision=fp32", "engine.micro_batch=4", "engine.global_batch=8", "train.epochs=2", "train.log_every=1",
    ]  # fmt: skip
    (root / "empty.yaml").write_text("{}")
    run_training(load_config(root / "empty.yaml", overrides), Process())
    return root / "tiny"


def test_training_leaves_a_page_that_needs_nothing_else(run):
    text = (run / "report.html").read_text()
    page = Page(text)
    assert len(page.references) >= 18 and all(link.startswith("data:image/jpeg;base64,") for link in page.references)
    assert "http" not in re.sub(r"base64,[^\"]*", "", text).replace("http-equiv", "")
    assert "<script" not in text and "<i>lush" not in text
    assert 'name="viewport" content="width=device-width' in text and "prefers-color-scheme: dark" in text


def test_the_page_shows_the_runs_numbers(run):
    shown = " ".join(Page((run / "report.html").read_text()).texts)
    card = json.loads((run / "best" / "model.json").read_text())
    assert f"{card['metrics']['mAP']:.2f} %" in shown and "green & <i>lush</i>" in shown
    for name, value in card["metrics"]["per_label"].items():
        assert name in shown and f"{value:.2f}" in shown
    for threshold in card["thresholds"]:
        assert f"{threshold:.3f}" in shown
    for axis in ("epoch", "mAP (%)", "step", "loss", "learning rate", "images a second", "memory (GiB)", "recall (%)",
                 "precision (%)", "label that is there", "label wrongly added"):  # fmt: skip
        assert axis in shown
    assert "global_batch: 8" in shown and "binary cross-entropy" in shown


def test_the_page_begins_with_the_result_and_the_data(run):
    """The interval holds the mAP; the counts are those of the files; what was odd stands before the labels."""
    text = (run / "report.html").read_text()
    order = [
        "validation mAP",
        "95 % interval",
        "The data",
        "Average precision of each label",
        "Training",
        "config.yaml",
    ]
    places = [text.index(f">{word}<" if word != "95 % interval" else word) for word in order]
    assert places == sorted(places)
    low, high = map(float, re.search(r"interval</dt><dd>([\d.]+) to ([\d.]+) %", text).groups())
    assert low - 0.05 <= read_run(run).card["metrics"]["mAP"] <= high + 0.05
    data = read_run(run).data
    assert {side: counts["images"] for side, counts in data["sides"].items()} == {"training": 40, "validation": 13}
    table = text[places[2] : places[3]]
    assert (
        "<bdi>images</bdi></th><td>40</td><td>13</td></tr>" in table and "with <bdi>green &amp; &lt;i&gt;lush" in table
    )
    assert "only 13 validation images" in table


def test_warnings_about_the_data_and_the_test_result_are_shown(run):
    record = read_run(run)
    data = {**record.data, "warnings": ["2 images are in <both>"]}
    text = render(replace(record, data=data, outcome={"test_mAP": 61.25}), interval=(50.0, 70.0))
    assert '<ul class="warned"><li>2 images are in &lt;both&gt;</li><li>only 13 validation' in text
    assert text.index("<dt>test mAP</dt><dd>61.25 %</dd>") < text.index("<dt>validation mAP</dt>")
    assert "did not record its data" in render(replace(record, data={}))


def test_the_command_writes_it_anew_without_images(run, tmp_path, capsys):
    """A run moved elsewhere, its images gone: they are named, everything else is there."""
    moved = Path(shutil.copytree(run, tmp_path / "moved"))
    with np.load(moved / "best" / "validation.npz") as held:
        arrays = dict(held)
    arrays["paths"] = np.array([f"/gone{path}" for path in arrays["paths"]])
    np.savez(moved / "best" / "validation.npz", **arrays)
    without_digests(moved / "best")
    (moved / "report.html").unlink()
    assert command.main([str(moved)]) == 0
    assert capsys.readouterr().out.strip() == str(moved / "report.html")
    shown = " ".join(Page((moved / "report.html").read_text()).texts)
    assert "no such image" in shown and "No attention maps" in shown and "global_batch: 8" in shown


def test_damaged_records_are_said_and_the_rest_is_shown(run, tmp_path, capsys):
    """Half an outcome.json, a torn last line and one of noise: a line each on stderr, and on the page."""
    hurt = Path(shutil.copytree(run, tmp_path / "hurt"))
    outcome, journal = hurt / "best" / "outcome.json", hurt / "metrics.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    outcome.write_bytes(outcome.read_bytes()[:40])
    journal.write_bytes(b"".join([lines[0], b'{"event": "\xff\xfe}\n', *lines[1:-1], lines[-1][:9]]))
    assert command.main([str(hurt)]) == 0
    warnings = capsys.readouterr().err.splitlines()
    says = f"{journal}: 2 of {len(lines) + 1} lines are damaged or half written", f"{outcome}: damaged"
    assert len(warnings) == 2 and all(said in line for said, line in zip(says, warnings, strict=True))
    shown = " ".join(Page((hurt / "report.html").read_text()).texts)
    assert all(said in shown for said in says) and "without it the report has no test figures" in shown
    assert "validation mAP" in shown and "damaged" not in (run / "report.html").read_text()
    for lose, says in ((lambda: journal.write_bytes(b""), "empty"), (journal.unlink, "not there")):
        lose()
        assert command.main([str(hurt)]) == 0
        assert f"{journal}: {says}; without it the report has no curves" in capsys.readouterr().err
    (hurt / "best" / "model.json").write_text("{")
    assert command.main([str(hurt)]) == 2 and "model.json: a damaged run: " in capsys.readouterr().err


def test_the_histogram_of_hidden_labels_is_in_the_page(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    assert "was not shown" not in write_report(copy).read_text()
    Image.new("RGB", (3, 2)).save(copy / "unobserved.png")
    text = write_report(copy).read_text()
    encoded = base64.b64encode((copy / "unobserved.png").read_bytes()).decode()
    assert "Positives that training was not shown" in text and encoded in text


def test_best_stands_for_its_run(run, tmp_path, capsys, monkeypatch):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / "report.html").unlink()
    assert command.main([str(copy / "best")]) == 0
    assert capsys.readouterr().out.strip() == str(copy / "report.html") and (copy / "report.html").is_file()
    monkeypatch.chdir(copy)
    assert command.main(["best"]) == 0 and capsys.readouterr().out.strip() == "report.html"
    called_best = Path(shutil.copytree(run, tmp_path / "run" / "runs" / "best"))
    assert command.main([str(called_best)]) == 0
    assert capsys.readouterr().out.strip() == str(called_best / "report.html")


def test_what_is_no_run_is_named(run, tmp_path, capsys):
    assert command.main([str(tmp_path)]) == 2
    assert f"{tmp_path}/metrics.jsonl: cannot be read" in capsys.readouterr().err
    broken = Path(shutil.copytree(run, tmp_path / "broken"))
    (broken / "best" / "validation.npz").write_bytes(b"PK no zip")
    with pytest.raises(UsageError, match=r"validation\.npz: damaged"):
        write_report(broken)
    without_digests(broken / "best")
    with pytest.raises(UsageError, match="damaged run"):
        write_report(broken)
    (broken / "best" / "model.json").write_text('{"labels": 3}')
    shutil.copy(run / "best" / "validation.npz", broken / "best")
    assert command.main([str(broken)]) == 2
    says = f"error: {broken}/best/model.json: not a model card: it lacks model, preprocessing, thresholds, weights\n"
    assert capsys.readouterr().err == says


def test_shares_of_wrongly_added_labels(run):
    record = read_run(run)
    positive, wrong = record.positive, record.predicted & ~record.positive
    values = wrongly_added(record.predicted, positive)
    for i, j in np.ndindex(values.shape):
        among = positive[:, i] & ~positive[:, j]
        if i == j or not among.any():
            assert np.isnan(values[i, j])
        else:
            assert values[i, j] == pytest.approx(wrong[among, j].mean())


def test_rates_and_curve_agree_with_scikit_learn():
    from sklearn.metrics import precision_recall_curve, precision_recall_fscore_support

    random = np.random.default_rng(0)
    positive = random.random((80, 3)) < 0.3
    scores = np.round(random.random((80, 3)) + 0.4 * positive, 1)  # with ties
    expected = precision_recall_fscore_support(positive, scores >= 0.7, average=None, zero_division=0)[:3]
    np.testing.assert_allclose(rates(scores >= 0.7, positive), expected)
    recall, precision = precision_recall(scores[:, 0], positive[:, 0])
    other_precision, other_recall, _ = precision_recall_curve(positive[:, 0], scores[:, 0])
    np.testing.assert_allclose(recall, other_recall[:-1][::-1])
    np.testing.assert_allclose(precision, other_precision[:-1][::-1])


def test_charts_cope_with_awkward_values():
    assert ticks(0, 100) == [0, 20, 40, 60, 80, 100]
    assert ticks(1, 2, 1) == [1, 2]
    assert ticks(0, 0.0041) == [0, 0.001, 0.002, 0.003, 0.004]
    for y in ([1.0], [0.0, 0.0], [np.nan, 2.0], [-1.0, -1.0]):
        Page(line_chart("t", "x", "y", [Series(list(range(len(y))), y, "<name>")]))
    assert "not recorded" in line_chart("t", "x", "y", [Series([], [], "")])
    assert "nan" not in line_chart("t", "x", "y", [Series([0, 1, 2], [1.0, np.nan, 2.0], "")])
    assert ticks(0, 4.1e-302) == [0, 1e-302, 2e-302, 3e-302, 4e-302]


@pytest.mark.parametrize(
    "y", [[0, 0, 0], [5e-324, 0, 0], [0, 1e-303, 2e-303], [-1e308, 1e308, 0], [1e300] * 3, [-1e20] * 3, [np.inf, 1, 2]]
)
def test_a_chart_of_nothing_but_zeros_or_of_numbers_without_measure_is_drawn(y):
    chart = line_chart("t", "x", "y", [Series([0, 1, 2], y, "")])
    Page(chart)
    assert "<path" in chart and "nan" not in chart and "inf" not in chart
    assert chart.count("<circle") == np.isfinite(y).sum()


@pytest.mark.parametrize("y", [[np.nan] * 2, [np.inf, -np.inf]])
def test_of_a_chart_without_a_finite_number_it_is_said_that_nothing_was_recorded(y):
    assert "not recorded" in line_chart("t", "x", "y", [Series([0, 1], y, "")])


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by Playwright; the tests skip where either is missing."""
    api = pytest.importorskip("playwright.sync_api")
    own = next(filter(None, map(shutil.which, BROWSERS)), None)
    with api.sync_playwright() as playwright:
        if own is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip(f"no Chromium on this machine: install one of {', '.join(BROWSERS)}, or `playwright install`")
        opened = playwright.chromium.launch(executable_path=own, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it(run, browser, tmp_path, width, scheme):
    """Nothing on the console, no sideways scrolling, readable letters, ground and ink as the reader prefers."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page, messages = context.new_page(), []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: messages.append(request.url) if request.url.startswith("http") else None)
    page.goto((run / "report.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")
    page.screenshot(path=tmp_path / "shot.png", full_page=True)
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    letters = page.evaluate(
        "[...document.querySelectorAll('figure > svg text')].map(t => t.getBoundingClientRect().height)"
        ".filter(h => h > 0).reduce((a, b) => Math.min(a, b))"
    )
    broken = page.evaluate("[...document.images].filter(image => !image.naturalWidth).length")
    context.close()
    pixels = np.asarray(Image.open(tmp_path / "shot.png").convert("L")).astype(int)
    ground = pixels[2, 2]
    assert messages == [] and overflow == 0 and broken == 0
    assert letters >= 9  # pixels
    assert ground > 240 if scheme == "light" else ground < 40
    assert pixels.shape[0] > 2000 and 0.02 < (abs(pixels - ground) > 60).mean() < 0.6


@pytest.fixture(scope="module")
def long_page(tmp_path_factory) -> Path:
    """A page with 312 labels whose names say their number."""
    names = [f"animals/{['mammals', 'fish', 'birds'][k % 3]}/number-{k:03d}" for k in range(312)]
    file = tmp_path_factory.mktemp("long") / "report.html"
    file.write_text(render(record_of(names, epochs=30)))
    return file


def test_printed_to_pdf_it_holds_every_label(browser, long_page, tmp_path):
    """Each of 312 once a table at least: with its average precision and with its threshold; and what is folded."""
    pypdf = pytest.importorskip("pypdf")
    page = browser.new_page()
    page.goto(long_page.as_uri())
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    page.close()
    pages = pypdf.PdfReader(tmp_path / "report.pdf").pages
    text = re.sub(r"\s", "", "".join(sheet.extract_text() for sheet in pages))
    counts = [text.count(f"number-{k:03d}") for k in range(312)]
    assert min(counts) >= 2, [k for k, count in enumerate(counts) if count < 2]
    assert text.count("name:arun") == 60 and "Learningrate" in text


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_no_serious_fault(browser, long_page, width, scheme):
    """Contrast, names of pictures and regions, headers of tables, order of headings, landmarks, reach by keyboard."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(long_page.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")
    found = axe.Axe().run(page).response
    context.close()
    assert len(found["passes"]) > 10
    faults = [(fault["impact"], fault["id"], fault["nodes"][0]["html"]) for fault in found["violations"]]
    assert faults == []


def test_attention_figures(tmp_path):
    """A density per map on the image's pixels, and a picture whose brightest panel is where the map is."""
    maps = np.zeros((2, 4, 4), np.float32)
    maps[0, 0, 3] = maps[1, 3, 0] = 1
    dense = attention.upsample(maps, 40, 80)
    assert dense.shape == (2, 40, 80)
    np.testing.assert_allclose(dense.sum(axis=(1, 2)), 1, rtol=1e-5)
    top_right, area = attention.mass_in_boxes(dense[0], [(60, 0, 20, 10)])
    assert area == 1 / 16 and top_right > 0.6
    assert attention.mass_in_boxes(dense[0], [(0, 20, 40, 20), (0, 20, 10, 10)]) == (0, 0.25)
    covered = attention.overlay(np.zeros((40, 80, 3), np.uint8), dense[0]).astype(int)
    assert covered[5, 75].sum() > 2 * covered[35, 5].sum()
    writer = attention.AttentionWriter(tmp_path / "maps", ["one", "two"])
    Image.new("RGB", (80, 40), "gray").save(tmp_path / "x.png")
    files = [writer.write(str(tmp_path / "x.png"), np.array([0.9, 0.2]), maps, found) for found in ([0, 1], [])]
    assert [Path(file).name for file in files] == ["x.png", "x-2.png"]
    three, two = (Image.open(file).size[0] for file in files)
    assert three > two > 300
