"""Changes rows for training: other people, forgotten people, and damage as people and programs do it: letters, typing
errors, signs left out, and frames of programs around a text.

In: rows with spans and a seeded random generator. Out: rows whose spans lie on the same names. A frame may hold what no set
marks (a time in a log line): it is given as a span `IGNORED`, which counts neither as a name nor as none.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.names.recipe.compose import Pool

Row = dict[str, Any]
UNKNOWN = "IGNORED"
_NEAR = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuiopoasdfghjklkxcvbnmn", strict=False))
_FRAMES = (
    ('{"text": "', '"}'), ('{"role": "user", "content": "', '"}'), ('"', '"'), ("> ", ""), ("- ", ""), ("* ", ""),
    ("# ", ""), ("// ", ""), ("<p>", "</p>"), ("<b>", "</b>"), ("**", "**"), ("(", ")"), ("note: ", ""),
    ("RT @{h}: ", ""), ("@{h} ", ""), ("@{h} @{h} ", ""), ("{t} INFO app: ", ""), ("[{t}] ERROR worker ", ""),
    ("{t} ", ""), ("user: ", ""), ("msg=", ""), ("id;text\n17;", ""), ("print('", "')"), ("", " #fb"),
    ("", " http://t.co/{h}"), ("", " :)"), ("", " lol"), ("", "\n\nSent from my phone"), ("Q: ", "\nA:"),
    ("omg ", ""), ("| ", " |"), ("\t", ""), ("```\n", "\n```"),
)  # fmt: skip


def stamp(rng: random.Random) -> str:
    """A date and a time as programs write them."""
    day = f"20{rng.randrange(10, 30)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"
    return f"{day} {rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}"


def edited(row: Row, parts: list[tuple[int, int, str]]) -> Row:
    """Returns the row with `parts` (start, end, new text; in order) exchanged. Spans keep their names."""
    text, at, moves = [], 0, []
    length = 0
    for start, end, new in parts:
        text += [row["text"][at:start], new]
        length += start - at + len(new)
        moves.append((start, end, length - len(new), length))
        at = end
    text.append(row["text"][at:])

    def moved(offset: int, is_end: bool) -> int:
        shift = 0
        for start, end, low, high in moves:
            if offset < start or (offset == start and not is_end and start < end) or (offset == start and is_end):
                break
            if offset < end:
                return high if is_end else low
            shift = high - end
        return offset + shift

    spans = [{**span, "start": moved(span["start"], False), "end": moved(span["end"], True)} for span in row["spans"]]
    return {**row, "text": "".join(text), "spans": [span for span in spans if span["start"] < span["end"]]}


def exchanged(row: Row, pool: Pool, rng: random.Random, share: float) -> Row:
    """Returns the row with some of its people and places replaced; the same name gets the same new one."""
    parts, at = [], 0
    known: dict[str, str] = {}
    for span in sorted(row["spans"], key=lambda span: int(span["start"])):
        if span["start"] < at:
            continue
        at = span["end"]
        value = row["text"][span["start"] : at]
        if rng.random() >= share or not re.fullmatch(r"[^\W\d_][\w'-]+( [\w'.-]+){0,2}", value) or value.islower():
            continue
        if span["label"] == "PERSON":
            known.setdefault(value, pool.person() if " " in value else rng.choice((pool.first, pool.last))())
        elif span["label"] == "LOCATION" and rng.random() < 0.5:
            known.setdefault(value, rng.choice(pool.cities))
        if value in known:
            parts.append((span["start"], at, known[value]))
    return edited(row, parts)


_SPEAKER = re.compile(r"^(?:\[[^\]\n]{1,30}\] ?|\d{1,2}:\d\d(?: ?[AP]M)? ?[-:]? ?)([A-Z][a-z]+)(?= ?:)", re.MULTILINE)
_ROLES = frozenset(
    (
        "Support Customer Agent User Client Assistant Bot Admin Manager Representative Service Team Tech Caller Operator "
        "Sales Bank Doctor Patient Me You Host Guest"
    ).split()
)


def mended(row: Row, labels: Sequence[str]) -> Row:
    """Returns a row of mails and chats with the people marked whom the set forgot: speakers, and names that it marks
    elsewhere in the row."""
    spans = [span for span in row["spans"] if span["label"] in labels]
    people = [row["text"][span["start"] : span["end"]] for span in spans if span["label"] == "PERSON"]
    known = {word for name in people for word in re.findall(r"[A-Z][a-z]{2,}", name)}
    known |= {match[1] for match in _SPEAKER.finditer(row["text"])}
    found = [match.span() for name in known - _ROLES for match in re.finditer(rf"\b{name}\b", row["text"])]
    for start, end in sorted(set(found)):
        if all(end <= span["start"] or start >= span["end"] for span in row["spans"]):
            spans.append({"start": start, "end": end, "label": "PERSON"})
    return {**row, "spans": spans}


def mistyped(row: Row, rng: random.Random, share: float = 0.04) -> Row:
    """Returns the row with typing errors in some of its words."""
    parts = []
    for match in re.finditer(r"[^\W\d_]{4,}", row["text"]):
        if rng.random() < share:
            word, at = match[0], rng.randrange(1, len(match[0]) - 1)
            draw = rng.random()
            new = (
                word[:at] + word[at + 1] + word[at] + word[at + 2 :] if draw < 0.3
                else word[:at] + word[at + 1 :] if draw < 0.6
                else word[:at] + word[at] + word[at:] if draw < 0.8
                else word[:at] + _NEAR.get(word[at].lower(), word[at]) + word[at + 1 :]
            )  # fmt: skip
            parts.append((match.start(), match.end(), new))
    return edited(row, parts)


def unpunctuated(row: Row) -> Row:
    """Returns the row without the signs that people leave out."""
    return edited(
        row, [(match.start(), match.end(), "") for match in re.finditer(r"[.,!?;:'’\"]+(?=\s|$)|['’]", row["text"])]
    )


def framed(row: Row, rng: random.Random) -> Row:
    """Returns the row in a frame."""
    before, after = rng.choice(_FRAMES)
    handle = "".join(rng.choices("abcdefghiklmnoprstuvy", k=rng.randrange(4, 10))) + rng.choice(
        ("", "", "_", "7", "99")
    )
    time = stamp(rng)
    before, after = (part.replace("{h}", handle).replace("{t}", time) for part in (before, after))
    text = row["text"].replace("\n", "\\n") if before.startswith(("{", '"')) else row["text"]
    if len(text) != len(row["text"]):
        row = edited(row, [(match.start(), match.end(), "\\n") for match in re.finditer("\n", row["text"])])
    spans = [{**span, "start": span["start"] + len(before), "end": span["end"] + len(before)} for span in row["spans"]]
    if time in before:
        at = before.index(time)
        spans.append({"start": at, "end": at + len(time), "label": UNKNOWN})
    return {**row, "text": before + row["text"] + after, "spans": spans}


def recased(row: Row, how: str) -> Row:
    """Returns the row in small letters (`lower`), in capitals (`upper`) or with a capital at each word (`title`)."""
    parts = []
    for match in re.finditer(r"[^\W\d_]+", row["text"]):
        new = match[0].capitalize() if how == "title" else getattr(match[0], how)()
        if new != match[0]:
            parts.append((match.start(), match.end(), new))
    return edited(row, parts)


def damaged(row: Row, rng: random.Random) -> Row:
    """Returns the row, mostly as it is."""
    draw = rng.random()
    if draw < 0.12:
        row = recased(row, "lower")
    elif draw < 0.155:
        row = recased(row, "upper")
    elif draw < 0.17:
        row = recased(row, "title")
    if rng.random() < 0.08:
        row = mistyped(row, rng)
    if rng.random() < 0.06:
        row = unpunctuated(row)
    if rng.random() < 0.12:
        row = framed(row, rng)
    return row


def pairs(rows: list[Row], rng: random.Random, share: float) -> Iterator[Row]:
    """Returns the rows, some of them joined to one."""
    waiting: Row | None = None
    for row in rows:
        if waiting is not None:
            gap = rng.choice((" ", " ", "\n", "\n\n"))
            shift = len(waiting["text"]) + len(gap)
            spans = [{**span, "start": span["start"] + shift, "end": span["end"] + shift} for span in row["spans"]]
            yield {**row, "text": waiting["text"] + gap + row["text"], "spans": [*waiting["spans"], *spans]}
            waiting = None
        elif rng.random() < share:
            waiting = row
        else:
            yield row
    if waiting is not None:
        yield waiting
