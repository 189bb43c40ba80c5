"""Texts for the benchmarks of the `pii` check: chat as it comes, and text full of identifiers. No two are alike."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from guardproxy.sizing.traffic import words

_HOSTS = ("example.org", "mail.example.com", "shop.example.co.uk", "example.de")
_NAMES = ("ada", "bob.smith", "c.lind", "dana_w", "emil+news", "f.okafor")


def chat(random: Random, count: int) -> str:
    """About `count` words of plain sentences, with the few numbers that people write."""
    found = words(random, count)
    for _ in range(count // 60 + 1):
        at = random.randrange(len(found))
        found.insert(
            at,
            random.choice([str(random.randint(1, 60)), f"{random.randint(1, 12)}:30", str(random.randint(1950, 2030))]),
        )
    return " ".join(found)


def dense(random: Random, count: int) -> str:
    """About `count` words of sentences in which each holds an identifier or two."""
    found: list[str] = []
    while len(found) < count:
        found += random.choice(_SENTENCES)(random).split(" ")
    return " ".join(found)


def digits(random: Random, shape: str) -> str:
    return "".join(
        random.choice("0123456789") if letter == "#" else random.choice("23456789") if letter == "%" else letter
        for letter in shape
    )


def phone(random: Random) -> str:
    shapes = (
        "(%##) %##-####",
        "%##-%##-####",
        "+1 %## %## ####",
        "+49 30 ######",
        "020 7### ####",
        "+44 20 7### ####",
        "06 ## ## ## ##",
    )
    return digits(random, random.choice(shapes))


def mail(random: Random) -> str:
    return f"{random.choice(_NAMES)}{random.randint(1, 999)}@{random.choice(_HOSTS)}"


def card(random: Random) -> str:
    body = [int(digit) for digit in digits(random, "4##############")]
    total = sum(digit if at % 2 else sum(divmod(2 * digit, 10)) for at, digit in enumerate(body))
    number = "".join(map(str, [*body, -total % 10]))
    mark = random.choice(["", " ", "-"])
    return mark.join(number[at : at + 4] for at in range(0, 16, 4))


def iban(random: Random) -> str:
    account = digits(random, "##################")
    check = 98 - int(account + "131400") % 97
    return f"DE{check:02}{account}"


def host(random: Random) -> str:
    return ".".join(str(random.randint(1, 254)) for _ in range(4))


def _mac(random: Random) -> str:
    return ":".join(f"{random.randrange(256):02x}" for _ in range(6))


_SENTENCES: tuple[Callable[[Random], str], ...] = (
    lambda random: f"Call me at {phone(random)} or write to {mail(random)} before noon.",
    lambda random: f"My card {card(random)} expires in {random.randint(2026, 2031)}, please charge it.",
    lambda random: (
        f"The social security number is {digits(random, '5##-%#-####')} and the tax id 912-{random.randint(70, 88)}-1234."
    ),
    lambda random: f"Wire it to {iban(random)} from account {digits(random, '1########')} at the bank.",
    lambda random: (
        f"The host {host(random)} with MAC {_mac(random)} answered at {random.randint(10, 23)}:4{random.randint(0, 9)}."
    ),
    lambda random: (
        f"See https://www.example.com/orders/{random.randint(1000, 99999)} for order {digits(random, '########')}."
    ),
    lambda random: (
        f"Her passport, issued {random.randint(1, 28)}/0{random.randint(1, 9)}/2019, is {digits(random, '9########')}."
    ),
    lambda random: f"Phone: {phone(random)}, mobile: {phone(random)}, NHS {digits(random, '943 476 ####')}.",
)
