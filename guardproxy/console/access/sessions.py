"""Who is signed in: sessions in the memory of the console, which a random cookie names.

In: a login. Out: the value of a cookie, and later the session of that cookie. A session ends after `IDLE_S` without a request,
and `WHOLE_S` after its start, or sooner for people of an identity provider, who may have lost their role there. The key that
opens sealed texts stays for `KEY_S`, and is never in a cookie or on a disk.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guardproxy.audit.sealing import OperatorKey
    from guardproxy.console.access.people import Login

IDLE_S = 30 * 60.0
WHOLE_S = 12 * 3600.0
KEY_S = 15 * 60.0
LIMIT_SESSIONS = 1000
LIMIT_OF_LOGIN = 20  # sessions of one login; a further one ends the oldest


@dataclass(slots=True)
class HeldKey:
    """A key that opens sealed texts, the reason that the person gave, and the time until which it is held."""

    key: OperatorKey = field(repr=False)
    reason: str
    until_s: float


@dataclass(slots=True)
class PersonSession:
    """The session of one person. `csrf`: the token that forms of this session send. `until_s`: when it ends in any case, by its
    clock. `fingerprint`: of the login as its file had it, see `logins`; empty if it is in no file."""

    login: Login
    csrf: str
    until_s: float
    seen_s: float
    fingerprint: str = ""
    _clock: Callable[[], float] = time.monotonic
    _held: HeldKey | None = field(default=None, repr=False)

    @property
    def key(self) -> OperatorKey | None:
        """Returns the key that opens sealed texts; `None` if there is none any more."""
        held = self._current()
        return held.key if held else None

    @property
    def reason(self) -> str:
        """Returns the reason for which the key is held; empty without a key."""
        held = self._current()
        return held.reason if held else ""

    @property
    def key_left_s(self) -> float:
        """Returns the seconds for which the key is still held."""
        held = self._current()
        return held.until_s - self._clock() if held else 0.0

    def hold_key(self, key: OperatorKey, reason: str) -> None:
        """Holds a key for `KEY_S`. `reason`: why the person needs it; not empty."""
        if not reason.strip():
            raise ValueError("a reason is needed")
        self._held = HeldKey(key, reason, self._clock() + KEY_S)

    def drop_key(self) -> None:
        """Forgets the key."""
        self._held = None

    def _current(self) -> HeldKey | None:
        if self._held is not None and self._held.until_s <= self._clock():
            self._held = None
        return self._held


class PersonSessions:
    """All sessions of the console, by the digests of their cookies."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: OrderedDict[bytes, PersonSession] = OrderedDict()

    def __len__(self) -> int:
        """Returns the number of sessions."""
        return len(self._sessions)

    def begin(self, login: Login, fingerprint: str = "", whole_s: float = WHOLE_S) -> tuple[str, PersonSession]:
        """Begins a session, which ends after `whole_s` at the latest. Returns the value of its cookie, and the session."""
        self._forget_old()
        cookie, now_s = secrets.token_urlsafe(32), self._clock()
        # Without this limit, one person who signs in again and again would push out the sessions of all others.
        own = [digest for digest, session in self._sessions.items() if session.login.name == login.name]
        for digest in own[: max(0, len(own) - LIMIT_OF_LOGIN + 1)]:
            del self._sessions[digest]
        session = PersonSession(login, secrets.token_urlsafe(32), now_s + whole_s, now_s, fingerprint, self._clock)
        self._sessions[_digest(cookie)] = session
        if len(self._sessions) > LIMIT_SESSIONS:
            self._sessions.popitem(last=False)
        return cookie, session

    def find(self, cookie: str) -> PersonSession | None:
        """Returns the session of a cookie, and notes that its person is there; `None` if it ended or never was."""
        session = self.peek(cookie)
        # Only `find` prolongs a session: a page that follows a stream asks `peek` for hours without anybody in front of
        # it.
        if session is not None:
            session.seen_s = self._clock()
        return session

    def peek(self, cookie: str) -> PersonSession | None:
        """Returns the session of a cookie; `None` if it ended or never was."""
        # The digest is looked up, so the time tells nothing about cookies that are valid.
        session = self._sessions.get(_digest(cookie))
        if session is None:
            return None
        if self._is_over(session):
            self.end(cookie)
            return None
        return session

    def end(self, cookie: str) -> None:
        """Ends a session, and forgets its key."""
        if (session := self._sessions.pop(_digest(cookie), None)) is not None:
            session.drop_key()

    def _is_over(self, session: PersonSession) -> bool:
        now_s = self._clock()
        return now_s - session.seen_s >= IDLE_S or now_s >= session.until_s

    def _forget_old(self) -> None:
        for digest in [digest for digest, session in self._sessions.items() if self._is_over(session)]:
            self._sessions.pop(digest).drop_key()


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()
