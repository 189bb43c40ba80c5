"""A server that speaks the protocol of S3, with a bucket in memory."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto.server import ThreadedMotoServer
from obstore.store import from_url

BUCKET = "kept"


@contextmanager
def s3_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A bucket `s3://kept`, to which the environment leads clients."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "name",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST"), timeout=30).close()
        urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT"), timeout=30).close()
        yield
    finally:
        server.stop()


def objects_in(url: str) -> dict[str, bytes]:
    """The objects of a store, in the order of their names."""
    store = from_url(url)
    names = sorted(meta["path"] for page in store.list() for meta in page)
    return {name: bytes(store.get(name).bytes()) for name in names}
