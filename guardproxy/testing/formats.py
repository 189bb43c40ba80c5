"""Tests whether a wire format keeps its contract. Every format, shipped or from a plug-in, must pass this suite.

`codec(CODEC)` runs the promises that apply to a format, each a function of a codec. The author of the codec writes the
test material. `PROMISES` lists all promises. Those of `OF_MODELS` are about a model's streams: they do not apply to a
format whose contract says that a model answers on no route, nor to a format whose author writes no streams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from guardproxy.events import Opaque, Text
from guardproxy.testing import guarding
from guardproxy.testing.material import (
    DecodedTexts,
    decoder_of,
    halves,
    path_of,
    read_answer,
    read_request,
    splits,
    texts_of,
    with_new_fields,
)
from guardproxy.wire import Codec, Contract, Decoder, FieldPath, Prompt, Reply, Route, missing_members
from guardproxy.wire.json import dotted, reach, read, write
from guardproxy.wire.request import SystemChange

Promise = Callable[[Codec], None]
WORD = "zanzibar-quokka"
NEW = "replaced lemur"
OTHER_MODEL = "another-model"
PROMPT = Prompt("a-model", WORD, stream=True)


def codec(codec: Codec) -> None:
    """Tests every promise that applies to a format. Raises `AssertionError`."""
    for promise in promises(codec):
        promise(codec)


def promises(codec: Codec) -> Sequence[Promise]:
    """Returns the promises that apply to a format."""
    return PROMISES if _has_streams(codec) else [promise for promise in PROMISES if promise not in OF_MODELS]


def _has_streams(codec: Codec) -> bool:
    """Whether a model answers on some route of a format, and can do so in a stream."""
    return _is_answered(codec) and any(codec.author.frames(PROMPT, Reply("some text"), "1", list))


def _is_answered(codec: Codec) -> bool:
    """Whether a model answers on some route of a format."""
    return any(map(codec.contract.is_answered, codec.routes))


def declares(codec: Codec) -> None:
    """Tests that every member exists, that every route is a pattern, and that no two routes overlap."""
    missing = missing_members(codec)
    assert not missing, f"the codec has no {', '.join(missing)}"
    assert isinstance(codec.contract, Contract), "`contract` is not a guardproxy.wire.Contract"
    routes = [Route(text) for text in codec.routes]
    assert routes, "`routes` is empty"
    for at, route in enumerate(routes):
        for other in routes[:at]:
            assert not route.overlaps(other), f"the routes `{other.text}` and `{route.text}` overlap"
    unknown = codec.contract.unanswered.difference(codec.routes)
    assert not unknown, f"`contract.unanswered` names an unknown route: {unknown}"
    ours = [route for route in routes if route.match(codec.author.ROUTE) is not None]
    assert ours, f"no route matches the author's `{codec.author.ROUTE}`"
    if _is_answered(codec):
        assert codec.contract.is_answered(ours[0].text), "no model answers the author's route"
        assert codec.contract.parts["answer"], "without `parts['answer']` no json_schema rule could apply to an answer"


def reads_requests(codec: Codec) -> None:
    """Tests that a text of every kind in requests is read as this kind, that no other kinds occur, and that edits
    work."""
    carries = codec.contract.carries["request"]
    for kind in sorted(carries):
        tree = codec.author.request_with(kind, WORD)
        result = read_request(codec, tree)
        assert result, f"a request with a text of the kind {kind} is refused"
        reading, frame = result
        assert any(WORD in text for text in reading.of(kind)), f"a text of the kind {kind} is not read from {tree}"
        _declared(codec, reading, "request")
        texts = [text for text in texts_of(codec, tree) if WORD in text.text and not text.key]
        edited = codec.edited(frame, [(text, text.text.replace(WORD, NEW)) for text in texts])
        assert WORD.encode() not in edited, f"an edit leaves the old text of the kind {kind} in the request"
        assert any(NEW in text.text for text in texts_of(codec, codec.read_body(edited))), (
            f"an edit of the kind {kind} is lost"
        )
    request = codec.author.request(PROMPT)
    if result := read_request(codec, request):
        _declared(codec, result[0], "request")
    assert reach(request, codec.author.PROMPT_PATH) == WORD, "the prompt is not at the author's PROMPT_PATH"
    decoded = codec.read_request(path_of(codec), "", codec.write_body(request))
    assert decoded.stream == _has_streams(codec), "a request for a stream is not read as such, or needs a model"
    assert codec.turns.first_words(decoded.frame.tree) == WORD, "`turns.first_words` does not return the user's words"


def reads_new_fields_of_requests(codec: Codec) -> None:
    """Tests that the value of an unknown field is read as text, wherever the field is, or that the request is
    refused."""
    trees = [codec.author.request(PROMPT)]
    trees += [codec.author.request_with(kind, "some text") for kind in sorted(codec.contract.carries["request"])]
    for tree in trees:
        for changed in with_new_fields(tree, NEW):
            result = read_request(codec, changed)
            assert result is None or result[0].holds(NEW), f"a new field is forwarded unread: {changed}"


def knows_its_fields(codec: Codec) -> None:
    """Tests that the format knows the fields of its requests, those that bypass the checks, and no others."""
    for name in (*codec.author.request(PROMPT), *codec.contract.denied):
        assert codec.has_field(FieldPath(name)), f"`has_field` does not know `{name}`"
    assert not codec.has_field(FieldPath("x_no_such_field")), "`has_field` knows a field that does not exist"


def reads_other_models(codec: Codec) -> None:
    """Tests that a request for another model names that model, if requests of the format name one, and keeps its route and its
    text."""
    request = codec.author.request(PROMPT)
    names_model = bool(codec.read_request(path_of(codec), "", codec.write_body(request)).model)
    path, tree = codec.turns.with_model(path_of(codec), request, OTHER_MODEL)
    assert any(Route(text).match(f"POST {path}") is not None for text in codec.routes), f"no route matches `{path}`"
    decoded = codec.read_request(path, "", codec.write_body(tree))
    expected = OTHER_MODEL if names_model else ""
    assert decoded.model == expected, f"a request for another model is read as a request for `{decoded.model}`"
    assert codec.turns.first_words(decoded.frame.tree) == WORD, "a request for another model lost its text"


def changes_system_prompts(codec: Codec) -> None:
    """Tests that a system prompt can be changed, if requests of the format have one: the new text is read as a text of the
    system, and the words of the user stay."""
    request = codec.author.request(PROMPT)
    own = codec.turns.system_of(request)
    if own is None:
        return
    for change in (SystemChange(before=NEW), SystemChange(after=NEW), SystemChange(instead=NEW)):
        tree = codec.turns.with_system(request, change)
        result = read_request(codec, tree)
        assert result, f"a request with another system prompt is refused: {tree}"
        assert any(NEW in text for text in result[0].of("system")), f"no text of the system is changed: {tree}"
        assert codec.turns.system_of(tree) == change.text(own), (
            "`turns.system_of` does not read the changed system prompt"
        )
        assert codec.turns.first_words(tree) == WORD, "a request with another system prompt lost its text"


def reads_answers(codec: Codec) -> None:
    """Tests that a text of every kind in answers is read as this kind, from plain answers and from streams."""
    for kind in sorted(codec.contract.carries["response"]):
        tree, frames = codec.author.answer_with(kind, WORD), codec.author.frames_with(kind, [WORD])
        assert tree is not None or frames is not None, f"the author writes no text of the kind {kind}"
        if tree is not None:
            reading = read_answer(codec, [write(tree)], streamed=False, failed=kind == "error")
            _complete(codec, reading, f"a plain answer with a text of the kind {kind}")
            assert any(WORD in text for text in reading.of(kind)), f"a text of the kind {kind} is not read from {tree}"
        if frames is not None:
            reading = read_answer(codec, frames, streamed=True)
            _complete(codec, reading, f"a stream with a text of the kind {kind}")
            assert any(WORD in text for text in reading.of(kind)), (
                f"a text of the kind {kind} is not read from a stream"
            )


def is_invariant(codec: Codec) -> None:
    """Tests that texts, ends and faults do not depend on how bytes or texts are cut."""
    for kind in sorted(codec.contract.carries["response"]):
        if (tree := codec.author.answer_with(kind, WORD)) is not None:
            data, failed = write(tree), kind == "error"
            whole = read_answer(codec, [data], streamed=False, failed=failed).summary
            for parts in halves(data):
                decoded = read_answer(codec, parts, streamed=False, failed=failed).summary
                assert decoded == whole, (
                    f"a plain answer ({kind}) reads differently when it is cut after {len(parts[0])} bytes"
                )
        frames = codec.author.frames_with(kind, [WORD])
        if frames is None:
            continue
        data = b"".join(frames)
        whole = read_answer(codec, [data], streamed=True).summary
        cuts: list[Sequence[bytes]] = [*halves(data), [data[at : at + 1] for at in range(len(data))]]
        for pieces in cuts:
            decoded = read_answer(codec, pieces, streamed=True).summary
            assert decoded == whole, f"a stream ({kind}) reads differently when it is cut after {len(pieces[0])} bytes"
        for words in splits(WORD):
            reading = read_answer(codec, codec.author.frames_with(kind, words) or [], streamed=True)
            ends = [reading.ends.get(channel) for channel, text in reading.texts.items() if text == WORD]
            assert ends == [1], f"a text ({kind}) in the pieces {words} is not one text that ends once: {reading.texts}"


def reads_new_frames(codec: Codec) -> None:
    """Tests that an unknown event, and an unknown field in any event, is read as text or is a fault."""
    frames = list(codec.author.frames(PROMPT, Reply("some text"), "1", lambda text: [text]))
    new = codec.author.event({"type": "x_new_event", "x_new_field": NEW})
    for at in range(len(frames)):
        reading = read_answer(codec, [*frames[:at], new, *frames[at:]], streamed=True)
        assert reading.fault or reading.holds(NEW), f"a new event is forwarded unread at index {at} of a stream"
    reading = read_answer(codec, frames, streamed=True)
    for at, frame in enumerate(reading.frames):
        for changed in with_new_fields(frame.tree, NEW) if isinstance(frame.tree, dict) else ():
            stream = [*frames[:at], codec.author.event(changed), *frames[at + 1 :]]
            decoded = read_answer(codec, stream, streamed=True)
            assert decoded.fault or decoded.holds(NEW), f"a new field of an event is forwarded unread: {changed}"


def reads_new_fields_of_answers(codec: Codec) -> None:
    """Tests that the value of an unknown field of a plain answer is read as text, or is a fault."""
    answer = codec.author.answer(PROMPT, Reply("some text"), "1")
    for changed in with_new_fields(answer, NEW):
        decoded = read_answer(codec, [write(changed)], streamed=False)
        assert decoded.fault or decoded.holds(NEW), f"a new field of an answer is forwarded unread: {changed}"


def notices_truncation(codec: Codec) -> None:
    """Tests that a stream that is cut off before the end of its text is a fault."""
    frames = list(codec.author.frames(PROMPT, Reply(WORD), "1", list))
    texts = [at for at in range(len(frames)) if WORD not in "".join(_upto(codec, frames[:at]).of("assistant"))]
    for at in texts:
        decoded = read_answer(codec, frames[:at], streamed=True)
        assert decoded.fault, f"a stream that ends after {at} events is read as complete"


def notices_truncated_bodies(codec: Codec) -> None:
    """Tests that a plain answer that is cut off is a fault."""
    answer = write(codec.author.answer(PROMPT, Reply(WORD), "1"))
    for at in range(len(answer)):
        assert read_answer(codec, [answer[:at]], streamed=False).fault, (
            f"a plain answer cut after {at} bytes is read as complete"
        )


def ends_once(codec: Codec) -> None:
    """Tests that a terminal event ends a stream: its frame is marked, every text is closed, later events are not
    read."""
    frames = list(codec.author.frames(PROMPT, Reply(WORD), "1", list))
    for terminal in codec.contract.terminal:
        stream = [*frames[:-1], terminal]
        decoded = read_answer(codec, stream, streamed=True)
        _complete(codec, decoded, f"a stream that ends with {terminal!r}")
        assert decoded.terminal == 1, f"the frame of {terminal!r} is not marked as terminal"
        more = [*stream, codec.author.event({"x_new_field": NEW}), *frames, terminal]
        for parts in (more, [b"".join(more)]):
            again = read_answer(codec, parts, streamed=True)
            assert again.summary == decoded.summary, f"events after {terminal!r} are read"


def writes_errors(codec: Codec) -> None:
    """Tests that errors of guardproxy are errors of the format."""
    for status in (400, 404, 413, 429, 500, 503):
        tree = read(codec.error(status, "a_code", WORD, "a.field"))
        message = reach(tree, codec.contract.error_path)
        assert WORD in message, f"the error at `{dotted(codec.contract.error_path)}` lacks its message: {tree}"
        decoded = read_answer(codec, [write(tree)], streamed=False, failed=True)
        assert any(WORD in text for text in decoded.of("error")), f"guardproxy's error is not read as an error: {tree}"


def writes_errors_in_streams(codec: Codec) -> None:
    """Tests that errors of guardproxy within a stream are errors of the format."""
    frames = list(codec.author.frames(PROMPT, Reply("some text"), "1", list))[:-1]
    for at in range(len(frames)):
        decoder, reading = decoder_of(codec, streamed=True), DecodedTexts()
        for frame in frames[:at]:
            _send(decoder, reading, frame)
        ending = codec.error_event("a_code", WORD, decoder)
        decoded = read_answer(codec, [*frames[:at], ending], streamed=True)
        _complete(codec, decoded, f"a stream that an error ends after {at} events")
        assert any(WORD in text for text in decoded.of("error")), "an error in a stream is not read as an error"


def writes_endings(codec: Codec) -> None:
    """Tests that clients can read the end of an answer that a rule stopped, wherever it was stopped, and
    keep-alives."""
    frames = list(codec.author.frames(PROMPT, Reply("some text"), "1", list))[:-1]
    for at in range(len(frames) + 1):
        decoder, reading = decoder_of(codec, streamed=True), DecodedTexts()
        for frame in frames[:at]:
            _send(decoder, reading, frame)
        ending = codec.filtered(decoder, WORD)
        start = frames[:at] if at else [codec.opening("a-model")]
        _complete(
            codec, read_answer(codec, [*start, ending], streamed=True), f"a stream that is stopped after {at} events"
        )
    whole = list(codec.author.frames(PROMPT, Reply("some text"), "1", list))
    plain = read_answer(codec, whole, streamed=True).summary
    for quiet in (codec.keep_alive(), codec.comment("a: b")):
        for at in range(len(whole)):
            decoded = read_answer(codec, [*whole[:at], quiet, *whole[at:]], streamed=True).summary
            assert decoded == plain, f"{quiet!r} changes the content of a stream"


def _send(decoder: Decoder, reading: DecodedTexts, data: bytes) -> None:
    """Decodes data of a stream and sends its frames."""
    events = decoder.feed(data)
    reading.see(events)
    for sent in {id(event.frame): event.frame for event in events if isinstance(event, (Text, Opaque))}.values():
        decoder.sent(sent)


def _upto(codec: Codec, frames: list[bytes]) -> DecodedTexts:
    """Reads the beginning of a stream."""
    decoder, reading = decoder_of(codec, streamed=True), DecodedTexts()
    for frame in frames:
        reading.see(decoder.feed(frame))
    return reading


def _complete(codec: Codec, reading: DecodedTexts, what: str) -> None:
    assert not reading.fault, f"{what} is a fault: {reading.fault}"
    assert not reading.open, f"{what} leaves texts open: {reading.open}"
    _declared(codec, reading, "response")


def _declared(codec: Codec, reading: DecodedTexts, direction: str) -> None:
    """Tests that the reading contains only what the contract declares."""
    carries = codec.contract.carries["request" if direction == "request" else "response"]
    for channel in reading.texts:
        assert channel.direction == direction, f"the text {channel} has the wrong direction"
        assert channel.kind in carries, f"`carries` lacks the kind {channel.kind}, which {channel.path} has"
    unknown = reading.media - codec.contract.opaque
    assert not unknown, f"`opaque` lacks {', '.join(sorted(unknown))}"


PROMISES: tuple[Promise, ...] = (
    declares,
    reads_requests,
    reads_new_fields_of_requests,
    knows_its_fields,
    reads_other_models,
    changes_system_prompts,
    reads_answers,
    is_invariant,
    reads_new_fields_of_answers,
    reads_new_frames,
    notices_truncated_bodies,
    notices_truncation,
    ends_once,
    writes_errors,
    writes_errors_in_streams,
    writes_endings,
    *guarding.PROMISES,
)
"""Each function raises `AssertionError` if a codec breaks its promise."""

OF_MODELS: frozenset[Promise] = frozenset(
    (
        reads_new_frames,
        notices_truncation,
        ends_once,
        writes_errors_in_streams,
        writes_endings,
        guarding.restores,
        guarding.applies_schemas,
        guarding.judges_calls,
        guarding.asks_again,
    )
)
"""The promises about the streams of models."""
