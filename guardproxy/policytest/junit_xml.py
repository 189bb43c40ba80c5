"""Writes the results of policy tests as JUnit XML, which CI systems read.

JUnit XML has no official schema. The document uses the elements that all readers support: `testsuites`, a `testsuite`
for each policy, a `testcase` for each test, a `failure` with the mismatches. In: results. Out: bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from guardproxy.policytest.mismatches import Mismatch
from guardproxy.policytest.running import CaseResult

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(results: Sequence[CaseResult]) -> bytes:
    """Returns the document, encoded in UTF-8."""
    root = Element("testsuites", {"name": "guardproxy policy test", **_counts(results)})
    for name, group in groupby(results, lambda result: result.policy.name):
        tests = list(group)
        suite = SubElement(root, "testsuite", {"name": name, **_counts(tests)})
        for result in tests:
            about = {"classname": name, "name": _plain(result.test.name), "time": f"{result.seconds:.3f}"}
            place = {"file": _plain(result.policy.source), "line": str(result.test.place.line)}
            case = SubElement(suite, "testcase", {**about, **place})
            if result.skipped:
                SubElement(case, "skipped", {"message": result.skipped})
            if result.mismatches:
                message = _plain("; ".join(mismatch.message for mismatch in result.mismatches))
                failure = SubElement(case, "failure", {"message": message, "type": "policy"})
                failure.text = _plain("\n\n".join(map(_text, result.mismatches)))
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _counts(results: Sequence[CaseResult]) -> dict[str, str]:
    failures = sum(bool(result.mismatches) for result in results)
    seconds = sum(result.seconds for result in results)
    counts = {
        "tests": len(results),
        "failures": failures,
        "errors": 0,
        "skipped": sum(bool(result.skipped) for result in results),
    }
    return {**{name: str(count) for name, count in counts.items()}, "time": f"{seconds:.3f}"}


def _text(mismatch: Mismatch) -> str:
    lines = [mismatch.message]
    lines += [f"  expected: {mismatch.wanted}"] if mismatch.wanted is not None else []
    lines += [f"  got:      {mismatch.got}"] if mismatch.got is not None else []
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Returns `text` with a replacement for each character that XML does not allow."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
