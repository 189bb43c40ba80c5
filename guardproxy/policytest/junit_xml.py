"""Results of policy tests -> the XML that CI systems read as JUnit's.

There is no one schema; this is the part that all readers share: `testsuites`, a `testsuite` for each policy, a `testcase` for
each test, a `failure` with what was expected. In: results. Out: bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from guardproxy.policytest.judging import Fault
from guardproxy.policytest.running import Ran

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(results: Sequence[Ran]) -> bytes:
    """The document."""
    root = Element("testsuites", {"name": "guardproxy policy test", **_counts(results)})
    for name, group in groupby(results, lambda one: one.policy.name):
        tests = list(group)
        suite = SubElement(root, "testsuite", {"name": name, **_counts(tests)})
        for one in tests:
            about = {"classname": name, "name": _plain(one.test.name), "time": f"{one.seconds:.3f}"}
            place = {"file": _plain(one.policy.source), "line": str(one.test.place.line)}
            case = SubElement(suite, "testcase", {**about, **place})
            if one.skipped:
                SubElement(case, "skipped", {"message": one.skipped})
            if one.faults:
                told = _plain("; ".join(fault.message for fault in one.faults))
                failure = SubElement(case, "failure", {"message": told, "type": "policy"})
                failure.text = _plain("\n\n".join(map(_text, one.faults)))
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _counts(results: Sequence[Ran]) -> dict[str, str]:
    failed = sum(bool(one.faults) for one in results)
    seconds = sum(one.seconds for one in results)
    counts = {
        "tests": len(results),
        "failures": failed,
        "errors": 0,
        "skipped": sum(bool(one.skipped) for one in results),
    }
    return {**{name: str(count) for name, count in counts.items()}, "time": f"{seconds:.3f}"}


def _text(fault: Fault) -> str:
    lines = [fault.message]
    lines += [f"  expected: {fault.wanted}"] if fault.wanted is not None else []
    lines += [f"  got:      {fault.got}"] if fault.got is not None else []
    return "\n".join(lines)


def _plain(text: str) -> str:
    """`text` without what XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
