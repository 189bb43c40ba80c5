"""The messages of Envoy's external processing, as far as they are used: read from bytes, and written to bytes.

In: a `ProcessingRequest` of Envoy, as bytes. Out: what it says, as a value, and the bytes of a `ProcessingResponse`. The
messages and numbers of their fields are those of `envoy.service.ext_proc.v3`; a field that is not listed here is skipped.

The types are made here from a table, in a pool of their own. Generated code would register the names of Envoy's types for the
whole process, where a second package that brings the same names makes both fail; and it works only with releases of protobuf
that are at least as new as its generator.

Decision: docs/decisions/0071-envoy-asks-by-ext-proc.md
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "envoy.service.ext_proc.v3"
METHOD = "Process"
SERVICE = f"{PACKAGE}.ExternalProcessor"
FULL_DUPLEX_STREAMED = 4
PIECE_BYTES = 60 * 1024  # of a body, in one message: below the window of 64 KiB that a stream of HTTP/2 has at first

Headers = Sequence[tuple[str, str]]

# Each message: the name of a field -> its number and its type. `[...]`: repeated; `{...}`: a map from texts to a message.
_TABLE: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "HeaderValue": {"key": (1, "string"), "value": (2, "string"), "raw_value": (3, "bytes")},
    "HeaderMap": {"headers": (1, "[HeaderValue]")},
    "Value": {"string_value": (3, "string")},
    "Struct": {"fields": (1, "{Value}")},
    "ProtocolConfiguration": {"request_body_mode": (1, "int32"), "response_body_mode": (2, "int32")},
    "HttpHeaders": {"headers": (1, "HeaderMap"), "end_of_stream": (3, "bool")},
    "HttpBody": {"body": (1, "bytes"), "end_of_stream": (2, "bool")},
    "HttpTrailers": {"trailers": (1, "HeaderMap")},
    "ProcessingRequest": {
        "request_headers": (2, "HttpHeaders"),
        "response_headers": (3, "HttpHeaders"),
        "request_body": (4, "HttpBody"),
        "response_body": (5, "HttpBody"),
        "request_trailers": (6, "HttpTrailers"),
        "response_trailers": (7, "HttpTrailers"),
        "attributes": (9, "{Struct}"),
        "observability_mode": (10, "bool"),
        "protocol_config": (11, "ProtocolConfiguration"),
    },
    "HeaderValueOption": {"header": (1, "HeaderValue"), "append_action": (3, "int32")},
    "HeaderMutation": {"set_headers": (1, "[HeaderValueOption]"), "remove_headers": (2, "[string]")},
    "StreamedBodyResponse": {"body": (1, "bytes"), "end_of_stream": (2, "bool")},
    "BodyMutation": {"streamed_response": (3, "StreamedBodyResponse")},
    "CommonResponse": {"header_mutation": (2, "HeaderMutation"), "body_mutation": (3, "BodyMutation")},
    "HeadersResponse": {"response": (1, "CommonResponse")},
    "BodyResponse": {"response": (1, "CommonResponse")},
    "TrailersResponse": {"header_mutation": (1, "HeaderMutation")},
    "HttpStatus": {"code": (1, "int32")},
    "ImmediateResponse": {
        "status": (1, "HttpStatus"),
        "headers": (2, "HeaderMutation"),
        "body": (3, "bytes"),
        "details": (5, "string"),
    },
    "ProcessingResponse": {
        "request_headers": (1, "HeadersResponse"),
        "response_headers": (2, "HeadersResponse"),
        "request_body": (3, "BodyResponse"),
        "response_body": (4, "BodyResponse"),
        "request_trailers": (5, "TrailersResponse"),
        "response_trailers": (6, "TrailersResponse"),
        "immediate_response": (7, "ImmediateResponse"),
    },
}
_ADD, _OVERWRITE = 0, 2  # values of `append_action`
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
}


def _typed(field: Any, kind: str) -> None:
    """Sets the type of a field that has one value."""
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"


def _built() -> Mapping[str, Any]:
    """Returns the class of each message."""
    file = descriptor_pb2.FileDescriptorProto(name="guardproxy/ext_proc.proto", package=PACKAGE, syntax="proto3")
    for name, fields in _TABLE.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            is_many = kind[0] in "[{"
            field = message.field.add(
                name=field_name, number=number, label=_Field.LABEL_REPEATED if is_many else _Field.LABEL_OPTIONAL
            )
            if kind[0] != "{":
                _typed(field, kind.strip("[]"))
                continue
            entry = message.nested_type.add(name=f"{field_name.title()}Entry")
            entry.options.map_entry = True
            _typed(entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL), "string")
            _typed(entry.field.add(name="value", number=2, label=_Field.LABEL_OPTIONAL), kind.strip("{}"))
            _typed(field, f"{name}.{entry.name}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _TABLE}


TYPES = _built()
"""The class of each message, by its name."""
_Request, _Response = TYPES["ProcessingRequest"], TYPES["ProcessingResponse"]


class EnvoyHead(msgspec.Struct, frozen=True):
    """The headers of a request or of an answer, pseudo-headers included. `is_end`: whether there is no body. `address`: the
    attribute `source.address`, empty if Envoy does not send it. `is_right_mode`: whether bodies come and go as
    `FULL_DUPLEX_STREAMED`, as far as Envoy says."""

    is_request: bool
    headers: Headers
    is_end: bool = False
    address: str = ""
    is_right_mode: bool = True


class Data(msgspec.Struct, frozen=True):
    """Bytes of a body. `is_end`: whether the body ends with them."""

    is_request: bool
    data: bytes
    is_end: bool = False


class Trailers(msgspec.Struct, frozen=True):
    """The trailers behind a body, which is complete then. No check reads them. `names`: of its fields."""

    is_request: bool
    names: tuple[str, ...] = ()


Message = EnvoyHead | Data | Trailers


class Mutation(NamedTuple):
    """A change of headers. A name that stands in `setting` twice gets both values."""

    setting: Headers = ()
    removing: Sequence[str] = ()


UNCHANGED = Mutation()


class UnreadableMessageError(Exception):
    """A message that is none, or of no known kind."""


def read(raw: bytes) -> Message:
    """Returns what a message of Envoy says. Raises `UnreadableMessageError`."""
    try:
        message = _Request.FromString(raw)
    except Exception as error:  # the parser's own error, whose class differs between implementations of protobuf
        raise UnreadableMessageError("the message is not of `envoy.service.ext_proc.v3`") from error
    if message.HasField("request_body"):
        return Data(True, message.request_body.body, message.request_body.end_of_stream)
    if message.HasField("response_body"):
        return Data(False, message.response_body.body, message.response_body.end_of_stream)
    if message.HasField("request_headers"):
        return _head(message, message.request_headers, is_request=True)
    if message.HasField("response_headers"):
        return _head(message, message.response_headers, is_request=False)
    for is_request, name in ((True, "request_trailers"), (False, "response_trailers")):
        if message.HasField(name):
            headers = getattr(message, name).trailers.headers
            return Trailers(is_request, tuple(dict.fromkeys(header.key for header in headers)))
    raise UnreadableMessageError("the message holds nothing that is known")


def _head(message: Any, part: Any, *, is_request: bool) -> EnvoyHead:
    headers = [
        (header.key, header.raw_value.decode("utf-8", "surrogateescape") if header.raw_value else header.value)
        for header in part.headers.headers
    ]
    is_right = not message.observability_mode
    if message.HasField("protocol_config"):
        modes = message.protocol_config.request_body_mode, message.protocol_config.response_body_mode
        is_right = is_right and modes == (FULL_DUPLEX_STREAMED, FULL_DUPLEX_STREAMED)
    address = ""
    for group in message.attributes.values():
        if "source.address" in group.fields:
            address = group.fields["source.address"].string_value
    return EnvoyHead(is_request, headers, part.end_of_stream, address, is_right)


def _fill(target: Any, mutation: Mutation) -> None:
    """Writes a change of headers into a `HeaderMutation`."""
    seen: set[str] = set()
    for name, value in mutation.setting:
        option = target.set_headers.add(append_action=_ADD if name in seen else _OVERWRITE)
        option.header.key = name
        option.header.raw_value = value.encode("utf-8", "surrogateescape")
        seen.add(name)
    target.remove_headers.extend(mutation.removing)


def head_reply(mutation: Mutation, *, is_request: bool) -> bytes:
    """Writes the answer to a `EnvoyHead`."""
    response = _Response()
    part = response.request_headers if is_request else response.response_headers
    part.SetInParent()
    if mutation.setting or mutation.removing:
        _fill(part.response.header_mutation, mutation)
    return bytes(response.SerializeToString())


def body_replies(data: bytes, *, is_request: bool, is_end: bool) -> Iterable[bytes]:
    """Yields the messages that send bytes of a body on. `is_end`: whether the body ends with them."""
    for at in range(0, len(data), PIECE_BYTES) or (0,):
        response = _Response()
        part = response.request_body if is_request else response.response_body
        piece = part.response.body_mutation.streamed_response
        piece.body = data[at : at + PIECE_BYTES]
        piece.end_of_stream = is_end and at + PIECE_BYTES >= len(data)
        yield bytes(response.SerializeToString())


def trailers_reply(names: Sequence[str], *, is_request: bool) -> bytes:
    """Writes the answer to `Trailers`: all of them are removed."""
    response = _Response()
    part = response.request_trailers if is_request else response.response_trailers
    part.SetInParent()
    if names:
        _fill(part.header_mutation, Mutation(removing=names))
    return bytes(response.SerializeToString())


def whole_reply(status: int, headers: Headers, body: bytes) -> bytes:
    """Writes an answer that Envoy sends at once, in the place of the upstream's."""
    response = _Response()
    part = response.immediate_response
    part.status.code = status
    part.body = body
    part.details = "guardproxy"
    _fill(part.headers, Mutation(headers))
    return bytes(response.SerializeToString())
