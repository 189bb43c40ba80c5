"""Object stores: a folder and a server of S3's protocol hold what was put; what cannot be used is named at once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from guardproxy.audit.storage.object_store import ObjectStore
from guardproxy.errors import AuditError, ConfigError
from tests.kit.buckets import objects_in, s3_bucket


@pytest.mark.parametrize("timeout_s", [0.0, 30.0])
def test_an_object_is_there_when_put_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timeout_s: float) -> None:
    with s3_bucket(monkeypatch):
        for url in (tmp_path.as_uri(), "s3://kept/a/b"):
            ObjectStore(url, timeout_s).put("c/1", b"one")
            ObjectStore(url, timeout_s).put("c/2", b"two")
            assert objects_in(url) == {"c/1": b"one", "c/2": b"two"}
        monkeypatch.delenv("AWS_ALLOW_HTTP")
        with pytest.raises(AuditError, match="the object store refuses: GenericError"):
            ObjectStore("s3://kept/a", 1.0).put("c/3", b"not over HTTP")


def test_wrong_urls_and_a_missing_package_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="not an object store: ") as caught:
        ObjectStore("az://")
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(ConfigError, match=r'object stores need obstore: pip install "guardproxy\[objects\]"'):
        ObjectStore("s3://b")
