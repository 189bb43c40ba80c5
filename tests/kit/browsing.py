"""A person with a browser, as far as a test of the console needs one."""

from __future__ import annotations

import http.cookiejar
import threading
import urllib.error
import urllib.parse
import urllib.request


class Browser:
    """A person with a browser: cookies are kept, and answers say where they came from."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)

    def open(self, path: str, fields: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Asks for a page, or sends a form. Returns the status, the address of the page, and its text."""
        data = urllib.parse.urlencode(fields).encode() if fields is not None else None
        try:
            with self._opener.open(self.url + path, data, timeout=60) as answer:
                return answer.status, answer.url.removeprefix(self.url), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, path, error.read().decode()

    def when_up(self, path: str) -> tuple[int, str, str]:
        """Asks for a page until the console is there."""
        while (answer := self.open(path))[0] == 503:
            threading.Event().wait(0.05)
        return answer
