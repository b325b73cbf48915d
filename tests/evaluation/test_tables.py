"""Tables for a spreadsheet: predictions, a row an image, and errors, the worst first."""

import csv
from pathlib import Path

import numpy as np
import pytest

from mlcfast.data import LabelledImages
from mlcfast.errors import RunError
from mlcfast.evaluation.gather import EvaluationResult
from mlcfast.evaluation.tables import (
    MISSED,
    WRONG,
    Mistake,
    PredictionTable,
    bounds_of,
    formula_warning,
    mistakes,
    write_mistakes,
)
from mlcfast.models.card import ModelCard, save_model

NAMES = ["cat", "dog"]
SCORES = np.array([[0.9, 0.2], [0.3, 0.8], [0.55, 0.1]], np.float32)


def made(labels: list[list[int]], paths: list[str] | None = None) -> tuple[EvaluationResult, LabelledImages]:
    states = np.array(labels, np.int8)
    ids = [f"id{number}" for number in range(len(states))]
    return EvaluationResult(SCORES, states, NAMES), LabelledImages(paths or ids, states, NAMES, ids)


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_errors_come_worst_first_with_their_kind():
    result, records = made([[0, 1], [1, 1], [0, 0]], ["a.jpg", "", "c.jpg"])
    found = mistakes(result, records, np.array([0.5, 0.5]))
    assert [each[:3] for each in found] == [
        ("a.jpg", "cat", WRONG),  # 0.9 where 0 is right
        ("a.jpg", "dog", MISSED),  # 0.2 where 1 is right
        ("id1", "cat", MISSED),  # 0.3 where 1 is right
        ("c.jpg", "cat", WRONG),  # 0.55 where 0 is right
    ]
    assert [each.score for each in found] == pytest.approx([0.9, 0.2, 0.3, 0.55])


def test_each_label_has_its_own_bound():
    result, records = made([[0, 0], [0, 1], [1, 0]])
    assert [each[:3] for each in mistakes(result, records, np.array([0.6, 0.9]))] == [
        ("id0", "cat", WRONG),
        ("id2", "cat", MISSED),
        ("id1", "dog", MISSED),
    ]
    assert mistakes(result, records, np.array([0.55, 0.8]))[0].threshold == 0.55


def test_unknown_entries_are_no_errors():
    """0 is unknown where −1 says absent."""
    result, records = made([[0, 1], [-1, 1], [1, -1]])
    assert [each[:3] for each in mistakes(result, records, np.array([0.5, 0.5]))] == [("id0", "dog", MISSED)]


def test_the_errors_are_written_with_a_header(tmp_path):
    file = tmp_path / "errors.csv"
    write_mistakes(file, [Mistake('a,"b".jpg', "cat", MISSED, 0.25, 0.5)])
    assert rows_of(file) == [
        ["image", "label", "kind", "score", "threshold"],
        ['a,"b".jpg', "cat", "missed", "0.250000", "0.500000"],
    ]
    with pytest.raises(RunError, match="cannot be written"):
        write_mistakes(tmp_path / "none" / "errors.csv", [])


def test_names_that_are_formulas_to_a_spreadsheet_are_said_and_left_as_they_are(tmp_path):
    names = ["cat", "=1+1", "@sum", "-"]
    with PredictionTable(tmp_path / "p.csv", names) as table:
        table.write("a.jpg", [1], np.array([0.1, 0.9, 0.1, 0.1]))
    assert rows_of(tmp_path / "p.csv")[0][3:] == names and rows_of(tmp_path / "p.csv")[1][1] == "=1+1"
    says = "p.csv: a spreadsheet takes '=1+1' and 2 other labels for a formula: import its columns as text"
    assert formula_warning(Path("p.csv"), names) == says
    assert formula_warning(Path("p.csv"), ["cat", "a=b"]) is None


def test_bounds_are_the_cards(tmp_path):
    file = save_model(tmp_path, {}, ModelCard(NAMES, {}, {}, [0.3, 0.7], "raw"))
    assert bounds_of(file, 2).tolist() == [0.3, 0.7]
    assert bounds_of(tmp_path / "elsewhere" / "published.pth", 2).tolist() == [0.5, 0.5]


def test_predictions_hold_a_row_an_image_and_blanks_for_a_failed_one(tmp_path):
    file = tmp_path / "predictions.csv"
    with PredictionTable(file, ["cat", "labels"]) as table:
        table.write("a.jpg", [1, 0], np.array([0.5, 0.75]))
        table.write("bad\udcff.jpg", [], np.array([0.1, 0.0]))
        table.write_error("c.jpg", "truncated image")
    assert rows_of(file) == [
        ["image", "labels", "error", "cat", "score of labels"],
        ["a.jpg", "labels;cat", "", "0.500000", "0.750000"],
        ["bad\\udcff.jpg", "", "", "0.100000", "0.000000"],
        ["c.jpg", "", "truncated image", "", ""],
    ]
    with pytest.raises(RunError, match="cannot be written"):
        PredictionTable(tmp_path, NAMES)
