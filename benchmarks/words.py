"""Text for benchmarks: made-up plain sentences of ten words, different ones for each request.

Different, because a proxy that remembers verdicts on texts would otherwise be measured on its memory. No sentence holds
anything that a check of the shipped policies looks for.
"""

from __future__ import annotations

from random import Random

_ADJECTIVES = [
    "quiet",
    "old",
    "bright",
    "narrow",
    "green",
    "heavy",
    "simple",
    "warm",
    "early",
    "distant",
    "wooden",
    "careful",
    "gentle",
    "modern",
    "small",
]
_NOUNS = [
    "garden",
    "bridge",
    "kitchen",
    "library",
    "river",
    "station",
    "market",
    "village",
    "mountain",
    "harbor",
    "school",
    "window",
    "lantern",
    "boat",
    "road",
]
_PEOPLE = [
    "teacher",
    "gardener",
    "baker",
    "sailor",
    "painter",
    "farmer",
    "student",
    "driver",
    "carpenter",
    "doctor",
    "neighbor",
    "librarian",
    "cook",
]
_THINGS = [
    "map",
    "basket",
    "letter",
    "candle",
    "curtain",
    "carpet",
    "engine",
    "mirror",
    "chair",
    "blanket",
    "notebook",
    "ladder",
    "bottle",
    "drum",
    "kettle",
]
_TIMES = [
    "morning",
    "evening",
    "winter",
    "summer",
    "autumn",
    "spring",
    "weekend",
    "holiday",
    "harvest",
    "festival",
    "storm",
    "journey",
    "lesson",
]
_TEMPLATES = [
    "The {adjective} {noun} near the {other} was closed until {time} ended.",
    "Every {time} the {person} carried a {adjective} {thing} across town.",
    "Please describe how a {person} repairs a {thing} before the {time}.",
    "We walked from the {noun} to the {other} after the {time}.",
    "My {person} keeps the {adjective} {thing} beside the window all year.",
    "What would a {adjective} {noun} cost during the {time} season there?",
    "Tell me about the {noun} where the {person} spent the {time}.",
    "The {person} and the {second} painted the {adjective} {noun} this {time}.",
    "Nobody noticed the {thing} that the {person} left at the {noun}.",
    "Compare a {adjective} {thing} with the one from the old {noun}.",
]


def words(random: Random, count: int) -> list[str]:
    """`count` words of text: whole sentences of about ten words, the last one cut where need be."""
    found: list[str] = []
    while len(found) < count:
        sentence = random.choice(_TEMPLATES).format(
            adjective=random.choice(_ADJECTIVES),
            noun=random.choice(_NOUNS),
            other=random.choice(_NOUNS),
            person=random.choice(_PEOPLE),
            second=random.choice(_PEOPLE),
            thing=random.choice(_THINGS),
            time=random.choice(_TIMES),
        )
        found += sentence.split()
    return found[:count]
