"""When a line of progress is due, and how long the rest of a run is said to take."""

import pytest

from mlcfast.training.pace import Pace, in_words


class Clock:
    """Seconds that pass when told."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_is_estimated_before_the_first_micro_batch(clock):
    pace = Pace(10, 2, 1, clock)
    assert pace.step_seconds() is None and pace.seconds_left() is None
    assert pace.left_in_words() == "no estimate yet"


def test_a_slow_first_step_is_estimated_from_its_micro_batches(clock):
    """A step of four micro-batches, 20 s each: 80 s a step, 39 steps and three quarters left."""
    pace = Pace(40, 4, 1, clock)
    clock.now += 20
    pace.micro_batch()
    assert pace.step_seconds() == pytest.approx(80)
    assert pace.seconds_left() == pytest.approx(80 * 39.75)
    assert pace.left_in_words() == "about 53 min left without the evaluations"


def test_the_first_steps_do_not_count_once_there_are_others(clock):
    pace = Pace(100, 1, 2, clock)
    for seconds in (30, 1, 1, 2, 2):
        clock.now += seconds
        pace.micro_batch()
    assert pace.step_seconds() == pytest.approx(2)
    assert pace.seconds_left() == pytest.approx(2 * 95)


def test_evaluations_are_counted_once_one_was_timed_and_pauses_are_not(clock):
    pace = Pace(8, 1, 2, clock)
    for _ in range(4):
        clock.now += 3
        pace.micro_batch()
    clock.now += 50
    pace.evaluated()
    clock.now += 400  # saving, say
    pace.begin()
    assert pace.seconds_left() == pytest.approx(3 * 4 + 50)
    assert pace.left_in_words() == "about 62 s left"


def test_lines_come_every_ten_seconds_at_first_and_every_minute_later(clock):
    pace = Pace(10**6, 1, 1, clock)
    said = []
    for second in range(1, 301):
        clock.now += 1
        pace.micro_batch()
        if pace.line_is_due():
            said.append(second)
            pace.line_written()
    assert said == [10, 20, 30, 40, 50, 110, 170, 230, 290]


def test_a_line_of_another_kind_puts_the_next_one_off(clock):
    pace = Pace(100, 1, 1, clock)
    clock.now += 8
    pace.line_written()
    clock.now += 8
    assert not pace.line_is_due()
    clock.now += 2
    assert pace.line_is_due()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (3500, "58 min"),
        (3590, "1 h"),
        (12_000, "3 h 20 min"),
        (86_400, "1 day"),
        (180_000, "2 days 2 h"),
    ],
)
def test_lengths_of_time_as_a_person_says_them(seconds, words):
    assert in_words(seconds) == words
