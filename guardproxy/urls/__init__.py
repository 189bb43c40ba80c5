"""Finds URLs in growing text: links, images, reference definitions and bare URLs; checks their hosts against
allow-lists."""

from __future__ import annotations

from guardproxy.urls.hosts import HOST, covers, host_follows
from guardproxy.urls.reading import Reading

__all__ = [
    "HOST",
    "Reading",
    "covers",
    "host_follows",
]
