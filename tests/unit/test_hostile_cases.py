"""Hostile input and the tests that hold what is expected of it. A case names tests that exist, so none is lost."""

from __future__ import annotations

import pytest

from tools.pages.formats import missing

E2E, UNIT, PROPERTY = "tests/e2e", "tests/unit", "tests/property"
REQUESTS, MODEL, LOAD = f"{E2E}/test_hostile.py", f"{E2E}/test_hostile_model.py", f"{E2E}/test_overload.py"
FAULTS, GUARDED, FUZZ = f"{E2E}/test_faults.py", f"{E2E}/test_guarded.py", f"{PROPERTY}/test_fuzz.py"
LEAKS = f"{PROPERTY}/test_no_leaks.py"
CASES: dict[str, tuple[str, ...]] = {
    # Framing of HTTP and routing.
    "a length beside chunks": (f"{REQUESTS}::test_a_hostile_head[length and chunked]",),
    "lengths that are no decimal number": (f"{REQUESTS}::test_a_hostile_head[length {{length!r}}]",),
    "compressed transfer": (f"{REQUESTS}::test_a_hostile_head[compressed transfer]",),
    "chunks in an old version of HTTP": (f"{REQUESTS}::test_a_hostile_head[transfer encoding of http/1.0]",),
    "bare line ends, folded headers": (
        f"{REQUESTS}::test_a_hostile_head[bare line feeds]",
        f"{REQUESTS}::test_a_hostile_head[folded header]",
    ),
    "a target elsewhere": (f"{REQUESTS}::test_a_hostile_head[absolute target elsewhere]",),
    "an upgrade": (f"{REQUESTS}::test_a_hostile_head[upgrade]", f"{REQUESTS}::test_a_hostile_head[h2c]"),
    "other protocols": (
        f"{REQUESTS}::test_a_hostile_head[http/2 preface]",
        f"{REQUESTS}::test_a_hostile_head[tls]",
    ),
    "sizes and extensions of chunks": (
        f"{REQUESTS}::test_a_hostile_head[chunk size {{size!r}}]",
        f"{REQUESTS}::test_ten_megabytes_of_chunk_extensions",
        f"{REQUESTS}::test_a_body_in_chunks_of_one_byte",
    ),
    "trailers": (f"{REQUESTS}::test_trailers_go_nowhere",),
    "a client that waits with its body": (f"{LOAD}::test_a_refused_head_is_not_told_to_send_its_body",),
    "headers that name headers": (f"{REQUESTS}::test_a_client_cannot_name_the_headers_to_be_removed",),
    "control bytes in headers": (f"{REQUESTS}::test_a_hostile_head[header of control bytes]",),
    "other methods": (f"{REQUESTS}::test_another_method[HEAD]",),
    # Slow, huge and broken clients.
    "a head that does not end": (f"{LOAD}::test_a_head_that_does_not_end_is_closed",),
    "a body that stalls": (f"{LOAD}::test_a_body_that_stalls_is_refused_in_the_dialect_and_closed",),
    "bombs and broken compression": (
        f"{LOAD}::test_a_bomb_is_refused_while_it_is_unpacked",
        f"{REQUESTS}::test_broken_compression",
    ),
    "unknown codings": (f"{REQUESTS}::test_an_unknown_content_encoding", f"{LOAD}::test_codings"),
    "a client that leaves": (
        f"{FAULTS}::test_a_client_that_leaves_a_stream_ends_the_call_to_the_model",
        f"{LOAD}::test_a_client_that_shuts_down_its_sending_side_has_left",
    ),
    "too many connections": (f"{LOAD}::test_connections_are_bounded_and_idle_ones_make_room",),
    # JSON and content types.
    "deep nesting": (f"{REQUESTS}::test_a_bad_body[deep lists]", f"{REQUESTS}::test_a_bad_body[deep objects]"),
    "keys that stand twice": (
        f"{REQUESTS}::test_a_bad_body[duplicate messages]",
        f"{REQUESTS}::test_a_bad_body[duplicate model]",
        f"{REQUESTS}::test_a_bad_body[duplicate stream]",
        f"{REQUESTS}::test_a_bad_body[duplicate by escape]",
    ),
    "numbers that parsers read differently": (
        f"{REQUESTS}::test_a_bad_body[not a number]",
        f"{REQUESTS}::test_a_bad_body[infinity]",
        f"{REQUESTS}::test_a_bad_body[5,000 digits]",
        f"{REQUESTS}::test_a_number_goes_on_to_the_digit",
    ),
    "other encodings": (
        f"{REQUESTS}::test_a_bad_body[lone surrogate]",
        f"{REQUESTS}::test_a_bad_body[overlong utf-8]",
        f"{REQUESTS}::test_a_bad_body[utf-16]",
        f"{REQUESTS}::test_a_bad_body[byte order mark]",
    ),
    "names that look like fields": (f"{REQUESTS}::test_a_field_that_looks_like_another_is_guarded",),
    "bodies that are no objects": (f"{REQUESTS}::test_a_bad_body_in_other_formats[a list]",),
    "unknown content types": (f"{REQUESTS}::test_an_unknown_content_type",),
    "large lists and texts": (
        f"{REQUESTS}::test_ten_thousand_tools",
        f"{REQUESTS}::test_a_description_of_one_megabyte",
    ),
    "many choices that take turns": (f"{GUARDED}::test_secrets_of_several_choices_that_take_turns",),
    "tokens instead of a text": (
        f"{UNIT}/test_uninspected.py::test_integers_that_stand_for_a_text_are_refused",
        f"{E2E}/test_openai_completions.py::test_token_ids_are_refused",
        f"{E2E}/test_openai_inputs.py::test_token_ids_are_refused",
    ),
    "text in fields beside the messages": (f"{GUARDED}::test_an_address_does_not_reach_the_model_wherever_it_stands",),
    "content that no check reads": (f"{LEAKS}::test_opaque_places_hold_content_that_the_record_lists",),
    # Streams of the upstream.
    "a secret cut at any place": (
        f"{GUARDED}::test_a_secret_of_the_model_is_redacted_in_every_chunking",
        f"{LEAKS}::test_nothing_gets_through_in_parts",
    ),
    "characters cut between bytes": (f"{E2E}/test_same.py::test_stream[unicode]",),
    "all forms of an event": (
        f"{MODEL}::test_streams_that_the_format_allows[several data lines]",
        f"{UNIT}/wire/framing/test_sse.py::test_what_the_standard_says",
    ),
    "an event that is too large": (
        f"{MODEL}::test_broken_streams_leak_nothing_and_end_with_an_error[an event of 70 MB]",
        f"{UNIT}/wire/framing/test_sse.py::test_an_event_that_never_ends_is_too_large_before_it_is_kept",
    ),
    "a body that ends inside of an event": (
        f"{MODEL}::test_broken_streams_leak_nothing_and_end_with_an_error[an event without its blank line]",
    ),
    "a body without its last event": (
        f"{MODEL}::test_broken_streams_leak_nothing_and_end_with_an_error[cut after an event]",
        "tests/e2e/test_clients.py::test_a_cut_stream_is_not_a_finished_one",
    ),
    "a connection that breaks": (
        f"{FAULTS}::test_a_broken_stream_is_an_error",
        f"{MODEL}::test_plain_answers_that_cannot_be_read[short body]",
        f"{MODEL}::test_plain_answers_that_cannot_be_read[bad chunk]",
        f"{MODEL}::test_plain_answers_that_cannot_be_read[gzip with a wrong checksum]",
    ),
    "events after the last": (
        f"{MODEL}::test_streams_that_the_format_allows[more after [DONE]]",
        f"{MODEL}::test_events_out_of_order_leak_nothing[after the end]",
    ),
    "events out of order": (
        f"{MODEL}::test_events_out_of_order_leak_nothing",
        f"{MODEL}::test_secrets_in_odd_places_of_a_stream[two ends]",
    ),
    "names that contradict their events": (
        f"{MODEL}::test_secrets_in_odd_events_of_an_anthropic_stream[a ping with text]",
        f"{MODEL}::test_secrets_in_odd_events_of_an_anthropic_stream[another event name]",
    ),
    "answers of another kind": (
        f"{FAULTS}::test_an_answer_of_the_other_kind_is_never_an_empty_success",
        f"{FAULTS}::test_a_page_instead_of_a_stream",
    ),
    "codings that nobody asked for": (
        f"{MODEL}::test_plain_answers_that_cannot_be_read[zstd]",
        f"{MODEL}::test_plain_answers_that_cannot_be_read[unknown encoding]",
    ),
    "redirects and headers of the upstream": (
        f"{MODEL}::test_a_redirect_is_not_followed",
        f"{MODEL}::test_cookies_and_server_names_stay_behind",
        f"{MODEL}::test_plain_answers_that_cannot_be_read[a bare line end in a header]",
    ),
    "errors that quote a secret": (
        f"{GUARDED}::test_an_error_of_the_model_that_quotes_a_secret",
        f"{MODEL}::test_secrets_in_odd_places_of_a_stream[an error object]",
        f"{MODEL}::test_secrets_in_odd_places_of_a_stream[an error as text]",
    ),
    "lines of JSON": (
        f"{UNIT}/wire/framing/test_ndjson.py::test_no_cut_changes_the_lines",
        f"{FUZZ}::test_kept_streams",
    ),
    "a quiet upstream": (f"{E2E}/test_retry.py::test_a_quiet_stream_shows_signs_of_life",),
    "a hundred thousand parts": (f"{UNIT}/test_cost.py::test_work_grows_with_the_size",),
    "any bytes at all": (f"{FUZZ}::test_formats", f"{FUZZ}::test_kept_bytes"),
    # What is redacted.
    "a secret in an event that repeats texts": (f"{MODEL}::test_a_secret_in_an_event_that_repeats_texts",),
    "a secret in data of tokens": (
        f"{MODEL}::test_secrets_in_odd_places_of_a_stream[log probabilities]",
        f"{MODEL}::test_secrets_in_odd_places_of_a_stream[token ids]",
        f"{LEAKS}::test_no_token_data_gets_through",
    ),
    "a secret in any field": (
        f"{LEAKS}::test_nothing_gets_through_an_answer",
        f"{LEAKS}::test_nothing_gets_through_a_stream",
    ),
    "an escaped secret": (
        f"{MODEL}::test_secrets_in_odd_places_of_a_stream[escaped twice in arguments]",
        f"{MODEL}::test_secrets_in_odd_places_of_a_stream[a split inside an escape]",
        f"{MODEL}::test_secrets_in_odd_places_of_a_stream[escaped slashes]",
    ),
    "an edit that breaks a schema": (f"{E2E}/test_parse.py::test_openai_parses_tool_arguments",),
    "the same text again": (f"{GUARDED}::test_the_same_address_is_always_replaced_by_the_same_text",),
    "a check that fails in a stream": (f"{E2E}/test_remote_check.py::test_a_failure_closes",),
    # State and configuration.
    "placeholders of other tenants": (f"{GUARDED}::test_tenants_have_placeholders_of_their_own",),
    "broken policies at a reload": (f"{E2E}/test_reload.py::test_a_bad_file_shows_everywhere_and_stops_nothing",),
    "a reload in the middle of a stream": (
        f"{E2E}/test_reload.py::test_an_exchange_keeps_the_policies_that_it_began_with",
    ),
    "absurd delays": (f"{MODEL}::test_absurd_delays_are_not_passed_on",),
    # The process.
    "a kill at any step": (f"{E2E}/test_audit_kill.py::test_a_kill_at_every_step_loses_no_acknowledged_record",),
    "signals": (f"{E2E}/test_lifecycle.py::test_it_ends_cleanly", f"{E2E}/test_start_signals.py::test_it_ends_cleanly"),
    "no descriptors": (
        f"{UNIT}/server/upstream/test_upstream.py::test_our_own_lack_of_descriptors_is_not_the_upstreams_fault",
    ),
    "a worker that dies": (f"{E2E}/test_workers.py::test_a_worker_that_dies_is_started_again_while_others_serve",),
    "no upstream": (
        f"{FAULTS}::test_no_model_at_all",
        f"{FAULTS}::test_an_upstream_that_is_dead_is_not_asked_for_a_while",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_case_has_its_tests(case: str) -> None:
    assert CASES[case]
    assert [wrong for test in CASES[case] if (wrong := missing(test))] == []
