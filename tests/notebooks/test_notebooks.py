"""Every notebook runs from its first cell to its last, and its committed outputs are of the code that it holds."""

import sys

import pytest

from tests.conftest import ROOT

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

from tests.notebooks.execute import OF_CODE, PLACE, digest, executed, shapes  # noqa: E402  needs those packages

NOTEBOOKS = sorted(path.name for path in PLACE.glob("*.ipynb"))
LARGEST = 250_000  # bytes of a notebook with its pictures: it is in everybody's clone
AGAIN = "python -m tests.notebooks.execute writes the outputs anew"


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_and_shows_what_is_committed(name, tmp_path):
    """Numbers may differ, as times do; nothing may go to stderr."""
    committed = nbformat.read(PLACE / name, as_version=4)
    found = list(shapes(executed(committed, tmp_path)))
    assert found == list(shapes(committed)), AGAIN
    assert found and not [text for _, text in found if text.startswith("stderr")]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outputs_are_of_the_code_beside_them(name):
    notebook = nbformat.read(PLACE / name, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.get(OF_CODE) == digest(notebook), AGAIN
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    text = (PLACE / name).read_text(encoding="utf-8")
    assert len(text) < LARGEST and str(ROOT) not in text and sys.prefix not in text


def test_there_are_notebooks_and_the_readme_leads_to_each():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(NOTEBOOKS) >= 3 and all(f"(docs/notebooks/{name})" in readme for name in NOTEBOOKS)


def test_a_change_of_the_code_shows():
    notebook = nbformat.read(PLACE / NOTEBOOKS[0], as_version=4)
    before = digest(notebook)
    next(cell for cell in notebook.cells if cell.cell_type == "markdown").source += " more words"
    assert digest(notebook) == before
    next(cell for cell in notebook.cells if cell.cell_type == "code").source += "\nx = 1"
    assert digest(notebook) != before


def test_shapes_see_words_and_pictures_and_no_numbers():
    cell = nbformat.v4.new_code_cell("")
    text = nbformat.v4.new_output("stream", name="stdout", text="mAP 97.5 in 12 images, 1.5e-07\n")
    cell.outputs = [text, nbformat.v4.new_output("display_data", data={"image/png": "", "text/plain": ""})]
    found = list(shapes(nbformat.v4.new_notebook(cells=[cell])))
    assert found == [(0, "stdout # # # images, in mAP"), (0, "image/png"), (0, "text/plain")]
