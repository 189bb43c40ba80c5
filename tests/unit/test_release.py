"""What goes with a release: its packages, its digests, and the list of what must hold."""

from __future__ import annotations

from pathlib import Path

from tools.release import bill, checklist, digest, needed, provenance

CHANGELOG = "# Changelog\n\n## Unreleased\n{}\n## 1.2.0\n\nMore.\n"


def test_every_package_that_is_needed_is_listed() -> None:
    packages = needed("guardproxy")
    assert {"aiohttp", "msgspec", "yarl"} <= packages.keys(), "yarl is needed by aiohttp"
    assert "pytest" not in packages
    assert "pyjwt" in needed("guardproxy", frozenset(("jwt",)))
    assert needed("no-such-package") == {}
    made = bill("guardproxy", "1.2.0", packages)
    names = [component["name"] for component in made["components"]]
    assert names == sorted(names)
    assert "guardproxy" not in names
    assert made["components"][0]["purl"].startswith(f"pkg:pypi/{names[0]}@")


def test_a_statement_names_every_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    made = provenance({"a": digest(tmp_path / "a")}, "c0ffee")
    assert made["subject"][0]["digest"]["sha256"].startswith("ba7816bf")
    assert made["predicate"]["buildDefinition"]["externalParameters"] == {"commit": "c0ffee"}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    good = list(checklist("1.2.0", "c0ffee", "", CHANGELOG.format(""), tmp_path))
    assert all(item.holds for item in good)
    bad = list(checklist("1.3.0", "c0ffee", " M file", CHANGELOG.format("\n- more\n"), tmp_path / "none"))
    assert [item.holds for item in bad] == [False] * 4
    assert "1.3.0" in bad[1].remedy
