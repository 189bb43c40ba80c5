"""Scenes and stories of everyday life: who does what, with what, where; and stories with statements about them.

A scene is a subject, an action, an object and a place, so its sentences can be turned (active, passive, with a clause), made
wider (a dog is an animal), poorer or richer, denied, or given another action. A story tells several events with pronouns; a
statement about it is true, or takes the person, thing or place of another event of the same story.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from models.pairs.recipe import slots as s
from models.pairs.recipe.relations import CONTRADICTS, ENTAILS, NEUTRAL, NOT_ENTAILED, Pair
from models.pairs.recipe.words import reworded

# An agent and what it also is.
_AGENTS = [
    tuple(pair.split(":"))
    for pair in (
        "man:person woman:person boy:child girl:child child:person dog:animal cat:animal horse:animal monkey:animal"
        " baby:child"
        " soldier:person nurse:person cook:person farmer:person dancer:person singer:person biker:person surfer:person"
        " policeman:man teenager:person lady:woman player:person clown:person fisherman:man puppy:dog"
    ).split()
]
_ADJECTIVES = (
    "old young tall little brown black smiling tired bearded happy blonde wet strong quiet large small".split()
)
# Base, -ing form, past, past participle; objects; what a doer of it also does; what one cannot do meanwhile.
_VERBS = [
    tuple(part.strip() for part in line.split("|"))
    for line in """
    play|playing|played|played|a guitar, the piano, a drum, a flute, the violin|making music|breaking
    eat|eating|ate|eaten|an apple, a sandwich, a banana, some bread, a cookie|having food|spitting out
    cut|cutting|cut|cut|an onion, a carrot, some meat, paper, a tomato|using a knife|gluing
    carry|carrying|carried|carried|a box, a basket, a ladder, a bag, a log|holding something|dropping
    throw|throwing|threw|thrown|a ball, a stone, a stick, a snowball, a frisbee|moving an arm|catching
    catch|catching|caught|caught|a ball, a fish, a frisbee, a butterfly|getting hold of something|throwing
    push|pushing|pushed|pushed|a cart, a car, a swing, a pram, a bicycle|moving something|pulling
    pull|pulling|pulled|pulled|a cart, a rope, a sled, a wagon, a boat|moving something|pushing
    paint|painting|painted|painted|a wall, a picture, a fence, a door, a chair|using a brush|wiping clean
    wash|washing|washed|washed|a car, the dishes, a window, a shirt, the floor|cleaning something|making dirty
    open|opening|opened|opened|a door, a letter, a box, a window, a bottle|touching something|closing
    close|closing|closed|closed|a door, a box, a window, a book, a gate|touching something|opening
    ride|riding|rode|ridden|a bicycle, a horse, a motorcycle, a camel, a skateboard|sitting on something|getting off
    climb|climbing|climbed|climbed|a tree, a rope, a ladder, a wall, a rock|going up|coming down
    read|reading|read|read|a book, a letter, a newspaper, a map, a sign|looking at something|writing
    write|writing|wrote|written|a letter, a poem, a note, a song, a list|using a pen|erasing
    drink|drinking|drank|drunk|some water, a cup of tea, some milk, a glass of juice|swallowing something|pouring away
    build|building|built|built|a house, a wall, a sandcastle, a tower, a bridge|making something|tearing down
    chase|chasing|chased|chased|a ball, a cat, a rabbit, a thief, a bird|running after something|running away from
    feed|feeding|fed|fed|a horse, a baby, the ducks, a goat, the hens|giving food to somebody|starving
    fold|folding|folded|folded|a shirt, some paper, a blanket, a map, a towel|handling something|unfolding
    lift|lifting|lifted|lifted|a weight, a chair, a bag, a child, a stone|raising something|lowering
    peel|peeling|peeled|peeled|a potato, an orange, a shrimp, a banana, an egg|preparing food|boiling
    kick|kicking|kicked|kicked|a ball, a can, a stone, a door, a tyre|using a foot|heading
    hold|holding|held|held|a flag, an umbrella, a camera, a rope, a lamp|having something in hand|letting go of
    mix|mixing|mixed|mixed|some dough, a drink, some paint, eggs and flour, a salad|stirring something|separating
    """.strip().splitlines()
]
_PLACES = [
    *(
        "in the park",
        "on the beach",
        "in a kitchen",
        "near a lake",
        "in the snow",
        "on a stage",
        "in the street",
        "under a tree",
    ),
    *(
        "beside a river",
        "in a field",
        "at the station",
        "in front of a house",
        "on a roof",
        "in the garden",
        "in a room",
    ),
]
_PARTNERS = (
    "a friend, a stranger, two children, a group of people, another person, a teacher, an old man, a girl".split(", ")
)
_PLAIN = [  # what one does without an object, what it is also, what one cannot do meanwhile
    tuple(part.strip() for part in line.split("|"))
    for line in """
    sleeping|resting|running
    running|moving fast|standing still
    sitting|resting|standing
    standing|being upright|lying down
    dancing|moving to music|sitting still
    swimming|being in the water|walking on land
    crying|being sad|laughing
    laughing|being amused|crying
    singing|using the voice|being silent
    talking|using the voice|being silent
    jumping|leaving the ground|lying down
    walking|moving on foot|standing still
    smiling|looking friendly|frowning
    lying down|resting|jumping
    hiking|walking|sleeping
    kneeling|being on the knees|jumping
    """.strip().splitlines()
]


@dataclass(frozen=True, slots=True)
class Scene:
    """An agent with an adjective, an action in its forms, an object (empty: none) and a place."""

    agent: str
    kind: str
    adjective: str
    doing: str
    done: str
    object: str
    place: str
    wider: str
    contrary: str


def _scene(rng: random.Random) -> Scene:
    agent, kind = rng.choice(_AGENTS)
    adjective, place = rng.choice(_ADJECTIVES), rng.choice(_PLACES)
    if rng.random() < 0.3:
        doing, wider, contrary = rng.choice(_PLAIN)
        return Scene(agent, kind, adjective, doing, "", "", place, wider, contrary)
    verb = rng.choice(_VERBS)
    return Scene(agent, kind, adjective, verb[1], verb[3], rng.choice(verb[4].split(", ")), place, verb[5], verb[6])


def _article(noun: str, definite: bool) -> str:
    return f"the {noun}" if definite else ("an " if noun[0] in "aeiou" else "a ") + noun


def _acts(scene: Scene) -> str:
    return f"{scene.doing} {scene.object}".strip()


def _sentence(scene: Scene, rng: random.Random, *, rich: bool, place: bool, definite: bool) -> str:
    """Says a scene. `rich`: with the adjective."""
    noun = f"{scene.adjective} {scene.agent}" if rich else scene.agent
    who = _article(noun, definite)
    where = f" {scene.place}" if place else ""
    ways = [f"{who} is {_acts(scene)}{where}", f"There is {_article(noun, False)} {_acts(scene)}{where}"]
    ways.append(f"{_acts(scene)}{where} is what {who} is doing" if rng.random() < 0.2 else ways[0])
    if scene.object:
        ways.append(f"{scene.object} is being {scene.done} by {who}{where}")
        ways.append(f"{scene.object} is being {scene.done}{where} by {who}")
    if rich:
        bare = _article(scene.agent, definite)
        ways.append(f"{bare} who is {scene.adjective} is {_acts(scene)}{where}")
        ways.append(f"{bare}, which is {scene.adjective}, is {_acts(scene)}{where}")
    text = rng.choice(ways)
    return text[:1].upper() + text[1:]


def _denied(scene: Scene, rng: random.Random, definite: bool) -> str:
    who = _article(scene.agent, definite)
    ways = [
        f"{who} is not {_acts(scene)}",
        f"There is no {scene.agent} {_acts(scene)}",
        f"No {scene.agent} is {_acts(scene)}",
        f"{who} isn't {_acts(scene)}",
    ]
    if scene.object:
        ways += [f"Nobody is {_acts(scene)}", f"{scene.object} is not being {scene.done} by {who}"]
    text = rng.choice(ways)
    return text[:1].upper() + text[1:]


def _with(scene: Scene, **changes: str) -> Scene:
    values = {name: getattr(scene, name) for name in Scene.__slots__}
    return Scene(**{**values, **changes})


def scene_pairs(rng: random.Random) -> list[Pair]:
    """Returns pairs about one scene."""
    scene, definite = _scene(rng), rng.random() < 0.5
    place = rng.random() < 0.5

    def say(one: Scene, *, rich: bool = False, place: bool = place) -> str:
        return reworded(_sentence(one, rng, rich=rich, place=place, definite=definite), rng, 1)

    a = say(scene)
    full = say(scene, rich=True, place=True)
    found = [
        Pair(a, say(scene), ENTAILS, "scene turned"),
        Pair(full, say(scene, place=False), ENTAILS, "scene poorer"),
        Pair(say(scene, place=False), full, NEUTRAL, "scene richer"),
        Pair(full, say(_with(scene, agent=scene.kind)), ENTAILS, "wider agent"),
        Pair(a, _denied(scene, rng, definite), CONTRADICTS, "scene denied"),
        Pair(_denied(scene, rng, definite), a, CONTRADICTS, "scene denied"),
    ]
    if not place:
        wide = _with(scene, doing=scene.wider, object="", done="")
        found.append(Pair(a, say(wide), ENTAILS, "wider action"))
        found.append(Pair(say(wide), a, NEUTRAL, "narrower action"))
        text = f"{_article(scene.agent, definite)} is {scene.contrary} {scene.object}".strip()
        found.append(Pair(a, text[:1].upper() + text[1:], CONTRADICTS, "contrary action"))
    else:
        narrow = say(_with(scene, agent=scene.kind))
        found.append(Pair(narrow, a, NEUTRAL, "narrower agent"))
    another = _scene(rng)
    if another.doing not in (scene.doing, scene.contrary):
        found.append(Pair(a, say(_with(another, agent=scene.agent, place=scene.place)), NEUTRAL, "another action"))
    if another.agent not in (scene.agent, scene.kind) and another.kind != scene.agent:
        found.append(Pair(a, say(_with(scene, agent=another.agent)), NEUTRAL, "another agent"))
    if scene.object and another.object and another.object != scene.object and rng.random() < 0.5:
        found.append(Pair(a, say(_with(scene, object=another.object)), NEUTRAL, "another object"))
    if rng.random() < 0.5:
        partner = rng.choice(_PARTNERS)
        verb = rng.choice(
            ["helping", "following", "watching", "teaching", "hugging", "photographing", "leading", "drawing"]
        )
        one, two = _article(scene.agent, True), partner
        sentence = f"{one} is {verb} {two}"
        turned = f"{two} {'are' if two.startswith(('two', 'a group')) else 'is'} {verb} {one}"
        if verb in ("helping", "following", "watching", "hugging"):
            passive = f"{two} {'are' if two.startswith('two') else 'is'} being {verb[:-3]}ed by {one}"
            found.append(Pair(_capital(sentence), _capital(passive), ENTAILS, "passive"))
            found.append(Pair(_capital(passive), _capital(sentence), ENTAILS, "passive"))
        found.append(Pair(_capital(sentence), _capital(turned), NEUTRAL, "who to whom"))
    return found


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# Stories -------------------------------------------------------------------------------------------------------------

_THINGS = (
    "kite, red ball, silver coin, wooden boat, straw hat, teddy bear, blue bucket, drum, flashlight, jar of honey,"
    " toy train, necklace,"
    " picture book, paper crown, lemon cake, bag of marbles, scarf, whistle, puzzle, flower pot, basket of plums,"
    " pocket knife, umbrella"
).split(", ")
_WHERE = (
    "at the market, in the attic, at school, in the woods, by the pond, at the bakery, in the barn, at"
    " grandmother's house, on the bus,"
    " at the fair, in the library, at the zoo, behind the church, on the playground, in the shed, at the beach, in"
    " the cellar"
).split(", ")
_PETS = "dog cat rabbit pony parrot goat turtle hamster duck donkey".split()
_WHY = [
    ("it was raining", "the rain"),
    ("it was a birthday", "a birthday"),
    ("the bus was late", "a late bus"),
    ("there was no food left", "the lack of food"),
    ("the door was locked", "a locked door"),
    ("it was too hot", "the heat"),
    ("a storm was coming", "a storm"),
    ("the lights went out", "the darkness"),
]
_FEELS = "happy sad angry tired scared proud hungry bored surprised sick".split()
_FILL = (
    "The sun was shining that day. | Everybody was in a good mood. | It had been a long week. | Nobody knew what"
    " would happen next. | The"
    " birds were singing. | There was a smell of soup in the air. | People were talking and laughing. | It was a"
    " quiet morning. | The clock"
    " struck three. | A cold wind was blowing. | Later they all went home. | After that it was time for supper. |"
    " The town was small and"
    " everybody knew each other. | They did not have much money. | The neighbours watched from the window. | It was"
    " the best day of the year."
).split(" | ")
_GIRLS = frozenset(
    "Anna Carla Elena Grace Ines Lucy Nadia Priya Rosa Tara Vera Xenia Zoe Bianca Dora Fatima Hana Julia Leila Nora"
    " Olga Ruth Mary Alice Emma Mia Sofia Chloe Mei Aiko Ada Susan Linda".split()
)


@dataclass(frozen=True, slots=True)
class _Event:
    """An event of a story: its sentences with names, and statements by the slot that they ask for."""

    kind: str
    values: dict[str, str]


# For each kind: ways to tell it, statements about it (slots in braces), and the slots that a wrong statement takes elsewhere.
_KINDS: dict[str, tuple[list[str], list[str], dict[str, str]]] = {
    "bought": (
        [
            "{one} bought a {thing} {where}.",
            "{where_c}, {one} saw a {thing} and bought it.",
            "{one} went out to buy something. {she_c} came back with a {thing}, which {she} had found {where}.",
        ],
        [
            "{one} bought a {thing}.",
            "{one} bought a {thing} {where}.",
            "The {thing} was bought by {one}.",
            "{one} got the {thing} {where}.",
            "The person who bought the {thing} was {one}.",
        ],
        {"one": "person", "thing": "thing"},
    ),
    "gave": (
        [
            "{one} gave {two} a {thing}.",
            "{two} got a {thing} from {one}.",
            "{one} had a {thing} for {two} and handed it over with a smile.",
            "{one} had made a {thing}. {she_c} gave it to {two}.",
        ],
        [
            "{one} gave a {thing} to {two}.",
            "{two} got a {thing}.",
            "{two} was given a {thing} by {one}.",
            "The {thing} was a gift from {one} to {two}.",
            "The person who gave {two} the {thing} was {one}.",
        ],
        {"one": "person", "two": "person", "thing": "thing"},
    ),
    "lost": (
        [
            "{one} lost a {thing} {where}.",
            "{where_c}, {one} noticed that the {thing} was gone.",
            "When {one} came home, the {thing} was missing. {she_c} must have left it {where}.",
        ],
        [
            "{one} lost a {thing}.",
            "{one} no longer had the {thing}.",
            "The {thing} of {one} got lost.",
            "It was {one} who lost a {thing}.",
        ],
        {"one": "person", "thing": "thing"},
    ),
    "found": (
        [
            "{one} found a {thing} {where}.",
            "There was a {thing} lying {where}. {one} picked it up.",
            "{where_c}, something lay in the dust. {one} looked closer: it was a {thing}!",
        ],
        [
            "{one} found a {thing}.",
            "{one} found a {thing} {where}.",
            "The {thing} was found by {one}.",
            "A {thing} was found {where}.",
            "What {one} found was a {thing}.",
        ],
        {"one": "person", "thing": "thing", "where": "where"},
    ),
    "pet": (
        [
            "{one} had a {pet} called {name}.",
            "The {pet} of {one} was called {name}.",
            "{one} loved {her} {pet}, {name}, more than anything.",
        ],
        [
            "{one} had a {pet}.",
            "The {pet}'s name was {name}.",
            "{name} was a {pet}.",
            "{name} belonged to {one}.",
            "{one} owned a {pet} named {name}.",
        ],
        {"one": "person", "pet": "pet"},
    ),
    "went": (
        [
            "{one} and {two} spent the afternoon {where}.",
            "{one} took {two} along, and they stayed {where} until dark.",
            "After lunch {one} met {two} {where}.",
        ],
        [
            "{one} was {where}.",
            "{two} was {where} with {one}.",
            "{one} and {two} were together {where}.",
            "{one} was with {two}.",
        ],
        {"one": "person", "two": "person", "where": "where"},
    ),
    "felt": (
        ["{one} was {feels} because {why}.", "Because {why}, {one} felt {feels}.", "{why_c}. That made {one} {feels}."],
        [
            "{one} was {feels}.",
            "{one} felt {feels} because {why}.",
            "{one} was {feels} because of {reason}.",
            "The reason why {one} was {feels} was {reason}.",
        ],
        {"one": "person", "feels": "feels"},
    ),
    "ate": (
        [
            "{one} ate {food} {where}.",
            "{one} was hungry, so {she} had {food}.",
            "For lunch {one} chose {food}, and {two} had nothing.",
        ],
        ["{one} ate {food}.", "{one} had {food}.", "{food_c} was eaten by {one}.", "What {one} ate was {food}."],
        {"one": "person", "food": "food"},
    ),
    "count": (
        [
            "{one} counted {n} {animals} {where}.",
            "There were {n} {animals} {where}, and {one} drew all of them.",
            "{one} saw {n} {animals} {where}.",
        ],
        [
            "{one} saw {n} {animals}.",
            "There were {n} {animals} {where}.",
            "The number of {animals} that {one} saw was {n}.",
        ],
        {"n": "n", "animals": "animals", "one": "person"},
    ),
    "liked": (
        [
            "{one} liked the {thing} best, but {two} liked the {other} best.",
            "{one}'s favourite was the {thing}. {two} preferred the {other}.",
        ],
        [
            "{one} liked the {thing} best.",
            "{two} liked the {other} best.",
            "The favourite of {one} was the {thing}.",
            "{two} preferred the {other}.",
        ],
        {"thing": "thing", "other": "thing"},
    ),
}


def story_pairs(rng: random.Random) -> list[Pair]:
    """Returns pairs of one story and statements about it."""
    people = rng.sample(s.FIRST, rng.randint(2, 5))
    things, wheres = rng.sample(_THINGS, rng.randint(3, 6)), rng.sample(_WHERE, rng.randint(2, 4))
    pools = {
        "person": people,
        "thing": things,
        "where": wheres,
        "pet": rng.sample(_PETS, 3),
        "feels": rng.sample(_FEELS, 4),
        "food": rng.sample(s.FOODS, 4),
        "n": ["two", "three", "four", "five", "six", "seven", "eight"],
        "animals": ["ducks", "sheep", "squirrels", "frogs", "geese", "cows", "butterflies"],
    }
    events: list[tuple[str, dict[str, str]]] = []
    used: set[tuple[str, str]] = set()
    for kind in rng.choices(list(_KINDS), k=rng.randint(2, 7)):
        one, two = rng.sample(people, 2)
        thing, other = rng.sample(things, 2)
        why, reason = rng.choice(_WHY)
        where = rng.choice(wheres)
        is_girl = one in _GIRLS
        values = {
            **{
                "one": one,
                "two": two,
                "thing": thing,
                "other": other,
                "where": where,
                "where_c": where[:1].upper() + where[1:],
            },
            **{
                "she": "she" if is_girl else "he",
                "she_c": "She" if is_girl else "He",
                "her": "her" if is_girl else "his",
            },
            **{
                "pet": rng.choice(pools["pet"]),
                "name": rng.choice("Scamp Pepper Bruno Mimi Rocky Daisy Otto Lulu".split()),
            },
            **{"feels": rng.choice(pools["feels"]), "why": why, "why_c": why[:1].upper() + why[1:], "reason": reason},
            **{"n": rng.choice(pools["n"]), "animals": rng.choice(pools["animals"])},
        }
        values["food"] = rng.choice(pools["food"])
        values["food_c"] = values["food"][:1].upper() + values["food"][1:]
        key = (kind, one)
        if key in used or (kind, thing) in used:
            continue
        used |= {key, (kind, thing)}
        events.append((kind, values))
    parts = [rng.choice(_KINDS[kind][0]).format(**values) for kind, values in events]
    for _ in range(rng.randint(0, 4)):
        parts.insert(rng.randint(0, len(parts)), rng.choice(_FILL))
    story = " ".join(parts)
    found = []
    for kind, values in rng.sample(events, min(3, len(events))):
        _, statements, slots = _KINDS[kind]
        true = rng.choice(statements).format(**values)
        found.append(Pair(story, reworded(true, rng, 1), ENTAILS, f"story: {kind}"))
        slot = rng.choice(list(slots))
        ways = [way for way in statements if f"{{{slot}}}" in way or f"{{{slot}_c}}" in way]
        others = [value for value in pools[slots[slot]] if value not in values.values()]
        if ways and others:
            new = {**values, slot: rng.choice(others)}
            if slot == "food":
                new["food_c"] = new["food"][:1].upper() + new["food"][1:]
            told = [(one, v) for one, v in events if one == kind and all(v.get(n) == new.get(n) for n in slots)]
            if not told:
                found.append(
                    Pair(
                        story,
                        reworded(rng.choice(ways).format(**new), rng, 1),
                        CONTRADICTS if slot in ("n", "pet") else NOT_ENTAILED,
                        f"story: another {slot}",
                    )
                )
        if kind == "gave" and rng.random() < 0.5:
            turned = {**values, "one": values["two"], "two": values["one"]}
            found.append(Pair(story, statements[0].format(**turned), CONTRADICTS, "story: who to whom"))
        if rng.random() < 0.3:
            absent = rng.choice([name for name in s.FIRST if name not in people])
            named = [way for way in statements if "{one}" in way]
            found.append(
                Pair(story, rng.choice(named).format(**{**values, "one": absent}), NOT_ENTAILED, "story: a stranger")
            )
        if rng.random() < 0.3 and not true.startswith("What"):
            found.append(Pair(story, _never(kind, values), CONTRADICTS, "story: denied"))
    return found


def _never(kind: str, v: dict[str, str]) -> str:
    """A denial of an event."""
    match kind:
        case "bought":
            return f"{v['one']} did not buy the {v['thing']}."
        case "gave":
            return f"{v['one']} never gave {v['two']} the {v['thing']}."
        case "lost":
            return f"{v['one']} did not lose the {v['thing']}."
        case "found":
            return f"{v['one']} did not find a {v['thing']}."
        case "pet":
            return f"{v['one']} had no {v['pet']}."
        case "went":
            return f"{v['one']} was not {v['where']}."
        case "felt":
            return f"{v['one']} was not {v['feels']} at all."
        case "ate":
            return f"{v['one']} did not eat {v['food']}."
        case "count":
            return f"{v['one']} saw no {v['animals']}."
        case _:
            return f"{v['one']} did not like the {v['thing']}."
