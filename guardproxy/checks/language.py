"""The check `language`: passages in a language that a policy does not allow, or that it denies.

In: windows of text. Out: a finding for each such passage, with the label `LANGUAGE`; its details name the language. Kept:
nothing between scans. `_shared/passages/cutting.py` says where passages end.

py3langid gives each passage a probability for each language. The score is the probability that the language is none of `allow`,
or one of `deny`. A passage with fewer than `letters` letters, or in which letters are fewer than `LETTER_SHARE` of the signs
(code, tables, numbers), gets no verdict. A sign of a script with thousands of signs says as much as `DENSE` letters.

Only languages of `LIKELY`, and those that the policy names, are told apart: rare relatives of common languages (Asturian,
Pidgin) would take short English or Spanish texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import SCORE, Option, Options, options_digest, with_defaults
from guardproxy.checks._shared.passages.cutting import PassageCheck, PassageSize, PassageVerdict
from guardproxy.checks._shared.patterns.reach import encodable
from guardproxy.errors import OptionError
from guardproxy.findings import Advice, Check, Traits

VERSION = 1
LABEL = "LANGUAGE"
THRESHOLDS = {"allow": 0.99, "deny": 0.5}
"""A text in an allowed language has relatives beside it (Danish, Norwegian), so that what is not allowed must be sure."""
LETTER_SHARE = 0.7
DENSE = 3
_FIRST_DENSE = 0x2E80  # from here on: Chinese, Japanese, Korean
_LIKELY = """
af ar bg bn ca cs da de el en es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja ka kk km kn ko la lo lt lv mk ml mn mr
ms mt my ne nl no pa pl ps pt ro ru si sk sl sq sr sv sw ta te th tl tr uk ur uz vi xh zh zu
"""
LIKELY = frozenset(_LIKELY.split())
INSTALL = "the check `language` needs the package py3langid: install guardproxy[languages]"
_CODES: Mapping[str, Any] = {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^[a-z]{2,3}$"}}
OPTIONS: Options = {
    "allow": Option(
        "Codes of the only languages that a text may be in (`en`).", _CODES, default_words="all", tighter="shorter"
    ),
    "deny": Option("Codes of languages that no text may be in.", _CODES, default_words="none", tighter="longer"),
    "threshold": Option(
        "The lowest score that counts.", SCORE, default_words="0.99 with `allow`, 0.5 with `deny`", tighter="lower"
    ),
    "letters": Option(
        "A passage with fewer letters gets no verdict.",
        {"type": "integer", "minimum": 10, "maximum": 400},
        default=20,
        tighter="lower",
    ),
    "window_chars": Option(
        "The most characters of a passage.", {"type": "integer", "minimum": 100, "maximum": 2000}, default=400
    ),
}


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an unknown language, and without the package py3langid."""
    values = with_defaults(options, OPTIONS)
    if (values["allow"] is None) == (values["deny"] is None):
        raise OptionError("allow", "give either `allow` or `deny`")
    key = "deny" if values["allow"] is None else "allow"
    languages = values[key]
    try:
        known, version = _known()
    except ImportError as error:
        raise OptionError("use", INSTALL) from error
    if not isinstance(languages, list) or not languages:
        raise OptionError(key, f"`{key}` must be a list of codes of languages, like [en, de]")
    for at, code in enumerate(languages):
        if code not in known:
            raise OptionError(key, f"unknown language `{code}`; known: {', '.join(sorted(known))}", at)
    named = frozenset(languages)
    threshold = THRESHOLDS[key] if values["threshold"] is None else float(values["threshold"])
    letters, most = int(values["letters"]), int(values["window_chars"])
    judge = LanguageJudge(named, threshold, letters, is_allowed=key == "allow")
    advice = (
        (Advice("letters", "shorter texts are often taken for a related language; 20 was measured"),)
        if letters < OPTIONS["letters"].default
        else ()
    )
    traits = Traits(is_sensitive=False, labels=frozenset((LABEL,)), advice=advice)
    plain = {key: sorted(named), "threshold": threshold, "letters": letters, "window_chars": most}
    size = PassageSize(most // 4, most)
    return PassageCheck(name, options_digest("language", VERSION, plain, version), traits, size, judge)


class LanguageJudge:
    """Judges the language of a passage. `named`: the codes of the policy; `is_allowed`: whether these are the allowed ones."""

    def __init__(self, named: frozenset[str], threshold: float, letters: int, *, is_allowed: bool) -> None:
        self._named = named
        self._threshold = threshold
        self._letters = letters
        self._is_allowed = is_allowed
        self._identifier = _identifier(tuple(sorted({*LIKELY, *named})))

    def __call__(self, passage: str) -> PassageVerdict | None:
        """Returns a verdict on a passage in a wrong language; `None` for any other, and for one that says too little."""
        if not has_letters(passage, self._letters):
            return None
        shares = self._identifier.rank(encodable(passage))
        named = sum(share for code, share in shares if code in self._named)
        score = round(1 - named if self._is_allowed else named, 4)
        if score < self._threshold:
            return None
        wrong = next(code for code, _ in shares if (code in self._named) != self._is_allowed)
        expected = "or".join(f" {code} " for code in sorted(self._named)).strip()
        said = f"a text in {expected}" if self._is_allowed else f"a text in no language of {expected}"
        return PassageVerdict(LABEL, min(max(score, 0.0), 1.0), said, f"a text in {wrong}")


def has_letters(passage: str, least: int) -> bool:
    """Whether a passage has enough letters, and not too many other signs."""
    signs = "".join(passage.split())
    letters = sum(map(_is_letter, signs))
    if letters < LETTER_SHARE * len(signs):
        return False
    return letters + (DENSE - 1) * sum(ord(sign) >= _FIRST_DENSE and sign.isalpha() for sign in signs) >= least


def _is_letter(sign: str) -> bool:
    # Vowel signs of Indic scripts are no letters for Python, and stand in every second syllable.
    return sign.isalpha() or "\u0300" <= sign <= "\u1aff"


@cache
def _identifier(codes: Sequence[str]) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415 - an extra, and large

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(codes))
    return identifier


@cache
def _known() -> tuple[frozenset[str], str]:
    """Returns the languages of the installed model, and its version. Raises `ImportError` without the package."""
    import py3langid  # noqa: PLC0415 - an extra, and large
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415 - as above

    return frozenset(LanguageIdentifier.from_model_file(MODEL_FILE).nb_classes), str(py3langid.__version__)
