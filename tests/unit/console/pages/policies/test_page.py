from __future__ import annotations

from guardproxy.console.contract import ROLES
from tests.kit.console import console_site


async def test_the_page_opens_without_a_log() -> None:
    async with console_site() as site:
        for role in ROLES:
            answer = await site.get(role, "/console/policies")
            assert answer.status == 200
            assert "default" in answer.text
