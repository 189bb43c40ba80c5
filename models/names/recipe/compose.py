"""Own texts for training: what people write to a model, with names in it, and with words that look like names.

In: a seeded random generator. Out: rows `{"text", "spans", "source"}`. They exist because the public sets are
tweets, encyclopaedias and forms: in none of them does anybody ask for a cover letter, paste a log, or write Python.
`Pool` has the values; train.py also uses it to exchange the people of other rows, of whom some sets know very few.
"""

from __future__ import annotations

import random
import re
from typing import Any

from faker import Faker

from models.names.recipe import harmless
from models.names.recipe.noise import stamp

Row = dict[str, Any]

LOCALES = (
    "en_US en_US en_US en_GB en_CA en_AU en_IN en_NG en_IE de_DE fr_FR es_ES es_MX it_IT nl_NL pl_PL pt_BR "
    "pt_PT sv_SE da_DK no_NO fi_FI cs_CZ hu_HU ro_RO tr_TR hr_HR sk_SK id_ID vi_VN sw zu_ZA"
).split()
NATIONS = (
    "Afghan Albanian Algerian American Argentine Armenian Australian Austrian Bangladeshi Belgian Bolivian "
    "Brazilian British Bulgarian Cambodian Canadian Chilean Chinese Colombian Croatian Cuban Czech Danish "
    "Dutch Egyptian English Estonian Ethiopian Filipino Finnish French Georgian German Ghanaian Greek "
    "Hungarian Icelandic Indian Indonesian Iranian Iraqi Irish Israeli Italian Jamaican Japanese Jordanian "
    "Kenyan Korean Kurdish Latvian Lebanese Libyan Lithuanian Malaysian Mexican Mongolian Moroccan Nepali "
    "Nigerian Norwegian Pakistani Palestinian Peruvian Polish Portuguese Romanian Russian Saudi Scottish "
    "Serbian Slovak Somali Spanish Sudanese Swedish Swiss Syrian Thai Tunisian Turkish Ugandan Ukrainian "
    "Venezuelan Vietnamese Welsh Yemeni Zimbabwean Swede Dane Pole Finn Brazilians Germans Italians Americans "
    "Nigerians Syrians Catholic Catholics Protestant Muslim Muslims Sunni Shia Jewish Hindu Hindus Buddhist "
    "Sikh Sikhs Mormon Lutheran Baptist Orthodox Christian Christians Quaker Roma Sami Basque Catalan Maori "
    "Republican Republicans Democrat Democrats Conservative Socialist Communist"
).split()
PLACES = (
    "Lisbon;Oslo;Nairobi;Lagos;Kyoto;Buenos Aires;São Paulo;Cape Town;Marrakesh;Tbilisi;Hanoi;Reykjavík;"
    "Zürich;Kraków;New Orleans;Salt Lake City;St. Louis;Baton Rouge;the Netherlands;the Gulf of Mexico;"
    "Lake Victoria;the Rhine;Mount Kenya;the Sahara;Patagonia;Bavaria;Tuscany;Andalusia;Punjab;Crimea;"
    "the Balkans;Central Park;Times Square;Heathrow Airport;JFK;LAX;Camden;Kreuzberg;Harlem;Soweto;Ginza;"
    "Silicon Valley;the Bay Area;Washington, D.C.;Kuala Lumpur;Ho Chi Minh City;Rio de Janeiro;Los Angeles;"
    "San José;Frankfurt am Main;Stratford-upon-Avon;Côte d'Ivoire;Bosnia and Herzegovina;Papua New Guinea;"
    "the United Arab Emirates;the UK;the US;USA;UAE;EU;Scotland;Wales;Quebec;Ontario;Texas;Ohio;Queensland;"
    "Gujarat;Hokkaido;Normandy;Sicily;Crete;Bali;Java;Zanzibar;Greenland;Europe;Asia;Africa"
).split(";")
BODIES = (
    "Siemens;Deutsche Bahn;Amnesty International;UNICEF;WHO;IMF;NATO;Interpol;Samsung;Hyundai;Nestlé;Roche;"
    "Novartis;AstraZeneca;Shell;BP;Equinor;Maersk;Vodafone;Airbus;Boeing;Tesla;SpaceX;Goldman Sachs;"
    "JPMorgan Chase;HSBC;Barclays;Allianz;AXA;KPMG;Deloitte;McKinsey;the Supreme Court;"
    "the European Commission;Congress;the Home Office;Stanford;MIT;Oxford University;ETH Zurich;Juventus;"
    "Real Madrid;the Lakers;Manchester United;the Guardian;Le Monde;CNN;Al Jazeera;OpenAI;Anthropic;Google;"
    "Microsoft;Amazon;Netflix;Ryanair;Emirates;Aldi;Tesco;Walgreens;the Labour Party;the IRS;the FDA;"
    "Medtronic;St. Mary's Hospital;Charité;Save the Children;Doctors Without Borders;Habitat for Humanity;"
    "Wells Fargo"
).split(";")
WHEN = (
    "yesterday;tomorrow;today;tonight;last night;next week;last month;next year;this morning;in two weeks;"
    "three days ago;two years ago;last summer;next Friday;on Monday;Tuesday afternoon;the 3rd of May;5 p.m.;"
    "9:30 am;half past six;noon;midnight;the 1990s;the 19th century;2019;1984;since 2011;Q2 2025;Easter;"
    "Christmas Eve;the weekend;Monday morning;March;late August;early October;six months;a fortnight;an hour;"
    "24 hours;mid-2023;New Year's Day;every Thursday"
).split(";")
KIN = (
    "my sister;my boss;my ex;our landlord;my son;the plaintiff;our accountant;my therapist;the tenant;my neighbour"
).split(";")

