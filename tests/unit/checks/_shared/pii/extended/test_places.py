"""Addresses and postal codes: what is found, what is left alone, and that no cut of a text changes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from guardproxy.checks._shared.pii.engine import Engine
from guardproxy.checks._shared.pii.extended.places import BEFORE, sources, with_codes
from guardproxy.checks._shared.pii.names import TextPiece
from guardproxy.checks._shared.pii.recognizers import boost
from guardproxy.checks._shared.pii.words import LOOK, words
from guardproxy.checks.pii import PiiCheck
from guardproxy.findings import Traits
from guardproxy.testing import assert_every_split, whole

CHECK = PiiCheck(
    "pii",
    "digest",
    Engine(sources(replace(words("en"), language=""), None, 0.4), boost()),
    None,
    (),
    Traits(),
    None,
    True,
)
ADDRESSES = [
    "I live at [[742 Evergreen Terrace, Apt 3B, Springfield, IL 62704]].",
    "Send it to [[1600 Pennsylvania Avenue NW, Washington, DC 20500]] please",
    "Our office: [[350 Fifth Avenue, Suite 3300, New York, NY 10118]]",
    "Mail goes to [[PO Box 1234, Boise, ID 83701]].",
    "Mail goes to [[P.O. Box 77, Anytown, TX 75001-0077]].",
    "He moved to [[12 Oak Rd., Dayton, OH 45402]] in May.",
    "She lives at [[4521 N Lincoln Ave, Chicago, IL 60625]] now.",
    "Deliver to [[88 W 34th St, New York, NY 10001]].",
    "The accident happened at [[456 Oak Avenue]] yesterday.",
    "Meet me at [[321 Elm Street]] at 3 PM.",
    "Ship to [[9870 Highway 9 South, Conway, AR 72032]]",
    "Ship to [[2200 County Road 12, Fort Payne, AL 35967]]",
    "address: [[77 Massachusetts Ave, Bldg 10, Cambridge, MA 02139]]",
    "[[1 Infinite Loop, Cupertino, CA 95014]]",
    "[[1600 Amphitheatre Parkway, Mountain View, CA 94043]]",
    "[[221B Baker Street, London NW1 6XE]]",
    "My place is [[10 Downing Street, London SW1A 2AA]].",
    "[[Flat 2, 14 Rose Lane, Leeds LS1 4AB]]",
    "Send to [[Flat 7B, 103 Gloucester Road, Bristol, BS7 8AT]].",
    "We're at [[Unit 4, 22 Station Approach, Guildford GU1 4UT]].",
    "[[45 High Street, Oxford OX1 4AW]] is the shop",
    "the flat at [[3 Priory Close, Harrogate HG1 1AA]]",
    "The Old Rectory, [[9 Church Lane, Stow CB25 0JH]]",
    "[[28 St. James's Square, London SW1Y 4JH]]",
    "Return to: [[15 Queen's Gardens, Aberdeen AB15 4YD]]",
    "[[24 Sussex Drive, Ottawa, ON K1M 1M4]]",
    "Ottawa office: [[111 Wellington Street, Ottawa, Ontario K1A 0B1]]",
    "[[1055 West Georgia Street, Suite 2100, Vancouver, BC V6E 3P3]]",
    "[[1234 Rue Sainte-Catherine Ouest, Montréal, QC H3G 1P1]]",
    "My postal code is [[K1A 0B1]].",
    "Write to [[14 Gandhi Street, Chennai-600002]], please",
    "[[12 Main Street, Stoke-on-Trent ST4 7QB]]",
    "[[Unit 5/12 King St, Newtown NSW 2042]]",
    "[[17 Wattle Grove, Fitzroy VIC 3065]]",
    "[[Level 3, 200 George Street, Sydney NSW 2000]]",
    "[[GPO Box 2456, Brisbane QLD 4001]]",
    "[[88 Hay St, Perth WA 6000]]",
    "[[Flat No. 12, MG Road, Bengaluru 560001]]",
    "[[42 Park Street, Kolkata 700016]]",
    "[[221 Linking Road, Bandra West, Mumbai 400050]]",
    "my PIN code is [[560001]]",
    "[[12/3 Anna Salai, Chennai - 600002]]",
    "[[Hauptstr. 12a, 10115 Berlin]]",
    "Ich wohne in der [[Hauptstraße 5, 80331 München]].",
    "Bitte an [[Große Hamburger Straße 21, 10115 Berlin]] senden",
    "[[Schillerstrasse 7, 8001 Zürich]]",
    "[[Bahnhofstrasse 1, CH-8001 Zürich]]",
    "[[Mariahilfer Straße 88a/2/14, 1070 Wien]]",
    "[[Kärntner Ring 16, A-1015 Wien]]",
    "[[Am Markt 3, 99084 Erfurt]]",
    "[[Unter den Linden 77, 10117 Berlin]]",
    "[[An der Alster 72, 20099 Hamburg]]",
    "[[Rosenweg 4, D-50667 Köln]]",
    "Anschrift: [[Lindenallee 33, 45127 Essen]]",
    "[[Goethe-Platz 2, 60311 Frankfurt am Main]]",
    "[[Postfach 10 20 30, 70025 Stuttgart]]",
    "[[Postfach 1234, 3000 Bern]]",
    "Meine Adresse ist [[Birkenstr. 9]].",
    "[[12 bis rue de la Paix, 75002 Paris]]",
    "J'habite au [[5 avenue des Champs-Élysées, 75008 Paris]].",
    "[[27, boulevard Voltaire, 75011 Paris]]",
    "[[3 place de l'Église, 69005 Lyon]]",
    "[[14 impasse des Lilas, 31000 Toulouse]]",
    "[[8 chemin du Moulin, 13100 Aix-en-Provence]]",
    "[[101 quai de Valmy, 75010 Paris]]",
    "[[2 ter allée Jean Jaurès, 31000 Toulouse]]",
    "[[45 Rue Victor Hugo, 1000 Bruxelles]]",
    "[[BP 123, 75002 Paris Cedex 02]]",
    "[[Keizersgracht 12-II, 1015 CJ Amsterdam]]",
    "Ik woon op [[Dorpsstraat 15, 3511 AB Utrecht]].",
    "[[Nieuwezijds Voorburgwal 147, 1012 RJ Amsterdam]]",
    "[[Prinsengracht 263hs, 1016GV Amsterdam]]",
    "[[Kerkplein 3a, 2513 AZ Den Haag]]",
    "[[Postbus 90801, 2509 LV Den Haag]]",
    "[[Laan van Meerdervoort 55, 2517 AG Den Haag]]",
    "[[Calle Mayor 5, 3º B, 28013 Madrid]]",
    "Vivo en [[Calle de Alcalá, 42, 28014 Madrid]].",
    "[[C/ Gran Vía 28, 28013 Madrid]]",
    "[[Avenida Diagonal 640, 08017 Barcelona]]",
    "[[Avda. de la Constitución 12, 41001 Sevilla]]",
    "[[Plaza de España 1, 50001 Zaragoza]]",
    "[[Paseo de la Castellana, 259, 28046 Madrid]]",
    "[[Carrer de Balmes 145, 08008 Barcelona]]",
    "[[Av. Insurgentes Sur 1602, Col. Crédito Constructor, 03940 Ciudad de México]]",
    "[[Via Roma 10, 00184 Roma RM]]",
    "Abito in [[Via Giuseppe Garibaldi 45, 20121 Milano]].",
    "[[Piazza del Duomo 1, 50122 Firenze FI]]",
    "[[Corso Vittorio Emanuele II, 68, 10121 Torino]]",
    "[[Viale dei Mille, 12/B, 50131 Firenze]]",
    "[[Largo Argentina 3, 00186 Roma]]",
    "[[Rua das Flores, 123 - 01310-100 São Paulo - SP]]",
    "[[Rua Augusta 25, 1100-053 Lisboa]]",
    "Moro na [[Avenida Paulista, 1578, São Paulo - SP, 01310-200]].",
    "[[Travessa do Carmo 7, 1200-095 Lisboa]]",
    "[[Praça da República, 10, 4050-497 Porto]]",
    "[[Alameda Santos, 455 - Apto 12 - 01419-000 São Paulo - SP]]",
    "[[ul. Długa 5/7, 00-238 Warszawa]]",
    "Mieszkam na [[ul. Marszałkowska 10 m. 5, 00-590 Warszawa]].",
    "[[al. Jerozolimskie 65/79, 00-697 Warszawa]]",
    "[[os. Tysiąclecia 12, 31-603 Kraków]]",
    "[[pl. Wolności 1, 61-738 Poznań]]",
    "[[Storgatan 3, 114 55 Stockholm]]",
    "Jag bor på [[Kungsgatan 12, 111 35 Stockholm]].",
    "[[Drottninggatan 71C, 111 36 Stockholm]]",
    "[[Lilla Vägen 5, 753 20 Uppsala]]",
    "[[Vesterbrogade 10, 1620 København V]]",
    "[[Karl Johans gate 22, 0026 Oslo]]",
    "[[Mannerheimintie 12, 00100 Helsinki]]",
    "[[742 Evergreen Terrace\nSpringfield, IL 62704]]",
    "To:\nJane Roe\n[[12 Baker Street\nLondon\nNW1 6XE]]",
    "[[Hauptstraße 12\n10115 Berlin]]",
    "[[14, rue des Écoles\n75005 Paris]]",
    "[[Calle Mayor 5\n28013 Madrid]]",
    "[[Via Roma 10\n00184 Roma]]",
    "[[ul. Długa 5\n00-238 Warszawa]]",
    "[[Keizersgracht 12\n1015 CJ Amsterdam]]",
    "[[Storgatan 3\n114 55 Stockholm]]",
    "[[123 Main St\nApt 4\nDayton, OH 45402]]",
    "[[PO Box 99\nSalem, OR 97301]]",
    '{"street": "[[12 Rose Lane]]", "city": "[[Leeds]]", "zip": "[[LS1 4AB]]"}',
    '{"street": "[[Hauptstr. 12]]", "city": "[[Berlin]]", "postal_code": "[[10115]]"}',
    '{"address": "[[742 Evergreen Terrace, Springfield]]"}',
    '{"address_line1": "[[9 Elm Ct]]", "postcode": "[[2042]]"}',
    '{"city": "[[Springfield]]", "zipcode": "[[62704]]"}',
    "name,street,zip\nJane Roe,[[12 Rose Lane,LS1 4AB]]",
    "id;street;city\n7;[[Storgatan 3]];Stockholm",
    '3,"[[742 Evergreen Terrace, Springfield, IL 62704]]",open',
    "i live at [[12 baker street]] and the parcel never came",
    "my address is [[44 oak lane]]",
    "we moved to [[7 church road]] last week",
    "hey drop it off at [[903 w maple ave]] thanks",
    "my new address: [[210 north main street]]",
    "pls ship to [[55 sunset blvd]]",
    "address [[1200 river dr]]",
    "ich wohne in der [[hauptstraße 12]]",
    "ich wohne [[lindenweg 4]], klingel roe",
    "j'habite au [[12 rue de la paix]]",
    "j'habite [[3 avenue victor hugo]]",
    "vivo en la [[calle mayor 5]]",
    "abito in [[via roma 10]]",
    "moro na [[rua das flores 123]]",
    "ik woon op de [[dorpsstraat 15]]",
    "mieszkam na [[ul. długa 5]]",
    "jag bor på [[storgatan 3]]",
    "zip [[62704]]",
    "my zip code is [[90210]]",
    "ZIP: [[10001-1234]]",
    "PLZ [[10115]]",
    "Die Postleitzahl lautet [[80331]].",
    "code postal : [[75002]]",
    "CAP [[00184]]",
    "CEP: [[01310-100]]",
    "kod pocztowy [[00-238]]",
    "postcode [[LS1 4AB]]",
    "postcode: [[1015 CJ]]",
    "código postal [[28013]]",
    "postnummer [[114 55]]",
    "postal code [[V6E3P3]]",
    "My postcode is [[sw1a 2aa]].",
    "[[LS1 4AB]] is where I live",
    "We are near [[SW1A 2AA]], by the river.",
    "Order to [[90 Bedford Street, Apartment 20, New York, NY 10014]], gate code 5",
    "[[4059 Mt Lee Drive, Hollywood, CA 90068]]",
    "[[129 West 81st Street, Apt 5A, New York, NY]]",
    "[[123 Elm Street, Springfield, IL]]",
    "[[456 Oak Avenue, Chicago, IL 60614]].",
    "[[789 Corporate Blvd, San Francisco, CA 94105]], and Jane",
    "at [[123 Business Rd, Suite 100, New York, NY 10001]].",
    "at [[9533 Jessica Court Apt. 728]] of",
    "[[2118 Thornridge Cir, Syracuse, Connecticut 35624]]",
    "[[8642 Yule Street, Arvada, Colorado 80007]]",
    "[[1313 E Main St, Portage MI 49024]]",
    "[[3517 W. Gray St. Utica, Pennsylvania 57867]]",
    "[[6391 Elgin St. Celina, Delaware 10299]]",
    "[[500 S Buena Vista St, Burbank, CA 91521, USA]]",
    "[[11 Wall St, New York, NY 10005, United States]]",
    "[[742 EVERGREEN TERRACE, SPRINGFIELD, IL 62704]]",
    "[[12 ROSE LANE, LEEDS LS1 4AB]]",
    "[[HAUPTSTR. 12, 10115 BERLIN]]",
    "**Address:** [[742 Evergreen Terrace, Springfield, IL 62704]]",
    "Address=[[14 Rose Lane]]",
    "<addr>[[14 Rose Lane, Leeds LS1 4AB]]</addr>",
    "| Jane | [[14 Rose Lane]] | Leeds |",
    '"[[14 Rose Lane]]"',
    "([[14 Rose Lane]])",
    "ship_to=[[14 Rose Lane]]&x=1",
    "1) [[14 Rose Lane]], Leeds 2) none",
    "[[3 W Main St # 4, Dayton, OH 45402]]",
    "[[455 Larkspur Dr #12, Baviera, CA 92908]]",
    "[[7 Rue du Bac, 75007 Paris, France]]",
    "[[Kurfürstendamm 21, 10719 Berlin, Germany]]",
    "[[Rue de Rivoli 12, 75001 Paris]]",
    "[[Rue du Rhône 48, 1204 Genève]]",
    "[[Bundesplatz 3, 3005 Bern]]",
    "[[ул. Ленина, д. 5]]",
    "[[Am Bahnhof 1, 39100 Bozen]]",
    "[[Strandvägen 7A, 114 56 Stockholm]]",
    "[[Rambla de Catalunya 38, 08007 Barcelona]]",
    "[[Box 123, 101 23 Stockholm]]",
    "[[1-3 Strand, London WC2N 5EH]]",
    "[[2 King's Parade, Cambridge CB2 1SJ]]",
    "Lives in Beverly Hills, [[CA 90210]].",
    "Springfield, [[IL 62704]]",
]
HARMLESS = [
    "I read 12 Rules for Life last year.",
    "The 3 Musketeers, Paris edition, costs 12 dollars.",
    "We paid $1,200 for it.",
    "version 2.14.3 fixes 12 bugs",
    "12 Angry Men is a film about a jury.",
    "Chapter 4 Court Proceedings begin at noon.",
    "He ran 5 miles on the track.",
    "10 Things I Hate About You",
    "It took 15 minutes to drive there.",
    "In 1984 Winston Smith walked home.",
    "At 5 Dr. Smith came in.",
    "On May 5 Mr. Hill will speak.",
    "The 2 Way street sign",
    "we have 3 courts and 2 squares",
    "It has 12 lanes and 4 roads.",
    "3 Star Hotel",
    "Top 10 Places to visit",
    "error 404 Not Found",
    "HTTP 500 Internal Server Error",
    "line 12 Column 5",
    "case 7 St. Mary wins 3-1",
    "Room 12, Floor 3",
    "100 Main Points",
    "The 7 Wonders of the World",
    "2 Fast 2 Furious",
    "Catch 22, Joseph Heller",
    "Fahrenheit 451, Ray Bradbury",
    "def place(x): return 5",
    "x = 12 * rate + drive(3)",
    'git commit 3f2a1b9 -m "12 new ways"',
    "Ticket 10115 Berlin trip",
    "10 Downing pressure units",
    "In 2020 Berlin was quiet.",
    "Since 2019 Paris has 5 new lines.",
    "He scored 30 Points in 2 Games",
    "a 5 Way tie",
    "iOS 17 Beta 3",
    "Ubuntu 22.04 LTS",
    "Python 3.11 Release Notes",
    "Windows 10 Pro",
    "Section 230 Safe Harbor",
    "Article 5, Paragraph 2",
    "Psalm 23, King David",
    "Route 66 is a song",
    "Highway 61 Revisited",
    "Boeing 747 Flight Plan",
    "Formula 1 Grand Prix",
    "Area 51 Gate",
    "World War 2 History",
    "the street has 12 houses",
    "via SSH port 22",
    "via email 3 times",
    "Via USB 3",
    "Via Bluetooth 5.0",
    "rue the day 12 times",
    "The ring 5 sold well",
    "Der Weg 5 km weiter",
    "Das Spiel endete 3:1 auf dem Platz 5",
    "Auf Platz 3 steht Berlin",
    "Er belegte Platz 12",
    "Stufe 3, Ring 2",
    "Das Problem 5 bleibt",
    "Er kam am 12 Mai",
    "Am Montag 3 Stunden",
    "An der Uni 5 Semester",
    "avenue of 12 trees",
    "le 5 place dans la liste",
    "les 3 cours de danse",
    "12 place settings for dinner",
    "5 square meters",
    "20 square feet",
    "100 square miles",
    "3 park rangers",
    "a 12 court complex",
    "calle 5",
    "plaza 3 pisos",
    "la ruta 66",
    "Calle 13 is a band",
    "largo 5 metros",
    "corso 2 di inglese",
    "via libera 3 volte",
    "a rua tem 3 casas",
    "plac zabaw 3",
    "ul 5",
    "100 CJ units",
    "1015 AM news radio",
    "2023 IN REVIEW",
    "90210 is a TV show",
    "IN 12345 cases",
    "OK 20000 times",
    "OR 10000 more",
    "ME 54321",
    "HI 12345 friends",
    "CO 12345 emissions",
    "order id K1A0B1X9",
    "part no. A1A 1A1B",
    "SKU LS1-4AB",
    "CAP 5 theorem",
    "CAP theorem 12",
    "zip file 3",
    "unzip 62704.zip",
    "zip -r 12 out.zip",
    "the zip has 62704 bytes",
    "zip code has 5 digits",
    "postcode lottery 2024",
    '"city": "string"',
    '{"address": "0x52908400098527886E0F7769"}',
    '{"address": "127.0.0.1:8080"}',
    '{"city": null, "zip": ""}',
    '{"street": {"type": "string"}}',
    "bind address: 0.0.0.0:80",
    "memory address 0x7fff12345678",
    "12 St",
    "The box 123",
    "box 5 of 12",
    "Black Box 3, Red Box 4",
    "for i in range(10): Drive(i)",
    "1 Drive, 2 Drives",
    "USB Drive 64 GB",
    "Google Drive 15 GB",
    "5 Drive Way Options",
    "March 3 Court Hearing",
    "The 9 Circle Model",
    "3 Key Points",
    "10 Park Rangers",
    "2 Day Pass",
    "6 Point Plan",
    "SELECT 12 FROM street",
    "Chapter 12 Close Reading",
    "On day 4 Close the lid",
    "Step 3 Close the lid",
    "Then 5 Square the result",
]


def _marked(text: str) -> str:
    """The text with what the check finds in double brackets."""
    for finding in reversed(whole(CHECK, text)):
        text = f"{text[: finding.start]}[[{text[finding.start : finding.end]}]]{text[finding.end :]}"
    return text


def _plain(marked: str) -> str:
    return marked.replace("[[", "").replace("]]", "")


@pytest.mark.parametrize("marked", ADDRESSES)
def test_an_address_is_one_finding(marked: str) -> None:
    assert _marked(_plain(marked)) == marked


@pytest.mark.parametrize("begin", ["12 Main Street, ", "Calle Mayor 5, ", "Postfach 12, ", "Am ", "12 rue "])
@pytest.mark.parametrize("unit", ["A-", "A'", "AB-C. ", "A", "d'A-"])
@pytest.mark.parametrize("end", ["", " 5%", ", ZZ"])
def test_a_long_name_is_read_once(begin: str, unit: str, end: str) -> None:
    """A pattern that tries all ways to split such a name into words needs years for 2,000 characters."""
    whole(CHECK, f"{begin}{unit * 2000}"[:2000] + end)


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_are_left_alone(text: str) -> None:
    assert _marked(text) == text


@pytest.mark.parametrize(
    "text", [*map(_plain, ADDRESSES[::12]), *HARMLESS[::12], ", ".join(map(_plain, ADDRESSES[:3]))]
)
def test_no_cut_changes_what_is_found(text: str) -> None:
    assert_every_split(CHECK, text)


@pytest.mark.parametrize(
    "marked",
    [
        # A word for a street that means other things as well needs a code, a unit, a large number or words before it.
        "12 Priory Close", "I live at [[12 Priory Close]]", "[[212 Priory Close]]",
        "2020 Priory Close", "[[12 Priory Close, Apt 4]]",
        # Without a word for a street, a code must follow.
        "12 Lal Kothi", "[[12 Lal Kothi, Jaipur 302015]]", "[[195 Broadway, New York, NY 10007]]",
        # The address ends with the word for a street, its direction or its number.
        "[[456 Oak Avenue]] Please come", "[[456 Oak Avenue NW]] Please", "[[1200 State Route 9]] Please", "500 Oak 9",
        "12 Google Drive Files", "Section 4 Oak Road",
        # German words that mean other things as well.
        "Sitzplatz 12", "Meine Anschrift: [[Rosenweg 12]]", "[[Rosenweg 12, 10115 Berlin]]", "Str. 5", "Am Markt 3",
        "Via Roma 3",
        "[[ul. Nowa 3]]", "Box 12", "[[PO Box 12]]", "[[Box 12, 114 55 Stockholm]]",
        # Codes.
        "It is OK 20000 times", "Salem, [[OR 97301]]", "my pin code is 1234", "my pin code is [[560001]]",
        # Keys.
        '{"city": "[[Leeds]]"}', '{"city": "4 more"}', '{"town": "string"}', '{"homeAddress": "[[14 The Mews]]"}',
        '{"address": "a@b.example 12 x"}',
        "a lone \ud800 12 Oak Road and \ud800 [[14 Oak Road]]".replace("12 Oak Road", "[[12 Oak Road]]"),
    ],
)  # fmt: skip
def test_evidence(marked: str) -> None:
    assert _marked(_plain(marked)) == marked


def test_the_words_before_an_address_are_always_there() -> None:
    assert BEFORE < LOOK


def _spans(text: str, *names: str, pieces: Sequence[int] = ()) -> list[str]:
    """The texts of spans that a tagger found, with their codes. `pieces`: the ends of the pieces before the last."""
    spans: list[Any] = [(text.index(name), text.index(name) + len(name), "LOCATION", 0.9) for name in names]
    spans = [(*span[:2], "PERSON", 0.9) if text[span[0] :].startswith("Jane") else span for span in spans]
    starts, ends = [0, *pieces], [*pieces, len(text)]
    parts = [TextPiece(start, end, 1, True, start) for start, end in zip(starts, ends, strict=True)]
    return [text[start:end] for start, end, _, _ in with_codes(text, spans, parts)]


def test_a_code_beside_a_place_is_part_of_it() -> None:
    assert _spans("in 10115 Berlin", "Berlin") == ["10115 Berlin"]
    assert _spans("in D-10115 Berlin and 1015 CJ Amsterdam", "Berlin", "Amsterdam") == [
        "D-10115 Berlin",
        "1015 CJ Amsterdam",
    ]
    assert _spans("Chennai 600002, Leeds LS1 4AB.", "Chennai", "Leeds") == ["Chennai 600002", "Leeds LS1 4AB"]
    assert _spans("AGS 36093-7523", "AGS 36093") == ["AGS 36093-7523"]


def test_other_numbers_beside_a_place_are_not() -> None:
    assert _spans("in 10115") == []
    assert _spans("In 2020 Berlin had 12 lines", "Berlin") == ["Berlin"]
    assert _spans("10115 Jane", "Jane") == ["Jane"]
    assert _spans("Leeds LS1 4AB", "Leeds", "LS1") == ["Leeds", "LS1"]
    assert _spans("Leeds 10115 Berlin", "Leeds", "Berlin") == ["Leeds 10115", "Berlin"]
    assert _spans("in 10115 Berlin", "Berlin", pieces=[8]) == ["Berlin"]
    assert _spans("Berlin 10115", "Berlin", pieces=[6]) == ["Berlin"]
