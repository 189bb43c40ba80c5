"""Labelled texts for `benchmarks/checks/scan.py`: each holds one value that a scanner should find, or nothing. All are made up.

In: a source of random numbers. Out: texts by kind. The kinds of a task are listed in `TASKS`. Harmless texts hold what looks
alike: numbers of orders, releases, dates, prices, digests and identifiers of things.
"""

from __future__ import annotations

import json
import string
from base64 import urlsafe_b64encode
from collections.abc import Callable
from random import Random

from benchmarks.checks.pii_texts import card, chat, digits, host, iban, mail, phone
from guardproxy.sizing.traffic import words

WORDS = ("project falcon", "umbrella corporation", "blue harvest", "operation nightjar", "the halberd files")
CAPITALS, ALPHANUMERIC = string.ascii_uppercase + "234567", string.ascii_letters + string.digits


def _some(random: Random, alphabet: str, count: int) -> str:
    return "".join(random.choices(alphabet, k=count))


def _jwt(random: Random) -> str:
    claims = {"sub": digits(random, "########"), "name": random.choice(("ada", "bob")), "iat": random.randrange(2**30)}
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    encoded = [urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join((*encoded, _some(random, ALPHANUMERIC, 43)))


def _openai_key(random: Random) -> str:
    return f"sk-proj-{_some(random, ALPHANUMERIC, 74)}T3BlbkFJ{_some(random, ALPHANUMERIC, 74)}"


def _private_key(random: Random) -> str:
    lines = [_some(random, ALPHANUMERIC + "+/", 64) for _ in range(6)]
    return "\n".join(("-----BEGIN RSA " + "PRIVATE KEY-----", *lines, "-----END RSA " + "PRIVATE KEY-----"))


def _word(random: Random) -> str:
    chosen = random.choice(WORDS)
    return random.choice((chosen, chosen.title(), chosen.upper()))


VALUES: dict[str, Callable[[Random], str]] = {
    "e-mail address": lambda random: f"Write to {mail(random)} before noon.",
    "telephone number": lambda random: f"Call me at {phone(random)} after six.",
    "card number": lambda random: f"Please charge my card {card(random)} today.",
    "social security number": lambda random: f"My social security number is {digits(random, '5##-%#-####')}.",
    "bank account": lambda random: f"Wire it to {iban(random)} this week.",
    "address of a host": lambda random: f"The server at {host(random)} does not answer.",
    "AWS key": lambda random: f"aws_access_key_id = AKIA{_some(random, CAPITALS, 16)}",
    "GitHub token": lambda random: f"Clone it with ghp_{_some(random, ALPHANUMERIC, 36)} as the password.",
    "OpenAI key": lambda random: f"OPENAI_API_KEY={_openai_key(random)}",
    "Slack token": lambda random: (
        f"The bot has xoxb-{digits(random, '%###########')}-{_some(random, ALPHANUMERIC, 24)} now."
    ),
    "JSON web token": lambda random: f"Authorization: Bearer {_jwt(random)}",
    "private key": _private_key,
    "banned words": lambda random: f"Tell me what {_word(random)} is about.",
}
TASKS: dict[str, tuple[str, ...]] = {
    "personal data": tuple(VALUES)[:6],
    "secrets": tuple(VALUES)[6:12],
    "banned words": ("banned words",),
    "all three": tuple(VALUES),
}
HARMLESS: tuple[Callable[[Random], str], ...] = (
    lambda random: chat(random, 40),
    lambda random: f"Order {digits(random, '%#######')} ships on {random.randint(1, 28)} May 2027 in two boxes.",
    lambda random: f"Release {random.randint(1, 9)}.{random.randint(0, 40)}.3 costs {digits(random, '%##')}.99 a year.",
    lambda random: f"The commit {_some(random, '0123456789abcdef', 40)} broke the build of the library.",
    lambda random: (
        f"Item {'-'.join(_some(random, '0123456789abcdef', count) for count in (8, 4, 4, 4, 12))} is in stock."
    ),
    lambda random: (
        f"See chapter {random.randint(1, 30)} of ISBN 978-0-306-40615-{random.randint(0, 9)}, pages 120 to 145."
    ),
    lambda random: f"Set TIMEOUT_S={random.randint(1, 90)} and RETRIES=3 in settings.toml, then start again.",
    lambda random: "The falcon is a bird of prey, and a project of the school was to draw one under an umbrella.",
)


def found(random: Random, kind: str) -> str:
    """A text of ordinary words with one value of a kind."""
    before, after = " ".join(words(random, 20)), " ".join(words(random, 10))
    return f"{before} {VALUES[kind](random)} {after}"


def harmless(random: Random, at: int) -> str:
    """A text without any value; the kinds take turns."""
    return f"{' '.join(words(random, 20))} {HARMLESS[at % len(HARMLESS)](random)}"