ASKED = """
Write a cover letter for {p}, who wants to work at {o} in {l}.
Draft an email to {p} at {o} asking to move our call to {d}.
can you write a birthday message for {k} {f}? she turns 40 {d}
Summarize the conversation between {p} and {p}.
Rewrite this so it sounds friendlier: "{f}, the report was due {d}."
my name is {p} and i have a question about my contract with {o}
hi, im {f}. i moved from {l} to {l} {d} and need help with my taxes
I'm {p}, {w} from {l}. Am I allowed to work in {l} as a {n}?
{k} {f} was diagnosed with diabetes {d}. What should we cook?
Should I sue {o}? They fired me {d} after I complained about {p}.
Plan a five day trip to {l} for {p} and me, we leave {d}.
What do you know about {p}?
Is it true that {p} left {o}?
Compare the strategies of {o} and {o}.
Translate into Spanish: {p} will meet the {n} delegation in {l} {d}.
Make a table with the columns name, city and employer: {p} lives in {l} and works for {o}; {p} lives in {l} and works for {o}.
From: {p}\\nTo: {p}\\nSubject: visit to {l}\\n\\nDear {f},\\nI will arrive {d}. Could you tell {p} from {o}?\\nBest,\\n{f}
{p} (patient) was seen by Dr. {s} in {l}; complaints began {d}.
Mr. {s} and Mrs. {s} v. {o}, heard in {l}.
Ms. {s} told the court that {f} {s} had never worked for {o}.
[{f}] are you there?\\n[{f}] yes, just landed in {l}\\n[{f}] great, {p} will pick you up
{{"role": "customer", "name": "{p}", "city": "{l}", "employer": "{o}"}}
{{"patient": {{"first": "{f}", "last": "{s}"}}, "nationality": "{n}", "admitted": "{d}"}}
name: {p}\\ncity: {l}\\ncompany: {o}\\nnationality: {n}
<customer><name>{p}</name><town>{l}</town></customer>
{p};{l};{o}\\n{p};{l};{o}
INFO user {p} logged in from {l}
# Meeting notes\\n- {f}: budget\\n- {f}: hiring in {l}\\n- {p} ({o}): contract\\nNext meeting: {d}
1. {p} ({l})\\n2. {p} ({l})\\n3. {p} ({l})
The {n} government and {o} signed the agreement {d}.
Many {n} families in {l} have lived there since {d}.
He is {n}, she is {n}, and they met in {l}.
{f} and {f} are getting married in {l} {d}!!
omg {f} just told me that {f} {s} is leaving {o} lol
ok so {f} said we meet at the station in {l} around {d}
tell {f} i said hi
ask {p} about it
thanks {f}!
Thanks, {f}. I'll talk to {p} and get back to you.
Sincerely,\\n{p}\\n{o}
Kind regards, {p}
You are speaking with {p}. Be polite.
The user's name is {f}. Always call them {f}.
You are a helpful assistant of {o}. Customers are mostly in {l}.
The tenant of the flat in {l}, {p}, has not paid since {d}.
Employee: {p}\\nManager: {p}\\nSite: {l}\\nStart: {d}
{p}'s passport was stolen in {l}.
I gave {s}'s file to {f}'s lawyer.
Who will win, {o} or {o}?
{o} shares fell after {p} resigned {d}, said {s}.
According to {p} of {o}, the plant in {l} will close {d}.
Born {d} in {l}, {p} studied at {o} before moving to {l}.
Remove {p} from the list and add {p}.
Please forward this to {f} and {f}, cc {p}.
My {n} colleague {f} says the food in {l} is better.
do you think {k} {f} would like {l}?
i work for {o} and my manager {f} {s} keeps texting me {d}
Give me three questions for an interview with {p}, head of research at {o}.
The complaint by {p} against {o} was filed {d}.
Flight from {l} to {l} {d}, passengers: {s}/{f}, {s}/{f}.
Attendees: {p}, {p}, {p}
Was {l} part of {l} in {d}?
Which {n} dishes are vegetarian?
How far is {l} from {l}?
A letter of {p} to {p}, written in {l}.
[10:15] {f}: did {f} call you?\n[10:16] {f}: no, why?\n[10:20] {f}: ask {f} at the office
[8:02 PM] {f}: see you {d}\n[8:05 PM] {f}: ok {f}, bring the papers
{f}: hey {f}, are you free {d}?\n{f}: sure, where?\n{f}: at the cafe in {l}
{f} {s}: Has anyone heard from {f}?\n{f} {s}: Not since {d}.
Hi {f},\n\nthank you for the call. {f} will send the papers {d}.\n\nBest,\n{f}
Hey {f}! Did you get my message about the trip to {l}?
Speaker 1 ({f}): we should ask {o}.\\nSpeaker 2 ({f}): agreed.
""".strip().split("\n")

