"""The check `code`: program code in a text, by language.

In: windows of text. Out: a finding for each block of code, with a label for its language. Kept: the fence in which a text is,
in the state of a scan.

A text is read in segments. Inside of a fence of Markdown a segment is what stands between the fences; the word behind the
opening fence names the language. Elsewhere a segment ends at an empty line or at a fence. A segment longer than `MOST`
characters is cut at a line end. Where no fence names a language that is looked for, the language of a segment is that whose
signs (`_SIGNS`) weigh most. The score grows with their weight, and outside of fences with the share of lines that have a
sign. A stream is held to the end of the segment that arrives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import SCORE, Option, Options, chosen, options_digest, with_defaults
from guardproxy.checks._shared.patterns.reach import compile_pattern, encodable
from guardproxy.concurrency import stop_point
from guardproxy.findings import Advice, Check, Finding, Scan, Traits, Window

VERSION = 1
MOST = 1000
LINE = 300
"""Signs are looked for in the first characters of a line."""
HALF = 1.5
"""The weight of signs that has the score 0.5 if all lines have one."""
_NAMES: Mapping[str, str] = {
    "python": "python py python2 python3 ipython pycon jupyter cython",
    "javascript": "javascript js jsx mjs node nodejs typescript ts tsx vue svelte",
    "sql": "sql mysql postgres postgresql psql plsql pgsql tsql sqlite",
    "shell": "shell sh bash zsh fish console terminal shellsession shell-session powershell ps1 pwsh bat batch cmd",
    "html": "html xhtml htm xml svg css scss less",
    "c_like": "c cpp c++ cxx h hpp objective-c objc java csharp c# cs go golang rust rs kotlin kt swift scala dart php d",
    "other": (
        "ruby rb perl pl lua r julia jl haskell hs elixir ex erlang clojure clj lisp scheme matlab fortran cobol pascal ada "
        "assembly asm nasm vb vba vbnet groovy ocaml fsharp f# nim zig solidity dockerfile makefile cmake terraform hcl nix awk"
    ),
}
LABELS: Mapping[str, str] = {language: language.upper() for language in _NAMES}
_LANGUAGES = {name: language for language, names in _NAMES.items() for name in names.split()}
OPTIONS: Options = {
    "languages": Option(
        "The languages to look for. `c_like`: C, Java, Go, Rust and others with braces; `other`: those that a fence names.",
        {"type": "array", "minItems": 1, "items": {"enum": list(LABELS)}},
        default=list(LABELS),
        tighter="longer",
    ),
    "threshold": Option("The lowest score that counts.", SCORE, default=0.5, tighter="lower"),
}
_OPENING = re.compile(r" {0,3}(?P<fence>`{3,}+|~{3,}+)[ \t]*+\{?\.?(?P<name>[^\s`,{}:]*+)[^`\n]*$")
_COMMANDS = (
    "sudo|apt-get|apt|yum|dnf|brew|pip3?|npm|npx|yarn|pnpm|git|docker|kubectl|helm|curl|wget|cd|ls|mkdir|rm|cp|mv|chmod|chown|"
    "echo|export|cat|grep|egrep|sed|awk|find|tar|ssh|scp|rsync|python3?|node|make|source|xargs|ps|kill|du|df|ln|head|tail|touch"
)
_SIGNS: Mapping[str, tuple[tuple[float, str], ...]] = {
    "python": (
        (1.5, r"^\s*(?:async\s+)?def\s+\w+\s*\("),
        (1.2, r"^\s*class\s+\w+\s*(?:\([\w., ]*\))?:\s*$"),
        (1.2, r"^\s*(?:from\s+[\w.]+\s+import\s+[\w*(]|import\s+[\w.]+(?:\s+as\s+\w+)?(?:\s*,\s*[\w.]+)*\s*$)"),
        (1.0, r"^\s*(?:if|elif|while|for|with)\b.*[)\]\"']:\s*(?:#.*)?$"),
        (
            1.0,
            r"^\s*(?:if|elif|while)\s+.*(?:==|!=|<=|>=|\bnot\b|\bis None\b|\bin\b).*:\s*$|"
            r"^\s*for\s+\w+(?:, ?\w+)*\s+in\s+.*:\s*$",
        ),
        (1.0, r"^\s*(?:try|else|finally):\s*$|^\s*except(?:\s+[\w., ()]+)?(?:\s+as\s+\w+)?:\s*$"),
        (0.8, r"\bself\.\w+|\bprint\([^)]*\)|\b__\w+__\b"),
        (0.5, r"^\s*(?:return|yield|raise|assert)\s+[\w\[({\"'].*$|^\s*@[\w.]+(?:\(.*\))?\s*$"),
        (0.4, r"^\s*[A-Za-z_][\w.\[\]]*\s*[+*/-]?=\s*[^=\s].*$"),
        (0.3, r"\b(?:None|True|False|lambda)\b"),
    ),
    "javascript": (
        (1.2, r"\b(?:const|var)\s+[\w{\[$][^=\n]{0,80}=\s|\blet\s+(?:[\w$]+|[{\[][^=\n]{0,60})\s*=\s"),
        (1.2, r"\bfunction\b\s*\w*\s*\([^)]*\)\s*\{?|\basync\s+function\b"),
        (1.0, r"[)\w]\s*=>\s*[\[{(\w]"),
        (1.2, r"\bconsole\.\w+\(|\bdocument\.\w+|\bwindow\.\w+|\brequire\(['\"]|\bmodule\.exports\b"),
        (1.2, r"^\s*(?:import|export)\s+.*(?:\bfrom\s+['\"]|\b(?:const|function|default|class|interface|type)\b)"),
        (0.8, r"===|!==|\bawait\s+\w+[.(]|\bnew\s+[A-Z]\w*\("),
        (0.8, r"\w\??:\s*(?:string|number|boolean|any|void)(?:\[\])?\s*[;,=)]"),
        (0.4, r"^\s*[})\]]+[;,)]*\s*$|[;{]\s*$"),
    ),
    "sql": (
        (2.0, r"\bSELECT\b.{1,200}\bFROM\b|\bINSERT\s+INTO\b|\bUPDATE\s+[\w.`\"\[]+\s+SET\b|\bDELETE\s+FROM\b"),
        (
            2.0,
            r"(?i:\b(?:create|alter|drop)\s+(?:or\s+replace\s+)?(?:temporary\s+)?(?:table|view|index|database|"
            r"procedure|trigger)\s+(?:if\s+(?:not\s+)?exists\s+)?[\w.`\"]+\s*(?:[(;]|$|\b(?:add|as|on)\b))",
        ),
        (
            1.5,
            r"(?i:\bselect\s+(?:\*|count\(|distinct\b|[\w.`\"]+(?:\s*,\s*[\w.`\"]+)*)\s+from\s+[\w.`\"\[]+\s*(?:;|"
            r"where\b|join\b|order by\b|group by\b|limit\b|\w+\s+(?:inner |left |right )?join\b))",
        ),
        (
            1.5,
            r"(?i:\binsert\s+into\s+[\w.`\"]+\s*(?:\(|values\b)|\bdelete\s+from\s+[\w.`\"]+\s+where\b|"
            r"\bupdate\s+[\w.`\"]+\s+set\s+[\w.`\"]+\s*=)",
        ),
        (
            0.7,
            r"^\s*(?:SELECT|FROM|WHERE|(?:INNER|LEFT|RIGHT|FULL|CROSS)?\s*JOIN|GROUP BY|ORDER BY|HAVING|LIMIT|"
            r"UNION|VALUES)\b",
        ),
    ),
    "shell": (
        (2.0, r"^\s*#!\s*/(?:usr/)?bin/"),
        (
            1.5,
            rf"^\s*(?:[$#>%]\s+)?(?:\w+=\S+\s+)*(?:{_COMMANDS})\s+(?:[^\s,]+\s+)*(?:-{{1,2}}[A-Za-z]|"
            rf"[~./$*][\w./*${{]|\S+/\S)",
        ),
        (
            1.2,
            rf"^\s*\$\s+(?:{_COMMANDS}|[\w./-]+)\b|^\s*(?:git (?:clone|add|commit|push|pull|checkout|init)|"
            rf"npm (?:install|run|start)|pip3? install|docker (?:run|build|ps)|kubectl \w+|apt(?:-get)? install)\b",
        ),
        (1.5, r"\|\s*(?:grep|awk|xargs|sort|head|tail|wc|sed|tr|cut|uniq|tee|less)\b"),
        (0.8, r"\$\(\w|\$\{\w+|2>&1|>\s*/dev/null|\s&&\s+\w+|\bfi\s*$|;\s*then\b|;\s*do\b|^\s*done\b"),
    ),
    "html": (
        (2.0, r"(?i:<!doctype\s+html|<\?xml\b)"),
        (
            1.0,
            r"(?i:</(?:html|head|body|div|span|p|a|ul|ol|li|table|tr|td|th|script|style|h[1-6]|form|button|svg|"
            r"nav|section|title|label|select|option)>)",
        ),
        (
            0.7,
            r"(?i:<(?:html|head|body|div|span|p|a|img|ul|ol|li|table|tr|td|th|script|style|link|meta|h[1-6]|form|"
            r"input|button|svg|nav|section|label)(?:\s[^<>]{0,200})?/?>)",
        ),
        (0.8, r"^\s*(?:[.#]?[\w-]+(?:[ ,>:]+[.#]?[\w-]+)*)\s*\{\s*$|^\s*[a-z-]+\s*:\s*[^;{}]+;\s*$"),
    ),
    "c_like": (
        (2.0, r"^\s*#\s*(?:include\s*[<\"]|define\s+\w|ifn?def\s+\w|pragma\b)"),
        (
            1.3,
            r"\b(?:public|private|protected|static|final|virtual|override|"
            r"abstract)\s+(?:\w+\s+)*[\w<>\[\],?]+\s+\w+\s*[({=;]",
        ),
        (
            1.2,
            r"\b(?:int|void|char|float|double|bool|boolean|long|short|unsigned|size_t|String|auto|u?int(?:8|16|32|"
            r"64)(?:_t)?)\s+[*&]?\w+\s*(?:[=;,\[]|\([^)]*\)\s*\{?)",
        ),
        (
            1.2,
            r"^\s*(?:pub\s+)?(?:fn|func|impl|struct|enum|trait|namespace|package)\s+[\w<>(&*]+|"
            r"^\s*using\s+[\w.]+;|^\s*import\s+[\w.*]+;|<\?php\b",
        ),
        (
            1.5,
            r"\blet\s+mut\s|\blet\s+\w+\s*:\s*[\w<&]|\bmatch\s+.*\{\s*$|^\s*#\[(?:derive|cfg|test|tokio|allow|"
            r"inline|serde)\b|\bfunc\s*\(\w+\s+\*?\w+\)|^\s*(?:type\s+\w+\s+(?:struct|interface)|"
            r"var\s+\w+\s+[\w*\[])",
        ),
        (
            1.0,
            r"\b(?:std::|System\.out\.|fmt\.\w+\(|println!|printf\(|cout\s*<<|nullptr\b|Console\.Write)|\w\s*:=\s|"
            r"\w->\w+[(;]|\w::\w+[(<]|\$\w+\s*=.*;\s*$|\berr\s*!=\s*nil\b",
        ),
        (1.0, r"^\s*(?:\}\s*else\s*)?(?:if|for|while|switch|catch)\s*\(.*\)\s*\{\s*$|^\s*if\s+.*\{\s*$"),
        (0.4, r"^\s*[{})]+;?\s*$|;\s*(?://.*)?$"),
    ),
}
STRONG = 0.7
"""A segment needs a sign of at least this weight: signs below it stand in prose, formulas and JSON too."""


@cache
def _signs() -> Mapping[str, tuple[Any, tuple[tuple[float, Any], ...]]]:
    """Returns for each language a pattern for all its signs, and its signs with their weights, the heaviest first."""
    return {
        language: (
            compile_pattern("|".join(f"(?:{sign})" for _, sign in signs)),
            tuple((weight, compile_pattern(sign)) for weight, sign in sorted(signs, reverse=True)),
        )
        for language, signs in _SIGNS.items()
    }


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an unknown option or language, or a score out of range."""
    values = with_defaults(options, OPTIONS)
    languages = frozenset(chosen(values, "languages", tuple(LABELS)))
    threshold = float(values["threshold"])
    advice = (
        (Advice("threshold", "prose with signs and lists reaches 0.3; 0.5 was measured"),) if threshold < 0.4 else ()
    )
    labels = frozenset(LABELS[language] for language in languages)
    traits = Traits(is_sensitive=False, is_slow=False, labels=labels, advice=advice)
    digest = options_digest("code", VERSION, {"languages": sorted(languages), "threshold": threshold})
    return _CodeCheck(name, digest, traits, languages, threshold)


