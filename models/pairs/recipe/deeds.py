"""Who did what to whom, how much of what, and when: sentences whose words are the same and whose answers differ.

Deeds have a doer and a receiver, who may be exchanged only if the deed is mutual;
many can be told from the other side (sold to,
bought from). Amounts and quantifiers follow from each other in one direction. Times come before or after each other.
"""

from __future__ import annotations

import random

from models.pairs.recipe import slots as s
from models.pairs.recipe.relations import CONTRADICTS, ENTAILS, NEUTRAL, NOT_ENTAILED, Pair

# Past with the receiver in braces, participle for the passive, the base form; then others that mean the same.
_DEEDS = [
    [part.strip() for part in line.split("|")]
    for line in """
    hired {b}|hired|hire {b}|gave {b} a job|employed {b}
    dismissed {b}|dismissed|dismiss {b}|fired {b}|let {b} go
    sued {b}|sued|sue {b}|took {b} to court|brought a lawsuit against {b}
    visited {b}|visited|visit {b}|paid {b} a visit|came to see {b}
    called {b}|called|call {b}|phoned {b}|rang {b} up
    defeated {b}|defeated|defeat {b}|beat {b}|won against {b}
    praised {b}|praised|praise {b}|spoke highly of {b}|had good words for {b}
    criticised {b}|criticised|criticise {b}|found fault with {b}|spoke badly of {b}
    helped {b}|helped|help {b}|gave {b} a hand|was of help to {b}
    invited {b}|invited|invite {b}|asked {b} to come|sent {b} an invitation
    accused {b} of theft|accused of theft|accuse {b} of theft|said that {b} had stolen something|called {b} a thief
    rescued {b}|rescued|rescue {b}|saved {b}|got {b} out of danger
    followed {b}|followed|follow {b}|went after {b}|walked behind {b}
    replaced {b}|replaced|replace {b}|took the place of {b}|came in for {b}
    paid {b}|paid|pay {b}|gave {b} money|handed money to {b}
    warned {b}|warned|warn {b}|gave {b} a warning|told {b} to be careful
    interviewed {b}|interviewed|interview {b}|held an interview with {b}|put questions to {b}
    nominated {b}|nominated|nominate {b}|proposed {b} as a candidate|put {b} forward
    adopted {b}|adopted|adopt {b}|became the adoptive parent of {b}|took {b} in as a child
    trusted {b}|trusted|trust {b}|had faith in {b}|relied on {b}
    """.strip().splitlines()
]
# Told from both sides: the second holds with the two exchanged.
_SIDES = [
    [part.strip() for part in line.split("|")]
    for line in """
    {a} sold {x} to {b}|{b} bought {x} from {a}|{a} did not sell {x} to {b}
    {a} lent {x} to {b}|{b} borrowed {x} from {a}|{a} never lent {x} to {b}
    {a} gave {x} to {b}|{b} got {x} from {a}|{a} did not give {x} to {b}
    {a} gave {b} {x}|{b} was given {x} by {a}|{a} gave {b} nothing
    {a} sent {x} to {b}|{b} received {x} from {a}|{a} did not send {x} to {b}
    {a} taught {b} how to use {x}|{b} learned from {a} how to use {x}|{a} never taught {b} how to use {x}
    {a} showed {x} to {b}|{b} was shown {x} by {a}|{a} did not show {x} to {b}
    {a} stole {x} from {b}|{x} of {b} was taken by {a}, a thief|{a} did not steal {x} from {b}
    {a} returned {x} to {b}|{b} got {x} back from {a}|{a} kept {x} and never returned it to {b}
    {a} owes {b} {x}|{b} is still to get {x} from {a}|{a} owes {b} nothing
    {a} is older than {b}|{b} is younger than {a}|{a} and {b} are of the same age
    {a} is taller than {b}|{b} is shorter than {a}|{a} and {b} are equally tall
    {a} earns more than {b}|{b} earns less than {a}|{a} and {b} earn the same
    {a} is the boss of {b}|{b} works under {a}|{a} is not the boss of {b}
    {a} is the mother of {b}|{b} is a child of {a}|{a} has no children
    {a} is a pupil of {b}|{b} is the teacher of {a}|{b} never taught {a}
    {a} arrived before {b}|{b} arrived after {a}|{a} and {b} arrived at the same time
    {a} lives above {b}|{b} lives below {a}|{a} and {b} live on the same floor
    {a} finished ahead of {b}|{b} finished behind {a}|{a} did not finish ahead of {b}
    {a} rented {x} to {b}|{b} is the tenant who rents {x} from {a}|{a} did not rent {x} to {b}
    """.strip().splitlines()
]
_MUTUAL = [
    [part.strip() for part in line.split("|")]
    for line in """
    {a} married {b}|{a} and {b} got married|{a} did not marry {b}
    {a} met {b}|{a} and {b} met|{a} never met {b}
    {a} shares a flat with {b}|{a} and {b} live together in a flat|{a} lives alone
    {a} is a cousin of {b}|{a} and {b} are cousins|{a} and {b} are not related
    {a} shook hands with {b}|{a} and {b} shook hands|{a} refused to shake hands with {b}
    {a} went to school with {b}|{a} and {b} went to the same school|{a} and {b} went to different schools
    {a} danced with {b}|{a} and {b} danced together|{a} did not dance with {b}
    """.strip().splitlines()
]
_THINGS = (
    "a car, the old piano, a garden chair, a bicycle, the family house, a camera, some books, a laptop, two"
    " tickets, the keys, a boat,"
    " a drill, a letter, 300 euros, a winter coat, a horse, the blue tent, a painting, a phone, a bag of rice"
).split(", ")
_WHEN = (
    "in {month} {year} | on {day} | in {year} | last week | yesterday | on {date} | at {clock} | two days ago |"
    " before lunch | after the meeting"
).split(" | ")
_WHERE = (
    "in {city} | at the office | at home | in the park | at the station | at a conference in {city} | in front of"
    " the bank"
).split(" | ")