PLAIN = """
Write a function in Python that reverses a linked list.
How do I center a div in CSS?
What is the difference between TCP and UDP?
Explain Bayes' theorem with a simple example.
Use Docker Compose to start Postgres and Redis.
Convert this JavaScript to TypeScript.
Why does my React component render twice?
Run the tests with pytest and upload the report to Jenkins.
I get a NullPointerException in Spring Boot, what now?
Give me an Excel formula that counts unique values in column B.
Create a PowerPoint outline about time management.
Install Ubuntu next to Windows.
My iPhone does not connect to the Bluetooth speaker.
Is GPT better than Llama for summaries?
Which Kubernetes object do I need, a Deployment or a StatefulSet?
The GET request returns 404, but POST works.
Set LOG_LEVEL to DEBUG and restart the Service.
class OrderBook(BaseModel):\\n    total: float\\n    items: list[Item]
def apply_discount(price: float, rate: float) -> float:\\n    return price * (1 - rate)
SELECT Name, Price FROM Products WHERE Price > 10 ORDER BY Name;
import numpy as np\\nfrom sklearn.linear_model import Ridge
{{"temperature": 0.2, "maxTokens": 512, "stopSequence": "END"}}
[ERROR] ConnectionResetError: Connection reset by peer (Errno 104)
Content-Type: application/json\\nAuthorization: Bearer TOKEN
## Installation\\nRun `npm install` and set the variable API_BASE_URL.
Best Practices for Writing Clean Code
How To Cook Rice: A Complete Guide For Beginners
Terms of Service and Privacy Policy
Frequently Asked Questions
Dear Sir or Madam,
To Whom It May Concern:
Ladies and Gentlemen, welcome to our annual meeting.
Dear Customer, your parcel has been delivered.
Hello World!
The Customer shall pay the Supplier within thirty days of receipt of the Invoice.
WARNING: DO NOT OPEN THE COVER WHILE THE MACHINE IS RUNNING.
IMPORTANT NOTICE TO ALL RESIDENTS
Mom and Dad are coming for dinner, what should I cook?
Will you mark the grace period in the plan?
May I ask what a bill of lading is?
Rose petals and sage make a nice tea.
A frank answer is better than a grant of hope.
The chase ended when the hunter lost his way.
Will the art of the deal pay off?
Think step by step. Answer with Yes or No.
Act as a career coach and ask me questions.
You are an expert in marketing. Write five slogans for a new toothpaste.
Write a haiku about autumn.
Tell me a joke about cats.
Translate "good morning" for me.
What is the capital gains tax?
Solve for x: 3x + 5 = 20. Show your work.
A train leaves the station at 60 miles per hour. How long does it take to go 150 miles?
Why is the sky blue?
Summarize the following text in two sentences.
Fix the grammar: "She don't like apples."
Give me ten ideas for a science project with Water and Light.
What are the symptoms of iron deficiency?
Is Vitamin D better taken with Magnesium?
Which is healthier, Butter or Margarine?
I have COVID and a fever, can I take Ibuprofen?
Does Ozempic interact with Metformin?
I want to learn the Guitar. Where do I start?
Who invented the telescope?
The Big Bang theory and Quantum Mechanics explained to a child.
Harmony of the Spheres, Op. 12, in G major
Make the text in Section 3 bold and change Heading 2 to Arial.
Open Settings, then Accounts, then Sign-in Options.
Click Save As and choose PDF.
Step 1: Preheat the oven. Step 2: Mix the flour and the eggs.
Note: this is only an example.
Q: What is Scrum? A: An agile framework.
TODO: refactor the Parser, remove the Lexer, document the AST.
Product Owner, Scrum Master and Team Lead agreed.
She works as a Senior Software Engineer, he is a Project Manager.
Our CEO and the CFO will present the Annual Report.
Doctor, Nurse, Teacher and Engineer are common jobs.
Describe a dragon called the Keeper of Storms.
Once upon a time, a Fox met a Hen.
Error: Model Not Found
Thank you! That helped a lot.
OK. Go on.
Yes, please.
No. Try again.
The answer is B.
Option A: Increase the Budget. Option B: Reduce the Scope.
Total: 12, Mean: 4.5, Median: 4
""".strip().split("\n")

