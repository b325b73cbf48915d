"""Executes the notebooks: `python -m tests.notebooks.execute` writes their outputs anew, which is how they are made.

A notebook's metadata hold the digest of the code that its outputs are of, so that code changed by hand shows.
"""

import copy
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.conftest import ROOT

PLACE = ROOT / "docs" / "notebooks"
TIMEOUT = 300  # seconds a cell; the slowest trains for some
OF_CODE = "outputs_of"  # the metadata's key of the digest
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def executed(notebook: NotebookNode, directory: Path) -> NotebookNode:
    """A copy with the outputs of all of its cells, run by a kernel of this Python in an empty `directory`.

    nbclient's CellExecutionError for a cell that raises.
    """
    done = copy.deepcopy(notebook)
    client = NotebookClient(
        done,
        timeout=TIMEOUT,
        startup_timeout=TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(directory)}},
    )
    manager = client.create_kernel_manager()
    with tempfile.TemporaryDirectory() as home:  # the kernel's own: no history or settings of the user's, and no ports
        manager.transport, manager.ip = "ipc", f"{home}/kernel"
        client.execute(env=_environment(home))
    done.metadata[OF_CODE] = digest(done)
    return done


def _environment(home: str) -> dict[str, str]:
    """The kernel's: this tree's package and commands, one thread, no downloads."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("MLCFAST", "MPL", "PYTEST"))}
    return given | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": home,
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore:IProgress not found",  # tqdm's, where Jupyter has no widgets
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
    }


def digest(notebook: NotebookNode) -> str:
    """Of the code of all cells, in their order."""
    code = "\0".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()


def shapes(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    """What the cells gave, by the cell's number: lines of text, and the kinds of pictures.

    Of a line its words in alphabetical order, with `#` for each number: other machines round otherwise, and labels are
    listed by their scores.
    """
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            if "text" in output:
                for line in filter(str.strip, output.text.splitlines()):
                    yield number, " ".join([output.name, *sorted(NUMBER.sub("#", line).split())])
            for kind in sorted(output.get("data", ())):
                yield number, kind


def main() -> None:
    """Execute all of them, or those named, and write them back."""
    for path in [PLACE / name for name in sys.argv[1:]] or sorted(PLACE.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as directory:
            nbformat.write(executed(nbformat.read(path, as_version=4), Path(directory)), path)


if __name__ == "__main__":
    main()
