"""Hostile bytes for every wire format, and the promises that no bytes may break.

The material comes from each format's author, so a new format is fuzzed without a change here. A target is a function of a
codec and a source of randomness; it raises `AssertionError` if a promise is broken, and any other exception is a defect.
`python -m tools.fuzzing --minutes 10` runs all targets over new seeds and prints each seed that fails. Bytes that once
failed are kept in `tests/corpus/`, each with its reason.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from guardproxy.errors import DownstreamError
from guardproxy.events import End, Event, Fault, Frame, Opaque, Text
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.testing.material import path_of
from guardproxy.wire import Codec, Prompt, Reply, codecs
from guardproxy.wire import framing as framings
from guardproxy.wire.contract.turns import Call
from guardproxy.wire.framing import Cutter, Framing
from guardproxy.wire.json import JsonFault, dotted, read, write
from tests.kit.play import Play, cut, policy_set

CORPUS = Path(__file__).parents[1] / "tests" / "corpus"
CORPORA = tuple(sorted(path.stem for path in CORPUS.glob("*.jsonl")))
MARK = "zanzibar-quokka"  # no word of a protocol looks like it
NEW = "lemur"
FRAMINGS: dict[str, Framing] = {
    module.name: found
    for module in pkgutil.iter_modules(framings.__path__)
    if hasattr(found := importlib.import_module(f"{framings.__name__}.{module.name}"), "cutter")
}
"""Every framing of the package, by its name."""
LIMIT_BYTES = 4096
STEPS_PER_BYTE = 60
STEPS = 6000
POLICY = f"""
policy: fuzz
checks:
  mark: {{use: pattern, patterns: [{MARK}]}}
rules:
  - {{id: mark, when: mark, action: redact, restore: false}}
"""
PROMPT = Prompt("a-model", "some text", stream=True)
REPLY = Reply("some text", "a reason", "", (Call("send", '{"to": "x"}'),))

MARKED: tuple[str, ...] = (
    *(f'"{MARK}"', f'"\\u007a{MARK[1:]}"', f'["{MARK}"]', f'{{"{MARK}":1}}', f'{{"type":"{MARK}"}}', f'"a {MARK} b"'),
    *(f'{{"a":{{"b":["x",{{"c":"{MARK}"}}]}}}}', f'{{"type":"text","text":"{MARK}"}}', f'{{"index":0,"text":"{MARK}"}}'),
    *(f'[{{"type":"text","text":"{MARK}"}}]', f'"{MARK[:5]}"', f'"{MARK[5:]}"', f'"{{\\"a\\": \\"{MARK}\\"}}"'),
    *(f'"{{\\"{MARK}"', f'["{MARK}",null]'),
)  # fmt: skip
ODD_VALUES: tuple[str, ...] = (
    *("null", "true", "-0", "0", "1e-400", "9" * 30, "4111222233334444", "0.1" + "0" * 30 + "1", "1.50", '""', "{}", "[]"),
    *('"\\u0000"', '"\u2028\u0085"', '"\ufeff"', '"\\ud83d\\ude42"', "[[]]", '{"":""}', '"' + "x" * 300 + '"', "[null]"),
    *('{"index":-1}', '{"index":1.5}', '{"index":true}', '{"index":99999999999999999999}', "[" * 60 + "]" * 60),
    *('"data:image/png;base64,AAAA"', "[1,2,3,4,5,6,7,8,9,10,11,12]", '[{"index":3},{"index":3}]', '"assistant"', '"error"'),
)  # fmt: skip
REFUSED: tuple[str, ...] = (
    *("1e999", "-1e999", "NaN", "Infinity", "9" * 4400, '"\\ud800"', '"\\udc00\\ud800"', '{"a":1,"a":2}'),
    *("[" * 200 + "]" * 200, "00", "+1", "'a'", "{", "]", "", '"\\x"', '"\x01"', "1,2"),
)  # fmt: skip
ODD_BYTES: tuple[bytes, ...] = (
    *(b"\x00", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\n\r", b"\xef\xbb\xbf", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80"),
    *(b"data:", b"data: ", b"event: ", b"event: error\n", b": comment\n", b"id: \x00\n", b"retry: 1\n", b"[DONE]"),
    *(b"data: [DONE]\n\n", b"\x1b[2J", b'"', b"\\", b"\\u", b"\\ud83d", b"{", b"}", b"[", b"]", b",", b":", b"e999", b" "),
    *(b"\t", b"\xe2\x80\xa8", b"9" * 40, b"\xf0\x9f\x99\x82", b"{}\n", b"{}{}", b"null", MARK.encode()),
    *(f'"{MARK}"'.encode(), f"event: {MARK}\n".encode()),
)  # fmt: skip


# Material.


@dataclass(frozen=True, slots=True)
class Material:
    """What the author of a format writes. `requests` and `answers`: trees; `streams`: frames, empty if no model answers on a
    route of the format."""

    requests: tuple[Any, ...]
    answers: tuple[Any, ...]
    streams: tuple[tuple[bytes, ...], ...]


_MATERIAL: dict[str, Material] = {}


def material(codec: Codec) -> Material:
    """Returns the material of a format."""
    if codec.name not in _MATERIAL:
        _MATERIAL[codec.name] = _written_by(codec)
    return _MATERIAL[codec.name]


def _written_by(codec: Codec) -> Material:
    author, carries = codec.author, codec.contract.carries
    requests = [
        author.request(PROMPT),
        *(author.request_with(kind, "some text") for kind in sorted(carries["request"])),
    ]
    kinds = sorted(carries["response"])
    answers = [author.answer(PROMPT, REPLY, "1"), *(author.answer_with(kind, "some text") for kind in kinds)]
    streams: list[tuple[bytes, ...]] = []
    if is_answered(codec):
        streams.append(tuple(author.frames(PROMPT, REPLY, "1", lambda text: [text[:3], text[3:]])))
        streams += [tuple(frames) for kind in kinds if (frames := author.frames_with(kind, ["some", " text"]))]
    return Material(tuple(requests), tuple(tree for tree in answers if tree is not None), tuple(streams))


def is_answered(codec: Codec) -> bool:
    """Whether a model answers on some route of a format."""
    return any(map(codec.contract.is_answered, codec.routes))


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes of the corpus, and why they are kept."""

    why: str
    data: bytes