PARTS = (
    "user order item token session config worker node cache queue batch event request response handler parser "
    "router client server socket buffer stream record table index cursor driver engine factory builder manager "
    "service controller repository adapter listener filter context state store widget layout button panel grid "
    "menu label image color theme style font header footer block chain link proxy agent model layer tensor "
    "matrix vector shape kernel epoch loss rate field schema column key value entry list map set tree graph edge "
    "path file folder stream reader writer lexer scanner compiler linker loader plugin module package bundle "
    "asset script grant mark will page may rose grace faith hope drew chase hunter mason cooper carter baker "
    "dean frank jack bill ray art sandy robin"
).split()
TOOLS = (
    "Jenkins Jackson Django Flask Ruby Rust Swift Maven Gradle Julia Pascal Kafka Cassandra Athena Redis Mongo "
    "Celery Nginx Tomcat Apollo Ansible Helm Docker Bash Perl Haskell Erlang Elixir Scala Kotlin Dart Flutter "
    "Angular Svelte Vite Webpack Babel Jest Cypress Selenium Postgres Oracle Snowflake Spark Hadoop Hive Presto "
    "Trino Airflow Prefect Luigi Grafana Prometheus Loki Jaeger Vault Consul Nomad Terraform Pulumi Vagrant "
    "Packer Lambda Fargate Neptune Aurora Redshift Bedrock Claude Gemini Llama Mistral Falcon Bert Whisper Orca "
    "Ada Curie Davinci Pandas Polars Numpy Sanic Tornado Bottle Pyramid Falcon Sinatra Rails Laravel Symfony "
    "Phoenix Rocket Axum Tokio Serde"
).split()
GOODS = (
    "Slim Fit Chino Pants;Stainless Steel Water Bottle;Wireless Earbuds;Desk Lamp;Running Shoes;Cotton Hoodie;"
    "Leather Wallet;Yoga Mat;Espresso Machine;Cast Iron Skillet;Garden Hose;Bluetooth Speaker;Gaming Mouse;"
    "Mechanical Keyboard;Action Camera;Electric Kettle;Patio Umbrella;Sleeping Bag;Smart Thermostat;Robot Vacuum;"
    "Air Purifier;Wall Clock;Tea Infuser;Fleece Jacket;Office Chair;Bookshelf;Hiking Boots;Pet Bed;Makeup Kit;"
    "Jigsaw Puzzle;Digital Camera;Luggage Set;Grill;Skateboard;Sunglasses;Dumbbell Set;Perfume;Tablet"
).split(";")
LOOKS = (
    "Navy Black Olive Charcoal Ivory Rose Amber Jade Ruby Sienna Sage Hazel Violet Rusty Sandy Pearl Ebony "
    "Crimson Silver Gold Forest Ash Compact Premium Classic Deluxe Ultra Pro Max Mini Vintage Modern Foldable "
    "Waterproof Organic Portable Heavy-Duty Lightweight"
).split()