def _filled(text: str, **values: str) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text[:1].upper() + text[1:]


def _beside(rng: random.Random) -> str:
    """When or where something was."""
    text = rng.choice(_WHEN if rng.random() < 0.6 else _WHERE)
    makers = {"month": s.month, "year": s.year, "day": s.day, "date": s.date, "clock": s.clock, "city": s.place}
    for name, make in makers.items():
        text = text.replace(f"{{{name}}}", make(rng))
    return text


def deed_pairs(rng: random.Random) -> list[Pair]:
    """Returns pairs about a deed of two people."""
    a, b, c = _three(rng)
    more = f" {_beside(rng)}" if rng.random() < 0.5 else ""
    end = rng.choice([".", ""])
    draw = rng.random()
    if draw < 0.45:
        return _told(a, b, c, more, end, rng)
    side, other, against = rng.choice(_SIDES if draw < 0.85 else _MUTUAL)
    x = rng.choice(_THINGS)

    def say(text: str, one: str, two: str) -> str:
        return _filled(text, a=one, b=two, x=x) + end

    if draw >= 0.85:
        ways = [say(side, a, b), say(side, b, a), say(other, a, b), say(other, b, a)]
        one, two = rng.sample(ways, 2)
        stranger = rng.choice([say(side, a, c), say(other, c, b)])
        return [
            Pair(one, two, ENTAILS, "mutual"),
            Pair(one, say(against, a, b), CONTRADICTS, "mutual: denied"),
            Pair(one, stranger, NEUTRAL, "mutual: another"),
        ]
    one, two = rng.sample([side, other], 2)
    first = say(one, a, b)
    found = [
        Pair(first, say(two, a, b), ENTAILS, "from the other side"),
        Pair(first, say(one, b, a), NOT_ENTAILED, "who to whom"),
        Pair(first, say(two, b, a), NOT_ENTAILED, "who to whom"),
        Pair(first, say(against, a, b), CONTRADICTS, "denied"),
        Pair(first, say(rng.choice([one, two]), *rng.choice([(a, c), (c, b)])), NEUTRAL, "somebody else"),
    ]
    if "{x}" in side:
        thing = rng.choice([thing for thing in _THINGS if thing != x])
        found.append(Pair(first, _filled(rng.choice([one, two]), a=a, b=b, x=thing) + end, NEUTRAL, "something else"))
    return found


