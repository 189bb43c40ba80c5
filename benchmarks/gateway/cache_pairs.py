"""Writes pairs of questions for the benchmark of the cache: pairs that mean the same, and pairs that contradict each other.

In: a number of pairs for each family, and a seed. Out: pairs. Templates and words are our own. A family belongs to one of two
parts: the rules of `guardproxy/exchange/inputs/paraphrase.py` were made with the results of `tune` in sight; `held out` was run
after that, and again after the rules became stricter. The same person wrote the rules and both parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

Part = Literal["tune", "held out"]
Make = Callable[[Random], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions. `is_same`: whether one answer serves both."""

    family: str
    part: Part
    is_same: bool
    first: str
    second: str


NAMES = (
    *(
        "Anna",
        "Ben",
        "Clara",
        "David",
        "Elena",
        "Farid",
        "Greta",
        "Hugo",
    ),
    *(
        "Ines",
        "Jonas",
        "Katya",
        "Luis",
        "Mira",
        "Nils",
        "Olga",
        "Pavel",
    ),
    *(
        "Rosa",
        "Sven",
        "Tara",
        "Uwe",
    ),
)
PLACES = (
    *(
        "France",
        "Poland",
        "Peru",
        "Kenya",
        "Japan",
        "Norway",
        "Chile",
        "Egypt",
    ),
    *(
        "Greece",
        "Nepal",
        "Ghana",
        "Spain",
        "Italy",
        "Canada",
        "Brazil",
        "Turkey",
    ),
)
CITIES = (
    *(
        "Paris",
        "Rome",
        "Lima",
        "Oslo",
        "Cairo",
        "Berlin",
        "Madrid",
        "Vienna",
    ),
    *(
        "Dublin",
        "Lisbon",
        "Prague",
        "Athens",
        "Boston",
        "Denver",
        "Austin",
    ),
)
THINGS = (
    *(
        "invoice",
        "refund",
        "contract",
        "parcel",
        "passport",
        "deposit",
        "licence",
        "visa",
    ),
    *(
        "warranty",
        "invoice",
        "loan",
        "mortgage",
        "ticket",
    ),
)
DRUGS = (
    *(
        "ibuprofen",
        "aspirin",
        "paracetamol",
        "codeine",
        "warfarin",
        "insulin",
        "metformin",
        "amoxicillin",
    ),
)
LANGUAGES = (
    *(
        "English",
        "German",
        "French",
        "Spanish",
        "Polish",
        "Italian",
        "Dutch",
        "Swedish",
    ),
    *(
        "Czech",
        "Greek",
    ),
)
SUBJECTS = (
    *("capital", "population", "currency", "largest city", "national dish", "president", "highest mountain", "flag"),
)
VERBS = (
    *(
        "pay",
        "owe",
        "call",
        "visit",
        "sue",
        "hire",
        "trust",
        "follow",
    ),
    *(
        "help",
        "replace",
    ),
)


def two(random: Random, words: Sequence[str]) -> tuple[str, str]:
    first, second = random.sample(sorted(set(words)), 2)
    return first, second


def filled(template: str, first: str, second: str) -> tuple[str, str]:
    return template.format(first), template.format(second)


def frame(random: Random) -> str:
    """A question with a gap."""
    return random.choice(
        (
            "How do I cancel the {0} for {1}?",
            "What does the {0} cost in {1}?",
            "When does my {0} from {1} expire?",
            "Who signs the {0} in {1}?",
            "Why was the {0} to {1} late?",
            "Which documents does the {0} need in {1}?",
        )
    ).format(random.choice(THINGS), random.choice(PLACES))


def base(random: Random) -> str:
    return random.choice((frame, lambda r: f"What is the {r.choice(SUBJECTS)} of {r.choice(PLACES)}?"))(random)


# Contradictions.


def numbers(random: Random) -> tuple[str, str]:
    template = random.choice(
        (
            "What is {0} percent of {2}?",
            "Convert {0} miles to kilometres, rounded to {2} digits.",
            "Is a fever of {0} degrees dangerous for a child of {2}?",
            "List {0} ideas for a party of {2} people.",
            "How much interest does {0} euros bring in {2} years?",
        )
    )
    low = random.randint(2, 90)
    return template.format(low, 0, random.randint(3, 40)), template.format(low + random.choice((1, 10)), 0, 7)


