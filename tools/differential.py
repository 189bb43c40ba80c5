"""Our findings against those of Presidio's `AnalyzerEngine.analyze`, over many texts: `make test-differential`.

Run `python -m tools.differential [--texts N]`. The texts: the annotated sets of the folder in GUARDPROXY_DATA (where it
is set), and made ones, of identifiers, near misses, and what surrounds them, glued together in all ways. Each text goes
through Presidio and through our engine with the same recognizers: those that Presidio loads by default for English, then
all of its recognizers that need no model, whatever their country, then, for a share of the texts, those of other languages.

Two counts come out. `other`: texts with another set of (start, end, entity, score) than Presidio's. `unexplained`: those that
are left when Presidio, too, counts a word as context for what it is by itself (see `_shared/pii/words.py`); this must be 0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from random import Random

from tests.kit.pii import analyzer, data_texts, engine, mixed_text, outcome, recognizers

SEED = 20
LANGUAGES = (
    *("es", "de", "fr", "it", "nl", "pt", "pl", "sv", "da", "nb", "fi"),
    *("tr", "hi", "ru", "uk", "cs", "ro", "hu", "el", "he", "ar"),
)
"""Those that spaCy cuts into words by rules alone."""


def texts(count: int) -> list[str]:
    """`count` texts, half of them of the annotated sets where these are to be had."""
    found = list(data_texts(count // 18 + 1))[: count // 2]
    random = Random(SEED)
    return found + [mixed_text(random) for _ in range(count - len(found))]


def compare(texts: Iterable[str], language: str = "en", every: bool = False) -> tuple[int, list[str]]:
    """How many texts have other findings than Presidio's, and which of them no rule explains."""
    chosen = recognizers(language, every)
    ours, theirs, local = engine(chosen, language), analyzer(chosen, language), analyzer(chosen, language, local=True)
    other, unexplained = 0, []
    for text in texts:
        found = outcome(ours, text)
        if found != outcome(theirs, text):
            other += 1
            if found != outcome(local, text):
                unexplained.append(text)
    return other, unexplained


def main() -> int:
    from tqdm import tqdm

    parser = argparse.ArgumentParser(description="Our findings against Presidio's.")
    parser.add_argument("--texts", type=int, default=20_000)
    asked = parser.parse_args()
    made = texts(asked.texts)
    runs = [("en", False, made), ("en", True, made)]
    runs += [(language, False, made[at :: len(LANGUAGES) * 2]) for at, language in enumerate(LANGUAGES)]
    failed = False
    for language, every, share in runs:
        name = f"{language}, {'all' if every else 'default'} recognizers ({len(recognizers(language, every))})"
        other, unexplained = compare(tqdm(share, name, file=sys.stderr), language, every)
        print(f"{name}: {len(share)} texts, {other} other, {len(unexplained)} unexplained")
        for text in unexplained[:5]:
            print(f"  {text!r}")
        failed = failed or bool(unexplained)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
