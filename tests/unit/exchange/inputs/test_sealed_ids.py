"""Ids of stored answers: whose they are, in which bytes they are sealed, and that no spelling of a request gets past."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.exchange import Exchange, PassThrough, play
from guardproxy.exchange.inputs.sealed_ids import IdStream, SealedIds
from guardproxy.exchange.inputs.transcript import (
    DataReceived,
    Finish,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    SendData,
    SendHead,
    SendUpstream,
)
from guardproxy.wire import installed
from guardproxy.wire.contract import StoredIds
from guardproxy.wire.formats.openai_responses.field_map import STORED
from guardproxy.wire.json import OTHERS, UNMAPPED, MapFields, naming
from tests.kit.maps import places
from tests.kit.play import KEYS, Play, policy_set, setting
from tests.kit.responses import RESPONSES, growing, response_texts, stream

POLICY = """
policy: guard
checks: {word: {use: pattern, words: [umbrella]}}
rules: [{id: out, when: word, action: redact}]
"""


def seal(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16, key=b"k").hexdigest()


IDS = SealedIds(seal, "acme", STORED)
WITH_IDS = replace(KEYS, ids=IDS)
MINE = json.loads(IDS.sealed(b'{"id": "resp_1"}'))["id"]
CONVERSATION = json.loads(IDS.sealed(b'{"id": "conv_1"}'))["id"]
THEIRS = json.loads(SealedIds(seal, "globex", STORED).sealed(b'{"id": "resp_1"}'))["id"]
NAMES = st.from_regex(r"(resp|conv)_[A-Za-z0-9_.=-]{1,60}", fullmatch=True)


def is_unknown(call: Any, *arguments: Any) -> bool:
    with pytest.raises(DownstreamError) as refused:
        call(*arguments)
    return refused.value.code == ErrorCode.UNKNOWN_ID and refused.value.status == 404


@settings(max_examples=60)
@given(NAMES, st.text(max_size=8), st.text(max_size=8))
def test_an_id_opens_for_its_tenant_alone(name: str, tenant: str, other: str) -> None:
    ids = SealedIds(seal, tenant, STORED)
    sealed = json.loads(ids.sealed(json.dumps({"id": name}).encode()))["id"]
    assert re.fullmatch(re.escape(name) + "_[0-9a-f]{16}", sealed)
    assert ids.opened_id(sealed, "id") == name
    assert tenant == other or is_unknown(SealedIds(seal, other, STORED).opened_id, sealed, "id")


@settings(max_examples=60)
@given(st.one_of(NAMES, st.text()))
def test_an_id_that_was_made_up_opens_for_nobody(name: str) -> None:
    assert is_unknown(IDS.opened_id, name, "id")


def test_in_a_time_of_transition_an_id_without_a_seal_passes() -> None:
    ids = SealedIds(seal, "acme", STORED, accepts_unsealed=True)
    assert (ids.opened_id("resp_1", "id"), ids.opened_id(MINE, "id")) == ("resp_1", "resp_1")
    assert is_unknown(ids.opened_id, "../files", "id")


@pytest.mark.parametrize(
    ("tree", "opened"),
    [
        ({"previous_response_id": MINE}, {"previous_response_id": "resp_1"}),
        ({"conversation": CONVERSATION}, {"conversation": "conv_1"}),
        ({"conversation": {"id": CONVERSATION, "x": 1}}, {"conversation": {"id": "conv_1", "x": 1}}),
        ({"extra_body": {"previous_response_id": MINE}}, {"extra_body": {"previous_response_id": "resp_1"}}),
        ({"x_new": [1, {"deep": MINE}], "user": MINE}, {"x_new": [1, {"deep": "resp_1"}], "user": MINE}),
        ({"metadata": {"of": "resp_1"}}, {"metadata": {"of": "resp_1"}}),
    ],
)
def test_every_place_of_an_id_is_opened(tree: dict[str, Any], opened: dict[str, Any]) -> None:
    assert IDS.opened(tree) == opened


@pytest.mark.parametrize(
    "tree",
    [
        {"previous_response_id": THEIRS},
        {"previous_response_id": "resp_1"},
        {"previous_response_id": ""},
        {"conversation": THEIRS},
        {"conversation": {"id": "conv_1"}},
        {"extra_body": {"conversation": {"id": THEIRS}}},
        {"background_options": {"continuation_id": "resp_1"}},
        {"prompt_cache_options": {"comparison_response_id": THEIRS}},
        {"conversation_id": "conv_1"},
        {"x_new": [{"deep": "resp_1"}]},
        {"x_new": " resp_1"},
        {"x_new": ["\u00a0resp_1\u2028"]},
        {"x_new": {"\ufeffresp_1": 1}},
        {"x_new": {"resp_1": 1}},
        {"conversation": {"id": CONVERSATION, "also": "conv_1"}},
        {"input": [{"role": "user", "content": "x", "conversation_id": "conv_1"}]},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x", "response": "resp_1"}]}]},
    ],
)
def test_an_id_of_another_tenant_is_unknown_wherever_it_stands(tree: dict[str, Any]) -> None:
    assert is_unknown(IDS.opened, tree)


@pytest.mark.parametrize(
    "tree",
    [
        {"previous_response_id": ["resp_1"]},
        {"previous_response_id": {"id": MINE}},
        {"conversation": [CONVERSATION]},
        {"conversation": {"ID": "conv_1"}},
        {"conversation": {"id": CONVERSATION, "Id": "conv_1"}},
        {"conversation": {"id": {"id": CONVERSATION}}},
        {"conversation": {"conversation": "conv_1"}},
    ],
)
def test_an_id_in_a_shape_that_a_lenient_server_could_read_is_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(DownstreamError) as refused:
        IDS.opened(tree)
    assert refused.value.code in (ErrorCode.INVALID_TYPE, ErrorCode.UNKNOWN_ID)


@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "msg_1"},
        {"id": "msg_1"},
        {"id": "msg_1", "type": None},
        {"id": "msg_1", "type": "", "role": None},
        {"id": "ig_1", "type": "image_generation_call", "result": None},
    ],
)
@pytest.mark.parametrize("name", ["input", "items", "instructions"])
def test_a_reference_to_a_stored_item_is_refused(name: str, item: dict[str, Any]) -> None:
    with pytest.raises(DownstreamError, match=f"`{name}` .* send the item itself"):
        IDS.opened_body(json.dumps({name: [{"role": "user", "content": "hi"}, item]}).encode())


@pytest.mark.parametrize(
    "tree",
    [
        {"items": [{"type": "item_reference", "ID": "msg_1"}]},
        {"Items": [{"type": "item_reference", "id": "msg_1"}]},
        {"items": [{"Type": "item_reference", "role": "user", "id": "msg_1"}]},
        {"extra_body": {"INPUT": [{"id": "msg_1"}]}},
    ],
)
def test_a_reference_in_other_letters_is_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(DownstreamError, match="must be written as"):
        IDS.opened_body(json.dumps(tree).encode())


@pytest.mark.parametrize("body", [b"", b'{"items": [{"type": "image_generation_call", "result": "iVBORw0K"}]}'])
def test_a_body_without_ids_keeps_its_bytes(body: bytes) -> None:
    assert IDS.opened_body(body) is body


def test_a_body_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(DownstreamError, match="not JSON"):
        IDS.opened_body(b"previous_response_id=resp_1")


@pytest.mark.parametrize(
    "tree", [{}, {"input": "resp_1"}, {"previous_response_id": None}, {"input": [{"role": "user"}]}]
)
def test_a_request_without_ids_stays_as_it_is(tree: dict[str, Any]) -> None:
    assert IDS.opened(tree) is tree


@pytest.mark.parametrize(
    ("path", "opened"),
    [
        (f"/v1/responses/{MINE}", "/v1/responses/resp_1"),
        (f"/v1/responses/{MINE}/cancel", "/v1/responses/resp_1/cancel"),
        (f"/v1/conversations/{CONVERSATION.replace('_', '%5F')}/items", "/v1/conversations/conv_1/items"),
        ("/v1/responses/input_tokens", "/v1/responses/input_tokens"),
        ("/v1/conversations", "/v1/conversations"),
    ],
)
def test_the_id_in_a_path_is_opened(path: str, opened: str) -> None:
    assert (IDS.opened_path(path), STORED.is_about(path)) == (opened, True)
    assert re.sub("(resp|conv)_1", "id", opened) == STORED.without_id(path, sealed=True)


def test_a_path_with_an_id_of_another_tenant_is_unknown() -> None:
    assert is_unknown(IDS.opened_path, f"/v1/responses/{THEIRS}")
    assert is_unknown(IDS.opened_path, "/v1/responses/%2e%2e%2ffiles")
    assert not STORED.is_about("/v1/responsesx")


def test_a_text_that_looks_like_an_id_is_left_alone() -> None:
    said = json.dumps({"text": '{"id": "resp_1"}', "item_id": "resp_1", "ids": ["resp_1"]}).encode()
    assert IDS.sealed(said) == said


MEMBERS = ("id", "response_id", "previous_response_id", "conversation", "conversation_id")
ECHOES = st.recursive(
    st.one_of(NAMES, st.sampled_from(['"id": "resp_1"', "\\", "x" * 600 + '", "id": "resp_1"', 5, None])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*MEMBERS, "response", '"', "y" * 600]), inner, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(ECHOES, st.sampled_from(["metadata", "tools", "input_schema", "y" * 600]), st.sampled_from([None, 2]))
def test_what_an_answer_repeats_is_not_sealed(echo: Any, member: str, indent: int | None) -> None:
    """Otherwise a tenant could have the ids of others sealed for itself, by metadata or a schema that names them."""
    own = {"id": "resp_1", "object": "response", member: {"inner": echo}, "output": [echo]}
    for sent, sealed in ((own, {**own, "id": MINE}), ({"response": own}, {"response": {**own, "id": MINE}})):
        assert json.loads(IDS.sealed(json.dumps(sent, indent=indent).encode())) == sealed


def test_an_answer_names_itself_at_known_places() -> None:
    named = {"id": "resp_1", "previous_response_id": "resp_1", "conversation": {"id": "conv_1"}}
    sealed = {"id": MINE, "previous_response_id": MINE, "conversation": {"id": CONVERSATION}}
    for sent, expected in ((named, sealed), ({"response": named}, {"response": sealed})):
        assert json.loads(IDS.sealed(json.dumps(sent).encode())) == expected


def test_an_id_in_metadata_comes_back_unknown() -> None:
    """A client puts the id of another tenant into its metadata, and takes back what the answer shows."""
    exchange = Play(policy_set(), RESPONSES)
    exchange.exchange = Exchange(setting(policy_set(), RESPONSES, keys=WITH_IDS))
    exchange.ask({"model": "m", "input": "hi", "metadata": {"id": "resp_theirs"}})
    answer = {"id": "resp_1", "object": "response", "output": [], "metadata": exchange.upstream["metadata"]}
    exchange.stream([json.dumps(answer).encode()], media="application/json")
    shown = json.loads(exchange.client)["metadata"]["id"]
    assert is_unknown(IDS.opened, {"previous_response_id": shown})


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 400), max_size=12))
def test_a_stream_is_sealed_alike_however_it_is_cut(sizes: list[int]) -> None:
    frames = b"".join(stream(growing("response.output_text", ["the umbre", "lla resp_1"])))
    cuts, start = [], 0
    for size in sizes:
        cuts.append(frames[start : start + size])
        start += size
    exchange = Play(policy_set(POLICY), RESPONSES)
    exchange.exchange = Exchange(setting(policy_set(POLICY), RESPONSES, keys=WITH_IDS))
    exchange.ask({"model": "m", "input": "hi", "previous_response_id": MINE}).stream([*cuts, frames[start:]])
    assert exchange.upstream["previous_response_id"] == "resp_1"
    client = exchange.client.decode()
    assert set(re.findall(r'"id": ?"(resp_[^"]*)"', client)) == {MINE}
    assert response_texts(exchange.client)["end"] == "response.completed"
    assert "umbrella" not in client
    assert "resp_1" in response_texts(exchange.client)["response.output_text"]


def test_an_answer_that_a_rule_stops_is_sealed_too() -> None:
    policies = policy_set(POLICY.replace("redact", "block"))
    exchange = Play(policies, RESPONSES)
    exchange.exchange = Exchange(setting(policies, RESPONSES, keys=WITH_IDS))
    frames = stream(growing("response.output_text", ["well, ", "then umbrella"]))
    exchange.ask({"model": "m", "input": "hi"}).stream(frames)
    assert MINE in exchange.client.decode()
    assert not re.search(r'"id": ?"resp_1"', exchange.client.decode())


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
def test_a_long_text_hides_nothing_and_holds_nothing_back(size: int) -> None:
    sent = json.dumps(
        {"id": '\\"' * 400, "y" * 999: "resp_1", "response": {"z" * 999: {"id": "resp_1"}, "id": "resp_1"}}
    )
    stream, out = IdStream(IDS), b""
    for start in range(0, len(sent), size):
        out += stream.feed(sent[start : start + size].encode())
        assert start - len(out) <= 600
    assert out + stream.end() == sent.replace('"id": "resp_1"}}', f'"id": "{MINE}"}}}}').encode()


def passed(*parts: bytes) -> list[Any]:
    about = setting(policy_set(), "GET /v1/responses/{id}", keys=WITH_IDS)
    received: list[Any] = [ResponseStarted(200, "application/json"), *map(DataReceived, parts), ResponseEnded()]
    return play(PassThrough(about), [RequestReceived(b""), *received], lambda command: None)  # type: ignore[arg-type, return-value]


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            NAMES.map(lambda name: json.dumps({"id": name, "x": name}) + "\n"),
            NAMES.map(
                lambda name: json.dumps({"response": {"id" + " " * 600: 1, "id": name}, "m": [{"id": name}]}, indent=2)
            ),
            st.text('ab"\\:{} ', max_size=700),
            st.just('"id": "resp_' + "x" * 390),
        ),
        max_size=6,
    ),
    st.lists(st.integers(1, 600), max_size=10),
)
def test_an_answer_that_is_passed_through_is_sealed_alike_however_it_is_cut(texts: list[str], sizes: list[int]) -> None:
    data = "".join(texts).encode()
    parts, start = [], 0
    for size in sizes:
        parts.append(data[start : start + size])
        start += size
    done = passed(*parts, data[start:])
    client = b"".join(command.data for command in done if isinstance(command, (SendData, Finish)))
    assert client == IDS.sealed(data)
    assert [type(command) for command in done[:2]] == [SendUpstream, SendHead]
    assert done[-1].record.sizes["client"] == len(client)


def test_every_place_of_the_map_that_holds_an_id_is_checked() -> None:
    words = installed().codec_for(RESPONSES).contract.words.values  # type: ignore[union-attr]
    found = [place for place in places(STORED.request, words) if place.leaf.names in ("answer", "item")]
    assert {"continuation_id", "comparison_response_id", "conversation_id", "id"} <= {place.key for place in found}
    for place in found:
        for value in ("resp_1", THEIRS, ["resp_1"]):
            with pytest.raises(DownstreamError) as refused:
                IDS.opened(place.build(value))
            assert refused.value.code in (ErrorCode.UNKNOWN_ID, ErrorCode.INVALID_TYPE, ErrorCode.INVALID_VALUE)


def test_every_place_of_an_answer_that_holds_an_id_is_sealed() -> None:
    words = installed().codec_for(RESPONSES).contract.words.values  # type: ignore[union-attr]
    found = [place for place in places(STORED.answer, words) if place.leaf.names == "answer"]
    assert {"id", "previous_response_id", "conversation", "comparison_response_id"} <= {place.key for place in found}
    for place in found:
        assert IDS.sealed(json.dumps(place.build("resp_1")).encode()) == json.dumps(place.build(MINE)).encode()


def test_an_id_like_name_is_unlisted_and_unlisted_texts_pass() -> None:
    said = {"role": "user", "content": [{"type": "input_text", "text": "resp_1"}]}
    tree = {"x_new": ["see resp_1", {"a": None, "b": "text"}], "input": "resp_1", "instructions": [said]}
    assert IDS.opened(tree) is tree


def test_the_clients_of_a_tenant_share_ids_where_the_tenant_holds_them() -> None:
    one, two, other = (
        SealedIds(seal, holder, STORED, former=client)
        for holder, client in (("tenant=a", "1"), ("tenant=a", "2"), ("tenant=b", "3"))
    )
    name = json.loads(one.sealed(b'{"id": "resp_1"}'))["id"]
    assert one.opened_id(name, "id") == two.opened_id(name, "id") == "resp_1"
    assert is_unknown(other.opened_id, name, "id")
    assert is_unknown(SealedIds(seal, "1", STORED).opened_id, name, "id"), "a narrower scope does not open it"


def test_ids_from_before_stay_valid_for_their_client() -> None:
    name = json.loads(SealedIds(seal, "1", STORED).sealed(b'{"id": "resp_1"}'))["id"]
    assert SealedIds(seal, "tenant=a", STORED, former="1").opened_id(name, "id") == "resp_1"
    assert is_unknown(SealedIds(seal, "tenant=a", STORED, former="2").opened_id, name, "id")
    assert is_unknown(SealedIds(seal, "tenant=a", STORED).opened_id, name, "id")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/responses/resp_1", "resp_1"),
        ("/v1/responses/resp%5F1/", "resp_1"),
        ("/v1/conversations/conv_1", "conv_1"),
        ("/v1/conversations/conv_1/items/msg_1", ""),
        ("/v1/responses", ""),
        ("/v1/files/file_1", ""),
    ],
)
def test_a_path_names_what_is_deleted(path: str, name: str) -> None:
    assert STORED.deleted_id(path) == name


def test_ids_of_another_form_are_sealed_as_their_format_declares_them() -> None:
    """The exchange knows the ids of no format."""
    maps: MapFields = {"thread": naming("answer"), OTHERS: UNMAPPED}
    stored = StoredIds(
        maps,
        maps,
        own=(),
        lasting=frozenset(),
        prefixes=("thread_",),
        collections=("threads",),
        operations=frozenset(),
        made_by={},
    )
    ids = SealedIds(seal, "acme", stored)
    sealed = json.loads(ids.sealed(b'{"thread": "thread_1", "id": "resp_1"}'))
    assert sealed["id"] == "resp_1"
    assert ids.opened({"thread": sealed["thread"]}) == {"thread": "thread_1"}
    assert ids.opened_path(f"/v1/threads/{sealed['thread']}") == "/v1/threads/thread_1"
    assert ids.opened_path("/v1/responses/resp_1") == "/v1/responses/resp_1"
    assert is_unknown(ids.opened, {"thread": "thread_1"})
    assert is_unknown(ids.opened, {"unknown": ["thread_1"]})
