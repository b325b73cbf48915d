"""A long form that ran whole, and it alone, leaves its row in the page."""

from collections import Counter

import pytest

from tests.faults.conftest import HEADER, PAGE, long_form, sentence, with_result

KILLS = "tests/faults/test_kills.py"


@pytest.mark.parametrize(
    ("words", "environment", "command"),
    [
        ([KILLS], {"MLCFAST_KILLS": "300"}, f"MLCFAST_KILLS=300 pytest {KILLS}"),
        ([KILLS], {}, None),
        ([KILLS], {"MLCFAST_POINTS": "all"}, None),  # another file's
        ([KILLS, "-k", "zero2"], {"MLCFAST_KILLS": "300"}, None),
        ([KILLS, "tests/faults/test_peers.py"], {"MLCFAST_KILLS": "300"}, None),
        ([], {"MLCFAST_KILLS": "300"}, None),
    ],
)
def test_which_run_is_a_long_form(words, environment, command):
    assert long_form(words, environment) == command


def test_a_row_takes_the_place_of_the_commands_earlier_one():
    page = f"Text.\n\n{HEADER}| `A=1 pytest a` | old |\n| `B=1 pytest b` | 3 |\n\nMore.\n"
    assert with_result(page, "A=1 pytest a", "new") == page.replace("old", "new")
    assert with_result(page, "C=1 pytest c", "5") == page.replace(HEADER, f"{HEADER}| `C=1 pytest c` | 5 |\n")
    assert HEADER in PAGE.read_text(encoding="utf-8")


def test_what_failed_is_said():
    assert sentence(Counter({"kills": 1200}), 0).startswith("1,200 kills (")
    assert sentence(Counter(), 2).startswith("nothing held; 2 tests failed (")
