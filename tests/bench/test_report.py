"""The page, the README's section and the plots made of a record; every number here is made up."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bench.record import RESULTS, append, read
from bench.report.__main__ import main
from bench.report.comparisons import Comparison, attention_work
from bench.report.markdown import replace_between
from bench.report.page import benchmarks
from bench.report.records import load
from bench.suites import SUITES
from tests.bench.made_up import CPU, GPU, SECOND, record

DEVICE = "<!-- device: begin -->\nold\n<!-- device: end -->\n"
LOSSES = "<!-- measured: begin -->\nold\n<!-- measured: end -->\n"
LOST = ("losses/epr/256x9605/float32", "losses/role/64x80/float32")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A place with the pages that a run of bench.report writes to, and a folder of records."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "README.md").write_text(f"before\n{DEVICE}{LOSSES}after\n")
    (tmp_path / "docs" / "benchmarks.md").write_text("head\n<!-- measured: begin -->\n<!-- measured: end -->\ntail\n")
    (tmp_path / "docs" / "notes.md").write_text("# Notes\n")
    return tmp_path


def run(root: Path, *more: str) -> int:
    return main(["--results", str(root / "results"), "--root", str(root), *more])


def page(root: Path) -> str:
    return (root / "docs" / "benchmarks.md").read_text()


def comparison(**times: float) -> Comparison:
    rows = [{"contender": name, "p50_ms": time} for name, time in times.items()]
    return Comparison("id", "ours", ("ours_folded",), rows)


@pytest.mark.parametrize(
    ("times", "standing", "winner"),
    [
        ({"ours": 1.0, "sdpa": 1.8, "other": 3.0}, "won", "ours 1.80× over sdpa"),
        ({"ours": 1.0, "sdpa": 1.02}, "even", "even: ours, sdpa"),
        ({"ours": 1.02, "sdpa": 1.0}, "even", "even: ours, sdpa"),
        ({"ours": 1.3, "sdpa": 1.0}, "lost", "**sdpa** 1.30× over ours"),
        (
            {"ours": 1.0, "ours_folded": 0.5, "sdpa": 0.8},
            "lost",
            "**sdpa** 1.25× over ours; ours_folded 2.00× over ours",
        ),
        ({"ours": 1.0}, "alone", "ours, nothing else ran"),
        ({"sdpa": 1.0}, "lost", "**sdpa**; ours refused"),
        ({}, "alone", "nothing ran"),
    ],
)
def test_the_winner_of_a_row(times: dict[str, float], standing: str, winner: str) -> None:
    found = comparison(**times)
    assert (found.standing, found.winner()) == (standing, winner)


def test_before_any_record_the_page_lists_what_stands_unmeasured(root: Path) -> None:
    assert run(root, "--check") == 0
    assert "**No GPU has been recorded.**" in page(root)
    assert "any GPU: ceilings, resources, correctness, losses, attention, memory, training." in page(root)
    assert "No GPU has been recorded yet" in (root / "README.md").read_text()


def test_a_record_of_a_cpu_alone_makes_its_tables_and_still_says_that_no_gpu_was_there(root: Path) -> None:
    record(root / "results" / "cpu.jsonl", CPU)
    assert run(root) == 0
    assert "**No GPU has been recorded.**" in page(root)
    assert f"**asymmetric** — {CPU}" in page(root)
    assert (root / "README.md").read_text().index("No GPU") < (root / "README.md").read_text().index(CPU)


def test_check_fails_until_the_notes_name_every_lost_row(
    root: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.report.plots.draw", lambda device, folder: [])
    record(root / "results" / "gpu.jsonl")
    assert run(root) == 0
    assert "warning" in capsys.readouterr().err
    assert run(root, "--check") == 1
    told = capsys.readouterr().err
    assert all(name in told for name in LOST)
    notes = root / "docs" / "notes.md"
    notes.write_text(f"# Notes\n- `{LOST[0]}`: a reason.\n- `{LOST[1]}x`: another row.\n")
    assert run(root, "--check") == 1
    assert LOST[0] not in capsys.readouterr().err
    notes.write_text("# Notes\n" + "".join(f"- `{name}`: a reason.\n" for name in LOST))
    assert run(root, "--check") == 0


def test_text_outside_the_marks_stays_and_a_second_run_changes_nothing(root: Path) -> None:
    record(root / "results" / "gpu.jsonl")
    run(root)
    files = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert (root / "README.md").read_text().startswith("before\n<!-- device: begin -->\n")
    assert (root / "README.md").read_text().endswith("<!-- measured: end -->\nafter\n")
    assert page(root).startswith("head\n") and page(root).endswith("<!-- measured: end -->\ntail\n")
    run(root)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == files


def test_a_page_without_marks_is_refused_as_it_is(root: Path) -> None:
    (root / "README.md").write_text("no marks\n")
    assert run(root) == 2
    with pytest.raises(ValueError, match="has no <!-- device: end -->"):
        (root / "README.md").write_text("<!-- device: begin -->")
        replace_between(root / "README.md", "text", "<!-- device: begin -->", "<!-- device: end -->")


def test_a_later_run_replaces_its_rows_and_leaves_the_others(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.report.plots.draw", lambda device, folder: [])
    path = record(root / "results" / "gpu.jsonl")
    run(root)
    first = page(root)
    record(root / "results" / "later.jsonl", run=SECOND, speed=2.0, again=True)
    run(root)
    time = re.compile(r"\| 64×80 \| float32 \| ([\d.]+) ")
    assert float(time.search(page(root))[1]) == pytest.approx(2 * float(time.search(first)[1]), rel=0.01)
    assert "CvT_w24-384 | 576" in page(root)
    assert len(load(path.parent)) == 1


def test_every_table_names_its_device_and_every_comparison_its_winner(root: Path) -> None:
    record(root / "results" / "gpu.jsonl")
    record(root / "results" / "cpu.jsonl", CPU)
    devices = load(root / "results")
    assert [device.name for device in devices] == [GPU, CPU]
    for block in re.split(r"\n## ", benchmarks(devices, {}))[2:]:
        name = block.splitlines()[0]
        tables = re.findall(r"([^\n]*)\n\n(\|[^\n]*)\n\| ---", block)
        assert tables and all(name in above for above, _ in tables)
    assert "| winner |" in benchmarks(devices, {})
    assert "skipped: pydantic is not installed" in benchmarks(devices, {})
    assert "refused in 9 of 9 rows: No available kernel" in benchmarks(devices, {})
    assert "- refused: no room for any model" in benchmarks(devices, {})
    assert "**asymmetric_loss by native fails 1**, first float32, K=81: error" in benchmarks(devices, {})


def test_rows_of_no_run_are_left_alone(root: Path) -> None:
    append(root / "results" / "some.jsonl", {"loss": "role", "p50_ms": 1.0})
    append(root / "results" / "more.jsonl", {"run": "1", "suite": "losses", "loss": "role", "p50_ms": 1.0})
    assert load(root / "results") == []


def test_a_record_in_earlier_words_is_read(root: Path) -> None:
    begin = {"run": "1", "part": "run", "event": "begin", "device": CPU, "tested_on": "cpu"}
    append(root / "results" / "cpu.jsonl", begin)
    append(root / "results" / "cpu.jsonl", {"run": "1", "part": "training", "variant": "mlcfast"})
    append(root / "results" / "cpu.jsonl", {"run": "1", "part": "compiled", "kernel": "attend"})
    (device,) = load(root / "results")
    assert device.rows == [
        {"run": "1", "suite": "training", "contender": "mlcfast"},
        {"run": "1", "suite": "resources", "kernel": "attend"},
    ]


def test_every_recorded_row_belongs_to_a_run_and_a_suite() -> None:
    rows = [row for path in RESULTS.glob("*.jsonl") for row in read(path)]
    begun = {row["run"] for row in rows if row.get("event") == "begin"}
    assert len(rows) >= 859 and all(row["run"] in begun and row["suite"] in {"run", *SUITES} for row in rows)
    assert sum(len(device.rows) + len(device.runs) for device in load()) == len(rows)


def test_one_suite_is_printed_and_nothing_written(root: Path, capsys: pytest.CaptureFixture) -> None:
    record(root / "results" / "gpu.jsonl")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert run(root, "--suite", "memory") == 0
    assert "| cvt_w24 | zero2 | 48 | 11 | 10 | 12 |" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_the_plots_are_svg_with_titles_units_and_both_schemes(root: Path) -> None:
    record(root / "results" / "gpu.jsonl")
    run(root)
    plots = sorted((root / "docs" / "plots").glob("*.svg"))
    kinds = ("roofline", "b64", "k80", "shared-b16", "training-share", "memory-q2l-r101-448")
    assert all(any(kind in path.name for path in plots) for kind in kinds)
    for path in plots:
        text = path.read_text()
        titles = ElementTree.fromstring(text).findall("{http://www.w3.org/2000/svg}title")
        assert GPU in titles[0].text
        assert "prefers-color-scheme: dark" in text
        assert any(unit in text for unit in ("ms<", "GiB<", "%<", "FLOP a second<"))
        assert f"plots/{path.name}" in page(root)


def test_work_of_attention_by_hand() -> None:
    row = {"B": 1, "K": 1, "N": 1, "D": 2, "heads": 1, "queries": "shared", "mode": "inference", "dtype": "float32"}
    flop, moved = attention_work(row)
    assert flop == 2 * ((2 + 2 + 4) + 4 + 4)  # folded: K·H·N·D twice and K·D², the output and the queries' projection
    assert moved == 4 * (2 + 2 + 2 + 16 + 2)
