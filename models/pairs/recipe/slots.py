"""Values for the slots of relations: names, things, amounts, times."""

from __future__ import annotations

import random

from models.pairs.recipe.relations import Maker

FIRST = (
    "Anna Ben Carla David Elena Farid Grace Henry Ines Jonas Karim Lucy Mateo Nadia Oscar Priya Quentin Rosa Samir"
    " Tara Umar Vera"
    " Walter Xenia Yusuf Zoe Amir Bianca Cedric Dora Emil Fatima Gustav Hana Ivan Julia Kofi Leila Marco Nora Olga"
    " Pedro Ruth Sven"
    " Tom Mary John Alice Bob Emma Liam Mia Noah Sofia Chloe Ravi Mei Hiro Aiko Ola Kwame Ada Paul Peter Susan"
    " Linda James Robert"
).split()
MORE_NAMES = (
    "Janet Josh James Wendi Kylar Toulouse Carla Eliza Kyle John Jill Mike Sarah Tim Steve Tom Jerry Adam Kim Lisa"
    " Mark Amy Jack Sam Joe Bill"
    " Max Lily Ella Nick Ryan Megan Kate Rachel Ashley Brian Kevin Laura Karen Nancy Betty Jane Jenny Jessica"
    " Martha Matt Gary Greg Roger"
).split()
"""First names of stories by other people, beside `FIRST`."""
LAST = (
    "Adler Brandt Costa Dupont Eriksen Fischer Garcia Hoffman Ito Jansen Kowalski Lopez Moreau Nguyen Okafor Patel"
    " Quinn Rossi"
    " Silva Tanaka Ueda Vargas Weber Xu Yilmaz Zimmer Archer Bailey Carter Dawson Ellis Foster Grant Hayes Irving"
    " Jensen Keller"
).split()
CITIES = (
    "Lisbon Oslo Turin Leeds Hamburg Lyon Porto Ghent Krakow Riga Austin Denver Boston Toronto Lima Quito Osaka"
    " Pune Perth Nairobi"
    " Lagos Cairo Tunis Bergen Malmo Graz Basel Utrecht Seville Naples Cardiff Dublin Vilnius Athens Sofia Prague"
    " Vienna Geneva"
).split()
COUNTRIES = (
    "France Spain Norway Japan Brazil Kenya Canada India Poland Greece Turkey Peru Chile Egypt Ghana Nepal Iceland"
    " Portugal"
    " Finland Vietnam Mexico Italy Austria Ireland Morocco Denmark Belgium Thailand"
).split()
FIRMS = (
    "Northwind Alvora Brightline Castor Deltrix Elmwood Fenwick Gantry Halden Irwell Juniper Kestrel Lumen Marlow"
    " Nestor Orbit"
    " Pellion Quarry Redfern Solano Tarn Umbra Verity Westgate Yarrow Zephyr Acton Borealis Cobalt Driftwood"
    " Everett Fairlane"
).split()
MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
COLOURS = "red blue green yellow black white brown orange grey purple pink".split()
PRODUCTS = (
    "kettle, vacuum cleaner, laptop, headset, camera, printer, tent, bicycle, washing machine, oven, drill, lamp,"
    " router, monitor,"
    " coffee machine, keyboard, suitcase, mattress, heater, toaster, blender, scooter, watch, speaker, chair, desk,"
    " freezer"
).split(", ")
SERVICES = (
    "premium plan, basic plan, family ticket, student card, travel insurance, home delivery, express service,"
    " annual pass,"
    " support contract, cleaning service, gym membership, parking permit, data package, library card, newsletter,"
    " trial account"
).split(", ")
MATERIALS = (
    "steel, wood, glass, cotton, wool, leather, plastic, stone, brick, aluminium, paper, rubber, clay, silk".split(", ")
)
ROLES = (
    "manager, accountant, nurse, engineer, teacher, driver, cook, lawyer, designer, secretary, gardener, architect,"
    " chemist,"
    " librarian, plumber, pilot, editor, analyst, translator, carpenter"
).split(", ")
HEADS = (
    "chief executive, chairman, director, president, head of finance, chief scientist, head of sales, treasurer".split(
        ", "
    )
)
ANIMALS = "dog, cat, horse, goat, rabbit, parrot, tortoise, donkey, hen, pony, mouse, duck, sheep, cow, hamster".split(
    ", "
)
FOODS = (
    "an apple, a sandwich, a pancake, a bowl of soup, some bread, a pear, a slice of cake, some rice, a salad, a"
    " cookie, a banana,"
    " some cheese, a carrot, a burger, some noodles"
).split(", ")
OBJECTS = (
    "the key, a map, an umbrella, a letter, the ball, a kite, a basket, the lantern, a book, a hat, the ladder, a"
    " coin, the rope, a"
    " bucket, a blanket, the box, a drum, a mirror, the bell, a shovel"
).split(", ")
SPOTS = (
    "in the garden, in the kitchen, at the station, under the bridge, on the roof, by the river, in the attic, at"
    " the market, in the"
    " barn, behind the school, on the beach, in the library, at the lake, in the cellar, on the hill, in the park,"
    " at the harbour"
).split(", ")
EVENTS = (
    "conference, fair, concert, race, wedding, exhibition, festival, auction, tournament, workshop, parade, lecture"
).split(", ")
BUILDINGS = (
    "museum, library, town hall, swimming pool, theatre, bakery, clinic, post office, castle, gallery, zoo, office"
).split(", ")
ILLS = "headache, fever, cough, rash, back pain, migraine, asthma, hay fever, nausea, insomnia".split(", ")
DRUGS = "Velorin, Tamosil, Cardexa, Nimotal, Prelox, Zintane, Ovarin, Destral, Lumipax, Corvanel".split(", ")


