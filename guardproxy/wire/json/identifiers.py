"""The words that the protocols use at places of structure: enum values, media types and the shapes of identifiers.

A place of structure passes a word of this finite vocabulary, or an identifier of a known shape, without a scan. Any other
string is scanned, as it could hold anything. A word that is missing here is not an error: it is only scanned.
"""

from __future__ import annotations

import re

from guardproxy.wire.json.opaque import MEDIA_TYPES, TEXT_TYPES

_WORDS = """
system developer user assistant tool function model
text image image_url image_file input_audio input_text input_image input_file output_text file refusal audio video
video_url audio_url url base64 content custom custom_tool_call document tool_use tool_result server_tool_use mid_conv_system
web_search_tool_result web_fetch_tool_result code_execution_tool_result bash_code_execution_tool_result
text_editor_code_execution_tool_result mcp_tool_use mcp_tool_result container_upload search_result thinking
redacted_thinking tool_reference advisor_tool_result tool_search_tool_result
ephemeral persistent 5m 1h 24h in-memory in_memory
auto none any required allowed_tools web_search
json_object json_schema grammar regex lark
safe low medium high xhigh max minimal default original enabled disabled adaptive summarized omitted concise detailed
flex priority scale standard standard_only batch fast economy global us eu not_available
wav mp3 flac opus aac pcm16 pcm ogg m4a
alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse
stop length tool_calls content_filter function_call insufficient_system_resource eos stop_string abort error
end_turn max_tokens stop_sequence pause_turn model_context_window_exceeded
chat.completion chat.completion.chunk text_completion list
message message_start message_delta message_stop content_block_start content_block_delta content_block_stop ping
text_delta input_json_delta thinking_delta signature_delta citations_delta connector_text_delta compaction compaction_delta
direct code_execution_20250825 code_execution_20260120
web_search_20250305 web_search_20260209 web_fetch_20250910 web_fetch_20260209 code_execution_20250522
bash_20241022 bash_20250124 text_editor_20241022 text_editor_20250124 text_editor_20250429 text_editor_20250728
computer_20241022 computer_20250124 computer_20251124 memory_20250818 mcp_toolset
tool_search_tool_regex_20251119 tool_search_tool_bm25_20251119
api_error invalid_request_error authentication_error billing_error permission_error not_found_error request_too_large
rate_limit_error timeout_error overloaded_error server_error
score block implicit explicit 30m 12h approximate moderation_result moderation_results url_citation
"""
WORDS = frozenset((*_WORDS.split(), *MEDIA_TYPES, *TEXT_TYPES, ""))

_PREFIXES = (
    "call chatcmpl chatcmpl-tool toolu srvtoolu mcptoolu msg resp rs fc fp file req gen audio run batch tool cmpl modr"
    " embd"
)
_SHORT_CHARS = 3
_DATE = re.compile(
    r"[-@](?:20[2-3][0-9](-?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12][0-9]|3[01])|(?:0[1-9]|1[0-2])-20[2-3][0-9])(?![0-9])"
)
_MOST_OTHER_DIGITS = 6
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_IDENTIFIER = re.compile(
    rf"(?:(?:{'|'.join(re.escape(prefix) for prefix in _PREFIXES.split())})[-_])?{_UUID}"
    rf"|(?:{'|'.join(re.escape(prefix) for prefix in _PREFIXES.split())})[-_](?P<random>[A-Za-z0-9]{{1,48}})"
    r"|(?:call|toolu)_again_[0-9]{1,5}_[0-9]{1,3}"
)
# An identifier of a known shape may not hold this: a key, or enough digits for a number that matters.
# 128 or 96 random bits in hexadecimal have runs of seven digits in every third identifier; a number that matters has nine.
_RANDOM = re.compile(
    rf"(?:(?:{'|'.join(re.escape(prefix) for prefix in _PREFIXES.split())})[-_])?(?:{_UUID}|[0-9a-f]{{32}}|[0-9a-f]{{24}})"
)
_PADDING = re.compile(r"[A-Za-z0-9]{0,48}")
_NUMBER = re.compile("[0-9]{9}")
_CHANCE_CHARS = 16
_CHANCE_DIGITS = 9
_TELLING = re.compile(r"[0-9]{7}|AKIA|ASIA|AIza|eyJ|gh[pousr]_|xox[bpars]|sk[-_]")


def is_identifier(text: str) -> bool:
    """Whether a text is an identifier of a known shape that can hold neither a number that matters nor a key."""
    if _RANDOM.fullmatch(text):
        return _NUMBER.search(text.replace("-", "")) is None
    match = _IDENTIFIER.fullmatch(text)
    return match is not None and _TELLING.search(text.replace("-", "")) is None


def is_chance(identifier: str, value: str) -> bool:
    """Whether the value of a finding in an identifier of random bits is there by chance. Too few digits for a number that
    matters, with the hexadecimal letters beside them, look like a licence or an account in 1 % of identifiers."""
    is_random = _RANDOM.fullmatch(identifier) is not None
    return is_random and len(value) < _CHANCE_CHARS and sum(map(str.isdigit, value)) < _CHANCE_DIGITS


def is_padding(text: str) -> bool:
    """Whether a text is random characters of a known shape, as `is_identifier`."""
    return _PADDING.fullmatch(text) is not None and _TELLING.search(text) is None


def is_short(text: str) -> bool:
    """Whether a text is too short to be a name or a key: at most three letters and digits."""
    return not text or (len(text) <= _SHORT_CHARS and text.isascii() and text.isalnum())


def undated(name: str) -> str:
    """Returns the text to scan of a model's name, without the date of its release. After the version, the date looks like a
    telephone number (`gpt-4.1-2025-04-14`, `command-a-03-2025`). Only a name with letters and few other digits has a date."""
    rest = _DATE.sub("", name, count=1)
    few = sum(map(str.isdigit, rest)) <= _MOST_OTHER_DIGITS
    return rest if few and any(map(str.isalpha, rest)) else name


def is_known(text: str, words: frozenset[str] = WORDS) -> bool:
    """Whether a place of structure passes a text without a scan. `words`: the vocabulary of the format."""
    return text in words or is_short(text) or is_identifier(text)
