"""A real language model whose answers must have a shape. Needs the optional packages of the demo."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel, ConfigDict

from guardproxy.demo import llama
from guardproxy.library import load
from guardproxy.schemas.compiled import compile_schema
from tests.e2e.rig import Upstream, serve
from tests.kit.records import replay

pytestmark = pytest.mark.model


class City(BaseModel):
    """What the model is asked for."""

    model_config = ConfigDict(extra="forbid")
    name: str
    capital: bool


HEAD = "policy: shape\nchecks:\n  word: {use: pattern, words: [no-such-word]}\n"
RULES = "rules:\n  - {id: watch, on: request, when: word, action: flag}\n"
ASKED = HEAD + "  shape: {use: json_schema, schema: from_request}\n" + RULES
ASKED += "  - {id: valid, on: response, when: shape, action: retry}\n"
OWN = HEAD + f"  shape: {{use: json_schema, schema: {{inline: {json.dumps(City.model_json_schema())}}}}}\n" + RULES
OWN += "  - {id: valid, on: response, when: shape, action: retry, attempts: 2, then: block}\n"
ASK: Any = [{"role": "user", "content": "Describe Paris as a JSON object with the keys name and capital."}]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_model_that_is_held_to_a_grammar_is_right_at_once(
    tiny: Upstream, tmp_path: Path, openai_at: Callable[[str], openai.OpenAI], stream: bool
) -> None:
    proxy = serve(tiny.url, tmp_path / "p", ASKED)
    try:
        client = openai_at(proxy.url)
        options: Any = {"model": llama.MODEL, "messages": ASK, "response_format": City, "max_tokens": 60}
        if stream:
            with client.chat.completions.stream(temperature=0, **options) as events:
                for _ in events:
                    pass
                said = events.get_final_completion().choices[0].message.parsed
        else:
            said = client.chat.completions.parse(temperature=0, **options).choices[0].message.parsed
        assert isinstance(said, City)
        assert "attempts" not in proxy.records()[-1]
    finally:
        proxy.stop()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_model_that_talks_is_asked_again_and_nothing_wrong_arrives(
    tiny: Upstream, tmp_path: Path, openai_at: Callable[[str], openai.OpenAI], stream: bool
) -> None:
    proxy = serve(tiny.url, tmp_path / "p", OWN)
    try:
        tiny.journal.clear()
        client = openai_at(proxy.url)
        options: Any = {"model": llama.MODEL, "messages": ASK, "max_tokens": 60, "temperature": 0}
        said = None
        try:
            if stream:
                chunks = client.chat.completions.create(stream=True, **options)
                said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            else:
                said = client.chat.completions.create(**options).choices[0].message.content
        except openai.BadRequestError as refused:
            assert refused.code == "content_filter"  # noqa: PT017 - either end is right
        schema = compile_schema(City.model_json_schema())
        assert said is None or not schema.judge(json.loads(said))
        record = proxy.records()[-1]
        attempts = record["attempts"]
        assert 2 <= len(attempts) <= 3
        assert len(tiny.journal.all()) == len(attempts)
        assert all(one["errors"] for one in attempts[:-1])
        assert record["outcome"] == ("blocked_response" if said is None else "answered")
        if stream:
            assert attempts[0]["cut"], "a small model talks before it writes JSON"
            assert attempts[0]["output_tokens"] < 20
        assert replay(record, load(tmp_path / "p" / "policies")).verdict == "identical"
    finally:
        proxy.stop()
