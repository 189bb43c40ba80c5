"""The check `links`: addresses that make the reader's client load or follow something.

In: windows of text. Out: findings; each covers an address without the markup around it, so that an edit takes the address
away and leaves the text. Kept: nothing between texts. `_shared/links/search.py` describes the search in growing text.

The main danger is an image: a client loads it without a click, and its address can carry text away. Markdown images,
links, definitions and autolinks, HTML attributes and styles, bare addresses, `javascript:` and `data:` are found, also in
disguise: entities, escapes, escapes in escapes, mixed case, tabs and line ends in the scheme, backslashes, addresses without a
scheme. An
address without a host (`/path`, `#part`) leads to the page that shows it and is no finding.

Not found: addresses that a script builds, and addresses in encodings that no client decodes by itself (base64).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import Option, Options, chosen, options_digest, with_defaults
from guardproxy.checks._shared.links.allowed import Allowed
from guardproxy.checks._shared.links.nested import NestedSearch
from guardproxy.checks._shared.links.places import KINDS, SCRIPTS
from guardproxy.checks._shared.links.search import LinkSearch
from guardproxy.checks._shared.links.signs import AddressSigns
from guardproxy.errors import OptionError
from guardproxy.findings import Check, Finding, Scan, Traits, Window
from guardproxy.urls import HOST

VERSION = 2
LABELS: Mapping[str, str] = {
    "image": "IMAGE",
    "link": "LINK",
    "reference": "REFERENCE",
    "autolink": "AUTOLINK",
    "html": "HTML_ADDRESS",
    "bare": "BARE_URL",
    "script": "SCRIPT_URL",
    "data": "DATA_URL",
    "domain": "DOMAIN",
}
DEFAULTS = tuple(kind for kind in KINDS if kind != "domain")
OPTIONS: Options = {
    "allow": Option(
        "Hosts that links may lead to, like `docs.example.com`; `*.example.com` is every name below it.",
        {"type": "array", "items": {"type": "string", "pattern": r"^\s*(\*\.)?[A-Za-z0-9.-]+(:[0-9]{1,5})?\s*$"}},
        default=[],
        tighter="shorter",
    ),
    "schemes": Option(
        "Schemes of allowed links. A scheme without a host, like `mailto`, is allowed as such.",
        {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^[a-z][a-z0-9+.-]*$"}},
        default=["https", "http"],
        tighter="shorter",
    ),
    "kinds": Option(
        "The kinds of links to look for; `domain` is a host name without a scheme, like `example.com/page`.",
        {"type": "array", "minItems": 1, "items": {"enum": list(KINDS)}},
        default=list(DEFAULTS),
        tighter="longer",
    ),
}


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an option that is unknown or invalid."""
    values = with_defaults(options, OPTIONS)
    kinds = chosen(values, "kinds", KINDS)
    hosts, schemes = _words(values, "allow"), _words(values, "schemes")
    for at, host in enumerate(hosts):
        if not HOST.fullmatch(host):
            raise OptionError("allow", f"`{host}` is not a host, like `docs.example.com` or `*.example.com`", at)
    for at, scheme in enumerate(schemes):
        if scheme in SCRIPTS:
            raise OptionError("schemes", f"`{scheme}` runs code and cannot be allowed", at)
    plain = {"allow": sorted(hosts), "schemes": sorted(schemes), "kinds": sorted(kinds)}
    return LinkCheck(
        name,
        options_digest("links", VERSION, plain),
        NestedSearch(LinkSearch(Allowed(frozenset(hosts), frozenset(schemes)), AddressSigns("domain" in kinds))),
        frozenset(kinds),
        Traits(is_slow=False, labels=frozenset(LABELS[kind] for kind in kinds)),
    )


def _words(values: Mapping[str, Any], key: str) -> list[str]:
    value = values[key]
    if not isinstance(value, list) or not all(isinstance(word, str) and word.strip() for word in value):
        raise OptionError(key, f"`{key}` must be a list of words")
    return [word.strip().lower() for word in value]


@dataclass(frozen=True, slots=True)
class LinkCheck:
    """A `Check` over a search for addresses. `kinds`: the kinds that are findings."""

    name: str
    digest: str
    search: NestedSearch
    kinds: frozenset[str]
    traits: Traits

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        addresses, settled, keep, state = self.search.scan(window)
        shift = window.start
        findings = tuple(
            Finding(shift + address.start, shift + address.end, self.name, LABELS[address.kind], 1.0)
            for address in addresses
            if address.kind in self.kinds
        )
        return Scan(findings, shift + settled, shift + keep, state=state)
