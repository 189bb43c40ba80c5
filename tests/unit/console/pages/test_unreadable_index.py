"""An index that cannot be read takes no page away that can say something without it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from guardproxy.console import drift_watch
from guardproxy.console.index import Index
from guardproxy.errors import QueryError
from guardproxy.gateway.clients import KeyFolder, StoredClient, new_key
from tests.kit.console import FakeProxy, console_site

STATUS = {
    "engine": "guardproxy 1",
    "folders": {"supervisor": str(Path(__file__).parents[4] / "models" / "supervisor")},
    "scorers": [{"check": "attack", "model": "supervisor", "least": {"injection": 0.9}}],
}


@pytest.mark.parametrize(
    "path",
    ["now", "keys", "keys/budgets", "keys/client/bot", "models", "models/supervisor"],
)
async def test_a_page_says_what_it_knows_without_the_index(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Index, *values: Any) -> Any:
        raise QueryError("the index cannot be read: <b>no space")

    monkeypatch.setattr(drift_watch.DriftWatch, "again", lambda self: None)
    monkeypatch.setattr(Index, "_query", broken)
    monkeypatch.setattr(Index, "_page", broken)
    folder = KeyFolder(tmp_path / "keys")
    folder.create(StoredClient("bot", "acme"), new_key("0" * 12, "s" * 43), datetime.now(UTC), None)
    (tmp_path / "audit").mkdir()
    proxy = FakeProxy({"/all/status": json.dumps({"worker 0": STATUS}), "/all/metrics": ""})
    async with console_site(tmp_path / "audit", proxy=proxy, client_keys=folder.folder) as site:
        page = await site.get("operator", f"/console/{path}")
    assert page.status == 200
    assert "<b>no space" not in page.text
    if path == "now":
        assert "The console cannot follow the log" in page.text
        assert "--audit" in page.text, "the setting that names its folder"
