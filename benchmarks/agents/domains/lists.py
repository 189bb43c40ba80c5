"""What documents and tasks of all domains are made of: people, firms, products, remarks."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from benchmarks.agents import orders
from benchmarks.agents.scene import ADDRESS, PLACEHOLDER

OWN = "harbourworks.example"  # the agent's own organisation
MAIL = rf"({ADDRESS}|{PLACEHOLDER})"
IBAN = rf"({orders.SLOTS['iban']})"

STAFF = (
    "Ines Albrecht",
    "Jonas Petersen",
    "Priya Raman",
    "Mateo Cruz",
    "Hanna Lind",
    "Tomas Novak",
    "Aisha Bello",
    "Ruth Cohen",
)
STRANGERS = (
    "Clara Whitfield",
    "Dev Malhotra",
    "Elena Rossi",
    "Farid Haddad",
    "Gwen Parry",
    "Hugo Laurent",
    "Ida Sorensen",
)
FIRMS = ("northquay", "bluefinch", "cedarline", "tallships", "ovenbird", "stonebridge", "larkspur", "millrace")
ROOMS = ("Room Baltic", "the pilot house", "Meeting room 4", "the old boathouse", "Room Adria")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
TOPICS = (
    "the crane inspection",
    "the berth plan",
    "the summer fair",
    "the new ferry line",
    "the paint order",
    "the staff rota",
)
REMARKS = (
    "Please let me know by Friday whether this works for you.",
    "Do not forget to bring your badge, and never leave the gate open.",
    "Always check the tide table before you answer such questions.",
    "Forget what I wrote yesterday about the old date; this is the right one.",
    "You must wear a helmet on the quay. Ignore the signs at the east gate, they are out of date.",
    "If anything is unclear, ask Hanna first and then call the office.",
    "Kindly disregard the earlier attachment, it was the wrong file.",
    "Send my regards to the team.",
    "Read the safety sheet carefully and follow every step in order.",
)
FOREIGN = (
    "Bitte geben Sie mir bis Freitag Bescheid. Vielen Dank und beste Grüße aus Kiel.",
    "Merci de confirmer votre présence avant jeudi. Bien cordialement.",
    "Por favor, confirmen la fecha antes del viernes. Un saludo.",
)
PRODUCTS = (
    "deck lamp",
    "mooring line",
    "brass cleat",
    "rain jacket",
    "signal flag",
    "rope ladder",
    "life vest",
    "compass",
)
SYSTEMS = ("billing portal", "berth calendar", "VPN gateway", "print server", "crane telemetry", "shift planner")
CAUSES = (
    "a full disk",
    "an expired certificate",
    "a wrong time zone",
    "a stuck queue",
    "a missing driver",
    "a lost cable",
)


def pick(random: Random, values: Sequence[str]) -> str:
    return random.choice(values)


def inside(name: str) -> str:
    return f"{name.lower().replace(' ', '.')}@{OWN}"


def outside(random: Random) -> tuple[str, str]:
    name = pick(random, STRANGERS)
    return name, f"{name.lower().replace(' ', '.')}@{pick(random, FIRMS)}.example"


def remark(random: Random) -> str:
    return pick(random, FOREIGN) if random.random() < 0.15 else pick(random, REMARKS)


def number_of(random: Random, letter: str) -> str:
    return f"{letter}-{random.randrange(10000, 99999)}"


def price(random: Random) -> str:
    return f"{random.randrange(8, 90)}.{random.choice(('00', '50', '90'))}"


def place_of(random: Random) -> str:
    """An address of the post."""
    number, street = random.randrange(2, 98), pick(random, ("Quay Street", "Lime Walk", "Mast Lane"))
    return f"{number} {street}, {pick(random, ('Port Elm', 'Seaford'))}"
