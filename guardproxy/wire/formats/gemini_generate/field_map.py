"""The maps of Gemini generateContent: the meaning of each place of a request and of an answer.

One map of a request serves every route: a count of tokens holds a whole request, a request for vectors holds contents.
"""

from __future__ import annotations

import re
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.formats.gemini_generate.field_case import both
from guardproxy.wire.formats.gemini_generate.parts import content_of, several, turn
from guardproxy.wire.json import (
    KEYS,
    NAME,
    NUMBER_TYPES,
    OTHERS,
    SECRET,
    STRUCTURE,
    TOKENS,
    UNMAPPED,
    Map,
    MapFields,
    MapLeaf,
    conversation,
    members,
    naming,
    opaque,
    text,
)
from guardproxy.wire.json.opaque import NOT_KEPT

VECTORS = MapLeaf("tokens", media="vectors")
_METADATA, _TOOL, _RESULT = text("metadata"), text("tool_definition"), text("tool_result")


def _all(kind: Kind) -> MapFields:
    """Returns the rest of a map whose every other place is text of a kind."""
    return {OTHERS: text(kind), KEYS: text(kind)}


# Requests.

_KEY = both({"apiKey": SECRET, **_all("tool_definition")})
_AUTH = both(
    {
        "apiKey": SECRET,
        "authType": STRUCTURE,
        "apiKeyConfig": both({"apiKeyString": SECRET, "httpElementLocation": STRUCTURE, **_all("tool_definition")}),
        "httpBasicAuthConfig": both({"credentialSecret": SECRET, **_all("tool_definition")}),
        "oauthConfig": both({"accessToken": SECRET, **_all("tool_definition")}),
        "oidcConfig": both({"idToken": SECRET, **_all("tool_definition")}),
        **_all("tool_definition"),
    }
)
_SERVER = both(
    {
        "streamableHttpTransport": {"headers": {OTHERS: SECRET, KEYS: _TOOL}, **_all("tool_definition")},
        **_all("tool_definition"),
    }
)
_API = both(
    {
        "apiAuth": both({"apiKeyConfig": both({"apiKeyString": SECRET, **_all("tool_definition")})}),
        "authConfig": _AUTH,
        "apiSpec": STRUCTURE,
        **_all("tool_definition"),
    }
)
_COMPUTER: MapFields = {"environment": STRUCTURE, "disabledSafetyPolicies": [STRUCTURE], **_all("tool_definition")}
_SEARCH = both({"blockingConfidence": STRUCTURE, **_all("tool_definition")})
_TOOLS = both(
    {
        **dict.fromkeys(("parallelAiSearch", "exaAiSearch"), _KEY),
        "mcpServers": several(_SERVER),
        "retrieval": both({"externalApi": _API, **_all("tool_definition")}),
        "googleMaps": both({"authConfig": _AUTH, **_all("tool_definition")}),
        "computerUse": both(_COMPUTER),
        **dict.fromkeys(("googleSearch", "enterpriseWebSearch"), _SEARCH),
        "functionDeclarations": _TOOL,
        "googleSearchRetrieval": both(
            {"dynamicRetrievalConfig": both({"mode": STRUCTURE, "dynamicThreshold": STRUCTURE})}
        ),
        **_all("tool_definition"),
    }
)
_TOOL_CONFIG = both(
    {
        "functionCallingConfig": both(
            {"mode": STRUCTURE, "allowedFunctionNames": _TOOL, "streamFunctionCallArguments": STRUCTURE}
        ),
        "retrievalConfig": both({"latLng": _METADATA, "languageCode": STRUCTURE}),
        "includeServerSideToolInvocations": STRUCTURE,
    }
)
_SAFETY: MapFields = {"category": STRUCTURE, "threshold": STRUCTURE, "method": STRUCTURE}


def _voice(given: Any) -> Map:
    declared = members(given).get("mimeType") or members(given).get("mime_type")
    sample = opaque("audio", "metadata", declared if isinstance(declared, str) else None, url_safe=True)
    return both(
        {
            "mimeType": STRUCTURE,
            "voiceSampleAudio": sample,
            "consentAudio": sample,
            "voiceConsentSignature": {"signature": opaque("signature", "metadata", url_safe=True)},
        }
    )


