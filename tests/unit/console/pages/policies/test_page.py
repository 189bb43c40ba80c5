from __future__ import annotations

from tests.kit.console import console_site


async def test_the_page_opens_without_a_log() -> None:
    async with console_site() as site:
        for role in site.console.pages[0].roles:
            allowed = {page.name: page.roles for page in site.console.pages}["policies"]
            answer = await site.get(role, "/console/policies")
            assert answer.status == (200 if role in allowed else 403)
