"""The messages of the policy service, beside what protobuf itself writes and reads."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.adapters.agentgateway_mcp import messages
from guardproxy.errors import DownstreamError

_Field = descriptor_pb2.FieldDescriptorProto
_STRUCT = ".google.protobuf.Struct"
_TYPES: dict[str, list[tuple[str, int, int, str]]] = {
    "McpHeader": [("key", 1, _Field.TYPE_STRING, ""), ("value", 2, _Field.TYPE_BYTES, "")],
    "McpRequest": [
        ("service_names", 1, _Field.TYPE_STRING, "*"),
        ("method", 2, _Field.TYPE_STRING, ""),
        ("metadata_context", 3, _Field.TYPE_MESSAGE, _STRUCT),
        ("mcp_request", 4, _Field.TYPE_BYTES, ""),
        ("headers", 5, _Field.TYPE_MESSAGE, "*.x.McpHeader"),
    ],
    "Pass": [],
    "AuthorizationError": [
        ("code", 1, _Field.TYPE_INT32, ""),
        ("reason", 2, _Field.TYPE_STRING, ""),
        ("mcp_error", 3, _Field.TYPE_BYTES, ""),
    ],
    "McpRequestResult": [
        ("pass", 1, _Field.TYPE_MESSAGE, ".x.Pass"),
        ("mutated", 2, _Field.TYPE_BYTES, ""),
        ("error", 3, _Field.TYPE_MESSAGE, ".x.AuthorizationError"),
    ],
}


def types() -> dict[str, Any]:
    """The classes of protobuf for the messages, with the numbers of agentgateway's file."""
    file = descriptor_pb2.FileDescriptorProto(name="x.proto", package="x", syntax="proto3")
    file.dependency.append("google/protobuf/struct.proto")
    for name, fields in _TYPES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, of in fields:
            label = _Field.LABEL_REPEATED if of.startswith("*") else _Field.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, type=kind, label=label)
            if of.lstrip("*"):
                added.type_name = of.lstrip("*")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"x.{name}")) for name in _TYPES}


TYPES = types()


def written(names: list[str], method: str, json: bytes | None, metadata: dict[str, Any]) -> bytes:
    message = TYPES["McpRequest"](service_names=names, method=method, headers=[{"key": "a", "value": b"\xff"}])
    if json is not None:
        message.mcp_request = json
    message.metadata_context.update(metadata)
    return bytes(message.SerializeToString())


@given(
    st.lists(st.text(max_size=9), max_size=3),
    st.text(max_size=300),
    st.binary(max_size=300),
    st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.booleans() | st.floats(allow_nan=False), max_size=3),
)
def test_what_protobuf_writes_is_read(names: list[str], method: str, json: bytes, metadata: dict[str, Any]) -> None:
    texts = {key: value for key, value in metadata.items() if isinstance(value, str)}
    read = messages.read(written(names, method, json or None, metadata))
    assert read == {"service_names": names, "method": method, "metadata": texts, "json": json or None}


@given(st.binary(max_size=300), st.text(max_size=200))
def test_protobuf_reads_what_is_written(json: bytes, reason: str) -> None:
    result = TYPES["McpRequestResult"]
    assert result.FromString(messages.write_pass()).HasField("pass")
    assert result.FromString(messages.write_mutated(json)).mutated == json
    error = result.FromString(messages.write_error(reason)).error
    assert (error.code, error.reason) == (messages.PERMISSION_DENIED, reason)


def test_a_long_result_is_written_with_its_length() -> None:
    json = b"x" * 40_000
    assert TYPES["McpRequestResult"].FromString(messages.write_mutated(json)).mutated == json


def test_unknown_fields_of_every_kind_are_skipped() -> None:
    more = bytes((9 << 3,)) + b"\x81\x01" + bytes((9 << 3 | 1,)) + b"12345678" + bytes((9 << 3 | 5,)) + b"1234"
    inner = messages.write_mutated(b"x")  # field 2 of a struct, which has none
    assert messages.read(more + b"\x12\x01m" + bytes((3 << 3 | 2, len(inner))) + inner)["method"] == "m"


@pytest.mark.parametrize(
    "data",
    [b"\x12", b"\x12\x05ab", b"\x12\x01\xff", b"\x10\x01", b"\x0b", b"\x09123", b"\x80" * 11, b"\x12\x80", b"\x0a\xff"],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DownstreamError, match="not a message"):
        messages.read(data)


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    with suppress(DownstreamError):
        assert set(messages.read(data)) == {"service_names", "method", "metadata", "json"}