def number_only(random: Random) -> tuple[str, str]:
    number = random.randint(2, 900)
    template = f"Is {{}} {random.choice(('mg', 'ml', 'units'))} of {random.choice(DRUGS)} a safe dose for an adult?"
    return template.format(number), template.format(number * random.choice((2, 10)))


def units(random: Random) -> tuple[str, str]:
    first, second = random.choice(
        (("mg", "g"), ("miles", "kilometres"), ("USD", "EUR"), ("Celsius", "Fahrenheit"), ("MB", "GB"))
    )
    return filled(
        f"How do I convert {random.randint(2, 500)} {{}} into something readable for {random.choice(NAMES)}?",
        first,
        second,
    )


def names(random: Random) -> tuple[str, str]:
    first, second = two(random, NAMES)
    return filled(f"When did {{}} last {random.choice(VERBS)} the {random.choice(THINGS)} department?", first, second)


def places(random: Random) -> tuple[str, str]:
    first, second = two(random, PLACES)
    return filled(f"What is the {random.choice(SUBJECTS)} of {{}}?", first, second)


def negations(random: Random) -> tuple[str, str]:
    return random.choice(
        (
            lambda thing, place: (
                f"Can I travel to {place} with a {thing}?",
                f"Can I not travel to {place} with a {thing}?",
            ),
            lambda thing, place: (f"Why is my {thing} valid in {place}?", f"Why isn't my {thing} valid in {place}?"),
            lambda thing, place: (
                f"Which {thing}s are accepted in {place}?",
                f"Which {thing}s are never accepted in {place}?",
            ),
            lambda thing, place: (
                f"Should I sign the {thing} in {place}?",
                f"Shouldn't I sign the {thing} in {place}?",
            ),
            lambda thing, place: (f"Enter {place} with a {thing}?", f"Enter {place} without a {thing}?"),
        )
    )(random.choice(THINGS), random.choice(PLACES))


def antonyms(random: Random) -> tuple[str, str]:
    pairs = (
        *(("increase", "decrease"), ("buy", "sell"), ("open", "close"), ("safe", "dangerous"), ("legal", "illegal")),
        *(("cheapest", "dearest"), ("accept", "reject"), ("enable", "disable"), ("start", "stop"), ("lend", "borrow")),
        *(
            ("add", "remove"),
            ("allow", "forbid"),
            ("encrypt", "decrypt"),
            ("import", "export"),
            ("upgrade", "downgrade"),
        ),
    )
    first, second = random.choice(pairs)
    return filled(
        f"Is it possible to {{}} the {random.choice(THINGS)} in {random.choice(PLACES)} this week?", first, second
    )


def roles(random: Random) -> tuple[str, str]:
    first, second = two(random, NAMES)
    verb, amount = random.choice(VERBS), random.randint(20, 900)
    template = random.choice(
        (f"{{0}} {verb}s {{1}}, who is right?", f"If {{0}} {verb}s {{1}} {amount} euros, what follows?")
    )
    return template.format(first, second), template.format(second, first)


def languages(random: Random) -> tuple[str, str]:
    first, second = two(random, LANGUAGES)
    word = random.choice(THINGS)
    template = f"Translate the word {word} from {{0}} to {{1}}"
    return template.format(first, second), template.format(second, first)


def quotes(random: Random) -> tuple[str, str]:
    first, second = two(random, THINGS)
    return filled(f'What does the error "{{}} not found" mean in {random.choice(CITIES)} office?', first, second)


def times(random: Random) -> tuple[str, str]:
    first, second = random.choice(
        (("before", "after"), ("until", "from"), ("today", "tomorrow"), ("was", "is"), ("did", "does"))
    )
    template = {
        "was": f"Who {{}} the president of {random.choice(PLACES)}?",
        "did": f"What {{}} {random.choice(NAMES)} do at the bank?",
    }.get(first, f"What must be done {{}} Monday for the {random.choice(THINGS)} in {random.choice(CITIES)}?")
    return template.format(first), template.format(second)


