from __future__ import annotations

import tomllib
from pathlib import Path

from guardproxy.console.contract import READING, ROLES
from guardproxy.console.pages import PAGES

ROOT = Path(__file__).resolve().parents[4]


def test_each_folder_is_a_page_and_each_page_has_its_own_name_and_key() -> None:
    folders = {path.parent.name for path in (ROOT / "guardproxy/console/pages").glob("*/__init__.py")}
    assert {page.name for page in PAGES} == folders
    assert len({page.key for page in PAGES}) == len(PAGES)
    assert all(len(page.key) == 1 for page in PAGES)


def test_the_contract_names_every_page() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    title = "Pages of the console do not know each other"
    modules = next(part["modules"] for part in contracts if part["name"] == title)
    assert set(modules) == {f"guardproxy.console.pages.{page.name}" for page in PAGES}


def test_what_writes_is_sent_by_a_form_and_every_route_has_a_role() -> None:
    for page in PAGES:
        for route in page.routes:
            assert route.roles, f"{page.name}{route.path}"
            assert route.roles <= set(ROLES)
            assert not (route.writes and route.method in READING)
