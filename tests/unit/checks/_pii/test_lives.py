"""Ages, titles and dates of birth: what is found, what is left alone, and that the cuts of a text change nothing."""

from __future__ import annotations

import pytest

from guardproxy.checks import Check, Resources, build
from guardproxy.testing import assert_every_split, assert_promise, whole

ENTITIES = ("AGE", "TITLE", "DATE_OF_BIRTH")
CHECKS = {
    entity: build("pii", "pii", {"entities": [entity], "evasions": "off", "language": "en"}, Resources())
    for entity in ENTITIES
}
AGES = {
    "She is 34 years old now": ["34"],
    "a 34-year-old man": ["34"],
    "my 6 month old daughter": ["6"],
    "a 3-week-old baby": ["3"],
    "patient aged 34, smoker": ["34"],
    "Aged: 71": ["71"],
    "67yo male with chest pain": ["67"],
    "a 67 y.o. woman": ["67"],
    "67 y/o F": ["67"],
    "34/F looking for friends": ["34"],
    "pt is 34 M, no allergies": ["34"],
    "hi im f34 from leeds": ["34"],
    "M45 here": ["45"],
    "(29M) and (27F) need advice": ["29", "27"],
    "I [31f] left him": ["31"],
    "age: 34": ["34"],
    '"age": 34,': ["34"],
    "Age = 34": ["34"],
    "<age>34</age>": ["34"],
    "at the age of 12 she": ["12"],
    "im 34 and tired": ["34"],
    "I'm 34.": ["34"],
    "i am 16, is it legal": ["16"],
    "I\u2019m 19 btw": ["19"],
    "she just turned 40 yesterday": ["40"],
    "my son is 8 yrs old": ["8"],
    "thirty-four years old": ["thirty-four"],
    "Er ist 34 Jahre alt": ["34"],
    "ein 34-jähriger Mann": ["34"],
    "im Alter von 34 Jahren": ["34"],
    "Alter: 34": ["34"],
    "Elle a 34 ans": ["34"],
    "âgé de 34 ans": ["34"],
    "Âge : 34": ["34"],
    "Hij is 34 jaar oud": ["34"],
    "een 34-jarige vrouw": ["34"],
    "Leeftijd: 34": ["34"],
    "Tengo 34 años": ["34"],
    "una mujer de 34 años": ["34"],
    "Edad: 34": ["34"],
    "Ho 34 anni": ["34"],
    "Età: 34": ["34"],
    "un uomo di 34 anni": ["34"],
    "Tenho 34 anos": ["34"],
    "Idade: 34": ["34"],
    "Mam 34 lata": ["34"],
    "kobieta w wieku 34 lat": ["34"],
    "Wiek: 34": ["34"],
    "Hon är 34 år gammal": ["34"],
    "en 34-årig man": ["34"],
    "Ålder: 34": ["34"],
}
NO_AGES = [
    "I'm 34 minutes late", "I am 100% sure", "im 5 km away", "I'm 6 feet tall", "i am 1 of them", "page: 34", "pages 34",
    "average: 34", "the storage: 34 GB", "message: 34", "f34a", "0xf34", "F16 jets", "#f34", "M25 motorway", "m34.txt", "34/f.txt",
    "a 30 year mortgage", "10 years of experience", "5 years ago", "in 3 years", "for 20 years", "5-year plan",
    "max-age=3600", "cache age: 3600", "Age: 86400", "aged 34 months cheddar" , "F1 score", "M1 Max", "12/F3", "1/M", "line 34 M", "34 MB",
    "depuis 34 ans", "il y a 5 ans", "hace 5 años", "vor 34 Jahren", "seit 34 Jahren", "5 anni fa", "5 lat temu", "för 5 år sedan",
    "há 5 anos", "5 jaar geleden", "packaged 34 items", "teenage: x", "Middle Ages 1200", "I am 2nd", "im 34th",
]  # fmt: skip
TITLES = {
    "Dear Mr. Smith,": ["Mr."],
    "Mrs Jane Roe": ["Mrs"],
    "ask Ms. O'Neil": ["Ms."],
    "Dr. J. Watson": ["Dr."],
    "Prof. Dr. Weber": ["Prof. Dr."],
    "Professor McGonagall": ["Professor"],
    "Sir Arthur": ["Sir"],
    "Rev. Green": ["Rev."],
    "Capt. Picard": ["Capt."],
    "Sehr geehrte Frau Müller": ["Frau"],
    "Herrn Dr. Meier": ["Herrn Dr."],
    "Herr Özdemir": ["Herr"],
    "Mme Dupont et M. Martin": ["Mme", "M."],
    "Monsieur Legrand": ["Monsieur"],
    "dhr. Jansen": ["dhr."],
    "Mevrouw De Vries": ["Mevrouw"],
    "la Señora Gómez": ["Señora"],
    "Sr. Pérez": ["Sr."],
    "Doña Ana": ["Doña"],
    "Sig.ra Rossi": ["Sig.ra"],
    "Dott.ssa Bianchi": ["Dott.ssa"],
    "Signor Verdi": ["Signor"],
    "Senhora Silva": ["Senhora"],
    "Dra. Costa": ["Dra."],
    "Pani Kowalska": ["Pani"],
    "Pan Nowak": ["Pan"],
    "prof. Wiśniewski": ["prof."],
    "Fru Lindqvist": ["Fru"],
    "MR. SMITH": ["MR."],
    "Dr.Smith": ["Dr."],
    "Mr.  Smith": ["Mr."],
}
NO_TITLES = [
    "the doctor said", "Mr. and Mrs.", "eine Frau sagt", "mr robot", "Dr. 5", "MS Word", "MS-DOS", "Ms Office 365x", "Pan American",
    "ADr. Smith", "Drs.", "Mr.", "Sir, yes", "M. 5", "Prof of concept", "a sir Thing", "the Rev 2 Board", "main Dr",
    "Miss you", "Miss Congeniality".lower(),
]  # fmt: skip
BIRTHS = {
    "born on 12 March 1984 in Leeds": ["12 March 1984"],
    "Born: March 12, 1984": ["March 12, 1984"],
    "was born March 12th, 1984": ["March 12th, 1984"],
    "She was born in Leeds on 12/03/1984": ["12/03/1984"],
    "DOB: 12/03/1984": ["12/03/1984"],
    "D.O.B. 12-03-84": ["12-03-84"],
    "dob 1984-03-12": ["1984-03-12"],
    '"dob": "1984-03-12"': ["1984-03-12"],
    '{"dateOfBirth":"1984-03-12T00:00:00Z"}': ["1984-03-12"],
    "date_of_birth=19840312": ["19840312"],
    "Date of birth (dd/mm/yyyy): 12/03/1984": ["12/03/1984"],
    "| Date of Birth | 12 Mar 1984 |": ["12 Mar 1984"],
    "**Date of Birth:** 03/12/1984": ["03/12/1984"],
    "my birthday is March 12": ["March 12"],
    "birthdate is 12.03.1984": ["12.03.1984"],
    "<birthDate>1984-03-12</birthDate>": ["1984-03-12"],
    "Date of birth\n12/03/1984": ["12/03/1984"],
    "geboren am 12.03.1984 in Köln": ["12.03.1984"],
    "geb. 12. März 1984": ["12. März 1984"],
    "geboren in Bad Homburg am 12.3.1984": ["12.3.1984"],
    "Geburtsdatum: 12.03.1984": ["12.03.1984"],
    "Geb.-Datum 12.03.84": ["12.03.84"],
    "née le 12 mars 1984": ["12 mars 1984"],
    "né à Lyon le 1er mai 1984": ["1er mai 1984"],
    "Date de naissance : 12/03/1984": ["12/03/1984"],
    "geboren op 12 maart 1984": ["12 maart 1984"],
    "Geboortedatum: 12-03-1984": ["12-03-1984"],
    "nacido el 12 de marzo de 1984": ["12 de marzo de 1984"],
    "nacida en Madrid el 12/03/1984": ["12/03/1984"],
    "Fecha de nacimiento: 12/03/1984": ["12/03/1984"],
    "nato il 12 marzo 1984": ["12 marzo 1984"],
    "nata a Roma il 12/03/1984": ["12/03/1984"],
    "Data di nascita: 12/03/1984": ["12/03/1984"],
    "nascido em 12 de março de 1984": ["12 de março de 1984"],
    "Data de nascimento: 12/03/1984": ["12/03/1984"],
    "urodzony 12 marca 1984 r.": ["12 marca 1984"],
    "ur. 12.03.1984": ["12.03.1984"],
    "Data urodzenia: 12.03.1984": ["12.03.1984"],
    "född den 12 mars 1984": ["12 mars 1984"],
    "Födelsedatum: 1984-03-12": ["1984-03-12"],
    "date of birth is 12th of March 1984": ["12th of March 1984"],
    "Am 12.03.1984 geboren": ["12.03.1984"],
}
NO_BIRTHS = [
    "born in 1984", "a born leader on 12 people", "stubborn on 12 March 1984", "airborne 12/03/1984", "born to run", "due 12/03/1984",
    "date: 12/03/1984", "newborn screening 1.2.3", "dob: null", "dateOfBirth: Date", "Date of birth: dd/mm/yyyy", "birthday party on Friday",
    "born 12/45/1984", "birthday cake 12 people", "dob 123456789", "dob 99/99/9999", "the idea was born out of 12 meetings", "your 5.4.2000",
    "date of birth and 12/03/1984x", "birthday: 2024", "Reborn: March 12, 1984",
]  # fmt: skip
CASES = [
    *[("AGE", text, found) for text, found in AGES.items()],
    *[("AGE", text, []) for text in NO_AGES],
    *[("TITLE", text, found) for text, found in TITLES.items()],
    *[("TITLE", text, []) for text in NO_TITLES],
    *[("DATE_OF_BIRTH", text, found) for text, found in BIRTHS.items()],
    *[("DATE_OF_BIRTH", text, []) for text in NO_BIRTHS],
]


def found(check: Check, text: str) -> list[str]:
    return [text[finding.start : finding.end] for finding in whole(check, text)]


@pytest.mark.parametrize(("entity", "text", "values"), CASES)
def test_what_is_found_near_which_words(entity: str, text: str, values: list[str]) -> None:
    assert found(CHECKS[entity], text) == values
    assert_every_split(CHECKS[entity], text)


@pytest.mark.parametrize(
    ("entity", "pieces"),
    [
        ("AGE", ["im ", "34", "aged", " ", "yo", "/F", "f", " years", " old", "age", ": ", "Jahre alt", "-", "\n"]),
        ("TITLE", ["Mr", ".", " ", "Dr", "Prof", "Smith", "Sig", "ra", "\n", "x"]),
        (
            "DATE_OF_BIRTH",
            ["born", " on ", "12", "/03/", "1984", " March ", "DOB", ": ", "in Leeds", "\n", "geb.", '"'],
        ),
    ],
)
def test_the_cuts_of_a_text_change_nothing(entity: str, pieces: list[str]) -> None:
    assert_promise(CHECKS[entity], pieces, 200)
