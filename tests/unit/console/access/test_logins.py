from __future__ import annotations

import pytest

from guardproxy.console.access.logins import LoginFile, new_token, read_logins, write_logins
from guardproxy.console.access.people import Login
from guardproxy.errors import ConfigError

CREATED = "2030-01-31T00:00:00Z"


def test_a_token_is_right_for_its_login_alone_and_the_file_does_not_have_it() -> None:
    token, other = new_token(), new_token()
    file = LoginFile().having(Login("ann", "reviewer"), token, CREATED).having(Login("bob", "viewer"), other, CREATED)
    text = write_logins(file)
    assert token.encode() not in text
    again = read_logins(text, "logins.json")
    assert again == file
    stored = again.checked("ann", token)
    assert stored is not None
    assert stored.login == Login("ann", "reviewer")
    assert again.checked("ann", other) is None
    assert again.checked("bob", token) is None
    assert again.checked("eve", token) is None
    assert again.checked("", "") is None


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"logins": 1}', b'{"logins": [{}]}', b'{"logins": [1]}', b"\xff", b"[" * 9999]
)
def test_a_file_that_cannot_be_read_is_refused(text: bytes) -> None:
    with pytest.raises(ConfigError, match=r"logins\.json"):
        read_logins(text, "logins.json")
