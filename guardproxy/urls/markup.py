"""Reads the HTML tags of a growing text: whether a place is in the value of an attribute that may hold a URL, or in a form.

In: the text in pieces, in order. Out: `TagReading.url`, the value so far, or `None`; `TagReading.is_in_form`. Kept: the open
tag, and the open elements of forms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LIMIT = 4096
_LIMIT_NAME = 32
# Attributes whose values browsers never load. Every other attribute counts as an attribute with a URL or a script.
_HARMLESS = frozenset(
    (
        *("abbr", "align", "alt", "autocomplete", "checked", "class", "color", "colspan", "cols", "datetime", "dir"),
        *("disabled", "for", "headers", "height", "hidden", "id", "label", "lang", "max", "maxlength", "min", "name"),
        *("placeholder", "role", "rows", "rowspan", "scope", "size", "span", "summary", "tabindex", "title", "type"),
        *("valign", "value", "width"),
    )
)
_FRAMES = ("iframe", "frame", "object", "embed")  # elements whose `name` the page in them can read
_RAW = ("script", "style")  # elements whose content is code
# Elements whose attributes or content a browser sends to where the form leads. An input may belong to a form elsewhere.
_FORMS = frozenset(
    (
        *("form", "textarea", "select", "option", "optgroup", "datalist", "button", "output", "fieldset"),
        *("input", "keygen", "isindex"),
    )
)
_EMPTY = frozenset(("input", "keygen", "isindex"))  # those without content
_WITHIN = {"select": ("option", "optgroup"), "datalist": ("option",)}  # end with the element around them
# Elements in which an end tag may be text.
_SWALLOWING = frozenset(
    ("title", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext", "template", "svg", "math")
)
_WHITE = " \t\n\f\r"  # white space in HTML; other white space is part of names and values
_IN_NAME = {False: re.compile(rf"[{_WHITE}/>]"), True: re.compile(rf"[{_WHITE}/><]")}  # by `restarts`
_AFTER_NAME = _IN_NAME[True]
_IN_ATTRIBUTE = {False: re.compile(rf"[{_WHITE}/>=]"), True: re.compile(rf"[{_WHITE}/>=<]")}
_IN_VALUE = {'"': re.compile(r"[\"<]"), "'": re.compile(r"['<]"), "": re.compile(rf"[{_WHITE}><]")}


@dataclass(slots=True)
class TagReading:
    """Reads tags.

    `restarts`: whether `<` and a letter begin a tag inside another tag too. A renderer reads it so if it did not
    accept the outer text as a tag.
    """

    restarts: bool = False
    mode: str = "text"  # text, open, ending, ended, name, between, attribute, equals, value, raw
    back: str = ""  # the mode before `open`
    tag: str = ""
    attribute: str = ""
    quote: str = ""
    value: str = ""
    is_doubtful: bool = False  # whether `<` is in the value
    tail: str = ""  # the end of the content of a script or style
    elements: frozenset[str] = frozenset()  # the elements of forms that are open
    is_endless: bool = False  # whether the end of these elements is doubtful, so that nothing ends them

    @property
    def is_in_form(self) -> bool:
        """Whether the place is in a form, in an element of forms, or in a tag of such an element."""
        mode = self.back if self.mode == "open" else self.mode
        return bool(self.elements) or (mode not in ("text", "raw", "ending", "ended") and self.tag in _FORMS)

    @property
    def url(self) -> str | None:
        """Returns the attribute's value so far; empty inside a script or before the value begins; `None` elsewhere."""
        mode = self.back if self.mode == "open" else self.mode
        if mode == "raw" or (mode == "name" and ":" in self.tag):
            return ""
        if mode not in ("equals", "value"):
            return None
        is_harmless = self.attribute in _HARMLESS or self.attribute.startswith("aria-")
        is_told = self.attribute == "name" and self.tag in _FRAMES
        return None if is_harmless and not is_told and not self.is_doubtful else self.value

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            at = getattr(self, f"_{self.mode}")(text, at)

    def _text(self, text: str, at: int) -> int:
        start = text.find("<", at)
        if start < 0:
            return len(text)
        self.mode, self.back = "open", "text"
        return start + 1

    def _open(self, text: str, at: int) -> int:
        """Reads the character after `<`."""
        char = text[at]
        if char.isascii() and char.isalpha():
            if self.back != "text":
                self._lose()
            self.mode, self.tag, self.attribute, self.value, self.is_doubtful = "name", char.lower(), "", "", False
            return at + 1
        if self.back == "text" and self.elements:
            if char == "/":
                self.mode, self.tag = "ending", ""
                return at + 1
            self.is_endless = self.is_endless or char in "!?"  # the end tags in a comment are text
        self.mode = self.back
        if self.back == "value":
            self._add("<")
            self.is_doubtful = True
        return at

    def _lose(self) -> None:
        """Begins a tag inside another one, whose quotes may then close at another place. Nothing ends a form that may still
        be open there."""
        self.elements |= _FORMS & {self.tag}
        self.is_endless = self.is_endless or bool(self.elements)

    def _ending(self, text: str, at: int) -> int:
        """Reads the name of an end tag."""
        end = self._until(_AFTER_NAME, text, at)
        self.tag = (self.tag + text[at:end].lower())[:_LIMIT_NAME]
        return end if end == len(text) else self._to("ended", end)

    def _ended(self, text: str, at: int) -> int:
        """Reads the end of an end tag after its name."""
        char = text[at]
        if char in _WHITE:
            return at + 1
        if char != ">" or not self.tag[:1].isalpha():
            self.is_endless = True  # a comment, or attributes, in which end tags are text
        elif not self.is_endless:
            self.elements -= {self.tag, *_WITHIN.get(self.tag, ())}
        self.mode, self.tag = "text", ""
        return at

    def _name(self, text: str, at: int) -> int:
        end = self._until(_IN_NAME[self.restarts], text, at)
        self.tag = (self.tag + text[at:end].lower())[:_LIMIT_NAME] if ":" not in self.tag else self.tag
        if end == len(text):
            return end
        if text[end] == "<":
            return self._restart(end)
        return self._close(end) if text[end] == ">" else self._to("between", end + 1)

    def _between(self, text: str, at: int) -> int:
        char = text[at]
        if char == ">":
            return self._close(at)
        if char == "<" and self.restarts:
            return self._restart(at)
        if char == "=" and self.attribute:
            return self._to("equals", at + 1)
        if char in _WHITE:
            return at + 1
        self.attribute = ""
        return self._to("between", at + 1) if char == "/" else self._to("attribute", at)

    def _attribute(self, text: str, at: int) -> int:
        ends = _IN_ATTRIBUTE[self.restarts]
        end = self._until(ends, text, at)
        if end == at and not self.attribute and text[at] == "=":
            end = at + 1  # a name may begin with this character
        self.attribute = (self.attribute + text[at:end].lower())[:_LIMIT_NAME]
        return self._to("between", end) if end < len(text) and ends.match(text, end) else max(end, at)

    def _equals(self, text: str, at: int) -> int:
        char = text[at]
        self.value, self.is_doubtful = "", False
        if char in _WHITE:
            return at + 1
        if char == ">":
            return self._close(at)
        self.quote = char if char in "\"'" else ""
        return self._to("value", at + 1 if self.quote else at)

    def _value(self, text: str, at: int) -> int:
        stop = _IN_VALUE[self.quote].search(text, at)
        end = stop.start() if stop else len(text)
        self._add(text[at:end])
        if stop is None:
            return end
        if text[end] == "<":
            self.is_doubtful = True
            if self.restarts:
                return self._restart(end)
            self._add("<")
            return end + 1
        self.attribute, self.value, self.is_doubtful = "", "", False
        return self._close(end) if text[end] == ">" and not self.quote else self._to("between", end + 1)

    def _raw(self, text: str, at: int) -> int:
        """Reads the content of a script or style up to its end tag, or, if `restarts`, up to the next tag."""
        joined = self.tail + text[at:]
        ends = re.search(f"</{self.tag}" + ("|<(?=[a-z])" if self.restarts else ""), joined, re.IGNORECASE)
        if ends is None:
            self.tail = joined[-len(self.tag) - 1 :]
            return len(text)
        end = at + ends.end() - len(self.tail)
        self.tail = ""
        return self._restart(end - 1) if ends[0] == "<" else self._to("text", end)

    def _add(self, text: str) -> None:
        self.value = (self.value + text)[:_LIMIT]

    def _restart(self, at: int) -> int:
        self.back, self.mode = self.mode, "open"
        return at + 1

    def _to(self, mode: str, at: int) -> int:
        self.mode = mode
        return at

    def _close(self, at: int) -> int:
        self.mode = "raw" if self.tag in _RAW else "text"
        self.tail = ""
        if self.elements and (self.tag in _SWALLOWING or self.tag in self.elements & _WITHIN.keys()):
            self.is_endless = True
        if self.tag in _FORMS and self.tag not in _EMPTY:
            self.elements |= {self.tag}
        return at + 1

    def _until(self, pattern: re.Pattern[str], text: str, at: int) -> int:
        match = pattern.search(text, at)
        return match.start() if match else len(text)