class CodeFence(NamedTuple):
    """A fence that is open. `sign`: its characters, empty outside of fences; `language`: the one that it names, empty for a
    fence without a name, or with one that is no language (`json`, `text`)."""

    sign: str
    language: str


NO_FENCE = CodeFence("", "")


@dataclass(frozen=True, slots=True)
class _CodeCheck:
    name: str
    digest: str
    traits: Traits
    languages: frozenset[str]
    threshold: float

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        if window.start and window.state is None:
            raise ValueError("the state of the previous window is missing")
        text, at, fence = window.text, window.settled - window.start, window.state or NO_FENCE
        findings: list[Finding] = []
        begin = at  # of the segment
        for start, end in _lines(text, at, is_last=window.last):
            stop_point()
            line = text[start:end]
            if fence.sign and _closes(line, fence):
                findings += self._judge(window, begin, start, fence)
                begin, fence = end, NO_FENCE
            elif not fence.sign and (opening := _OPENING.match(line.rstrip("\n"))):
                findings += self._judge(window, begin, start, fence)
                begin, fence = end, _fence(opening)
            elif end - begin >= MOST or (not fence.sign and not line.strip()):
                findings += self._judge(window, begin, end, fence)
                begin = end
        if window.last:
            findings += self._judge(window, begin, len(text), fence)
            begin = len(text)
        settled = window.start + begin
        return Scan(tuple(findings), settled, settled, state=fence)

    def _judge(self, window: Window, start: int, end: int, fence: CodeFence) -> Iterator[Finding]:
        segment = window.text[start:end]
        if not segment.strip():
            return
        if fence.language in self.languages:
            language, score = fence.language, 1.0
        else:  # a wrong name does not hide code
            language, score = language_of(segment, is_fenced=bool(fence.sign))
        if language in self.languages and score >= self.threshold:
            low = window.start + start + len(segment) - len(segment.lstrip())
            high = window.start + start + len(segment.rstrip())
            yield Finding(low, high, self.name, LABELS[language], score)


