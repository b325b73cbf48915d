"""The page and its pictures with 1 to 9,605 labels, names of all scripts, tiny and long images, 1 to 300 epochs.

No warning, no name lost in silence, no text over another or over a panel.
"""

import csv
import itertools
import logging
import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mlcfast.report import text
from mlcfast.report.attention import CLEAR, AttentionWriter, attention_figure, overlay
from mlcfast.report.charts import confusion, training
from mlcfast.report.labels import MOST, LabelFigures
from mlcfast.report.page import render, write_report
from mlcfast.report.scores import MOST as MOST_GROUPS
from mlcfast.report.scores import scores_figure
from mlcfast.report.svg import heat_map, short_name, short_names, tick_texts
from mlcfast.report.text import drawn_name
from mlcfast.report.unobserved import MOST as MOST_RUNS
from mlcfast.report.unobserved import unobserved_figure
from tests.report.records import HOSTILE, Page, mixed_names, record_of


@pytest.mark.parametrize("count", [1, 27, 312, 9605])
def test_every_label_is_on_the_page_or_counted(tmp_path, monkeypatch, count):
    """Of more than 1,000 the page says how many there are and where; the table beside it has each of them."""
    names = mixed_names(count)
    assert len(set(names)) == count and max(map(len, names)) <= 80
    record = record_of(names, epochs=300 if count > 27 else 3)
    monkeypatch.setattr("mlcfast.report.page.read_run", lambda directory: record)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = write_report(tmp_path).read_text()
    table, shown = tmp_path / "labels.csv", set(Page(page).texts)
    assert (
        table.exists() == ('href="labels.csv"' in page) == (f"… and {count - MOST:,} more: " in shown) == (count > MOST)
    )
    worst = names if count <= MOST else [names[k] for k in LabelFigures(record).worst_first[:MOST]]
    assert set(worst) <= shown
    if count > MOST:
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["label"] for row in rows[:MOST]] == worst and {row["label"] for row in rows} == set(names)
        assert 0 <= float(rows[0]["ap"]) <= float(rows[MOST]["ap"]) <= 100
    assert "nan" not in page and len(page) < 2**21
    assert not any(markup in page for markup in HOSTILE[:2])
    assert (page.count('class="in ') > 20) == (count > 1)  # the matrix is not left empty by labels that never meet


def test_a_label_that_no_image_has_is_no_failure():
    """Its average precision is a dash, after those that could be measured."""
    record = record_of(["cat", "ghost", "dog"])
    figures = LabelFigures(record)
    assert figures.images[1] == 0 and figures.worst_first[-1] == 1
    page = render(record)
    assert '<bdi>ghost</bdi></th><td class="bar"><i style="width:0.0%"></i></td><td>–</td><td>0</td>' in page
    assert "; last, 1 that no image has" in page


def test_without_mixed_up_labels_there_is_no_matrix():
    record = record_of(["cat", "ghost", "dog"])
    perfect = replace(record, scores=np.where(record.labels == 1, 0.9, 0.1))
    assert "No label was wrongly added" in confusion(perfect) and "heat" not in confusion(perfect)
    assert "one label only" in confusion(record_of(["cat"]))


def test_the_page_says_when_where_and_of_what():
    """The engineering curves and the configuration are folded; few images, an empty image and what is cut are said."""
    page = render(record_of(mixed_names(312)))
    for words in ("Trained from 1970-01-01 00:01 UTC", "Written by mlcfast", "root <bdi>/data/&lt;mine&gt;</bdi>",
                  "<dt>training images</dt><dd>40</dd>", "only 40 validation images", "292 more are in the next table",
                  "− … and ", "(threshold ", "<details><summary>config.yaml", "30 of 312 labels"):  # fmt: skip
        assert words in page, words
    assert "<details open" not in page


def test_the_validation_loss_is_drawn_beside_the_training_loss_where_there_is_one():
    record = record_of(["cat", "dog"])
    assert "validation, averaged weights" not in training(record)
    for number, line in enumerate(record.evaluations):
        line["loss"] = 0.5 if number < 4 else None  # of the first two epochs
    figure = training(record).partition("<figcaption>Loss</figcaption>")[2].partition("</figure>")[0]
    drawn = {style: figure.count(f'<circle class="{style}"') for style in ("s1", "s2", "s3")}
    assert drawn == {"s1": len(record.train), "s2": 2, "s3": 2}
    assert "validation, averaged weights" in figure


