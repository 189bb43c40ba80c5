"""What every adapter declares."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

import guardproxy.adapters
from guardproxy.adapters import ADAPTERS, Adapter
from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.wire import installed

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = sorted(path.parent.name for path in Path(guardproxy.adapters.__file__).parent.glob("*/__init__.py"))
EACH = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)


def test_each_folder_is_an_adapter_that_knows_no_other() -> None:
    assert sorted(type(adapter).__module__.split(".")[2] for adapter in ADAPTERS) == FOLDERS
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (independent,) = [part for part in contracts if part["name"] == "Adapters do not know each other"]
    assert [name.rpartition(".")[2] for name in independent["modules"]] == FOLDERS


def test_no_two_adapters_have_a_name_or_a_route_in_common() -> None:
    routes = [route for adapter in ADAPTERS for route in adapter.routes]
    assert len(set(routes)) == len(routes)
    assert len({adapter.name for adapter in ADAPTERS}) == len(ADAPTERS)


@EACH
def test_an_adapter_reads_what_its_gateway_writes(adapter: Adapter) -> None:
    route, tree = adapter.asking("what is asked", "id")
    call = adapter.read(route, tree, {})
    assert route in adapter.routes
    assert call.request is not None
    assert "what is asked" in json.dumps(call.request)
    codec = installed().codec_for(call.route)
    assert codec is not None
    assert codec.read_request(call.route.partition(" ")[2], "", json.dumps(call.request).encode())
    if answering := adapter.answering("what is said", "id"):
        assert answering[0] in adapter.routes
        call = adapter.read(*answering, {})
        assert call.is_about_answer
        assert "what is said" in (json.dumps(call.answer) if call.said is None else call.said.texts)


@EACH
@pytest.mark.parametrize(
    "tree", [{}, [], "x", None, 1, {"input": 1}, {"texts": [1], "input_type": "request"}, {"body": 1}]
)
def test_what_no_gateway_writes_is_refused(adapter: Adapter, tree: object) -> None:
    for route in adapter.routes:
        with pytest.raises(DownstreamError) as raised:
            adapter.read(route, tree, {})
        assert raised.value.status == 400


@EACH
def test_an_error_has_a_code_and_a_message(adapter: Adapter) -> None:
    shown = json.dumps(adapter.error(ErrorCode.NO_CAPACITY, "too much"))
    assert "no_capacity" in shown
    assert "too much" in shown