@cache
def kept(name: str) -> tuple[Kept, ...]:
    """The corpus of a name: lines of JSON, whose `data` holds one character for each byte."""
    lines = (CORPUS / f"{name}.jsonl").read_text("utf-8").splitlines()
    return tuple(Kept(tree["why"], tree["data"].encode("latin-1")) for tree in map(json.loads, lines))


# Mutations.


def odd_tree(tree: Any, source: random.Random) -> bytes:
    """JSON of a tree with odd values at some of its places; not always valid."""
    places = list(_places(tree))
    leaves = [path for path, is_leaf in places if is_leaf] or [path for path, _ in places]
    changes: dict[Any, str] = {}
    for _ in range(source.choice((1, 1, 2, 3))):
        path = source.choice(leaves) if source.random() < 0.7 else source.choice(places)[0]
        changes[path] = _odd_value(source)
    return _written(tree, (), changes, source).encode("utf-8", "surrogatepass")


def _odd_value(source: random.Random) -> str:
    """Most values are accepted, so that what comes after them is read too."""
    chance = source.random()
    return source.choice(MARKED if chance < 0.6 else ODD_VALUES if chance < 0.95 else REFUSED)


def _places(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], bool]]:
    """The paths of all values, each with whether it holds no further value."""
    yield path, not isinstance(tree, (dict, list))
    if isinstance(tree, dict):
        for key, child in tree.items():
            yield from _places(child, (*path, key))
    elif isinstance(tree, list):
        for at, child in enumerate(tree):
            yield from _places(child, (*path, at))


def _written(tree: Any, path: tuple[str | int, ...], changes: dict[Any, str], source: random.Random) -> str:
    if path in changes:
        return changes[path]
    if isinstance(tree, dict):
        members = [f"{json.dumps(key)}:{_written(child, (*path, key), changes, source)}" for key, child in tree.items()]
        match source.randrange(40):
            case 0:
                members.append(f'"{MARK}":"{MARK}"')
            case 1:
                members.append(f'"x_new":{_odd_value(source)}')
            case 2 if members:
                members.append(source.choice(members))
        return "{" + ",".join(members) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(_written(child, (*path, at), changes, source) for at, child in enumerate(tree)) + "]"
    return json.dumps(tree)


