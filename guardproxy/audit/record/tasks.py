"""The typed parts of a record about tasks of the gateway: what duties, plans and sections of policies did with an exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from guardproxy.audit.record.part import RecordLeaf, RecordPart


class RecordedRefusal(RecordLeaf, frozen=True, kw_only=True):
    """A refusal of a duty, such as a limit that the request exceeds, or of a section of a policy; or one that it would make if
    it were enforced."""

    duty: Annotated[str, Meta(description="The name of the duty or of the section.")]
    name: Annotated[str, Meta(description="The name of the limit.")] = ""
    policy: Annotated[str, Meta(description="The policy that has the limit or the section. Empty: the settings.")] = ""
    code: Annotated[str, Meta(description="The code of the error.")]
    mode: Literal["enforce", "shadow"]


class RecordedDuty(RecordLeaf, frozen=True, kw_only=True):
    """The gateway store's answers to a list of calls of a duty."""

    duty: str
    answers: tuple[int | str | bool | None, ...]


class RecordedPlan(RecordPart, frozen=True, kw_only=True):
    """Where the request went, if it differs from the request."""

    upstream: Annotated[str, Meta(description="The name of the upstream.")] = ""
    model: Annotated[str, Meta(description="The model.")] = ""
    parameters: Annotated[Mapping[str, Any], Meta(description="Members of the request that were set.")] = {}
    reason: Annotated[str, Meta(description="The reason, in words.")] = ""


class RecordedField(RecordLeaf, frozen=True, kw_only=True):
    """What a policy did with a field of the request, by the name of the field."""

    field: Annotated[str, Meta(description="The place of the field in the body.")]
    action: Annotated[Literal["set", "strip", "refuse"], Meta(description="What was done, or would have been done.")]
    policy: str
    mode: Literal["enforce", "shadow"]


class RecordedLikeness(RecordLeaf, frozen=True, kw_only=True):
    """How models compared the last question with those whose answers are stored."""

    result: Annotated[
        Literal["same", "different", "none", "gone", "late", "busy", "failed"],
        Meta(
            description="`same`: the stored answer was found by it; `different`: no question that was near asks the same; "
            "`none`: none was near; `gone`: the answer was no longer stored; `late`: the time limit was reached; `busy`: too "
            "many comparisons were under way; `failed`: a model or the index failed."
        ),
    ]
    source: Annotated[str, Meta(description="The exchange of the nearest question that was judged.")] = ""
    similarity: Annotated[float, Meta(description="The cosine of the two questions.")] = 0.0
    entails: Annotated[
        tuple[float, ...], Meta(description="The probability that each question follows from the other.")
    ] = ()
    contradicts: Annotated[
        tuple[float, ...], Meta(description="The probability that each question contradicts the other.")
    ] = ()
    point: Annotated[float, Meta(description="The lowest probability at which two questions ask the same.")] = 0.0
    models: Annotated[tuple[str, ...], Meta(description="The digests of the models.")] = ()


class RecordedCache(RecordLeaf, frozen=True, kw_only=True):
    """What the cache had for the request, if policies let it answer."""

    result: Annotated[
        Literal["hit", "miss", "bypass", "failed"],
        Meta(description="`bypass`: the client asked for a new answer; `failed`: the cache could not be reached."),
    ]
    match: Annotated[Literal["exact", "semantic"], Meta(description="How requests are compared.")]
    mode: Annotated[Literal["enforce", "shadow"], Meta(description="`shadow`: the upstream answered in any case.")]
    policies: Annotated[tuple[str, ...], Meta(description="The policies whose section `cache` counts.")]
    source: Annotated[str, Meta(description="The id of the exchange whose answer was found.")] = ""
    age_s: Annotated[float, Meta(description="Seconds since that exchange.")] = 0.0
    likeness: Annotated[
        RecordedLikeness | None,
        Meta(description="How the question was compared by models, if no stored one has the same words."),
    ] = None


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


class RecordedPrompt(RecordLeaf, frozen=True, kw_only=True):
    """What the section `prompt` of a policy did with a request."""

    policy: str
    mode: Literal["enforce", "shadow"]
    parts: Annotated[
        tuple[str, ...],
        Meta(description="The keys of the section that applied. None: the request cannot have a system prompt."),
    ]
    texts: Annotated[int, Meta(description="The number of texts to mark.")] = 0
    mark: Annotated[str, Meta(description="The letters in the marks.")] = ""
