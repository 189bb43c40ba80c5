from __future__ import annotations

import pytest

from guardproxy.audit.sealing import OperatorKey
from guardproxy.audit.sealing.operator_key import StaticKey
from guardproxy.console.access.people import Login
from guardproxy.console.access.sessions import IDLE_S, KEY_S, LIMIT_OF_LOGIN, LIMIT_SESSIONS, WHOLE_S, PersonSessions

ANN = Login("ann", "auditor")
KEY: OperatorKey = StaticKey(bytes(32), "a test")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_session_ends_without_requests_and_in_any_case() -> None:
    clock = Clock()
    sessions = PersonSessions(clock)
    cookie, session = sessions.begin(ANN)
    clock.now_s += IDLE_S - 1
    assert sessions.find(cookie) is session
    clock.now_s += IDLE_S
    assert sessions.find(cookie) is None
    assert len(sessions) == 0
    cookie, session = sessions.begin(ANN)
    for _ in range(int(WHOLE_S // (IDLE_S / 2))):
        assert sessions.find(cookie) is session
        clock.now_s += IDLE_S / 2
    assert sessions.find(cookie) is None


def test_a_session_of_a_provider_ends_sooner() -> None:
    clock = Clock()
    sessions = PersonSessions(clock)
    cookie, session = sessions.begin(ANN, whole_s=3600)
    for _ in range(3):
        clock.now_s += 3600 / 4
        assert sessions.find(cookie) is session
    clock.now_s += 3600 / 4
    assert sessions.find(cookie) is None


def test_cookies_differ_and_a_wrong_one_finds_nothing() -> None:
    sessions = PersonSessions()
    cookies = {sessions.begin(ANN)[0] for _ in range(5)}
    assert len(cookies) == 5
    assert all(len(cookie) >= 43 for cookie in cookies)
    assert sessions.find("") is None
    assert sessions.find("\udcff") is None
    assert sessions.find(cookies.pop() + "x") is None


def test_the_sessions_of_a_login_and_of_all_are_limited() -> None:
    sessions = PersonSessions()
    first, _ = sessions.begin(ANN)
    for _ in range(LIMIT_OF_LOGIN):
        sessions.begin(ANN)
    assert sessions.find(first) is None
    assert len(sessions) == LIMIT_OF_LOGIN
    for number in range(LIMIT_SESSIONS):
        sessions.begin(Login(f"p{number}", "viewer"))
    assert len(sessions) == LIMIT_SESSIONS


def test_ended_sessions_take_no_memory() -> None:
    clock = Clock()
    sessions = PersonSessions(clock)
    for number in range(50):
        sessions.begin(Login(f"p{number}", "viewer"))
    clock.now_s += IDLE_S
    sessions.begin(ANN)
    assert len(sessions) == 1


def test_a_key_is_held_for_a_while_and_needs_a_reason() -> None:
    clock = Clock()
    sessions = PersonSessions(clock)
    cookie, session = sessions.begin(ANN)
    assert session.key is None
    assert session.reason == ""
    assert session.key_left_s == 0
    with pytest.raises(ValueError, match="reason"):
        session.hold_key(KEY, "  ")
    session.hold_key(KEY, "complaint 7")
    assert session.key is KEY
    assert session.reason == "complaint 7"
    assert session.key_left_s == KEY_S
    assert bytes(32).hex() not in repr(session)
    clock.now_s += KEY_S
    assert session.key is None
    assert session.reason == ""
    session.hold_key(KEY, "again")
    sessions.end(cookie)
    assert session.key is None
    session.drop_key()
