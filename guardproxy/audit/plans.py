"""The parts of a record that say where a request went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from guardproxy.audit.part import RecordPart


class RecordedPlan(RecordPart, frozen=True, kw_only=True):
    """Where the request went, if it differs from the request."""

    upstream: Annotated[str, Meta(description="The name of the upstream.")] = ""
    model: Annotated[str, Meta(description="The model.")] = ""
    parameters: Annotated[Mapping[str, Any], Meta(description="Members of the request that were set.")] = {}
    reason: Annotated[str, Meta(description="The reason, in words.")] = ""


class RecordedRoute(RecordPart, frozen=True, kw_only=True):
    """Where the section `route` of a policy sent the request, or would have sent it."""

    policy: str
    mode: Literal["enforce", "shadow"]
    upstream: Annotated[str, Meta(description="The upstream that is asked first. Empty: that of the request.")] = ""
    model: Annotated[str, Meta(description="The model that it is asked for. Empty: that of the request.")] = ""
    next: Annotated[
        tuple[str, ...], Meta(description="What is asked after failures: upstream (`-`: own) and model.")
    ] = ()
    simple: Annotated[bool, Meta(description="Whether the request went to the destination of simple requests.")] = False
    measures: Annotated[Mapping[str, int], Meta(description="The measures of difficulty, if the section asks.")] = {}
    passed_over: Annotated[
        tuple[str, ...], Meta(description="The upstreams that could not be asked when the request came.")
    ] = ()
    saved: Annotated[
        float | None, Meta(description="Money that the destination of simple requests saved (estimate).")
    ] = None
    duties: Annotated[RecordedPlan | None, Meta(description="The plan of the duties, before the route.")] = None
