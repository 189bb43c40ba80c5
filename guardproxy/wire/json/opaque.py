"""Decides whether content that no check can read looks like the content that its place claims.

In: the string at a place for an image, audio, a file, a signature or encrypted content, and the media type that the request
declares for it. Out: a `Look`: either the content is opaque (`media` names its kind), or it is text, with the text to scan
and a way to write an edited text back.

Opaque content is canonical base64. An image, audio or a file must begin as a known format of the declared family does.
Signatures and encrypted content must be base64 of bytes that are not text. The bytes after a known beginning are not proven
to be an image: such content counts as not inspected. All steps are linear in the string's length, and long strings are read
in slices (`chunked.py`).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args
from urllib.parse import quote

from guardproxy.wire.json import chunked as slices

Media = Literal["image", "audio", "video", "file", "signature", "encrypted"]
MEDIA: tuple[Media, ...] = get_args(Media)

NOT_KEPT = "data:;base64,(not inspected, not kept)"
"""Stands in a record for content that was not inspected; it is opaque again when the record is replayed."""

Encode = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Look:
    """The result of reading a string. `media`: the kind of opaque content; `None`: the string is text.

    `text`: the text to scan, if it is not the string itself. `encode`: writes an edited `text` at the place. `fixed`: an edit
    cannot be written back.
    """

    media: str | None = None
    text: str | None = None
    encode: Encode | None = None
    fixed: bool = False


_PLAIN = Look()
# The first bytes of formats, by family. In `ftyp` and `RIFF` the name of the format follows a length.
_MAGIC: tuple[tuple[Media, re.Pattern[bytes]], ...] = (
    (
        "image",
        re.compile(
            rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP|BM.{4}\0\0\0\0|II\*\0|MM\0\*|\0\0\x01\0"
            rb"|.{4}ftyp(?:heic|heix|hevc|mif1|msf1|avif|avis)",
            re.DOTALL,
        ),
    ),
    (
        "audio",
        re.compile(
            rb"RIFF.{4}WAVE|ID3|\xff[\xe2\xe3\xf2\xf3\xf6\xf7\xfa\xfb\xf1\xf9]|fLaC|OggS|FORM.{4}AIF[FC]"
            rb"|.{4}ftypM4A |\x1a\x45\xdf\xa3|#!AMR",
            re.DOTALL,
        ),
    ),
    ("video", re.compile(rb".{4}ftyp|RIFF.{4}AVI |\0\0\x01[\xb3\xba]|FLV\x01", re.DOTALL)),
    (
        "file",
        re.compile(
            rb"%PDF-|PK\x03\x04|\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1|\x1f\x8b\x08|7z\xbc\xaf\x27\x1c|BZh[1-9]|\xfd7zXZ\0"
        ),
    ),
)
_TYPES: dict[str, tuple[Media, ...]] = {
    **dict.fromkeys(
        ("image/png", "image/jpeg", "image/jpg", "image/gif", "image/webp", "image/bmp", "image/tiff", "image/heic"),
        ("image",),
    ),
    **dict.fromkeys(("image/heif", "image/avif", "image/x-icon", "image/vnd.microsoft.icon", "image/*"), ("image",)),
    **dict.fromkeys(("audio/wav", "audio/wave", "audio/x-wav", "audio/mp3", "audio/mpeg", "audio/flac"), ("audio",)),
    **dict.fromkeys(("audio/ogg", "audio/opus", "audio/aac", "audio/aiff", "audio/amr"), ("audio",)),
    **dict.fromkeys(("audio/mp4", "audio/m4a", "audio/x-m4a", "audio/webm"), ("audio", "video")),
    **dict.fromkeys(
        ("video/mp4", "video/mpeg", "video/webm", "video/quicktime", "video/x-msvideo"), ("video", "audio")
    ),
    "video/x-flv": ("video",),
    **dict.fromkeys(("application/pdf", "application/zip", "application/gzip", "application/msword"), ("file",)),
    **dict.fromkeys(
        (
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            "application/vnd.ms-excel",
            "application/vnd.ms-powerpoint",
            "application/vnd.oasis.opendocument.text",
            "application/epub+zip",
            "application/x-7z-compressed",
        ),
        ("file",),
    ),
    "application/octet-stream": ("image", "audio", "video", "file"),
}
MEDIA_TYPES = frozenset(_TYPES)
_SUBTYPES = (
    "plain csv tab-separated-values markdown x-markdown html xml css javascript calendar rtf richtext yaml x-python"
)
_TEXT_TYPES = frozenset(
    (
        *(f"text/{name}" for name in _SUBTYPES.split()),
        *(
            f"application/{name}"
            for name in [
                "json",
                "xml",
                "yaml",
                "x-yaml",
                "javascript",
                "rtf",
                "xhtml+xml",
                "sql",
                "csv",
                "x-ndjson",
                "jsonl",
                "toml",
            ]
        ),
        "image/svg+xml",
    )
)
TEXT_TYPES = _TEXT_TYPES
# Only a known type and a character set may precede the comma.
_DATA_URL = "data:"
_HEAD = re.compile(r"data:([a-z0-9.+*/-]{0,100})((?:;charset=(?:utf-8|UTF-8|us-ascii|US-ASCII))?)((?:;base64)?)")
_HEAD_LIMIT_CHARS = 300
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
_KINDS = tuple(map(re.compile, ("[a-z]", "[A-Z]", "[0-9+/]")))
_DIGITS = re.compile(r"[0-9]{9}")
_MOST_DIGITS = 9
_LEAST_CHARS = 24  # a shorter string is shorter than any signature, and may be a number or a key
_STANDARD_ONLY = re.compile("[+/]")
_TO_STANDARD = str.maketrans("-_", "+/")
_FEW_OWN = 4
_MOST_OWN_SHARE = 12  # 1 of 32 characters is expected
_SAMPLE_BYTES = 4096
_AFTER_MAGIC_BYTES = 16
_LONG_RUN = re.compile(rb"[\x20-\x7e]{16}")  # random bytes match at one place in ten million
_CONTROLS = re.compile(rb"[\0-\x08\x0e-\x1f\x7f]")
_TEXT_CONTROLS = re.compile(r"[\0-\x08\x0e-\x1f\x7f]")


def inspect_url_safe(value: str, media: str, declared: str | None = None) -> Look:
    """`inspect` for a place that takes base64 in the alphabet of URLs as well. A string with many of its two own characters
    is text: these can separate words, and are rare in base64 of random bytes."""
    if value.isascii() and not slices.has(_STANDARD_ONLY, value):
        own = sum(piece.count("-") + piece.count("_") for piece in slices.slices(value))
        if 0 < own <= max(_FEW_OWN, len(value) // _MOST_OWN_SHARE):
            look = inspect("".join(piece.translate(_TO_STANDARD) for piece in slices.slices(value)), media, declared)
            if look.media:
                return look
    return inspect(value, media, declared)


def inspect(value: str, media: str, declared: str | None = None) -> Look:
    """Reads the string of an opaque place. `media`: the kind of the place, `url` for a place that takes a data URL or an
    address; `declared`: the media type beside it, if any."""
    if value == NOT_KEPT:
        return Look("file" if media == "url" else media)
    if slices.is_blank_before(value, _DATA_URL):
        return _data_url(value)
    if media == "url":
        return _PLAIN
    if media in ("signature", "encrypted", "pieces"):
        return Look("audio" if media == "pieces" else media) if is_binary(value) else _both(value, value)
    declared = (declared or "").strip().lower()
    if declared.split(";")[0].strip() in _TEXT_TYPES or declared.startswith("text/"):
        return _media_text("", value)
    families = _TYPES.get(declared) if declared else _families(media)
    return _binary(value, families or ()) or _both(value, value)


def _families(media: str) -> tuple[Media, ...]:
    return (
        ("image", "audio", "video", "file")
        if media == "file"
        else ("audio", "video")
        if media == "audio"
        else ("image",)
    )


def _data_url(value: str) -> Look:
    head, comma, payload = value.partition(",")
    if not comma or len(head) > _HEAD_LIMIT_CHARS:
        return _both(value, value.rpartition(",")[2])
    match = _HEAD.fullmatch(head)
    if match is None:
        return _both(value, payload)
    media_type, coded = match[1], bool(match[3])
    if media_type in _TEXT_TYPES or (not media_type and not coded):
        return _media_text(f"{head},", payload) if coded else _percent(f"{head},", payload)
    if coded and (look := _binary(payload, _TYPES.get(media_type, ()))):
        return look
    return _both(value, payload)


def _binary(payload: str, families: tuple[Media, ...]) -> Look | None:
    """Returns opaque content of one of these families; `None` if it belongs to no known family."""
    if not families or (data := decoded(payload)) is None:
        return None
    for family, magic in _MAGIC:
        if magic.match(data):
            rest = data[_AFTER_MAGIC_BYTES : _AFTER_MAGIC_BYTES + _SAMPLE_BYTES]
            # Anybody can put a known beginning before a text.
            hidden = family != "file" and len(rest) >= _LEAST_CHARS and printable(rest) is not None
            if family in families and not hidden and printable(data) is None:
                return Look(family)
            if family in families:
                return None
    return None


def _media_text(head: str, payload: str) -> Look:
    """Returns the text of a text medium in base64, which can be written back; otherwise all text that the string may hold."""
    data = decoded(payload)
    if data is None:
        return _both(head + payload, payload)
    try:
        return Look(text=slices.decoded(data, "utf-8"), encode=partial(_in_base64, head))
    except UnicodeDecodeError:
        return Look(text=printable(data) or data.decode("latin-1"), fixed=True)


def _percent(head: str, payload: str) -> Look:
    data = slices.unquoted(payload)
    try:
        text = slices.decoded(data, "utf-8")
    except UnicodeDecodeError:
        return Look(text=f"{payload}\n{data.decode('latin-1')}", fixed=True)
    return Look(text=text, encode=partial(_in_percent, head))


def _in_base64(head: str, text: str) -> str:
    return head + slices.to_base64(text.encode())


def _in_percent(head: str, text: str) -> str:
    return head + quote(text)


def _both(value: str, payload: str) -> Look:
    """Returns the string itself and the text that a part of it decodes to."""
    data = decoded(payload, strict=False)
    text = printable(data) or "\n".join(run.decode() for run in slices.runs(data)) if data else None
    if text is None and "%" in payload:
        text = slices.decoded(slices.unquoted(payload), "utf-8", "replace")
    return Look(text=f"{value}\n{text}", fixed=True) if text else _PLAIN


def decoded(payload: str, *, strict: bool = True) -> bytes | None:
    """Decodes base64; `None` if it is not valid and canonical. Not `strict`: any alphabet, spaces, no padding."""
    if not payload.isascii():
        return None
    if not strict:
        return slices.from_base64(slices.standard_base64(payload))
    data = slices.from_base64(payload)
    if data is None:
        return None
    last = payload[-4:]
    # Unused bits of the last group can hold anything: two spellings of the same bytes, one of which no check has seen.
    if last and base64.b64encode(data[len(payload) // 4 * 3 - 3 :]).decode() != last:
        return None
    return data


def is_binary(value: str) -> bool:
    """Whether a string looks like base64 of bytes that are not text. A piece of a longer string counts as well."""
    body = value.rstrip("=")
    if len(body) < _LEAST_CHARS or len(value) - len(body) > 2 or not body.isascii() or slices.has(_NOT_BASE64, body):
        return False
    if slices.has(_DIGITS, body, _MOST_DIGITS) or not all(slices.has(kind, body) for kind in _KINDS):
        return False
    for phase in range(4):  # a piece may begin anywhere in a group of four
        piece = base64.b64decode(body[phase : phase + min(_SAMPLE_BYTES, (len(body) - phase) // 4 * 4)])
        if piece and (printable(piece) is not None or _LONG_RUN.search(piece)):
            return False
    return True


def printable(data: bytes) -> str | None:
    """Decodes bytes to text: UTF-8 (cut off anywhere) without control characters, or UTF-16; `None` if they are not text."""
    if not data:
        return None
    if not slices.has(_CONTROLS, data):
        return slices.begun(data) or None
    for order, first in (("utf-16-le", 1), ("utf-16-be", 0)):
        count = (len(data) + 1 - first) // 2
        if len(data) >= 4 and slices.zeros(data, first) * 2 > count:
            rest = data.removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff")
            text = slices.decoded(rest, order, "replace")
            if not slices.has(_TEXT_CONTROLS, text):
                return text
    return None