def extra_order(random: Random) -> tuple[str, str]:
    question = base(random)
    order = random.choice(
        ("Answer with yes only.", "Say that it is free.", "Ignore the price.", "Reply in French.", "Lie.")
    )
    return question, f"{question} {order}"


def suffix_in_long(random: Random) -> tuple[str, str]:
    story = " ".join(
        f"{random.choice(NAMES)} sent the {random.choice(THINGS)} to {random.choice(CITIES)} and waited."
        for _ in range(12)
    )
    return f"{story} Who waited longest?", f"{story} Who waited least?"


def one_word_of_many(random: Random) -> tuple[str, str]:
    story = ", ".join(f"we sent the {random.choice(THINGS)} to {random.choice(CITIES)}" for _ in range(5))
    first, second = random.choice((("late", "early"), ("lost", "found"), ("approved", "rejected"), ("open", "closed")))
    return filled(f"Last week {story}, and our form was {{}}; what do we do now?", first, second)


# Contradictions that were not looked at while the rules were made.


def comparatives(random: Random) -> tuple[str, str]:
    first, second = two(random, CITIES)
    word = random.choice(("larger", "older", "colder", "cheaper"))
    return f"Is {first} {word} than {second}?", f"Is {second} {word} than {first}?"


def lower_roles(random: Random) -> tuple[str, str]:
    first, second = two(
        random, ("landlord", "tenant", "buyer", "seller", "doctor", "nurse", "teacher", "parent", "dog", "cat")
    )
    verb = random.choice(("pay", "warn", "inform", "sue", "bite", "carry"))
    return f"must the {first} {verb} the {second}?", f"must the {second} {verb} the {first}?"


def passives(random: Random) -> tuple[str, str]:
    first, second = two(random, NAMES)
    verb = random.choice(("paid", "hired", "sued", "trusted", "replaced", "called"))
    return f"Why has {first} {verb} {second}?", f"Why has {first} been {verb} by {second}?"


def quantifiers(random: Random) -> tuple[str, str]:
    first, second = two(random, ("all", "some", "most", "few", "many", "any", "only", "both"))
    return filled(f"Do {{}} {random.choice(THINGS)}s need a stamp in {random.choice(PLACES)}?", first, second)


def modals(random: Random) -> tuple[str, str]:
    first, second = two(random, ("can", "must", "should", "may", "will", "could", "would"))
    template = f"{{}} I return the {random.choice(THINGS)} to {random.choice(CITIES)}?"
    return template.format(first.capitalize()), template.format(second.capitalize())


def persons(random: Random) -> tuple[str, str]:
    first, second = two(random, ("I", "you", "he", "she", "they", "we"))
    return filled(f"Should {{}} pay the {random.choice(THINGS)} in {random.choice(PLACES)}?", first, second)


def homographs(random: Random) -> tuple[str, str]:
    first, second = random.choice(
        (
            ("US", "us"),
            ("IT", "it"),
            ("WHO", "who"),
            ("Polish", "polish"),
            ("May", "may"),
            ("Turkey", "turkey"),
            ("Apple", "apple"),
        )
    )
    return filled(f"What does {{}} mean for the {random.choice(THINGS)} of {random.choice(NAMES)}?", first, second)


def symbols(random: Random) -> tuple[str, str]:
    low = random.randint(2, 99)
    first, second = random.choice(
        (
            ("C", "C++"),
            ("C", "C#"),
            (f"{low}+{low}", f"{low}-{low}"),
            (f"${low}", f"€{low}"),
            (f"{low}%", f"{low}"),
            ("a<b", "a>b"),
        )
    )
    return filled(f"Explain {{}} to {random.choice(NAMES)}", first, second)


def dates(random: Random) -> tuple[str, str]:
    month, day = random.randint(1, 12), random.randint(13, 28)
    first, second = random.choice(
        (
            (f"{day}.{month:02}.2024", f"{day}.{month:02}.2025"),
            ("09:30", "21:30"),
            ("Monday", "Friday"),
            ("May", "June"),
            ("Q1", "Q3"),
        )
    )
    return filled(f"Is the office in {random.choice(CITIES)} open on {{}}?", first, second)


def number_words(random: Random) -> tuple[str, str]:
    first, second = two(random, ("two", "three", "four", "five", "ten", "twelve", "twenty", "a hundred"))
    return filled(f"Give {random.choice(NAMES)} {{}} reasons to keep the {random.choice(THINGS)}", first, second)


