"""Finds digits that are written as words, in any of several languages: `four one one one`.

In: a text. Out: edits that put the digits instead of the words. Fewer than `LEAST_WORDS` words in a row stay words. Signs that
are a number by themselves, as `四`, are digits wherever they stand (`packing.py`).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import re2
import regex

from guardproxy.checks._shared.evasions.folding import Edit

LEAST_WORDS = 4
_WORDS = """
zero one two three four five six seven eight nine
null eins zwei drei vier fünf sechs sieben acht neun
oh eine zwo three four fuenf six seven eight niner
zéro un deux trois quatre cinq six sept huit neuf
cero uno dos tres cuatro cinco seis siete ocho nueve
zero uno due tre quattro cinque sei sette otto nove
zero um dois três quatro cinco seis sete oito nove
nul een twee drie vier vijf zes zeven acht negen
noll ett två tre fyra fem sex sju åtta nio
zero jeden dwa trzy cztery pięć sześć siedem osiem dziewięć
nula jedna dva tři čtyři pět šest sedm osm devět
sıfır bir iki üç dört beş altı yedi sekiz dokuz
ноль один два три четыре пять шесть семь восемь девять
нуль одна дві три чотири п'ять шість сім вісім дев'ять
μηδέν ένα δύο τρία τέσσερα πέντε έξι επτά οκτώ εννέα
صفر واحد اثنان ثلاثة أربعة خمسة ستة سبعة ثمانية تسعة
صفر یک دو سه چهار پنج شش هفت هشت نه
אפס אחת שתיים שלוש ארבע חמש שש שבע שמונה תשע
शून्य एक दो तीन चार पाँच छह सात आठ नौ
영 일 이 삼 사 오 육 칠 팔 구
공 하나 둘 셋 넷 다섯 여섯 일곱 여덟 아홉
"""
"""The words from 0 to 9, a language a line. A word that two languages have for different digits has the first meaning."""
_MEMORY_BYTES = 1 << 25
_GAP_CHARS = 4  # between two words
_WORD = regex.compile(r"[\pL\pM'\u2019]+")


def digits_in_words(text: str) -> list[Edit]:
    """Returns edits that replace rows of words by their digits. The cost is linear."""
    has, words = _tables()
    if not has.search(text.lower().encode("utf-8", "replace")):
        return []
    edits: list[Edit] = []
    row: list[str] = []
    start = end = 0
    for match in _WORD.finditer(text):
        digit = words.get(match[0].lower().replace("\u2019", "'"))
        if row and (digit is None or match.start() - end > _GAP_CHARS):
            edits += _edit(row, start, end)
            row = []
        if digit is not None:
            start = start if row else match.start()
            end = match.end()
            row.append(digit)
    return edits + _edit(row, start, end)


def _edit(row: list[str], start: int, end: int) -> list[Edit]:
    return [(start, end, "".join(row))] if len(row) >= LEAST_WORDS else []


@cache
def _tables() -> tuple[Any, dict[str, str]]:
    """Returns a quick search for two such words in a row, and the digit of each word."""
    words: dict[str, str] = {}
    for line in _WORDS.strip().splitlines():
        for digit, word in enumerate(line.split()):
            words.setdefault(word, str(digit))
    some = "|".join(sorted(map(regex.escape, words), key=len, reverse=True))
    options = re2.Options()
    options.max_mem = _MEMORY_BYTES
    return re2.compile(rf"(?:{some})[^\pL\pN]{{1,{_GAP_CHARS}}}(?:{some})", options), words
