"""The pages of the console, in the order of the navigation: the only table of them."""

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
