"""Finding checks by name: the folder's own, other packages' by entry point, and unknown ones."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from guardproxy import checks
from guardproxy.checks import Resources, build, known
from guardproxy.errors import OptionError
from guardproxy.placeholders import Restoring


def foreign(name: str, options: Mapping[str, Any], resources: Resources) -> Restoring:
    """A check of another package."""
    return Restoring({}, name=f"{name} {options['word']}")


def test_another_package_adds_a_check_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("foreign", f"{__name__}:foreign", "guardproxy.checks")
    monkeypatch.setattr(EntryPoint, "load", lambda self: foreign)
    monkeypatch.setattr(checks, "entry_points", lambda group, name="foreign": [point] if name == "foreign" else [])
    assert build("foreign", "mine", {"word": "x"}, Resources()).name == "mine x"
    assert "foreign" in known()


def test_an_unknown_check_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(OptionError, match="did you mean `secrets`"):
        build("secret", "mine", {}, Resources())
    with pytest.raises(OptionError, match="known checks: json_schema, pattern, pii, secrets, supervisor"):
        build("_reach", "mine", {}, Resources())