MACHINES = (
    """
public class {C} extends {C} {{\\n    private final {C} {i};\\n}}
def {i}({i}, {i}=None):\\n    return {i}.{i}({i})
const {i} = await {i}.{i}({{ {i}: {i}, {i}: \"{i}\" }});
import {{ {C}, {C} }} from \"@{i}/{i}\";
from {i}.{i} import {C}, {C}
{i}: {C} = {C}({i}={i}, {i}=True)  # {i}
if ({i}.{i} == {C}.{C}) {{ {i}->{i}(); }}
throw new {C}Exception(\"{i} {i} must not be null\");
at com.{i}.{i}.{C}.{i}({C}.java:{x})
  File \"/app/{i}/{i}.py\", line {x}, in {i}
{t} INFO  [{i}-{x}] {C}: {i} {i} finished in {x} ms
{t} WARN {C}.{i} - retry {x} of {x}, {i}={h}
{t} ERROR {i}[{x}]: connection to {i}-{x}.{i}.local refused
[{t}] {i}.{C}: Block blk_{x} is added to {i}, size {x}
{{\"{i}\": \"{i}\", \"{i}Id\": \"{h}\", \"{i}\": {x} }}
{{\"level\": \"warn\", \"logger\": \"{i}.{C}\", \"msg\": \"{i} {i} not found\", \"id\": \"{h}\"}}
{Z}-{Z}-{Z}:{Z}-{Z} {A} {A} INFO {i} {i} error, {i} {x}
{x} {Z} {A} {A} FATAL {i} {i} {i} at 0x{h}
{t} {Z} {i}({i})[{x}]: {i} {i}; {A}={x} {A}={i}
{A} {i} over {A}: what is the difference?
{A}, {A} and {A} are supported, {A} is not.
The {q} {g} with {A} filter, {A} port and {A} sole
Use {A} {x}.{x} instead of {A}/{x} ({A} {x}).
SELECT {i}, {i} FROM {i}_{i} JOIN {i} ON {i}.{i}_id = {i}.id;
docker run --name {i} -e {i}={x} {i}/{i}:{x}
$ {i} {i} --{i} {i} | grep -v {i}
{T} and {T} are faster than {T} for this job.
How do I connect {T} to {T}?
We moved from {T} to {T} and use {T} for the logs.
Upgrade {T} to version {x}.{x} before you install {T}.
## {C}\\n\\nUse `{i}` to set the {i} of a {i}. See {C} for more.
- **{i}**: the {i} of the {C}
{g}, {q}, {x} Pack
{q} {g} - {q} {q} Edition
{{\"name\": \"{q} {g}\", \"color\": \"{q}\", \"price\": {x}, \"available\": true}}
Does the {q} {g} come in {q}?
| {g} | {q} | {x} |\\n| {g} | {q} | {x} |
The {g} ({q}, size {x}) is out of stock, the {q} one ships today.
""".strip()
    .replace("\\n", "\\n")
    .split("\n")
)

GROUPS = (ASKED, PLAIN, MACHINES, *(group for group, _ in harmless.GROUPS))
SHARES = (6600, 2600, 2000, *(300 * share for _, share in harmless.GROUPS))

FRAMES = (
    "",
    "",
    "",
    "",
    "Hi! ",
    "Hello, ",
    "Please help: ",
    "Question: ",
    "User: ",
    "Note - ",
    "ok. ",
    ">> ",
    "- ",
    "* ",
)


