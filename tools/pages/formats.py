"""The capabilities of the shipped wire formats and the tests that show them, as a page: `docs/reference/formats.md`.

A new format needs a sheet here: the tests of each capability that its
contract declares. `applicable` reads the capabilities from the contract, so a sheet can neither leave one out nor claim one too
many.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from guardproxy.wire import Codec, codecs

ROOT = Path(__file__).parents[2]
CAPABILITIES = {
    "request": "every text of a request is read, changed and sent on; what is not changed is the same to the byte",
    "plain": "plain answers are the same objects",
    "stream": "streams are the same events, however they are cut",
    "tools": "calls of tools are read and restored, also in streams",
    "reasoning": "reasoning is read",
    "refusals": "a model's refusals are read",
    "errors": "errors of the model keep their class, status and body",
    "usage": "the counts of tokens are kept",
    "structured": "answers that must fit a schema of the request stay valid",
    "blocks": "a block is the error, or the end of a stream, that the API itself would send",
    "cut streams": "a stream that was cut is an error, never a finished answer",
    "hostile": "hostile bytes break no promise",
    "clients": "official and other clients were run through the proxy and direct",
}
HEAD = """# Wire formats

<!-- This page is generated: make pages -->

What each shipped format can do. Each cell links to the tests that show it. A dash says that the API has no such thing. All
formats also keep the promises of the conformance suite; see [A wire format](../plugins/format.md).
"""

SAME = "tests/e2e/test_same.py"
RESPONSES, COMPLETIONS = "tests/e2e/test_openai_responses.py", "tests/e2e/test_openai_completions.py"
INPUTS, GUARDED, PARSE = "tests/e2e/test_openai_inputs.py", "tests/e2e/test_guarded.py", "tests/e2e/test_parse.py"
OLLAMA, GENERATE = "tests/e2e/test_ollama.py", "tests/unit/wire/formats/ollama_generate/test_codec.py"
EMBED = "tests/unit/wire/formats/ollama_embed/test_codec.py"
MCP = "tests/unit/wire/formats/mcp/test_codec.py"
MCP_SERVED, MCP_NODE = "tests/e2e/test_mcp.py", "tests/e2e/test_clients_mcp.py"
FAULTS, FUZZ, CLIENTS = "tests/e2e/test_faults.py", "tests/property/test_fuzz.py", "tests/e2e/test_clients.py"
GEMINI = "tests/e2e/test_gemini_generate.py"
PROMISES = "tests/unit/testing/test_formats.py::test_a_format_keeps_a_promise"
HOSTILE = (f"{FUZZ}::test_formats", f"{FUZZ}::test_kept_bytes")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A format on the page. `title`: what readers call it; `tests`: the tests of each capability; `clients`: the clients
    that the tests of `clients` run."""

    title: str
    clients: tuple[str, ...]
    tests: Mapping[str, tuple[str, ...]]


