"""Attributes of an exchange by OpenTelemetry's semantic conventions for generative AI.

In: the record of an exchange. Out: attributes by name; `None` for an attribute that does not apply. No text of a request or an
answer is in them: a model's name, and a reason, is left out if it has not the form of one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from guardproxy.audit import Record
from guardproxy.harmless import is_harmless
from guardproxy.wire import installed

Attribute = str | int | float | bool | Sequence[str]

_MODEL = re.compile(r"(?=.{1,128}\Z)([A-Za-z0-9][A-Za-z0-9._:/+-]*)(?:@[a-z0-9-]{1,32})?", re.ASCII)  # no mail address
_REASON = re.compile(r"[A-Za-z][A-Za-z_]{0,39}", re.ASCII)


def model_name(name: str) -> str:
    """Returns the name of a model, or an empty string if the text has not the form of one, or could be a number or a key."""
    found = _MODEL.fullmatch(name)
    return name if found and is_harmless(found[1]) else ""


def operation_of(record: Record) -> str:
    """Returns the name of the operation: `chat`, `embeddings`, ..."""
    if "embed" in record.route.lower():
        return "embeddings"
    codec = installed().named(record.codec)
    return codec.contract.telemetry.operation if codec else "chat"


def gen_ai_attributes(record: Record) -> Mapping[str, Attribute | None]:
    """Returns the attributes of the operation that the exchange asked the model for."""
    codec = installed().codec_for(record.route)
    asked, answered = codec.contract.tokens(record.usage) if codec else (None, None)
    return {
        "gen_ai.operation.name": operation_of(record) if record.is_read else None,
        "gen_ai.provider.name": codec.contract.telemetry.provider if codec else None,
        "gen_ai.usage.input_tokens": asked,
        "gen_ai.usage.output_tokens": answered,
        "gen_ai.request.model": model_name(record.model) or None,
        "gen_ai.request.stream": True if record.stream else None,
        "gen_ai.response.model": model_name(record.response.model) or None,
        "gen_ai.response.finish_reasons": tuple(filter(_REASON.fullmatch, record.response.finish)) or None,
        "gen_ai.conversation.id": record.conversation or None,
    }
