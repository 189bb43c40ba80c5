"""Numbers that count in a text say the same place after edits: the reader who slices by them gets what was meant."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.completions import COMPLETIONS, HEAD, ORIGIN, completion_frames, completion_texts
from tests.kit.gemini import GEMINI, chunk, gemini_texts
from tests.kit.play import CHAT, MESSAGES, Play, cut, events, message_frames, mint, policy_set, sse

MAIL = "jo@ab.io"
POLICY = r"""
policy: test
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\.io"]}
  code: {use: pattern, label: CODE, patterns: ["\\bK-[0-9]{4,8}\\b"]}
rules:
  - {id: mail, on: request, when: mail, action: redact}
  - {id: code, on: response, when: code, action: redact}
"""
TOKEN = mint("MAIL", MAIL)
PIECES = st.lists(st.sampled_from([TOKEN, "K-12345", " so ", "é", "."]), min_size=1, max_size=6)


def note(start: Any, end: Any) -> dict[str, Any]:
    about = {"start_index": start, "end_index": end, "title": "t", "url": "https://a.example"}
    return {"type": "url_citation", "url_citation": about}


def chat(text: str, *notes: dict[str, Any], streamed: bool = False, cuts: list[int] | None = None) -> dict[str, Any]:
    """The message that the client has of this answer."""
    ask = {"model": "m", "messages": [{"role": "user", "content": f"I am {MAIL}"}]}
    play = Play(policy_set(POLICY), CHAT).ask(ask)
    if not streamed:
        message = {"role": "assistant", "content": text, "annotations": list(notes)}
        body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        play.stream([body], media="application/json")
        got: dict[str, Any] = json.loads(play.client)["choices"][0]["message"]
        return got
    deltas = [{"content": text}, {"annotations": list(notes)}, {}]
    frames = [sse({"choices": [{"index": 0, "delta": one, "finish_reason": None}]}) for one in deltas[:2]]
    frames += [sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}), b"data: [DONE]\n\n"]
    play.stream(cut(b"".join(frames), cuts or []))
    assert play.finish.outcome == "answered"
    shown: dict[str, Any] = {"content": "", "annotations": []}
    for _, tree in events(play.client):
        for choice in tree["choices"] if tree != "[DONE]" else []:
            shown["content"] += choice["delta"].get("content", "")
            shown["annotations"] += choice["delta"].get("annotations", [])
    return shown


@given(
    before=PIECES, meant=PIECES, after=PIECES, streamed=st.booleans(), cuts=st.lists(st.integers(1, 900), max_size=4)
)
def test_a_note_is_where_it_was(
    before: list[str], meant: list[str], after: list[str], streamed: bool, cuts: list[int]
) -> None:
    def shown(parts: list[str]) -> str:
        return "".join(parts).replace(TOKEN, MAIL).replace("K-12345", mint("CODE", "K-12345"))

    # Words touch words where pieces meet, and then are none that a rule finds: a blank keeps them apart.
    one, two, three = ([f"{part} " for part in parts] for parts in (before, meant, after))
    start, end = len("".join(one)), len("".join(one + two))
    got = chat("".join(one + two + three), note(start, end), streamed=streamed, cuts=cuts)
    about = got["annotations"][0]["url_citation"]
    assert got["content"] == shown(one + two + three)
    assert got["content"][about["start_index"] : about["end_index"]] == shown(two)


def test_a_place_inside_of_what_was_replaced_is_all_of_it() -> None:
    got = chat(f"to {TOKEN}!", note(5, 6))
    about = got["annotations"][0]["url_citation"]
    assert got["content"][about["start_index"] : about["end_index"]] == MAIL


@pytest.mark.parametrize(("start", "end"), [("1", 20), (1, None), (20, 1), (-1, 20), (True, 20), (0, 2)])
def test_numbers_that_are_no_place_stay(start: Any, end: Any) -> None:
    assert chat(f"to {TOKEN}!", note(start, end))["annotations"][0] == note(start, end)
    assert chat("to nobody", note(start, end))["annotations"][0] == note(start, end)


def cites(start: int, end: int) -> dict[str, Any]:
    place = {"start_char_index": start, "end_char_index": end, "cited_text": "x"}
    return {"type": "char_location", "document_index": 0, "document_title": "t", **place}


@pytest.mark.parametrize("streamed", [False, True])
def test_a_citation_counts_in_the_document_that_the_client_has(streamed: bool) -> None:
    text = f"By {MAIL}. It was late. To {MAIL}."
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}}
    ask = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [document]}]}
    play = Play(policy_set(POLICY), MESSAGES).ask(ask)
    seen = play.upstream["messages"][0]["content"][0]["source"]["data"]
    start = seen.index("It was")
    citation = cites(start, len(seen))
    if streamed:
        frames = message_frames([("text", ["so"])])
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": citation}}
        frames.insert(4, sse(delta, "content_block_delta"))
        play.stream(frames)
        (got,) = [tree["delta"]["citation"] for _, tree in events(play.client) if "citation" in tree.get("delta", {})]
    else:
        block = {"type": "text", "text": "so", "citations": [citation]}
        body = {"type": "message", "content": [block], "stop_reason": "end_turn", "usage": {}}
        play.stream([json.dumps(body).encode()], media="application/json")
        got = json.loads(play.client)["content"][0]["citations"][0]
    assert text[got["start_char_index"] : got["end_char_index"]] == f"It was late. To {MAIL}."


@given(parts=PIECES, streamed=st.booleans(), at=st.lists(st.integers(1, 900), max_size=4))
def test_the_offset_of_a_token_is_that_in_the_text_that_the_client_has(
    parts: list[str], streamed: bool, at: list[int]
) -> None:
    """Offsets of tokens count from any number: that of the first token stands for the beginning of the text."""
    words = [f"{part} " for part in parts]
    play = Play(policy_set(POLICY), COMPLETIONS).ask({"model": "m", "prompt": f"I am {MAIL}"})
    if streamed:
        play.stream(cut(b"".join(completion_frames(words)), at))
        got = completion_texts(play.client)
    else:
        offsets = [ORIGIN + len("".join(words[:number])) for number in range(len(words))]
        lists = {"tokens": words, "token_logprobs": [-1] * len(words), "top_logprobs": None, "text_offset": offsets}
        choice = {"text": "".join(words), "index": 0, "logprobs": lists, "finish_reason": "stop"}
        play.stream([json.dumps({**HEAD, "choices": [choice]}).encode()], media="application/json")
        got = completion_texts(sse(json.loads(play.client)))
        shown = json.loads(play.client)["choices"][0]["logprobs"]["tokens"]
        assert not {TOKEN, "K-12345"} & {token.strip() for token in shown}
    assert got["text0"] == "".join(words).replace(TOKEN, MAIL).replace("K-12345", mint("CODE", "K-12345"))


@given(PIECES, st.data())
def test_segments_that_count_bytes_follow_the_edits(pieces: list[str], data: st.DataObject) -> None:
    pieces = [f"{piece} " for piece in pieces]
    begin = data.draw(st.integers(0, len(pieces) - 1))
    sizes = [len("".join(pieces[:at]).encode()) for at in range(len(pieces) + 1)]
    segment = {"startIndex": sizes[begin], "endIndex": sizes[-1], "text": "".join(pieces[begin:])}
    if not segment["startIndex"]:
        del segment["startIndex"]
    grounding = {"groundingSupports": [{"segment": segment}], "webSearchQueries": []}
    play = Play(policy_set(POLICY), GEMINI).ask({"contents": [{"parts": [{"text": f"I am {MAIL}"}]}]})
    frames = [
        *(chunk({"text": piece}) for piece in pieces),
        chunk({"text": ""}, finish="STOP", groundingMetadata=grounding),
    ]
    play.stream([sse(frame) for frame in frames])
    shown = gemini_texts(play.client)["text"].encode()
    *_, (_, last) = events(play.client)
    found = last["candidates"][0]["groundingMetadata"]["groundingSupports"][0]["segment"]
    assert "text" not in found
    wanted = "".join(pieces[begin:]).replace(TOKEN, MAIL).replace("K-12345", mint("CODE", "K-12345"))
    assert shown[found.get("startIndex", 0) : found["endIndex"]].decode() == wanted