SHEETS: dict[str, Sheet] = {
    "openai_chat": Sheet(
        "OpenAI Chat Completions",
        ("openai for Python and Node", "LangChain", "LiteLLM", "Instructor", "Pydantic AI", "AI SDK of Vercel"),
        {
            "request": (f"{SAME}::test_plain_body_and_headers_to_the_byte", PROMISES),
            "plain": (f"{SAME}::test_plain_answer",),
            "stream": (f"{SAME}::test_stream", f"{SAME}::test_stream_helper"),
            "tools": (
                f"{GUARDED}::test_tool_arguments_have_the_address_again",
                f"{GUARDED}::test_streamed_tool_arguments_have_the_address_again",
            ),
            "reasoning": (f"{SAME}::test_stream[reasoning]",),
            "refusals": (f"{SAME}::test_stream_helper[refusal]",),
            "errors": (f"{SAME}::test_errors_of_the_model",),
            "usage": (f"{SAME}::test_stream[include_usage]",),
            "structured": (f"{SAME}::test_parse_helper", f"{PARSE}::test_openai_parses_an_answer"),
            "blocks": (
                f"{GUARDED}::test_an_attack_is_refused_once_and_never_sent",
                f"{GUARDED}::test_a_forbidden_word_ends_the_stream_as_the_provider_would",
            ),
            "cut streams": (f"{FAULTS}::test_a_broken_stream_is_an_error",),
            "hostile": HOSTILE,
            "clients": (f"{SAME}::test_asynchronous_client", f"{CLIENTS}::test_objects_are_equal"),
        },
    ),
    "anthropic_messages": Sheet(
        "Anthropic Messages",
        ("anthropic for Python and Node", "LangChain", "LiteLLM", "Instructor", "AI SDK of Vercel"),
        {
            "request": (f"{SAME}::test_plain_body_and_headers_to_the_byte", PROMISES),
            "plain": (f"{SAME}::test_plain_answer",),
            "stream": (f"{SAME}::test_stream", f"{SAME}::test_stream_helper"),
            "tools": (
                f"{GUARDED}::test_tool_arguments_have_the_address_again",
                f"{GUARDED}::test_streamed_tool_arguments_have_the_address_again",
            ),
            "reasoning": (f"{SAME}::test_stream_helper[thinking]",),
            "refusals": (f"{SAME}::test_stream_helper[refusal]",),
            "errors": (f"{SAME}::test_errors_of_the_model",),
            "usage": (f"{SAME}::test_stream_helper",),
            "structured": (f"{PARSE}::test_anthropic_parses_an_answer_and_tool_arguments",),
            "blocks": (
                f"{GUARDED}::test_an_attack_is_refused_once_and_never_sent",
                f"{GUARDED}::test_a_forbidden_word_ends_the_stream_as_the_provider_would",
            ),
            "cut streams": (f"{FAULTS}::test_a_broken_stream_is_an_error",),
            "hostile": HOSTILE,
            "clients": (f"{SAME}::test_asynchronous_client", f"{CLIENTS}::test_objects_are_equal"),
        },
    ),
    "openai_responses": Sheet(
        "OpenAI Responses",
        ("openai for Python and Node", "LangChain", "LiteLLM", "Pydantic AI", "AI SDK of Vercel"),
        {
            "request": (f"{SAME}::test_plain_body_and_headers_to_the_byte", PROMISES),
            "plain": (f"{SAME}::test_plain_answer",),
            "stream": (f"{SAME}::test_stream", f"{SAME}::test_stream_helper"),
            "tools": (f"{SAME}::test_stream_helper[tools in parallel]",),
            "reasoning": (f"{SAME}::test_stream_helper[reasoning]",),
            "refusals": (f"{SAME}::test_stream_helper[refusal]",),
            "errors": (
                f"{SAME}::test_errors_of_the_model",
                f"{RESPONSES}::test_an_error_of_the_model_in_a_stream",
            ),
            "usage": (f"{SAME}::test_stream_helper",),
            "structured": (f"{SAME}::test_parse_helper",),
            "blocks": (
                f"{RESPONSES}::test_a_blocked_request_is_a_typed_error",
                f"{RESPONSES}::test_a_blocked_answer_ends_as_the_api_ends_a_filtered_answer",
            ),
            "cut streams": (f"{RESPONSES}::test_a_cut_stream_is_never_a_complete_one",),
            "hostile": HOSTILE,
            "clients": (f"{SAME}::test_asynchronous_client", f"{CLIENTS}::test_objects_are_equal"),
        },
    ),
    "openai_completions": Sheet(
        "OpenAI Completions",
        ("openai for Python and Node",),
        {
            "request": (f"{COMPLETIONS}::test_a_body_is_the_same_to_the_byte", PROMISES),
            "plain": (f"{COMPLETIONS}::test_a_plain_answer_is_the_same",),
            "stream": (f"{COMPLETIONS}::test_a_stream_is_the_same",),
            "errors": (f"{COMPLETIONS}::test_errors_of_the_model",),
            "usage": (f"{COMPLETIONS}::test_a_plain_answer_is_the_same",),
            "structured": (PROMISES,),
            "blocks": (f"{COMPLETIONS}::test_a_block_is_a_typed_error",),
            "cut streams": (f"{COMPLETIONS}::test_errors_of_the_model[cut stream]",),
            "hostile": HOSTILE,
            "clients": (f"{COMPLETIONS}::test_a_stream_is_the_same", f"{CLIENTS}::test_objects_are_equal"),
        },
    ),
    "openai_inputs": Sheet(
        "OpenAI Embeddings and Moderations",
        ("openai for Python and Node", "LangChain", "LiteLLM"),
        {
            "request": (f"{INPUTS}::test_a_value_is_hidden_from_the_server", PROMISES),
            "plain": (f"{INPUTS}::test_an_answer_is_the_same", f"{INPUTS}::test_vectors_are_the_same_to_the_byte"),
            "errors": (f"{INPUTS}::test_errors_of_the_server",),
            "usage": (f"{INPUTS}::test_an_answer_is_the_same",),
            "blocks": (f"{INPUTS}::test_a_block_is_a_typed_error",),
            "hostile": HOSTILE,
            "clients": (f"{INPUTS}::test_an_answer_is_the_same", f"{CLIENTS}::test_objects_are_equal"),
        },
    ),
    "gemini_generate": Sheet(
        "Gemini generateContent",
        ("google-genai for Python",),
        {
            "request": (f"{GEMINI}::test_a_plain_answer_is_the_same", PROMISES),
            "plain": (f"{GEMINI}::test_a_plain_answer_is_the_same",),
            "stream": (f"{GEMINI}::test_a_stream_is_the_same", f"{GEMINI}::test_a_stream_without_sse_is_an_array"),
            "tools": (f"{GEMINI}::test_a_stream_is_the_same[tools]",),
            "reasoning": (f"{GEMINI}::test_a_stream_is_the_same[thoughts]",),
            "refusals": (f"{GEMINI}::test_a_stream_is_the_same[refused]",),
            "errors": (f"{GEMINI}::test_errors_of_the_model",),
            "usage": (f"{GEMINI}::test_a_stream_is_the_same",),
            "structured": (f"{GEMINI}::test_an_answer_of_a_schema",),
            "blocks": (f"{GEMINI}::test_a_block_is_a_typed_error",),
            "cut streams": (f"{GEMINI}::test_errors_of_the_model[cut stream]",),
            "hostile": HOSTILE,
            "clients": (f"{GEMINI}::test_a_chat_is_the_same", f"{GEMINI}::test_an_asynchronous_client_gets_the_same"),
        },
    ),
    "ollama_chat": Sheet(
        "Ollama Chat",
        ("ollama for Python",),
        {
            "request": (f"{OLLAMA}::test_answers_are_the_same", PROMISES),
            "plain": (f"{OLLAMA}::test_answers_are_the_same",),
            "stream": (f"{OLLAMA}::test_answers_are_the_same",),
            "tools": (
                f"{OLLAMA}::test_answers_are_the_same[a call]",
                "tests/unit/wire/formats/ollama_chat/test_codec.py"
                "::test_the_arguments_of_each_call_of_a_stream_are_judged_by_the_schema_of_its_tool",
            ),
            "reasoning": (f"{OLLAMA}::test_answers_are_the_same[thinking]",),
            "errors": (f"{OLLAMA}::test_errors_of_the_model",),
            "usage": (f"{OLLAMA}::test_answers_are_the_same",),
            "structured": (f"{OLLAMA}::test_answers_are_the_same[schema]", PROMISES),
            "blocks": (f"{OLLAMA}::test_a_block_is_an_error_that_nobody_retries",),
            "cut streams": (f"{OLLAMA}::test_errors_of_the_model[cut stream]",),
            "hostile": HOSTILE,
            "clients": (f"{OLLAMA}::test_an_asynchronous_stream_is_the_same",),
        },
    ),
    "ollama_generate": Sheet(
        "Ollama Generate",
        ("ollama for Python",),
        {
            "request": (f"{OLLAMA}::test_answers_are_the_same[prompt]", PROMISES),
            "plain": (f"{OLLAMA}::test_answers_are_the_same[prompt]",),
            "stream": (f"{OLLAMA}::test_answers_are_the_same[prompt]",),
            "tools": (f"{GENERATE}::test_schemas_of_answers",),
            "reasoning": (f"{OLLAMA}::test_answers_are_the_same[thinking prompt]",),
            "errors": (f"{OLLAMA}::test_errors_of_the_model",),
            "usage": (f"{OLLAMA}::test_answers_are_the_same[prompt]",),
            "structured": (f"{GENERATE}::test_schemas_of_answers", PROMISES),
            "blocks": (f"{OLLAMA}::test_a_block_is_an_error_that_nobody_retries",),
            "cut streams": (f"{OLLAMA}::test_errors_of_the_model[cut stream]",),
            "hostile": HOSTILE,
            "clients": (f"{OLLAMA}::test_answers_are_the_same[unicode prompt]",),
        },
    ),
    "ollama_embed": Sheet(
        "Ollama Embeddings",
        ("ollama for Python",),
        {
            "request": (f"{OLLAMA}::test_an_embedding_is_guarded", PROMISES),
            "plain": (f"{OLLAMA}::test_reads_and_embeddings_are_the_same",),
            "errors": (PROMISES,),
            "usage": (f"{OLLAMA}::test_reads_and_embeddings_are_the_same",),
            "blocks": (f"{OLLAMA}::test_an_embedding_is_guarded",),
            "hostile": HOSTILE,
            "clients": (f"{OLLAMA}::test_reads_and_embeddings_are_the_same", f"{EMBED}::test_the_texts_of_a_request"),
        },
    ),
    "mcp": Sheet(
        "MCP",
        ("mcp for Python", "@modelcontextprotocol/client for Node"),
        {
            "request": (f"{MCP}::test_the_texts_of_a_message", PROMISES),
            "plain": (f"{MCP}::test_the_texts_of_an_answer", PROMISES),
            "stream": (f"{MCP}::test_an_event_keeps_its_id", PROMISES),
            "tools": (f"{MCP}::test_arguments_lead_to_the_name_of_their_tool",),
            "errors": (f"{MCP}::test_an_error_names_the_message",),
            "blocks": (
                f"{MCP}::test_a_blocked_call_is_a_failed_tool",
                f"{MCP}::test_a_block_amid_a_stream_is_the_answer",
            ),
            "cut streams": (f"{MCP}::test_a_stream_that_is_cut_is_a_fault_unless_it_can_be_resumed",),
            "hostile": HOSTILE,
            "clients": (
                f"{MCP_SERVED}::test_a_client_sees_no_difference",
                f"{MCP_SERVED}::test_a_client_over_standard_streams_sees_no_difference",
                f"{MCP_NODE}::test_objects_are_equal",
            ),
        },
    ),
}