class Pool:
    """Values of each kind, drawn by `rng`."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        fakes: dict[str, Any] = {}
        for locale in LOCALES:
            fakes[locale] = Faker(locale)
            fakes[locale].seed_instance(rng.randrange(1 << 30))
        made = [fakes[rng.choice(LOCALES)] for _ in range(12_000)]
        self.people: list[tuple[str, str]] = [(fake.first_name(), fake.last_name()) for fake in made]
        self.cities: list[str] = [fake.city() for fake in made[:4000]]
        self.countries: list[str] = [fakes["en_US"].country() for _ in range(400)]
        self.firms: list[str] = [fake.company() for fake in made[:4000]]

    def first(self) -> str:
        return self.rng.choice(self.people)[0]

    def last(self) -> str:
        return self.rng.choice(self.people)[1]

    def person(self) -> str:
        first, last = (self.rng.choice(self.people)[part] for part in (0, 1))
        draw = self.rng.random()
        if draw < 0.12:
            return f"{first} {self.rng.choice('ABCDEFGHJKLMNPRSTW')}. {last}"
        if draw < 0.17:
            return f"{first[0]}. {last}"
        return f"{first}-{self.first()} {last}" if draw < 0.2 else f"{first} {last}"

    def place(self) -> str:
        return self.rng.choice(self.rng.choice((PLACES, PLACES, self.cities, self.cities, self.countries)))

    def body(self) -> str:
        draw = self.rng.random()
        if draw < 0.4:
            return self.rng.choice(BODIES)
        if draw < 0.75:
            return self.rng.choice(self.firms)
        suffix = self.rng.choice(
            ["University", "Hospital", "City Council", "High School", "Bank", "Airlines", "Football Club", "Insurance"]
        )
        return f"{self.rng.choice(self.cities)} {suffix}"

    def value(self, kind: str) -> tuple[str, str]:
        """The label and a value for a template's mark."""
        match kind:
            case "p":
                return "PERSON", self.person()
            case "f":
                return "PERSON", self.first()
            case "s":
                return "PERSON", self.last()
            case "l":
                return "LOCATION", self.place()
            case "o":
                return "ORGANIZATION", self.body()
            case "n":
                return "NRP", self.rng.choice(NATIONS)
            case "d":
                return "DATE_TIME", self.rng.choice(WHEN)
            case "k":
                return "", self.rng.choice(KIN)
            case _ if kind in harmless.MARKS:
                return harmless.value(kind, self.rng, self.people, TOOLS)
            case "i" | "C" | "T" | "x" | "h" | "t" | "g" | "q" | "A" | "Z":
                return "DATE_TIME" if kind == "t" else "", self.of_machines(kind)
            case _:
                return "", self.rng.choice(
                    ["a student", "a nurse", "a pensioner", "a designer", "a driver", "a lawyer"]
                )

    def of_machines(self, kind: str) -> str:
        """What programs and shops write: an identifier, a class, a tool, numbers, a time, goods and how they look."""
        rng = self.rng
        words = rng.choices(PARTS, k=rng.choice((1, 2, 2, 3)))
        match kind:
            case "i":
                return rng.choice(
                    ("_".join(words), words[0] + "".join(map(str.capitalize, words[1:])), words[0], "-".join(words))
                )
            case "C":
                return "".join(map(str.capitalize, words))
            case "T":
                return rng.choice(TOOLS)
            case "x":
                return str(rng.choice((rng.randrange(10), rng.randrange(1000), rng.randrange(100_000))))
            case "h":
                return f"{rng.getrandbits(rng.choice((32, 64, 128))):x}"
            case "t":
                return stamp(rng)
            case "g":
                return rng.choice(GOODS)
            case "A":
                return "".join(rng.choices("ABCDEFGHIKLMNPRSTUVX", k=rng.choice((2, 3, 3, 4, 4, 5))))
            case "Z":
                return rng.choice("ABCJKMNRUX") + rng.choice(("", str(rng.randrange(100)), f"{rng.randrange(100):02}"))
            case _:
                return rng.choice(LOOKS)


def fill(template: str, pool: Pool) -> Row:
    """A template with values for its marks, and their spans."""
    text, spans = "", []
    for part in re.split(r"(\{\{|\}\}|\{[a-zA-Z]\})", template.replace("\\n", "\n").replace("\\t", "\t")):
        if not re.fullmatch(r"\{[a-zA-Z]\}", part):
            text += part[0] if part in ("{{", "}}") else part
            continue
        label, value = pool.value(part[1])
        if label:
            spans.append({"start": len(text), "end": len(text) + len(value), "label": label})
        text += value
    return {"text": text, "spans": spans}


def joined(parts: list[Row], rng: random.Random) -> Row:
    """Several rows as one text."""
    text, spans = rng.choice(FRAMES), []
    for at, part in enumerate(parts):
        text += rng.choice((" ", " ", "\n", "\n\n")) if at else ""
        spans += [
            {**span, "start": span["start"] + len(text), "end": span["end"] + len(text)} for span in part["spans"]
        ]
        text += part["text"]
    return {"text": text, "spans": spans, "source": "composed"}


def compose(rng: random.Random, pool: Pool, count: int) -> list[Row]:
    """`count` texts of one to three templates, almost half of them without a name."""
    rows = []
    for _ in range(count):
        parts = [fill(rng.choice(rng.choices(GROUPS, SHARES)[0]), pool) for _ in range(rng.choice((1, 1, 2, 3)))]
        rows.append(joined(parts, rng))
    return rows