def _lines(text: str, at: int, *, is_last: bool) -> Iterator[tuple[int, int]]:
    """Yields the start and the end of each line that no continuation can change; a line ends at `MOST` characters."""
    while at < len(text):
        line_end = text.find("\n", at, at + MOST)
        if line_end >= 0:
            end = line_end + 1
        elif len(text) - at >= MOST:
            end = at + MOST
        elif is_last:
            end = len(text)
        else:
            return
        yield at, end
        at = end


def _fence(opening: re.Match[str]) -> CodeFence:
    name = opening["name"].lower()
    return CodeFence(opening["fence"], _LANGUAGES.get(name, ""))


def _closes(line: str, fence: CodeFence) -> bool:
    plain = line.strip()
    return len(plain) >= len(fence.sign) and not plain.strip(fence.sign[0]) and len(line) - len(line.lstrip(" ")) <= 3


def language_of(segment: str, *, is_fenced: bool = False) -> tuple[str, float]:
    """Returns the language whose signs weigh most in a segment, and the score from 0 to 1; none without a strong sign."""
    lines = [line[:LINE] for line in encodable(segment).splitlines() if line.strip()]
    weights: dict[str, list[float]] = {
        language: [
            next(weight for weight, sign in signs if sign.search(line)) for line in lines if any_sign.search(line)
        ]
        for language, (any_sign, signs) in _signs().items()
    }
    weighty = {language: found for language, found in weights.items() if max(found, default=0) >= STRONG}
    if not weighty:
        return "", 0.0
    language = max(weighty, key=lambda language: sum(weighty[language]))
    weight = sum(weighty[language])
    share = 1.0 if is_fenced else min(1.0, 1.5 * len(weighty[language]) / len(lines))
    return language, round(weight / (weight + HALF) * share, 3)