def applicable(codec: Codec) -> set[str]:
    """The capabilities that a format's contract declares."""
    carries = codec.contract.carries["response"]
    has_streams = any(codec.author.frames_with(kind, ["a"]) for kind in sorted(carries - {"error"}))
    usage = codec.contract.usage
    declared = {
        "stream": has_streams,
        "cut streams": has_streams,
        "usage": bool(usage.prompt or usage.answer),
        "tools": "tool_arguments" in carries,
        "reasoning": "reasoning" in carries,
        "refusals": "refusal" in carries,
        "errors": "error" in carries,
        "structured": codec.contract.parts["answer"] is not None,
    }
    return {name for name in CAPABILITIES if declared.get(name, True)}


def missing(test: str, root: Path = ROOT) -> str:
    """What a test identifier (`file::function`, or `file::function[word]`) names that does not exist; empty if all does. The
    word must stand in the file: it is a part of the case."""
    file, _, rest = test.partition("::")
    function, _, word = rest.removesuffix("]").partition("[")
    if not (root / file).is_file():
        return f"no file {file}"
    source = (root / file).read_text("utf-8")
    functions = {
        node.name for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    if function not in functions:
        return f"no test {function} in {file}"
    return f"no case {word} in {file}" if word not in source else ""


def anchor(title: str) -> str:
    """The anchor of a heading."""
    return title.lower().replace(" ", "-")


def page() -> str:
    """The whole page."""
    out = [HEAD, f"| format | {' | '.join(CAPABILITIES)} |", "|---" * (len(CAPABILITIES) + 1) + "|"]
    shown = [(codec, SHEETS[codec.name]) for codec in codecs() if codec.name in SHEETS]
    for codec, sheet in shown:
        link = f"#{anchor(sheet.title)}"
        cells = [f"[yes]({link})" if name in applicable(codec) else "-" for name in CAPABILITIES]
        out.append(f"| [{sheet.title}]({link}) | {' | '.join(cells)} |")
    out.append("")
    out += [f"- **{name}**: {about}" for name, about in CAPABILITIES.items()]
    for codec, sheet in shown:
        out += [
            "",
            f"## {sheet.title}",
            "",
            f"`{codec.name}` reads " + ", ".join(f"`{route}`" for route in codec.routes),
        ]
        out[-1] += f". Clients: {', '.join(sheet.clients)}."
        out += ["", "| capability | tests |", "|---|---|"]
        for name in CAPABILITIES:
            if tests := sheet.tests.get(name):
                out.append(f"| {name} | {', '.join(f'`{test}`' for test in tests)} |")
    return "\n".join(out) + "\n"