def _three(rng: random.Random) -> list[str]:
    """Returns three people or firms."""
    make = s.person if rng.random() < 0.75 else s.firm
    found: list[str] = []
    while len(found) < 3:
        name = make(rng)
        if all(name.split()[0] != other.split()[0] for other in found):
            found.append(name)
    return found


def _told(a: str, b: str, c: str, more: str, end: str, rng: random.Random) -> list[Pair]:
    did, done, base, *others = rng.choice(_DEEDS)

    def active(one: str, two: str, way: str = did) -> str:
        return _filled(f"{one} {way}{more}", b=two) + end

    def passive(one: str, two: str) -> str:
        return _filled(f"{two} was {done} by {one}{more}") + end

    ways = [active(a, b), active(a, b, rng.choice(others)), passive(a, b)]
    wrong = [active(b, a), active(b, a, rng.choice(others)), passive(b, a)]
    first, second = rng.sample(ways, 2)
    found = [
        Pair(first, second, ENTAILS, "deed: reworded"),
        Pair(first, rng.choice(wrong), NOT_ENTAILED, "who to whom"),
        Pair(first, rng.choice(wrong), NOT_ENTAILED, "who to whom"),
        Pair(first, rng.choice([active(a, c), passive(c, b)]), NEUTRAL, "somebody else"),
        Pair(
            first,
            _filled(f"{a} {rng.choice(['did not', 'never', 'didnt'])} {base}{more}", b=b)
            .replace("didnt", "didn't")
            .replace("never", "did never")
            + end,
            CONTRADICTS,
            "denied",
        ),
    ]
    if more:
        bare = rng.choice([_filled(f"{a} {did}", b=b), _filled(f"{b} was {done} by {a}")]) + end
        found += [Pair(first, bare, ENTAILS, "less was said"), Pair(bare, first, NEUTRAL, "more than was said")]
        if (elsewhere := f" {_beside(rng)}") != more:
            found.append(Pair(first, bare.rstrip(".") + elsewhere + end, NOT_ENTAILED, "at another time or place"))
    return found


_NOUNS = (
    "students, rooms, employees, tickets, chairs, doctors, members, orders, houses, trees, players, cars, guests,"
    " letters, samples,"
    " schools, shops, patients, seats, drivers, flights, books, farms, bridges"
).split(", ")
_STATES = [
    [part.strip() for part in line.split("|")]
    for line in """
    were late|was late|were on time
    were damaged|was damaged|were intact
    passed the test|passed the test|failed the test
    were sold|was sold|were left unsold
    arrived in {month}|arrived in {month}|did not arrive in {month}
    were paid|was paid|were not paid
    are in {city}|is in {city}|are not in {city}
    were checked twice|was checked twice|were checked only once
    came from abroad|came from abroad|came from this country
    need repair|needs repair|need no repair
    were empty|was empty|were full
    have a number|has a number|have no number
    """.strip().splitlines()
]
_SPELT = {
    2: "two",
    3: "three",
    4: "four",
    5: "five",
    6: "six",
    7: "seven",
    8: "eight",
    9: "nine",
    10: "ten",
    12: "twelve",
    20: "twenty",
    30: "thirty",
    50: "fifty",
    100: "one hundred",
}