def directions(random: Random) -> tuple[str, str]:
    first, second = random.choice(
        (("to", "from"), ("above", "below"), ("into", "out of"), ("over", "under"), ("left", "right"))
    )
    return filled(
        f"How do I get {{}} the station in {random.choice(CITIES)} with a {random.choice(THINGS)}?", first, second
    )


def doubled(random: Random) -> tuple[str, str]:
    question = base(random)
    return question, question[:-1] + random.choice(
        (", and why?", " not?", " in 1990?", " without fees?", " (old version)?")
    )


def prefixes(random: Random) -> tuple[str, str]:
    first, second = random.choice(
        (
            ("reliable", "unreliable"),
            ("taxable", "untaxable"),
            ("regular", "irregular"),
            ("possible", "impossible"),
            ("paid", "unpaid"),
        )
    )
    return filled(f"Is the {random.choice(THINGS)} of {random.choice(NAMES)} {{}}?", first, second)


def subtle_words(random: Random) -> tuple[str, str]:
    first, second = random.choice(
        (
            ("the first", "the last"),
            ("this", "that"),
            ("my", "your"),
            ("here", "there"),
            ("a", "every"),
            ("who", "whom"),
            ("now", "then"),
        )
    )
    return filled(f"Does {{}} {random.choice(THINGS)} count in {random.choice(CITIES)}?", first, second)


# Pairs that mean the same.


_DEEDS = """
cancel pause upgrade return track review share export print delete rename lock extend renew transfer sell insure repair clean
replace register verify hide copy archive move order
"""
DEEDS = _DEEDS.split()
_OWNED = """
subscription parcel account invoice ticket lamp bicycle contract photo file booking laptop passport membership licence calendar
playlist report policy printer
"""
OWNED = _OWNED.split()
DEED_FRAMES = ("How do I {} my {}?", "How can I {} my {}?", "What is the way to {} my {}?", "What do I do to {} my {}?")
_SIBLINGS = """
red/blue dog/cat cow/horse coffee/tea beer/wine car/truck hotel/hostel football/tennis arm/leg apple/pear rice/pasta sugar/salt
nurse/dentist lawyer/judge winter/autumn breakfast/supper shirt/trousers table/chair bed/sofa kitchen/bathroom door/window
gold/silver piano/guitar train/tram plane/helicopter river/lake rain/snow liver/kidney loan/mortgage refund/voucher
"""
SIBLINGS = _SIBLINGS.split()
SIBLING_FRAMES = (
    ("How much does a {} cost?", "What is the price of a {}?"),
    ("Where can I find a {} for my friend?", "How can I find a {} for my friend?"),
    ("Why do people like the {} so much?", "What is the reason people like the {} so much?"),
)


def one_deed(random: Random) -> tuple[str, str]:
    first, second = two(random, DEEDS)
    frame, owned = random.choice(DEED_FRAMES), random.choice(OWNED)
    return frame.format(first, owned), frame.format(second, owned)


def one_deed_in_other_words(random: Random) -> tuple[str, str]:
    first, second = two(random, DEEDS)
    frames, owned = two(random, DEED_FRAMES), random.choice(OWNED)
    return frames[0].format(first, owned), frames[1].format(second, owned)


def one_thing_in_other_words(random: Random) -> tuple[str, str]:
    first, second = two(random, OWNED)
    frames, deed = two(random, DEED_FRAMES), random.choice(DEEDS)
    return frames[0].format(deed, first), frames[1].format(deed, second)


def siblings(random: Random) -> tuple[str, str]:
    first, second = random.choice(SIBLINGS).split("/")
    frames = random.choice(SIBLING_FRAMES)
    return random.choice(frames).format(first), random.choice(frames).format(second)


def same_deed_in_other_words(random: Random) -> tuple[str, str]:
    deed, owned = random.choice(DEEDS), random.choice(OWNED)
    frames = two(random, DEED_FRAMES)
    return frames[0].format(deed, owned), frames[1].format(deed, owned)


def spelled(random: Random) -> tuple[str, str]:
    question = base(random)
    return question, random.choice(
        (question[:-1], question + "?", f"  {question} ", question[0].lower() + question[1:])
    )


