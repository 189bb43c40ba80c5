"""Reads URLs in growing text: links, images, reference definitions, bare URLs, and which hosts are allowed."""

from __future__ import annotations

from guardproxy.urls.hosts import HOST, covers, host_follows
from guardproxy.urls.reading import Reading

__all__ = [
    "HOST",
    "Reading",
    "covers",
    "host_follows",
]
