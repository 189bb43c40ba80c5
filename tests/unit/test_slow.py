"""Which unit tests take long is measured, and the run says so whatever the load of the machine."""

from __future__ import annotations

from tools.slow import slow


def test_a_function_takes_long_by_its_share_of_the_run() -> None:
    cases = [("tests.unit.a.test_b", f"test_c[{number}]", 0.3) for number in range(4)]
    cases += [("tests.unit.test_d", f"test_e{number}", 1.0) for number in range(2000)]
    assert slow(cases) == ["test_b::test_c"]
    assert slow([(module, name, 10 * seconds) for module, name, seconds in cases]) == ["test_b::test_c"]
