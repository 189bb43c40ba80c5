"""The pages of the console, in the order of the navigation: the only table of them. Tests walk every route of it in a browser:
see docs/decisions/0086-pages-are-walked-in-a-real-browser.md."""

from __future__ import annotations

from guardproxy.console.contract import Page
from guardproxy.console.pages import audit, exchanges, keys, models, now, policies, review

PAGES: tuple[Page, ...] = (
    now.PAGE,
    exchanges.PAGE,
    review.PAGE,
    policies.PAGE,
    audit.PAGE,
    models.PAGE,
    keys.PAGE,
)
