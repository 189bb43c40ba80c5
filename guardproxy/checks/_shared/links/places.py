"""Decides from the text around a sign whether a client follows the address there, and of which kind the link is.

In: a text, a sign in it, and the state of the tags around. Out: a kind, or `None`. Only the `LOOK` characters before the sign
count.

A kind never says less than what a client may do: what may be an image counts as an image, because a client loads an
image without a click.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from guardproxy.checks._shared.links.signs import decoded
from guardproxy.urls import SCHEME_NAMES, TagReading

LOOK = 256
BEFORE = 2 * LOOK + 64
"""Characters before a sign that can change its kind."""
RUN = 64
"""The most characters of a scheme or of a host name before a sign."""

KINDS = ("image", "link", "reference", "autolink", "html", "bare", "script", "data", "domain")
SPECIAL = frozenset(("http", "https", "ftp", "ws", "wss"))
SCRIPTS = frozenset(("javascript", "vbscript", "livescript"))
_KNOWN = frozenset(SCHEME_NAMES)
_CLICKED = frozenset(("mailto", "xmpp", "tel", "sms", "sip"))
# Attributes whose whole value is an address with any scheme.
_ADDRESSES = frozenset(
    (
        *("href", "src", "srcset", "action", "formaction", "data", "poster", "background", "cite", "longdesc", "ping"),
        *(
            "xlink:href",
            "manifest",
            "codebase",
            "archive",
            "classid",
            "lowsrc",
            "dynsrc",
            "icon",
            "imagesrcset",
            "usemap",
        ),
        *("profile", "from", "to", "values", "by", "srcdoc"),
    )
)
# Elements that load or link something.
_LOADING = frozenset(
    (
        *(
            "a",
            "area",
            "audio",
            "base",
            "body",
            "button",
            "embed",
            "form",
            "iframe",
            "image",
            "img",
            "input",
            "link",
            "meta",
        ),
        *("object", "script", "source", "table", "td", "track", "use", "video"),
    )
)
_HIDDEN = re.compile(r"(?:\A|[^a-z0-9+.\-])(javascript|vbscript|livescript|data|https?|ftp|wss?)\Z")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*\Z")
_HOST = re.compile(r"[\w.\-]*[\w\-]\Z")
_PLAIN_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*")
_TARGET = re.compile(r"[\s>]*(?:(?P<angle><)(?P<spaced>(?:[^\n/?#<>]|&#)*)|(?P<run>(?:[^ \t\n\r\f\v/?#<>]|&#)*))")
_SIMPLE = re.compile(r"(?:\A|[^!\\])\[[^\[\]!`\\<>&]*\Z")
_NUMBER = re.compile(r".\d|\W{1,8}\d")
_NUMBERS = re.compile(r"(?:\A|[^\w.])\d{1,3}\.\d{1,3}\.\d{1,3}\Z")
_STYLE = re.compile(r"(?:url|src|image-set|image)\(\s{0,16}[\"']?\Z", re.IGNORECASE)
_ADDRESS = re.compile(r"[\w\[%&\\/@.:*$!+=~^\-]|[^\x00-\x7f]")
_AUTOLINK_ENDS = ("", ">", "<", " ", "\n")
_TARGET_ENDS = ("", ")", ">", " ", "\t", "\n", "\r")
_SEPARATORS = frozenset(",;=\"'(`")
_MEDIA = re.compile(r"[a-z]{1,16}/|[,;]", re.IGNORECASE)
_MEDIA_BEGUN = re.compile(r"[a-z]{0,16}\Z", re.IGNORECASE)
_VALUE = 512
_WHITE = " \t\n\r\f\v"


def run_start(text: str, at: int, end: int, sign: re.Match[str]) -> int:
    """Returns the start of the address whose sign begins at `end`: that of its scheme or host name, but not before
    `at`."""
    if sign["pair"] or sign["www"] or sign["zeros"]:
        return end
    run = (_SCHEME if sign["colon"] else _HOST).search(text[max(at, end - RUN) : end])
    return end - len(run[0]) if run else end


@dataclass(frozen=True, slots=True)
class SignPlace:
    """A sign in a text.

    `before`: the text before it, at most `LOOK` characters; `tags`: the readings of the tags around;
    `is_start`: the text begins at offset 0 of its channel; `is_leaf`: a line of the text may be an address as a whole, as
    in the arguments of a tool call.
    """

    text: str
    sign: re.Match[str]
    before: str
    tags: Sequence[TagReading]
    is_start: bool
    is_leaf: bool

    @property
    def inside(self) -> list[TagReading]:
        """Returns the readings that are in the value of an attribute, a style or a script."""
        return [reading for reading in self.tags if reading.url is not None]

    def tag_is_open(self, names: Collection[str] | None) -> bool:
        """Whether a tag with one of these names, or any tag, is open. Readers differ on where the values of a broken tag
        begin and end."""
        return any(reading.mode != "text" and (names is None or reading.tag in names) for reading in self.tags)

    @property
    def next(self) -> str:
        """Returns the character after the sign; empty at the end of the text."""
        return self.text[self.sign.end() : self.sign.end() + 1]

    @property
    def begins_address(self) -> bool:
        """Whether an address goes on after the sign."""
        return _ADDRESS.match(self.text, self.sign.end()) is not None

    def begins_line(self, length: int) -> bool:
        """Whether `length` characters before the sign are the beginning of a line."""
        at = self.sign.start() - length
        return self.text[at - 1] == "\n" if at else self.is_start

    def markdown(self) -> str:
        """Returns the kind of the Markdown link around the sign: `image`, unless the text before it proves that it is
        another kind."""
        inline, defined = self.before.rfind("]("), self.before.rfind("]:")
        if defined > inline:
            return "reference"
        end = self.sign.start() - len(self.before) + inline
        low = max(0, end - LOOK)
        match = _SIMPLE.search(self.text[low:end])
        is_cut = match is not None and match.start() == 0 and match[0][0] == "[" and (low > 0 or not self.is_start)
        return "link" if match and not is_cut else "image"


def kind(text: str, sign: re.Match[str], tags: Sequence[TagReading], *, is_start: bool, is_leaf: bool) -> str | None:
    """Returns the kind of the link at a sign; `None` if no client follows the address. `tags`: read up to the sign; the
    others are described in `SignPlace`."""
    before = text[max(0, sign.start() - LOOK) : sign.start()]
    place = SignPlace(text, sign, before, tags, is_start, is_leaf)
    if sign["zeros"]:
        return "html" if any(_is_head(_head(reading)) for reading in place.inside) else None
    if sign["pair"]:
        return _without_scheme(place)
    return _named_host(place) if sign["www"] or sign["name"] else _with_scheme(place)


def _named_host(place: SignPlace) -> str | None:
    """Returns the kind of a link that begins with a host name."""
    sign, before = place.sign, place.before
    if not place.begins_address:
        return None
    if sign["www"] and (_is_word(before[-1:]) or not place.next.isalnum()):
        return None
    if sign["name"] and _NUMBER.match(sign["name"]) and not _NUMBERS.search(before):
        return None
    bare = "bare" if sign["www"] else "domain"
    return "html" if place.inside else place.markdown() if _target(before) else bare


def _without_scheme(place: SignPlace) -> str | None:
    """Returns the kind of a link that begins with two slashes."""
    before = place.before
    begins = before[-1:].isspace() or before[-1:] in _SEPARATORS
    if place.next and any(begins or _begins(reading, before) for reading in place.inside):
        return "html"
    if place.next and begins and place.tag_is_open(None if before[-1:] == "," else _LOADING):
        return "html"
    target = _target(before)
    if target and not _read_target(target) and place.next not in _TARGET_ENDS:
        return place.markdown()
    if not place.begins_address:
        return None
    if _STYLE.search(before):
        return "html"
    return "bare" if place.is_leaf and place.begins_line(0) else None


def _with_scheme(place: SignPlace) -> str | None:
    """Returns the kind of a link with a scheme."""
    sign, before, after = place.sign, place.before, place.next
    run = _SCHEME.search(before[-RUN:])
    name = run[0].lower() if run else ""
    ahead = before[: len(before) - len(name)]
    has_authority = sign["second"] is not None
    for reading in place.inside:
        if scheme := _in_attribute(reading, name, ahead, has_authority=has_authority):
            return _named(scheme, "html")
    target = _target(before)
    scheme = _read_target(target) if target else ""
    if target and _PLAIN_SCHEME.fullmatch(scheme) and after and (target["angle"] or after not in _WHITE):
        return _named(scheme, place.markdown())
    is_known = name in _KNOWN or has_authority
    if name and ahead.endswith("<") and is_known and (sign["slashes"] or after not in _AUTOLINK_ENDS):
        return _named(name, "autolink")
    if place.tag_is_open(None) and (hidden := _HIDDEN.search(decoded(before[-RUN:]))):
        return _named(hidden[1], "html")
    if name == "data":
        return "data" if _MEDIA.match(place.text, sign.end()) or _STYLE.search(ahead) else None
    if not place.begins_address:
        return None
    if name in SCRIPTS:
        return "script" if place.begins_line(len(name)) or place.is_leaf or _STYLE.search(ahead) else None
    if has_authority and before[-1:] == "]":
        return "reference"
    # A single letter is a drive. Without a letter, an escape or an unseen character may end a scheme.
    ends = before[-1:] == ";" or before[-1:].isalnum() or not before[-1:].isprintable()
    has_scheme = len(name) > 1 or (not name and ends)
    return "bare" if (has_authority and has_scheme) or name in SPECIAL or name in _CLICKED else None


def _in_attribute(reading: TagReading, name: str, ahead: str, *, has_authority: bool) -> str | None:
    """Returns the scheme of an address in an attribute; `None` if there is no address. `name`: the scheme before the sign
    as it is written, `ahead`: the text before the scheme."""
    head = _head(reading)
    scheme = head if _PLAIN_SCHEME.fullmatch(head) else name
    begins = scheme == head or (len(reading.url or "") >= _VALUE and _is_head(head))
    if (begins and (scheme in _KNOWN or reading.attribute in _ADDRESSES)) or scheme in SPECIAL | SCRIPTS:
        return scheme or "?"
    if has_authority or (name in _KNOWN and (ahead[-1:].isspace() or ahead[-1:] in _SEPARATORS)):
        return name or "?"
    return None


def stops(found: str, tags: Iterable[TagReading]) -> str:
    """Returns the characters that end an address of a kind for every parser that may read it."""
    if found != "html":
        return _WHITE + {"autolink": "<>", "bare": '<>"', "domain": '<>"'}.get(found, "")
    ends = {reading.quote or _WHITE + ">" for reading in tags if reading.url is not None}
    return ends.pop() if len(ends) == 1 else ""


def needs_more(text: str, sign: re.Match[str]) -> bool:
    """Whether more text may change the kind of a link: `data:`, and the text ends in what may be a media type."""
    is_data = sign["colon"] is not None and text[max(0, sign.start() - 4) : sign.start()].lower() == "data"
    return is_data and _MEDIA_BEGUN.match(text, sign.end()) is not None


def _named(scheme: str, other: str) -> str:
    return "script" if scheme in SCRIPTS else "data" if scheme == "data" else other


def _head(reading: TagReading) -> str:
    """Returns the beginning of an attribute's value as a URL parser reads it."""
    return decoded((reading.url or "")[:_VALUE])


def _begins(reading: TagReading, before: str) -> bool:
    """Whether an address without a scheme can begin at a place in an attribute, a style, a script or a document."""
    if _is_code(reading):
        return before[-1:] != "]"
    return reading.mode != "name" and not _head(reading)


def _is_code(reading: TagReading) -> bool:
    """Whether an attribute or element holds a style, a script or a document, in which an address can begin anywhere."""
    return reading.mode == "raw" or reading.attribute in ("style", "srcdoc") or reading.attribute.startswith("on")


def _is_head(head: str) -> bool:
    """Whether more characters can make this the scheme of an address."""
    return not head or _PLAIN_SCHEME.fullmatch(head) is not None


def _target(before: str) -> re.Match[str] | None:
    """Returns the beginning of the target of a Markdown link or definition that goes on up to the sign."""
    begin = max(before.rfind("]("), before.rfind("]:"))
    return _TARGET.fullmatch(before, begin + 2) if begin >= 0 else None


def _read_target(target: re.Match[str]) -> str:
    """Returns the beginning of the target of a Markdown link as a URL parser reads it."""
    return decoded(target["run"] or target["spaced"] or "")


def _is_word(char: str) -> bool:
    return bool(char) and (char.isalnum() or char in "_@.-/\\")