_VOICE = both({"replicatedVoiceConfig": _voice, **_all("metadata")})
_SPEAKER = both({"speaker": _METADATA, "voiceConfig": _VOICE})
_SPEECH = both(
    {
        "languageCode": STRUCTURE,
        "voiceConfig": _VOICE,
        "multiSpeakerVoiceConfig": both({"speakerVoiceConfigs": [_SPEAKER]}),
    }
)
_OUTPUT = both(
    {
        **dict.fromkeys(("mimeType", "delivery", "aspectRatio", "imageSize", "bitRate", "sampleRate"), STRUCTURE),
        "schema": _TOOL,
        **_all("metadata"),
    }
)
_THINKING = both(dict.fromkeys(("includeThoughts", "thinkingBudget", "thinkingLevel"), STRUCTURE))
_ROUTER = naming("router")


def _routed(given: Any) -> Map:
    """Maps how Google chooses the model. It chooses even if the object says nothing more."""
    return both({"modelRoutingPreference": _ROUTER}) if given else _ROUTER


_ROUTING = both({"autoMode": _routed, "manualMode": both({"modelName": NAME})})
_PREFERENCE = both({"featureSelectionPreference": _ROUTER})
_GENERATION = both(
    {
        **dict.fromkeys(
            (
                *("temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "responseLogprobs", "logprobs"),
                *("presencePenalty", "frequencyPenalty", "seed", "responseMimeType", "mediaResolution"),
                *("audioTimestamp", "enableAffectiveDialog", "enableEnhancedCivicAnswers"),
            ),
            STRUCTURE,
        ),
        "stopSequences": _METADATA,
        "responseSchema": _TOOL,
        "responseJsonSchema": _TOOL,
        "responseFormat": several(dict.fromkeys(("text", "audio", "image", "video"), _OUTPUT)),
        "responseModalities": several(STRUCTURE),
        "thinkingConfig": _THINKING,
        "speechConfig": _SPEECH,
        "imageConfig": _OUTPUT,
        "routingConfig": _ROUTING,
        "modelSelectionConfig": _PREFERENCE,
        "modelConfig": _PREFERENCE,
        "translationConfig": both({"targetLanguageCode": STRUCTURE, "echoTargetLanguage": STRUCTURE}),
        "audioTranscriptionConfig": both({"mode": STRUCTURE, **_all("metadata")}),
    }
)
_EMBEDDING = both(
    {"taskType": STRUCTURE, "outputDimensionality": STRUCTURE, "autoTruncate": STRUCTURE, "title": text("user")}
)
_TURN = conversation(turn)
_CONTENT = both({"contents": several(_TURN), "content": _TURN, "systemInstruction": content_of("system")})
_BATCHED: MapFields = {**_CONTENT, **_EMBEDDING, "model": NAME, **both({"embedContentConfig": _EMBEDDING})}


# The name of content that the upstream holds. No check can read the content, so the record lists the place.
_CACHED = re.compile(r"cachedContents/(?!.*\d{7})[a-z0-9]{1,32}", re.ASCII)
_CACHED_CONTENT = MapLeaf("secret", media="file")


def _cached(given: Any) -> Map:
    is_name = isinstance(given, str) and (given == NOT_KEPT or _CACHED.fullmatch(given) is not None)
    return _CACHED_CONTENT if is_name else _METADATA


def _whole(given: Any) -> Map:
    return REQUEST


REQUEST: MapFields = {
    **_CONTENT,
    **_EMBEDDING,
    "model": NAME,
    **both(
        {
            "tools": several(_TOOLS),
            "toolConfig": _TOOL_CONFIG,
            "safetySettings": several(_SAFETY),
            "generationConfig": _GENERATION,
            "cachedContent": _cached,
            "labels": _METADATA,
            "store": STRUCTURE,
            "serviceTier": STRUCTURE,
            "continuationToken": opaque("encrypted", "assistant", url_safe=True),
            "modelArmorConfig": _METADATA,
            "embedContentConfig": _EMBEDDING,
            "generateContentRequest": _whole,
            "requests": several(_BATCHED),
        }
    ),
}

# Answers.

_RATING = both(
    dict.fromkeys(
        (
            *("category", "probability", "probabilityScore", "severity", "severityScore", "blocked"),
            "overwrittenThreshold",
        ),
        STRUCTURE,
    )
)
_CITATION = both(
    {
        **dict.fromkeys(("startIndex", "endIndex"), STRUCTURE),
        "publicationDate": dict.fromkeys(("year", "month", "day"), STRUCTURE),
        **_all("assistant"),
    }
)
_SEGMENT = both({**dict.fromkeys(("startIndex", "endIndex", "partIndex"), STRUCTURE), "text": text("assistant")})
_SUPPORT = both(
    {
        "segment": _SEGMENT,
        "groundingChunkIndices": [STRUCTURE],
        "renderedParts": [STRUCTURE],
        "confidenceScores": [STRUCTURE],
    }
)
_GROUNDING = both(
    {
        **dict.fromkeys(("webSearchQueries", "imageSearchQueries", "retrievalQueries"), text("tool_arguments")),
        "groundingChunks": _RESULT,
        "groundingSupports": [_SUPPORT],
        "searchEntryPoint": both(
            {"renderedContent": _RESULT, "sdkBlob": opaque("encrypted", "tool_result", url_safe=True)}
        ),
        "googleMapsWidgetContextToken": opaque("encrypted", "tool_result", url_safe=True),
        "retrievalMetadata": both({"googleSearchDynamicRetrievalScore": STRUCTURE}),
        "sourceFlaggingUris": [both({"sourceId": STRUCTURE, "flagContentUri": _RESULT})],
    }
)
_COUNTS = (
    "promptTokenCount",
    "candidatesTokenCount",
    "totalTokenCount",
    "cachedContentTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "responseTokenCount",
)
_MODALITIES = several(both({"modality": STRUCTURE, "tokenCount": STRUCTURE}))
_DETAILS: MapFields = dict.fromkeys(
    (
        *("promptTokensDetails", "candidatesTokensDetails", "cacheTokensDetails", "toolUsePromptTokensDetails"),
        *("responseTokensDetails", "tokensDetails"),
    ),
    _MODALITIES,
)
_USAGE: MapFields = both({**dict.fromkeys((*_COUNTS, "trafficType", "serviceTier"), STRUCTURE), **_DETAILS})


def is_vector(given: Any) -> bool:
    """Whether a value is a list of numbers."""
    return isinstance(given, list) and NUMBER_TYPES.issuperset(map(type, given))


def _vector(given: Any) -> Map:
    return VECTORS if is_vector(given) else UNMAPPED


_STATISTICS = both({"truncated": STRUCTURE, "tokenCount": STRUCTURE, "tokensDetails": _MODALITIES})
_EMBEDDED: MapFields = {"values": _vector, "statistics": _STATISTICS}
_ERROR: MapFields = {
    "code": STRUCTURE,
    "status": STRUCTURE,
    "message": text("error"),
    "details": text("error"),
    **_all("error"),
}


_VECTORS: MapFields = {"embedding": _EMBEDDED, "embeddings": [_EMBEDDED]}


def _response(said: MapLeaf | None = None, *, streamed: bool = False) -> MapFields:
    candidate: MapFields = both(
        {
            **dict.fromkeys(("index", "finishReason", "tokenCount", "avgLogprobs"), STRUCTURE),
            "content": content_of("assistant", said=said),
            "finishMessage": text("refusal"),
            "safetyRatings": [_RATING],
            "citationMetadata": both({"citations": [_CITATION], "citationSources": [_CITATION]}),
            "groundingMetadata": _GROUNDING,
            "logprobsResult": TOKENS,
            "urlContextMetadata": both(
                {"urlMetadata": [both({"retrievedUrl": _RESULT, "urlRetrievalStatus": STRUCTURE})]}
            ),
            "continuationToken": opaque("encrypted", "assistant", url_safe=True),
        }
    )
    return both(
        {
            "candidates": [candidate],
            "promptFeedback": both(
                {"blockReason": STRUCTURE, "blockReasonMessage": text("refusal"), "safetyRatings": [_RATING]}
            ),
            "usageMetadata": _USAGE,
            "modelVersion": NAME,
            "responseId": STRUCTURE,
            "createTime": _METADATA,
            "modelStatus": both({"modelStage": STRUCTURE, "message": _METADATA, "retirementTime": _METADATA}),
            **dict.fromkeys(("totalTokens", "cachedContentTokenCount"), STRUCTURE),
            **_DETAILS,
            **({} if streamed else _VECTORS),
            "metadata": both({"billableCharacterCount": STRUCTURE}),
            "truncated": STRUCTURE,
            "error": _ERROR,
        }
    )


_JSON = MapLeaf("json", "assistant", joins=True)
RESPONSE, JSON_RESPONSE = _response(), _response(_JSON)
EVENT, JSON_EVENT = _response(streamed=True), _response(_JSON, streamed=True)
"""The maps of a frame of a stream, which holds no vectors."""
