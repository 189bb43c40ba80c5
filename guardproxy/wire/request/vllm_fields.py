"""Fields that self-hosted servers (vLLM, SGLang, llama.cpp, TGI) and gateways (LiteLLM) add to the APIs that they imitate.
They serve OpenAI's and Anthropic's routes, so every format of these APIs has to know the fields.

`DENIED`: fields that put content where no check looks, run code or reach other hosts, each with what it does. A policy allows
one by its name (`allow_fields`). `OPTIONS`: the map of all other fields of a request.
"""

from __future__ import annotations

from collections.abc import Mapping

from guardproxy.wire.json import STRUCTURE, TOKEN_IDS, MapFields, naming, text

_LORA = "loads other weights"
_HOST = "names another host or the state of another request"
_CACHE = "takes cached content of another host instead of the prompt"

_OTHER_WEIGHTS = ("lora_path", "lora_request", "lora_id", "lora", "adapter_id", "adapter_source")
DENIED: Mapping[str, str] = {
    "chat_template": "replaces the template that turns the messages into the prompt",
    "chat_template_kwargs": "changes what the template makes of the messages",
    **dict.fromkeys(("custom_logit_processor", "logits_processors"), "runs code of the client in the server"),
    **dict.fromkeys(("custom_params", "logits_processors_args"), "passes arguments to code of the client"),
    **dict.fromkeys(("kv_transfer_params", "ec_transfer_params", "disagg_params", "disaggregated_params"), _CACHE),
    **dict.fromkeys(("bootstrap_host", "bootstrap_port", "bootstrap_room", "data_parallel_rank"), _HOST),
    **dict.fromkeys(("routed_dp_rank", "disagg_prefill_dp_rank", "session_params"), _HOST),
    **dict.fromkeys(("api_base", "base_url", "custom_llm_provider", "webhook_config"), _HOST),
    "additional_drop_params": "removes fields of the request, also those that a policy sets",
    **dict.fromkeys(_OTHER_WEIGHTS, _LORA),
}

_SAMPLING = """
top_k min_p top_a typical_p repetition_penalty length_penalty min_tokens ignore_eos skip_special_tokens
spaces_between_special_tokens include_stop_str_in_output use_beam_search truncate_prompt_tokens prompt_logprobs
add_generation_prompt continue_final_message add_special_tokens include_reasoning return_token_ids priority cache_salt
return_tokens_as_token_ids return_prompt_text return_hidden_states return_meta_info return_prompt_token_ids no_stop_trim
return_routed_experts separate_reasoning stream_reasoning cache_prompt id_slot n_probs n_predict n_keep
mirostat mirostat_tau mirostat_eta repeat_penalty repeat_last_n typ_p tfs_z dynatemp_range dynatemp_exponent xtc_probability
xtc_threshold dry_multiplier dry_base dry_allowed_length dry_penalty_last_n top_n_sigma min_keep timings_per_token
enable_thinking thinking_budget reasoning_format reasoning_budget echo best_of
"""
_ANSWERS = """
packed_top_logprobs routed_experts hidden_states sglext kv_transfer_params ec_transfer_params output_ids
completion_token_ids output_token_ids content_filter_offsets
"""
TOKEN_DATA = frozenset(_ANSWERS.split())
"""The names of fields of an answer that can repeat a text in a form that no check reads. They are dropped if a rule may edit or
stop the answer."""

_SCHEMAS = (
    *("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "json_schema"),
    *("guided_decoding_backend", "guided_whitespace_pattern", "regex", "ebnf", "grammar", "structural_tag"),
)

OPTIONS: MapFields = {
    **dict.fromkeys(_SAMPLING.split(), STRUCTURE),
    **dict.fromkeys(DENIED, text("metadata")),
    **dict.fromkeys(_OTHER_WEIGHTS, naming("model", text("metadata"))),
    **dict.fromkeys(_SCHEMAS, text("metadata")),
    **dict.fromkeys(("bad_words", "stop_regex", "vllm_xargs", "mm_processor_kwargs", "task"), text("metadata")),
    **dict.fromkeys(("dry_sequence_breakers", "samplers", "request_id", "rid"), text("metadata")),
    **dict.fromkeys(("stop_token_ids", "logprob_token_ids"), text("metadata")),
    **dict.fromkeys(("input_ids", "prompt_token_ids"), TOKEN_IDS),
    # Tensors that a server takes instead of a text.
    **dict.fromkeys(("prompt_embeds", "input_embeds", "inputs_embeds", "precomputed_embeddings"), TOKEN_IDS),
}
"""The fields of a request that every format may have."""

CHAT_OPTIONS: MapFields = {
    **OPTIONS,
    **dict.fromkeys(("chat_template", "chat_template_kwargs"), text("system")),
    **dict.fromkeys(_SCHEMAS, text("tool_definition")),
    "documents": text("document"),
}
"""Those of a format whose requests hold messages."""

CHOICE: MapFields = dict.fromkeys(("stop_reason", "matched_stop", "prompt_text"), text("metadata"))
"""The fields of a choice of an answer: the text at which it stopped, or the prompt again."""
ANSWER: MapFields = dict.fromkeys(("prompt_text", "metrics"), text("metadata"))
"""The fields of an answer."""
