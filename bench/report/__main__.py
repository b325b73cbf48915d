"""The tables and plots of every recorded run: python -m bench.report [--check] [--suite NAME]

Reads the records of `python -m bench.run` in bench/results and rewrites docs/benchmarks.md, docs/plots and the sections
of README.md between their marks; --suite NAME prints the tables of one suite instead. Rows in which something else is
faster are listed with their identifiers; docs/notes.md must say why of each: --check ends with 1 if one is missing.
"""

import argparse
import re
import sys
from pathlib import Path

from bench.record import RESULTS, ROOT
from bench.report.comparisons import lost
from bench.report.markdown import BEGIN, END, replace_between
from bench.report.page import SECTIONS, benchmarks, loss_summary, section, summary
from bench.report.records import load

README_MARKS = "<!-- device: begin -->", "<!-- device: end -->"


def main(arguments: list[str] | None = None) -> int:
    """Write everything; 1 if --check finds a lost row that the notes do not explain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="end with 1 where docs/notes.md leaves a lost row unnamed")
    parser.add_argument("--suite", choices=SECTIONS, help="print the tables of this suite and write nothing")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of records")
    parser.add_argument("--root", type=Path, default=ROOT, help="where README.md and docs/ are")
    args = parser.parse_args(arguments)
    devices, docs = load(args.results), args.root / "docs"
    if args.suite:
        print("\n".join(text for device in devices for text in section(device, args.suite)))
        return 0
    from bench.report.plots import draw  # matplotlib is needed for the plots alone

    plots = {device.name: [(t, f"plots/{file}") for t, file in draw(device, docs / "plots")] for device in devices}
    try:
        replace_between(docs / "benchmarks.md", benchmarks(devices, plots), BEGIN, END)
        replace_between(args.root / "README.md", loss_summary(devices), BEGIN, END)
        replace_between(args.root / "README.md", summary(devices), *README_MARKS)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    notes, names = (docs / "notes.md").read_text(encoding="utf-8"), {each.id for d in devices for each in lost(d)}
    missing = [name for name in sorted(names) if not re.search(rf"(?<![\w/]){re.escape(name)}(?![\w/])", notes)]
    for name in missing:
        print(f"{'error' if args.check else 'warning'}: docs/notes.md does not say why {name} is lost", file=sys.stderr)
    return 1 if args.check and missing else 0


if __name__ == "__main__":
    sys.exit(main())
