"""The codes of errors: every code is used, no place uses a bare word, and the page of errors is up to date."""

from __future__ import annotations

import ast
import pickle
from functools import cache
from pathlib import Path

import pytest

from guardproxy.config import SETTINGS
from guardproxy.errors import DownstreamError, ErrorCode, UpstreamError, naming_switch
from guardproxy.events import Fault
from guardproxy.policy.file.keys import POLICY
from guardproxy.policy.values.retrying import TABLE

PACKAGE = Path(__file__).resolve().parents[2] / "guardproxy"
RAISING = ("DownstreamError", "UpstreamError", "Fault", "JsonFault", "UpstreamFailed", "Aborted", "Refused", "fault")
ELSEWHERE = (
    "errors.py",
    "demo",
    "policytest",
)  # the upstream of the demo and the faults of a policy's tests have no codes
DUTIES = {"RATE_LIMIT_EXCEEDED"}  # raised by the duties of plug-ins


@cache
def trees() -> dict[Path, ast.Module]:
    return {
        path.relative_to(PACKAGE): ast.parse(path.read_text("utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in ELSEWHERE
    }


def called(call: ast.Call) -> str:
    """The last name of what a call calls."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def calls() -> list[tuple[Path, ast.Call]]:
    return [
        (path, node)
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called(node) in RAISING and node.args
    ]


def test_every_code_is_raised_somewhere() -> None:
    used = {
        node.attr
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ErrorCode"
    }
    assert (used & set(ErrorCode.__members__)) | DUTIES == set(ErrorCode.__members__)


def test_no_place_that_raises_uses_a_bare_word() -> None:
    found = calls()
    assert len(found) > 60, "the scan finds the places"
    bare = [f"{path}:{call.lineno}" for path, call in found if isinstance(call.args[0], ast.Constant)]
    assert bare == []


def test_a_code_is_its_name_in_small_letters() -> None:
    assert [code.value for code in ErrorCode] == [name.lower() for name in ErrorCode.__members__]


def test_every_switch_exists() -> None:
    for code in ErrorCode:
        assert set(code.settings) <= SETTINGS.keys(), code
        assert not code.names_switch or code.settings, code
        assert not code.policy_key or code.policy_key in {*POLICY, *TABLE}, code


@pytest.mark.parametrize("code", ErrorCode)
def test_a_sentence_is_lower_case_without_a_full_stop(code: ErrorCode) -> None:
    assert code.sentence[0] == code.sentence[0].lower() or code.sentence.split()[0].isupper()
    assert not code.sentence.endswith(".")
    assert not code.meaning or code.meaning.endswith(".")


def test_a_message_names_its_switch_once() -> None:
    code = ErrorCode.REQUEST_TOO_LARGE
    message = "the request body is larger than 8 bytes (the setting limit_body_bytes)"
    assert str(DownstreamError(code, "the request body is larger than 8 bytes")) == message
    assert str(DownstreamError(code, message)) == message
    assert Fault(code, message).message == message


def test_a_message_may_name_one_of_several_switches() -> None:
    code = ErrorCode.UPSTREAM_TIMEOUT
    assert len(code.settings) == 3
    detail = naming_switch("no connection", code.settings[0])
    assert code.message(detail) == detail == f"no connection (the setting {code.settings[0]})"


def test_a_message_about_capacity_names_no_switch() -> None:
    for code in (ErrorCode.NO_CAPACITY, ErrorCode.AUDIT_UNAVAILABLE, ErrorCode.UNKNOWN_CREDENTIAL):
        assert code.message() == code.sentence
        assert code.settings


def test_an_error_without_a_message_says_the_sentence_of_its_code() -> None:
    refusal, failure = DownstreamError(ErrorCode.HTTP_VERSION), UpstreamError(ErrorCode.UPSTREAM_ENCODING)
    assert (str(refusal), refusal.status) == ("only HTTP/1.0 and HTTP/1.1 are supported", 505)
    assert (str(failure), failure.status) == ("the upstream compressed its answer without a request for it", 502)
    assert Fault(ErrorCode.UPSTREAM_TRUNCATED).message == "the upstream closed the connection in the middle"


def test_a_request_may_be_sent_again_where_the_fault_is_not_its_own() -> None:
    final = {code.status for code in ErrorCode if not code.is_retryable}
    assert final == {400, 401, 403, 404, 405, 408, 413, 415, 417, 505, 508}
    assert {code.status for code in ErrorCode if code.is_retryable} == {429, 500, 502, 503, 504}


def test_codes_survive_pickling() -> None:
    assert pickle.loads(pickle.dumps(ErrorCode.TIMEOUT)) is ErrorCode.TIMEOUT