def odd_bytes(data: bytes, source: random.Random) -> bytes:
    """Bytes with insertions, deletions, repetitions and changed bytes."""
    out = bytearray(data)
    for _ in range(source.choice((0, 1, 1, 2, 4))):
        at = source.randint(0, len(out))
        match source.randrange(5):
            case 0 | 1:
                out[at:at] = source.choice(ODD_BYTES)
            case 2:
                del out[at : at + source.choice((1, 2, 5, 40))]
            case 3:
                out[at:at] = out[at : at + source.choice((1, 3, 20, 100))]
            case 4 if out:
                out[min(at, len(out) - 1)] = source.randrange(256)
    return bytes(out)


def odd_stream(codec: Codec, source: random.Random) -> bytes:
    """A stream of the format with frames that are missing, doubled, exchanged, or that hold odd values."""
    frames = list(source.choice(material(codec).streams))
    trees = [tree for frame in frames if isinstance(tree := _tree_of(codec, frame), dict)]
    for _ in range(source.choice((1, 1, 2, 3))):
        at = source.randrange(len(frames)) if frames else 0
        match source.randrange(6):
            case 0 if frames:
                del frames[at]
            case 1 if frames:
                frames.insert(at, frames[at])
            case 2 if frames:
                other = source.randrange(len(frames))
                frames[at], frames[other] = frames[other], frames[at]
            case 3 if trees:
                frames.insert(at, codec.author.event(source.choice(trees)))
            case _ if trees:
                frame = frames[at] if frames else b""
                old = _tree_of(codec, frame)
                tree = old if isinstance(old, dict) else source.choice(trees)
                changed = odd_tree(tree, source)
                framed, plain = codec.author.event(tree), write(tree)
                new = framed.replace(plain, changed) if plain in framed else changed + b"\n\n"
                frames[at : at + 1] = [new]
    data = b"".join(frames)
    return odd_bytes(data, source) if source.random() < 0.2 else data


def _tree_of(codec: Codec, frame: bytes) -> Any:
    """The tree of a frame that the author wrote."""
    decoder = codec.decoder(streamed=True, failed=False, limit_bytes=1 << 20)
    return next((event.frame.tree for event in decoder.feed(frame) if isinstance(event, (Text, Opaque))), None)


def odd_body(trees: Sequence[Any], source: random.Random) -> bytes:
    """A body with odd values or broken bytes."""
    tree = source.choice(trees)
    data = odd_tree(tree, source) if source.random() < 0.8 else json.dumps(tree).encode()
    return odd_bytes(data, source) if source.random() < 0.2 else data


def parts_of(data: bytes, source: random.Random) -> list[bytes]:
    """Bytes in random pieces."""
    return cut(data, [source.randint(0, len(data)) for _ in range(source.choice((0, 1, 3, 12)))])


# Promises.


def check_answer(codec: Codec, data: bytes, source: random.Random, *, streamed: bool, failed: bool = False) -> None:
    """Decodes an answer. Holds: no exception; no event after a fault; every string of a frame is read, or reported as not
    inspected; the events do not depend on how the bytes are cut; edits and endings can be written; work is bounded."""
    with_steps = Steps()
    with with_steps:
        whole = decoded(codec, [data], streamed=streamed, failed=failed, acts=True)
    assert with_steps.count <= STEPS + STEPS_PER_BYTE * len(data), f"{with_steps.count} calls for {len(data)} bytes"
    in_parts = decoded(codec, parts_of(data, source), streamed=streamed, failed=failed, acts=False)
    assert in_parts == whole, "the events depend on how the bytes are cut"


