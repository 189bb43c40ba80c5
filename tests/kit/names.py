"""Texts with names that every tagger finds, and ordinary ones in which none finds any."""

from __future__ import annotations

from collections.abc import Sequence

from guardproxy.checks import Tag, Tagger

NAMES = [
    ("My name is Mara Lindqvist and I live in Gothenburg.", {"PERSON": "Mara Lindqvist", "LOCATION": "Gothenburg"}),
    ("Please forward this to Tunde Bakare at Siemens.", {"PERSON": "Tunde Bakare", "ORGANIZATION": "Siemens"}),
    ("She flew from Nairobi to Lisbon.", {"LOCATION": "Nairobi"}),
    ("hi, this is kevin from chicago", {"PERSON": "kevin", "LOCATION": "chicago"}),
    ("DEAR MR. JOHNSON, YOUR PARCEL IS READY.", {"PERSON": "JOHNSON"}),
    ("The Norwegian doctor was born on May 4, 1971.", {"NRP": "Norwegian", "DATE_TIME": "May 4, 1971"}),
]
ORDINARY = [
    "Write a function in Python that sorts a list of dictionaries by two keys.",
    "What is the boiling point of water at sea level?",
    "Could you proofread the second paragraph of my essay?",
]


def tagged(tagger: Tagger, text: str) -> list[Tag]:
    """Returns the tags of a text that count."""
    (tags,) = tagger.tag([text])
    return [tag for tag in tags if tag.score >= tagger.thresholds[tag.label]]


def missing(text: str, tags: Sequence[Tag], wanted: dict[str, str]) -> dict[str, str]:
    """Returns the wanted names that no tag with their label holds."""
    found = [(tag.label, text[tag.start : tag.end]) for tag in tags]
    return {
        label: value
        for label, value in wanted.items()
        if not any(kind == label and value in shown for kind, shown in found)
    }