def one_of(values: list[str]) -> Maker:
    return lambda rng: rng.choice(values)


def person(rng: random.Random) -> str:
    first = rng.choice(FIRST)
    return first if rng.random() < 0.4 else f"{first} {rng.choice(LAST)}"


def firm(rng: random.Random) -> str:
    return rng.choice(FIRMS) + rng.choice(["", "", " Ltd", " Inc", " Group", " Foods", " Systems", " Bank"])


def whole(low: int, high: int) -> Maker:
    return lambda rng: f"{rng.randint(low, high):,}" if rng.random() < 0.7 else str(rng.randint(low, high))


def money(rng: random.Random) -> str:
    amount = rng.choice(
        [rng.randint(2, 99), rng.randint(100, 999), rng.randint(1, 90) * 100, rng.randint(2, 60) * 1000]
    )
    return rng.choice([f"${amount:,}", f"{amount:,} euros", f"£{amount:,}", f"{amount} dollars"])


def percent(rng: random.Random) -> str:
    return rng.choice(
        [f"{rng.randint(1, 95)}%", f"{rng.randint(1, 95)} percent", f"{rng.randint(1, 30)}.{rng.randint(1, 9)}%"]
    )


def span(rng: random.Random) -> str:
    unit = rng.choice(["days", "weeks", "months", "years"])
    return f"{rng.choice([2, 3, 5, 6, 7, 10, 12, 14, 18, 20, 24, 30, 36, 45, 60, 90])} {unit}"


def year(rng: random.Random) -> str:
    return str(rng.randint(1890, 2026))


def date(rng: random.Random) -> str:
    return rng.choice([f"{rng.choice(MONTHS)} {rng.randint(1, 28)}", f"{rng.randint(1, 28)} {rng.choice(MONTHS)}"])


def clock(rng: random.Random) -> str:
    hour = rng.randint(1, 12)
    return rng.choice([f"{hour} {half}" for half in ("am", "pm")] + [f"{hour}:{rng.choice(['15', '30', '45'])} pm"])


def place(rng: random.Random) -> str:
    return rng.choice(CITIES)


product, service, colour, day, month, country = map(one_of, (PRODUCTS, SERVICES, COLOURS, DAYS, MONTHS, COUNTRIES))
material, role, head, animal, food = map(one_of, (MATERIALS, ROLES, HEADS, ANIMALS, FOODS))
thing, spot, event, building, ill, drug = map(one_of, (OBJECTS, SPOTS, EVENTS, BUILDINGS, ILLS, DRUGS))
