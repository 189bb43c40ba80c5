"""Finds URLs in growing text: links, images, reference definitions and bare URLs; checks their hosts against
allow-lists."""

from __future__ import annotations

from guardproxy.urls.bare import SCHEME_NAMES
from guardproxy.urls.hosts import HOST, covers, host_follows
from guardproxy.urls.markup import TagReading
from guardproxy.urls.reading import Reading
from guardproxy.urls.unescaping import Unescaping

__all__ = [
    "HOST",
    "SCHEME_NAMES",
    "Reading",
    "TagReading",
    "Unescaping",
    "covers",
    "host_follows",
]
