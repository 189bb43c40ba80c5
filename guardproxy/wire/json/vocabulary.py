"""Strings that are words of a format and not text. `SHARED`: the words that the supported APIs have in common.

Keys: those of JSON Schema, and those that APIs use in answers that are not mapped field by field. Any other key that a
format's map does not name is scanned like a value.
"""

from __future__ import annotations

from dataclasses import dataclass

from guardproxy.wire.json import identifiers as protocol_words


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A finite vocabulary. `keys`: names of fields at any place; `values`: strings at places of structure."""

    keys: frozenset[str]
    values: frozenset[str]


_SCHEMA = """
$comment $defs $id $ref $schema additionalItems additionalProperties allOf anchor anyOf const contains contentEncoding
contentMediaType default definitions dependencies dependentRequired dependentSchemas deprecated description else enum
examples exclusiveMaximum exclusiveMinimum format if items maxContains maxItems maxLength maxProperties maximum minContains
minItems minLength minProperties minimum multipleOf name not nullable oneOf parameters pattern patternProperties prefixItems
properties propertyNames readOnly required schema strict then title type unevaluatedItems unevaluatedProperties uniqueItems
writeOnly input_schema input_examples function
"""
_ANSWERS = """
index id object created model role content text reasoning thinking refusal audio annotations tool_calls function_call
url url_citation file_citation file_path start_index end_index start_char_index end_char_index start_page_number
end_page_number start_block_index end_block_index document_index document_title search_result_index cited_text citations
citation source page_age encrypted_content encrypted_index file_id filename quote
error message code param status details request_id
usage prompt_tokens completion_tokens total_tokens input_tokens output_tokens prompt_tokens_details completion_tokens_details
cached_tokens cache_write_tokens audio_tokens reasoning_tokens accepted_prediction_tokens rejected_prediction_tokens
text_tokens image_tokens cache_creation cache_creation_input_tokens cache_read_input_tokens ephemeral_1h_input_tokens
ephemeral_5m_input_tokens server_tool_use web_search_requests web_fetch_requests service_tier inference_geo
prompt_cache_hit_tokens prompt_cache_miss_tokens cost cost_details is_byok upstream_inference_cost iterations
container expires_at context_management applied_edits stop_reason stop_sequence stop_details category explanation
timings cache_n prompt_n prompt_ms prompt_per_token_ms prompt_per_second predicted_n predicted_ms predicted_per_token_ms
predicted_per_second prompt_progress total_duration load_duration prompt_eval_count prompt_eval_duration eval_count
eval_duration provider native_finish_reason reasoning_details kv_transfer_params estimated_tokens
prompt_filter_results prompt_index content_filter_results content_filter_result content_filter_offsets check_offset
start_offset end_offset hate self_harm sexual violence profanity jailbreak indirect_attack protected_material_text
protected_material_code custom_blocklists filtered severity detected
tool_use_id user_id is_error stdout stderr return_code caller tool_id logprobs bytes token logprob top_logprobs
"""
WORDS = frozenset(f"{_SCHEMA} {_ANSWERS}".split())
SHARED = Vocabulary(WORDS, protocol_words.WORDS)
