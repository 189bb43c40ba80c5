"""Results as JUnit's XML, as a reader of such files takes them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from junitparser import Failure, JUnitXml, Skipped

from guardproxy.policy.file.load import parse_all
from guardproxy.policytest.junit_xml import junit
from guardproxy.policytest.mismatches import Mismatch
from guardproxy.policytest.running import CaseResult

POLICY = """
policy: {name}
rules: [{{id: r, when: check_error, action: flag}}]
tests:
  - {{name: "first <&> ]]>", request: a, expect: {{rule: r}}}}
  - {{name: second, request: a, expect: {{rule: r}}}}
  - {{name: third, request: a, expect: {{rule: r}}}}
"""
FAULTS = (
    Mismatch("it \x00 failed", "wanted\ud800", "got"),
    Mismatch("and so did this"),
    Mismatch("this too", got="a\nb"),
)


def results() -> list[CaseResult]:
    policies = parse_all([(f"{name}.yaml", POLICY.format(name=name)) for name in ("one", "two")])
    found = [CaseResult(policy, test, (), seconds=0.25) for policy in policies for test in policy.tests]
    found[1] = CaseResult(policies[0], policies[0].tests[1], FAULTS, seconds=1.5)
    found[2] = CaseResult(policies[0], policies[0].tests[2], (), skipped="it needs the model")
    return found


def test_a_parser_of_such_files_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "results.xml"
    file.write_bytes(junit(results()))
    suites = list(JUnitXml.fromfile(str(file)))
    assert [(suite.name, suite.tests, suite.failures, suite.errors, suite.skipped) for suite in suites] == [
        ("one", 3, 1, 0, 1),
        ("two", 3, 0, 0, 0),
    ]
    first, second, third = list(suites[0])
    assert (first.name, first.classname, first.time, first.result) == ("first <&> ]]>", "one", 0.25, [])
    (failure,) = second.result
    assert isinstance(failure, Failure)
    assert failure.message == "it \ufffd failed; and so did this; this too"
    assert failure.text.split("\n\n") == [
        "it \ufffd failed\n  expected: wanted\ufffd\n  got:      got",
        "and so did this",
        "this too\n  got:      a\nb",
    ]
    (skipped,) = third.result
    assert isinstance(skipped, Skipped)


def test_its_counts_and_places() -> None:
    root = ElementTree.fromstring(junit(results()))
    assert root.attrib == {
        "name": "guardproxy policy test",
        "tests": "6",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
        "time": "2.500",
    }
    case = root.findall("testsuite/testcase")[1]
    assert (case.get("file"), case.get("line")) == ("one.yaml", "6")


def test_no_tests_are_a_document_too() -> None:
    assert ElementTree.fromstring(junit([])).get("tests") == "0"
