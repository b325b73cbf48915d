"""The planner's counts beside what torch allocates, small."""

from bench.suites import counted_memory


def test_a_step_allocates_on_the_cpu_what_its_trace_counts():
    """In fp32, as the CPU's autocast keeps types that a GPU's does not."""
    (row,) = counted_memory.measure("cvt_13", "fp32", "blocks", 96, 2)
    assert row["allocated_bytes"] > 10 * 2**20 and abs(row["allocated_by_counted"] - 1) < 0.06