def amount_pairs(rng: random.Random) -> list[Pair]:
    """Returns pairs about how many of something are in a state."""
    noun = rng.choice(_NOUNS)
    state, of_one, contrary = (
        part.replace("{month}", month).replace("{city}", city)
        for month, city in [(s.month(rng), s.place(rng))]
        for part in rng.choice(_STATES)
    )
    n = rng.choice([*_SPELT, rng.randint(2, 300)])
    more, less = n + rng.choice([1, 2, 5, 10, 40]), max(1, n - rng.choice([1, 2, 5, 10, 40]))
    end = rng.choice([".", ""])

    def told(number: int) -> str:
        return _SPELT.get(number, str(number)) if rng.random() < 0.5 else str(number)

    def say(text: str) -> str:
        return text[:1].upper() + text[1:] + end

    every, some = (
        rng.choice([f"all {noun} {state}", f"every one of the {noun} {of_one}", f"each of the {noun} {of_one}"]),
        f"some {noun} {state}",
    )
    none = rng.choice([f"no {noun} {state}", f"none of the {noun} {state}", f"not a single one of the {noun} {of_one}"])
    not_all = rng.choice(
        [f"not all {noun} {state}", f"some of the {noun} {contrary}", f"not every one of the {noun} {of_one}"]
    )
    most = rng.choice(
        [f"most {noun} {state}", f"more than half of the {noun} {state}", f"the majority of the {noun} {state}"]
    )
    few = rng.choice(
        [f"less than half of the {noun} {state}", f"most {noun} {contrary}", f"only a minority of the {noun} {state}"]
    )
    exactly = rng.choice([f"exactly {told(n)} {noun} {state}", f"{told(n)} {noun} {state}, no more and no less"])

    def least(number: int) -> str:
        way = rng.choice(["at least {n}", "no fewer than {n}", "{n} or more"])
        return f"{way.format(n=told(number))} {noun} {state}"

    def at_most(number: int) -> str:
        way = rng.choice(["at most {n}", "no more than {n}", "up to {n}"])
        return f"{way.format(n=told(number))} {noun} {state}"

    def over(number: int) -> str:
        return f"more than {told(number)} {noun} {state}"

    table = [
        (every, some, ENTAILS),
        (every, most, ENTAILS),
        (every, none, CONTRADICTS),
        (every, not_all, CONTRADICTS),
        (some, every, NEUTRAL),
        (none, some, CONTRADICTS),
        (none, every, CONTRADICTS),
        (most, every, NEUTRAL),
        (most, some, ENTAILS),
        (most, few, CONTRADICTS),
        (most, none, CONTRADICTS),
        (not_all, every, CONTRADICTS),
        (some, none, CONTRADICTS),
        (few, most, CONTRADICTS),
        (some, most, NEUTRAL),
        (exactly, least(n), ENTAILS),
        (exactly, at_most(n), ENTAILS),
        (exactly, at_most(more), ENTAILS),
        (exactly, over(n), CONTRADICTS),
        (exactly, exactly.replace(str(n), str(more)) if str(n) in exactly else over(more), CONTRADICTS),
        (exactly, least(more), CONTRADICTS),
        (least(n), over(n + 3), NEUTRAL),
        (over(n), least(n), ENTAILS),
        (least(n), at_most(less - 1) if less > 1 else none, CONTRADICTS),
        (at_most(n), over(more), CONTRADICTS),
        (at_most(n), at_most(more), ENTAILS),
        (least(more), least(n), ENTAILS),
        (least(n), least(more), NEUTRAL),
        (exactly, f"{told(n)} {noun} {state}", ENTAILS),
        (f"{told(n)} {noun} {state}", f"{told(more)} {noun} {state}", NOT_ENTAILED),
        (f"{told(n)} {noun} {state}", f"{told(n)} {noun} {contrary}", NOT_ENTAILED),
        (every, f"all {noun} {contrary}", CONTRADICTS),
    ]
    return [Pair(say(one), say(two), label, "amount") for one, two, label in rng.sample(table, 6)]
