"""Without matplotlib, which only the plots need, the tests of bench.report are left out."""

import importlib.util

collect_ignore = [] if importlib.util.find_spec("matplotlib") else ["test_report.py"]
