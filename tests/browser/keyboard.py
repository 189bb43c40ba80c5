"""A person without a mouse: keys alone, and what they lead to.

In: a tab of the browser. Out: the names of what has the focus, as a screen reader would say them. Whatever is reached must show
that it has the focus.
"""

from __future__ import annotations

import re

from playwright.sync_api import Error as PageError
from playwright.sync_api import TimeoutError as PageTimeout

from guardproxy.console.contract import PREFIX
from guardproxy.console.pages import PAGES
from tests.kit.browser import TIMEOUT_MS, Tab

TRIES = 6
MOST = 400  # steps from one end of a page to the other
_FOCUSED = """() => {
  const element = document.activeElement;
  if (!element || element === document.body) return ["", "", true];
  const labels = Array.from(element.labels || []).map(label => label.innerText).join(" ");
  const by = (element.getAttribute("aria-labelledby") || "").split(" ").filter(Boolean)
    .map(id => document.getElementById(id)?.innerText || "").join(" ");
  const name = element.getAttribute("aria-label") || by || labels || element.innerText || element.title || element.name || "";
  const style = getComputedStyle(element);
  const shown = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== "none";
  return [element.tagName.toLowerCase(), name.replace(/\\s+/g, " ").trim(), shown];
}"""


class Keyboard:
    """The keyboard of a tab. Every step waits until the page has settled."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self.page = tab.page

    def press(self, *keys: str) -> None:
        """Presses keys one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def write(self, text: str) -> None:
        """Writes into what has the focus, in place of what it holds."""
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(text)

    def focused(self) -> tuple[str, str]:
        """The element that has the focus, and its name."""
        try:
            element, name, shown = self.page.evaluate(_FOCUSED)
        except PageError:  # another page came meanwhile
            self.settle()
            element, name, shown = self.page.evaluate(_FOCUSED)
        assert shown, f"{element} {name!r} does not show that it has the focus"
        return element, name

    def to(self, name: str, element: str = "", key: str = "Tab") -> str:
        """Goes on to the next element with a name that matches. `element`: the tags that it may have. Raises if the page ends
        before. Returns its name."""
        wanted = re.compile(name, re.I)
        passed = []
        for _ in range(MOST):
            self.press(key)
            found, called = self.focused()
            passed.append(f"{found} {called[:60]!r}")
            if wanted.search(called) and re.fullmatch(element or ".*", found):
                return called
        raise AssertionError(f"no key leads to {name!r} on {self.page.url}; passed {passed[:60]}")

    def open(self, name: str, element: str = "") -> None:
        """Goes to a link or button, presses it, and waits for the page that it leads to."""
        self.to(name, element)
        self.press("Enter")
        self.settle()

    def settle(self) -> None:
        """Waits until the page is loaded, and no part of it is being replaced."""
        self.page.wait_for_load_state("load")
        self.page.wait_for_function("() => !document.querySelector('.htmx-request, [aria-busy=true]')")

    def go(self, key: str, heading: str) -> None:
        """Opens a page by `g` and its key, and waits for its heading."""
        (name,) = (page.name for page in PAGES if page.key == key)
        for tries in range(
            TRIES, 0, -1
        ):  # both keys must come within a time, and a busy machine is slower than a person
            self.settle()
            self.press("g", key)
            try:
                self.page.wait_for_url(re.compile(f"{PREFIX}/{name}([/?].*)?$"), timeout=TIMEOUT_MS / TRIES)
                break
            except PageTimeout:
                if tries == 1:
                    raise
        self.page.get_by_role("heading", name=re.compile(heading, re.I)).first.wait_for()
        self.settle()