class Steps:
    """Counts calls of functions, in Python and C."""

    count = 0

    def __enter__(self) -> Steps:
        self._before = sys.getprofile()
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)

    def _see(self, frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self.count += 1


def decoded(codec: Codec, parts: Iterable[bytes], *, streamed: bool, failed: bool, acts: bool) -> list[Any]:
    """What a decoder reads. `acts`: also edits, cuts and ends the answer after each part, as rules would."""
    decoder = codec.decoder(streamed=streamed, failed=failed, limit_bytes=LIMIT_BYTES, guarded=True)
    seen: list[Event] = []
    for part in parts:
        events = decoder.feed(part)
        seen += events
    seen += decoder.end()
    faults = [at for at, event in enumerate(seen) if isinstance(event, Fault)]
    assert faults in ([], [len(seen) - 1]), "events follow a fault"
    assert decoder.feed(b"data: {}\n\n{}\n") == [], "events follow the end"
    assert_ended(seen, complete=not faults)
    by_frame = frames_with_events(seen)
    for frame, of_frame in by_frame:
        assert_read(codec, frame, of_frame)
        if acts:
            act(codec, frame, of_frame)
            decoder.sent(frame)
    if acts:
        assert isinstance(codec.error_event("a_code", "a message", decoder), bytes)
        assert isinstance(codec.filtered(decoder, "a message"), bytes)
    texts: list[Any] = [(event.channel, event.text, event.again) for event in seen if isinstance(event, Text)]
    return [*texts, *(frame.data for frame, _ in by_frame), *(event for event in seen if isinstance(event, Fault))]


def assert_ended(events: Iterable[Event], *, complete: bool) -> None:
    """Each text of a complete answer ends."""
    unfinished = set()
    for event in events:
        if isinstance(event, Text) and not event.again:
            unfinished.add(event.channel)
        elif isinstance(event, End):
            unfinished.discard(event.channel)
    assert not (complete and unfinished), f"texts without an end: {unfinished}"


def frames_with_events(events: Iterable[Event]) -> list[tuple[Frame, list[Text | Opaque]]]:
    """The frames in their order, each with its events."""
    frames: dict[int, tuple[Frame, list[Text | Opaque]]] = {}
    for event in events:
        if isinstance(event, (Text, Opaque)):
            frames.setdefault(id(event.frame), (event.frame, []))[1].append(event)
    return list(frames.values())


def assert_read(codec: Codec, frame: Frame, events: Sequence[Text | Opaque]) -> None:
    """The bytes of a frame hold the tree that was read and nothing more, and each string with the mark in the tree is a text or
    is reported as not inspected."""
    if frame.tree is None:
        assert MARK.encode() not in frame.data, "bytes without a tree hold the mark"
        return
    data = payload(frame.data) if frame.streamed else frame.data
    assert read(data) == frame.tree, "the bytes of a frame are not those of its tree"
    rest = frame.data.replace(data, b"") if frame.streamed else b""
    assert MARK.encode() not in rest or (frame.event is not None and MARK in str(frame.tree)), (
        "the framing holds the mark"
    )
    texts = [event.text for event in events if isinstance(event, Text)]
    unread = [path for event in events if isinstance(event, Opaque) for path in event.uninspected]
    for path, string in strings(frame.tree):
        if MARK in string and not any(path[: len(opaque)] == opaque for opaque in unread):
            assert any(MARK in text for text in texts), f"{dotted(path)} is neither read nor reported"


def payload(data: bytes) -> bytes:
    """The JSON of one written event of a stream, in any framing that the package has."""
    for line in data.split(b"\n"):
        row = line.removeprefix(b"data:").lstrip()
        if row.startswith((b"{", b"[")):
            row = row.removeprefix(b"[").removesuffix(b",") if row.startswith(b"[{") else row
            return row.removesuffix(b"]") if row.startswith(b"{") else row  # the last element of an array
    return data


def strings(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every string of a tree, keys included, with its path."""
    if isinstance(tree, str):
        yield path, tree
    elif isinstance(tree, dict):
        for key, child in tree.items():
            yield (*path, key), key
            yield from strings(child, (*path, key))
    elif isinstance(tree, list):
        for at, child in enumerate(tree):
            yield from strings(child, (*path, at))


def act(codec: Codec, frame: Frame, events: Sequence[Text | Opaque]) -> None:
    """Edits and cuts a frame, as a rule that finds the mark does."""
    found = [
        (event, event.text.replace(MARK, NEW))
        for event in events
        if isinstance(event, Text)
        and MARK in event.text
        and not (event.key or event.fixed or event.number or event.parts)
    ]
    if frame.tree is None or not found:
        return
    edited, shortened = codec.edited(frame, found), codec.cut(frame, found)
    marked = sum(isinstance(event, Text) and MARK in event.text for event in events)
    if marked == len(found) and not any(isinstance(event, Opaque) and event.uninspected for event in events):
        assert not holds_mark(edited), "an edit leaves the old text"
        assert not holds_mark(shortened), "a cut leaves the old text"


# Targets.

Target = Callable[[Codec, random.Random], None]


def fuzz_request(codec: Codec, source: random.Random) -> None:
    """Reads a request: its texts, or a `DownstreamError`."""
    check_request(codec, odd_body(material(codec).requests, source))


def check_request(codec: Codec, data: bytes) -> None:
    """Reads a request. Holds: no exception but `DownstreamError`; every string is read or reported; work is bounded."""
    with_steps = Steps()
    with with_steps:
        try:
            request = codec.read_request(path_of(codec), "", data)
            events = request.events()
        except DownstreamError:
            events = []
    assert with_steps.count <= STEPS + STEPS_PER_BYTE * len(data), f"{with_steps.count} calls for {len(data)} bytes"
    for frame, seen in frames_with_events(events):
        texts = [event.text for event in seen if isinstance(event, Text)]
        unread = [path for event in seen if isinstance(event, Opaque) for path in event.uninspected]
        for path, string in strings(frame.tree):
            if MARK in string and not any(path[: len(opaque)] == opaque for opaque in unread):
                assert any(MARK in text for text in texts), f"{dotted(path)} is neither read nor reported"
        act(codec, frame, seen)


def fuzz_answer(codec: Codec, source: random.Random) -> None:
    """Decodes a plain answer or an error."""
    data = odd_body(material(codec).answers, source)
    check_answer(codec, data, source, streamed=False, failed=source.random() < 0.2)


def fuzz_stream(codec: Codec, source: random.Random) -> None:
    """Decodes a stream."""
    if is_answered(codec):
        check_answer(codec, odd_stream(codec, source), source, streamed=True)


def fuzz_noise(codec: Codec, source: random.Random) -> None:
    """Decodes bytes that never were a part of the format."""
    data = odd_bytes(b"".join(source.choice(ODD_BYTES) for _ in range(source.randrange(30))), source)
    check_request(codec, data)
    check_answer(codec, data, source, streamed=False)
    if is_answered(codec):
        check_answer(codec, data, source, streamed=True)


@cache
def _policies() -> PolicySet:
    return policy_set(POLICY)


def fuzz_exchange(codec: Codec, source: random.Random) -> None:
    """Plays a whole exchange under a rule that redacts the mark. Holds: the client is not sent the mark, unless the
    record says that a place was not inspected; the exchange ends."""
    streamed = is_answered(codec) and source.random() < 0.7
    data = odd_stream(codec, source) if streamed else odd_body(material(codec).answers, source)
    media = codec.contract.media.streamed if streamed else codec.contract.media.whole
    play = Play(_policies(), codec.author.ROUTE).ask(material(codec).requests[0])
    play.stream(parts_of(data, source), [source.random() < 0.3 for _ in range(12)], media=media)
    assert play.finish
    if holds_mark(play.client):
        assert play.record["response"]["uninspected"], "the client was sent the mark"


def holds_mark(data: bytes) -> bool:
    """Whether bytes hold the mark, raw or as the JSON of a line says it."""
    if MARK.encode() in data:
        return True
    for line in (data, *data.split(b"\n")):
        try:
            tree = json.loads(line.removeprefix(b"data: "))
        except (ValueError, RecursionError):
            continue
        if any(MARK in string for _, string in strings(tree)):
            return True
    return False


TARGETS: tuple[Target, ...] = (fuzz_request, fuzz_answer, fuzz_stream, fuzz_noise, fuzz_exchange)


# Framings.


def odd_lines(source: random.Random) -> bytes:
    """Bytes that look like lines of a stream."""
    words = (
        b"data: a",
        b"data:b",
        b"data",
        b"event: x",
        b"event:",
        b": c",
        b"id: 7",
        b"retry: 5",
        b"{}",
        b'{"a":1}',
        b"",
    )
    objects = (b'data: {"a":1}', b'[{"a":1},', b'{"a":[{}]},', b'{"a":"\\"}"}]', b"[", b"]", b",", b"")
    ends = (b"\n", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n")
    rows = [source.choice((*words, *objects)) + source.choice(ends) for _ in range(source.randrange(20))]
    return odd_bytes(b"".join(rows), source)


def fuzz_framing(framing: Framing, source: random.Random) -> None:
    """Cuts a stream. Holds: no exception; the events do not depend on the cuts; no event is above the limit; a cutter
    reads the frames of its framing as they were written."""
    check_framing(framing, odd_lines(source), source)


def check_framing(framing: Framing, data: bytes, source: random.Random) -> None:
    """Cuts these bytes."""
    limit_bytes = source.choice((5, 30, 1000))
    whole, first = _cut(framing, [data], limit_bytes)
    in_parts, second = _cut(framing, parts_of(data, source), limit_bytes)
    single, third = _cut(framing, [data[at : at + 1] for at in range(len(data))], limit_bytes)
    assert in_parts == whole == single, "the events depend on the cuts"
    assert first.too_large == second.too_large == third.too_large
    assert all(len(event.data or b"") <= limit_bytes for event in whole)
    events = [event for event in whole if _is_object(event.data)]
    again, _ = _cut(framing, [framing.frame(event.data or b"", event.event) for event in events], 10_000)
    texts, texts_again = (
        [json.loads(event.data or b"") for event in found if _is_object(event.data)] for found in (events, again)
    )
    assert texts_again == texts, "written events are read otherwise"


def _is_object(data: bytes | None) -> bool:
    """Whether the data of an event is a JSON object on one line."""
    if not data or b"\n" in data or b"\r" in data:
        return False
    try:
        return isinstance(json.loads(data), dict)
    except ValueError:
        return False


def _cut(framing: Framing, parts: Iterable[bytes], limit_bytes: int) -> tuple[list[Any], Cutter]:
    cutter = framing.cutter(limit_bytes)
    return [event for part in parts for event in cutter.feed(part)], cutter


# JSON.


def fuzz_json(source: random.Random) -> None:
    """Reads JSON. Holds: no exception but `JsonFault`; Python's parser and the written tree agree with what was read."""
    check_json(odd_body(material(codecs()[0]).requests, source))


def check_json(data: bytes) -> None:
    """Reads these bytes as JSON."""
    try:
        tree = read(data)
    except JsonFault:
        return
    assert json.loads(data.decode()) == tree
    assert read(write(tree)) == tree


# A long run.


def main(words: Sequence[str] | None = None) -> int:
    """Runs all targets for some minutes. Returns 1 if a seed failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="the first seed; by default a new one for each run")
    options = parser.parse_args(words)
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    runs: list[tuple[str, Callable[[random.Random], None]]] = [("json", fuzz_json)]
    runs += [(f"{name} framing", partial(fuzz_framing, framing)) for name, framing in FRAMINGS.items()]
    runs += [(f"{codec.name} {target.__name__}", partial(target, codec)) for codec in codecs() for target in TARGETS]
    began, failures, seed, told = time.monotonic(), 0, first, 0.0
    while (passed := time.monotonic() - began) < options.minutes * 60 and failures < 20:
        for name, run in runs:
            try:
                run(random.Random(seed))
            except Exception:
                failures += 1
                print(f"\n{name} fails with seed {seed}:\n{traceback.format_exc(limit=-4)}", flush=True)
        seed += 1
        if passed - told > (1 if sys.stdout.isatty() else 15):
            told = passed
            progress = f"{passed / 60:5.1f} of {options.minutes:g} min, {seed - first} seeds x {len(runs)} targets"
            print(f"\r{progress}, {failures} failures", end="" if sys.stdout.isatty() else "\n", flush=True)
    print(f"\n{(seed - first) * len(runs)} runs, {failures} failures, first seed {first}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