def test_axes_have_one_unit():
    """A title never lies over its ticks: they are short, and their power of ten stands in the title."""
    assert tick_texts([0, 0.0005, 0.001, 0.0015]) == (["0", "0.5", "1", "1.5"], " (× 10⁻³)")
    assert tick_texts([0, 20, 100]) == (["0", "20", "100"], "")
    assert tick_texts([0, 200_000, 400_000]) == (["0", "200", "400"], " (× 10³)")
    assert tick_texts([0.0]) == (["0"], "") and tick_texts([]) == ([], "")
    assert "learning rate (× 10⁻³)" in training(record_of(["cat", "dog"]))
    assert short_name("cat") == "cat" and short_name("水" * 80) == "水水水水…水水水水"
    assert short_name("animals/mammals/aquatic/27").endswith("tic/27")
    middle = [f"a rather long label name, number {number} of many (variant ü)" for number in range(3)]
    assert short_names(["cat", *middle]) == ["cat", "a r…0 of many…", "a r…1 of many…", "a r…2 of many…"]
    assert short_names(["ab" * 30, "ab" * 31, "cat"]) == ["1: ababa…babab", "2: ababa…babab", "cat"]
    for page in (heat_map("t", "r", "c", middle, np.eye(3), np.ones((3, 3), int)),):
        assert all(page.count(f">{name}</text>") == 2 for name in short_names(middle))


def boxes_of(figure) -> list:
    """The extents of all texts and panels, after drawing with every warning an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()
    texts = [item.get_window_extent() for item in figure.texts if item.get_text()]
    return texts + [axis.get_window_extent() for axis in figure.axes]


def assert_apart(figure) -> None:
    boxes = boxes_of(figure)
    for one, other in itertools.combinations(boxes, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        down = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert across <= 1.5 or down <= 1.5, (one, other)
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 for box in boxes)


@pytest.mark.parametrize(("size", "labels"), [((32, 32), 11), ((2000, 32), 1), ((32, 2000), 3), ((800, 600), 1)])
def test_attention_panels_do_not_meet(size, labels):
    names = [drawn_name(name, k) for k, name in enumerate(mixed_names(312)[20 : 20 + labels])]
    maps = np.random.default_rng(0).random((labels, 7, 7)).astype(np.float32)
    assert_apart(attention_figure(Image.new("RGB", size, "gray"), maps, names, [0.5] * labels, more=14))


def test_labels_found_but_not_drawn_are_counted(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("mlcfast.report.attention.draw_attention", lambda *arguments: drawn.append(arguments))
    Image.new("RGB", (40, 30)).save(tmp_path / "x.png")
    writer = AttentionWriter(tmp_path / "maps", [f"label {k}" for k in range(25)])
    writer.write(str(tmp_path / "x.png"), np.ones(25), np.ones((25, 2, 2), np.float32), list(range(25)))
    ((_, _, maps, names, scores, more),) = drawn
    assert len(maps) == len(names) == len(scores) == 11 and more == 14


def test_a_map_that_is_even_is_not_laid_over_the_image():
    pixels = np.full((8, 8, 3), 100, np.uint8)
    even, sharp = np.full((8, 8), 1 / 64), np.zeros((8, 8))
    sharp[2, 2] = 1
    assert (overlay(pixels, even) == pixels).all() and CLEAR > 1
    assert np.abs(overlay(pixels, sharp).astype(int) - pixels)[2, 2].max() > 50


@pytest.mark.parametrize(("runs", "epochs"), [(1, 1), (1, 300), (20, 3)])
def test_histograms_of_hidden_labels(runs, epochs):
    """Of many runs the first are drawn and the others counted; a run in which nothing was hidden has an empty panel."""
    counts = np.random.default_rng(0).integers(0, 9, (epochs, 50))
    run = {"counts": counts, "epochs": np.arange(epochs), "expected": np.ones(epochs), "estimated": np.ones(epochs) * 2}
    held = {f"{name} {k}": run | {"true": np.array(2.4)} for k, name in enumerate(mixed_names(runs))}
    held[next(iter(held))]["counts"] = np.zeros_like(counts)
    figure = unobserved_figure(held)
    assert_apart(figure)
    shown = [item.get_text() for item in figure.texts]
    assert (f"… and\n{runs - MOST_RUNS:,} more" in shown) == (runs > MOST_RUNS)


@pytest.mark.parametrize(("groups", "runs"), [(1, 1), (17, 3), (60, 2)])
def test_scores_of_a_sweep(groups, runs):
    scores = np.random.default_rng(0).random((groups, runs)) * 100
    figure = scores_figure(dict(zip(mixed_names(groups), scores.tolist(), strict=True)), "test mAP (%)")
    assert_apart(figure)
    shown = [item.get_text() for item in figure.texts]
    assert len(shown) == min(groups, MOST_GROUPS) + (groups > MOST_GROUPS)
    assert (f"… and {groups - MOST_GROUPS:,} more" in shown) == (groups > MOST_GROUPS)


def test_names_without_a_font_are_said_once(monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("mlcfast"), "propagate", True)
    text._say_no_font.cache_clear()
    with caplog.at_level(logging.WARNING, "mlcfast"):
        assert [drawn_name(f"\U00013000{k}", k) for k in (1, 2, 3)] == ["label 1", "label 2", "label 3"]
    said = {id(record): record for record in caplog.records if record.name == "mlcfast"}  # two handlers may get one
    assert ["fonts-noto-cjk" in record.getMessage() for record in said.values()] == [True]