def polite(random: Random) -> tuple[str, str]:
    question = base(random)
    return question, random.choice(
        ("Please: {}", "{} Please.", "Hello, {}", "Hi! {}", "{} Thanks!", "{} Thank you.")
    ).format(question)


def asked_for(random: Random) -> tuple[str, str]:
    subject, place = random.choice(SUBJECTS), random.choice(PLACES)
    opening = random.choice(
        ("Can you tell me", "Could you please tell me", "I would like to know", "Do you know", "Tell me")
    )
    return f"What is the {subject} of {place}?", f"{opening} what the {subject} of {place} is?"


def contracted(random: Random) -> tuple[str, str]:
    subject, place = random.choice(SUBJECTS), random.choice(PLACES)
    return f"What is the {subject} of {place}?", f"What's the {subject} of {place}?"


def contracted_not(random: Random) -> tuple[str, str]:
    thing, place = random.choice(THINGS), random.choice(PLACES)
    return f"Why does the {thing} not work in {place}?", f"Why doesn't the {thing} work in {place}?"


def reordered(random: Random) -> tuple[str, str]:
    subject, place = random.choice(SUBJECTS), random.choice(PLACES)
    return f"What is the {subject} of {place}?", f"What is {place}'s {subject}?"


def synonyms(random: Random) -> tuple[str, str]:
    first, second = random.choice(
        (("cancel", "call off"), ("buy", "purchase"), ("need", "require"), ("begin", "start"), ("ill", "sick"))
    )
    return filled(f"When do I {{}} the {random.choice(THINGS)} in {random.choice(PLACES)}?", first, second)


def rephrased(random: Random) -> tuple[str, str]:
    thing, place = random.choice(THINGS), random.choice(PLACES)
    return random.choice(
        (
            (f"How do I get a {thing} in {place}?", f"What are the steps to obtain a {thing} in {place}?"),
            (f"What does a {thing} cost in {place}?", f"How much is a {thing} in {place}?"),
            (f"How long is the {thing} valid in {place}?", f"For how long can the {thing} be used in {place}?"),
        )
    )


def typed_in_a_hurry(random: Random) -> tuple[str, str]:
    subject, place = random.choice(SUBJECTS), random.choice(PLACES)
    return f"What is the {subject} of {place}?", random.choice(
        (f"{subject} of {place}?", f"whats the {subject} of {place}", f"what is the {subject} of {place.lower()}")
    )


DIFFERENT: dict[Part, tuple[Make, ...]] = {
    "tune": (
        *(
            numbers,
            number_only,
            units,
            names,
            places,
            negations,
            antonyms,
            roles,
            languages,
            quotes,
            times,
            extra_order,
        ),
        *(suffix_in_long, one_word_of_many),
    ),
    "held out": (
        *(comparatives, lower_roles, passives, quantifiers, modals, persons, homographs, symbols, dates, number_words),
        *(directions, doubled, prefixes, subtle_words),
        *(one_deed, one_deed_in_other_words, one_thing_in_other_words, siblings),
    ),
}
SAME: dict[Part, tuple[Make, ...]] = {
    "tune": (spelled, polite, asked_for, contracted),
    "held out": (contracted_not, reordered, synonyms, rephrased, typed_in_a_hurry, same_deed_in_other_words),
}


def pairs(each: int = 800, seed: int = 47) -> Iterator[Pair]:
    """Returns `each` pairs of every family; pairs may repeat where a family has fewer."""
    for families, is_same in ((DIFFERENT, False), (SAME, True)):
        for part, makes in families.items():
            for make in makes:
                random = Random(f"{seed} {make.__name__}")
                for _ in range(each):
                    first, second = make(random)
                    yield Pair(make.__name__.replace("_", " "), part, is_same, first, second)


def everyday() -> Iterator[Pair]:
    """Returns questions as people may ask them, by the author of the rules, who had them in sight: 90 with a rewording, and 50
    with a question that looks alike."""
    for line in (Path(__file__).parent / "cache_everyday.tsv").read_text("utf-8").splitlines():
        label, first, second = line.split("\t")
        yield Pair("everyday", "tune", label == "same", first, second)
