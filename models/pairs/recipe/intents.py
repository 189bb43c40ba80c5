"""What people want to do, and what they ask or say about it: the same in other words, or nearly the same.

An intent is an action, in several verbs that mean the same for its objects, and an object, in several nouns. It is asked
about in one of several ways (how, how much, how long, where, who, ...), each with several wordings. Two questions are the same
if action, object, way and qualifier are the same. Statements are made in the same manner: what may, must, need not or cannot be
done.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from models.pairs.recipe import slots as s
from models.pairs.recipe.relations import CONTRADICTS, ENTAILS, NEUTRAL, Pair

# Verbs that mean the same for all objects of their line; then the objects, whose nouns after "=" mean the same.
_ACTIONS = [
    tuple([part.split("=") for part in side.split(";")] for side in line.strip().split(":"))
    for line in """
    reset=set anew=set again:my password=my login password;the alarm=the alarm clock;my PIN=my PIN code
    change=modify=alter:my password=my login password;my email address=the email address of my account;
    the delivery address=the address for delivery;my plan=my tariff;the language=the language setting
    delete=remove=erase=get rid of:my account=my user account;a photo=a picture;an old message=an old mail;
    my search history=the history of my searches
    cancel=call off=annul:my order=my purchase;a booking=a reservation;an appointment=a meeting;
    my flight=my plane ticket
    end=terminate=stop=quit:my subscription=my subscription plan;my contract=my agreement;
    the trial=the trial period;my membership=my club membership
    extend=prolong=renew:my subscription=my subscription plan;my contract=my agreement;the trial=the trial period;
    my visa=my travel visa;a library book=a borrowed book
    pay=settle:an invoice=a bill;a parking ticket=a parking fine;the rent=the monthly rent;my taxes=my tax bill
    dispute=contest=object to:an invoice=a bill;a parking ticket=a parking fine;a charge on my card=a card charge
    download=get a copy of=save a copy of:an invoice=a bill;the manual=the instruction book;
    my data=my personal data;a statement=an account statement
    upload=send in=hand in:a document=a file;a photo=a picture;my essay=my paper;a receipt=a proof of purchase
    print=print out:a label=a sticker;a ticket=my ticket;a document=a file;a photo=a picture
    share=pass on:a document=a file;a photo=a picture;my location=my position;a recipe=a cooking recipe
    return=send back=give back:a pair of shoes=shoes;a faulty product=a broken item;a gift=a present;
    a rented car=a hire car
    exchange=swap:a pair of shoes=shoes;a gift=a present;foreign money=foreign currency;a faulty product=a broken item
    buy=purchase=get:a ticket=my ticket;a used car=a second-hand car;a house=a home;shares=stocks
    sell:a ticket=my ticket;a used car=a second-hand car;a house=a home;shares=stocks
    rent=hire:a car=an automobile;a bike=a bicycle;a flat=an apartment;a boat=a small boat
    repair=fix=mend:a flat tyre=a punctured tyre;a leaking tap=a dripping faucet;a broken zip=a zip that is stuck;
    a washing machine=a washer
    replace=put in a new one for=change out:a flat tyre=a punctured tyre;a light bulb=a lamp bulb;
    the battery=the accumulator;a lost card=a missing card
    install=set up:an update=a new version;a printer=a new printer;a smoke alarm=a smoke detector;
    the app=the application
    uninstall=remove from my device:an update=a new version;the app=the application;a browser extension=a browser add-on
    turn on=switch on=activate=enable:notifications=alerts;two-factor login=two-step login;the heating=the heater;
    dark mode=the dark theme
    turn off=switch off=deactivate=disable:notifications=alerts;two-factor login=two-step login;
    the heating=the heater;dark mode=the dark theme
    block=shut out:a caller=a phone number;a user=another member;my card=my credit card;pop-ups=pop-up windows
    unblock=allow again:a caller=a phone number;a user=another member;my card=my credit card
    open=set up:a bank account=an account at a bank;a shop=a store;a savings account=an account for savings
    close=shut down:a bank account=an account at a bank;a shop=a store;a savings account=an account for savings
    transfer=wire=send:money abroad=money to another country;my domain=my web domain;a file=a document
    withdraw=take out:cash=money in notes;my savings=the money that I saved
    grow=raise=cultivate:tomatoes=tomato plants;herbs indoors=herbs in the house;roses=rose bushes
    cook=prepare=make:rice=plain rice;a steak=a beef steak;pancakes=flapjacks;pasta=noodles
    freeze=put in the freezer:bread=a loaf of bread;cooked rice=rice that was cooked;herbs=fresh herbs
    defrost=thaw:a freezer=the freezer;frozen meat=meat from the freezer;bread=a loaf of bread
    clean=wash:an oven=a dirty oven;suede shoes=shoes made of suede;a keyboard=a computer keyboard;windows=window panes
    paint=put paint on:a wall=a wall of a room;a fence=a garden fence;a door=a wooden door
    learn=study=pick up:French=the French language;chess=the game of chess;the guitar=to play the guitar;
    programming=to write programs
    teach=give lessons in:French=the French language;chess=the game of chess;programming=how to write programs
    apply for=request=put in for:a job=a position;a passport=a travel passport;a loan=a credit;
    parental leave=leave for parents;a grant=a stipend
    reject=turn down=decline:a job offer=an offer of a job;an invitation=a request to come;
    a loan offer=an offer of credit
    accept=agree to=say yes to:a job offer=an offer of a job;an invitation=a request to come;
    a loan offer=an offer of credit
    train=exercise=drill:a puppy=a young dog;my memory=my power to remember;my back=my back muscles
    lose=shed:weight=body weight;belly fat=fat around the waist
    gain=put on:weight=body weight;muscle=muscle mass
    treat=cure=heal:a burn=a burnt hand;a cold=the common cold;a sunburn=skin burnt by the sun
    prevent=avoid=guard against:a burn=a burnt hand;a cold=the common cold;a sunburn=skin burnt by the sun;mould=mildew
    convert=turn into another format:a PDF=a PDF file;a video=a film clip;an image=a picture file
    compress=make smaller=shrink:a PDF=a PDF file;a video=a film clip;an image=a picture file
    back up=make a backup of=save a copy of:my phone=my mobile phone;a database=a data base;my photos=my pictures
    restore=recover=get back:my phone=my mobile phone;a database=a data base;deleted photos=pictures that I deleted
    find=locate:the serial number=the number of the device;a lost phone=a missing phone;
    a good doctor=a good physician;a flat=an apartment
    report=notify you of:a bug=a software error;a theft=something stolen;an accident=a crash;
    a missing parcel=a package that did not come
    track=follow:my order=my purchase;a parcel=a package;my spending=what I spend
    write=draft=compose:a cover letter=a letter of application;a complaint=a letter of complaint;
    a will=a testament;a poem=some verses
    translate=put into English:a letter=a piece of mail;a website=a web page;a birth certificate=a certificate of birth
    register=enrol=sign up:for a course=for a class;for the newsletter=for the mailing list;to vote=as a voter
    drop out=withdraw=sign off:of a course=of a class;of the newsletter=of the mailing list
    """.strip()
    .replace(";\n    ", ";")
    .splitlines()
]
# For each way to ask: wordings, in which {d} is the action with its object and qualifier.
_ASKS = {
    "how": (
        "How do I {d}? | How can I {d}? | How could one {d}? | What do I have to do to {d}? | What must I do in"
        " order to {d}? | I want to {d}."
        " How does that work? | Tell me how to {d} | What is the best way to {d}? | Please explain how to {d} |"
        " Steps to {d} | I need to"
        " {d}, what should I do? | how to {d} | Can you show me how to {d}? | I would like to {d} but I do not know"
        " how | What are the steps"
        " if I want to {d}? | Which steps are needed to {d}? | How would I go about it if I wanted to {d}? | Help"
        " me {d} | I'm trying to {d}."
        " Any advice? | In what way can I {d}?"
    ),
    "cost": (
        "How much does it cost to {d}? | What does it cost to {d}? | What is the price if I want to {d}? | What do"
        " I pay to {d}? | How much"
        " money do I need to {d}? | How expensive is it to {d}? | What would I be charged to {d}? | what's the fee"
        " to {d}"
    ),
    "time": (
        "How long does it take to {d}? | How much time do I need to {d}? | How many hours does it take to {d}? |"
        " What time does one need to {d}?"
        " | If I want to {d}, how long will that take? | Does it take long to {d}, and how long?"
    ),
    "where": (
        "Where can I {d}? | Where do I {d}? | In which place can I {d}? | Where is it possible to {d}? | I want to"
        " {d}. Where do I have to go?"
        " | Where should I go to {d}?"
    ),
    "when": (
        "When can I {d}? | At what time can I {d}? | From when on may I {d}? | When is it possible to {d}? | What"
        " is the right time to {d}? | On"
        " which day can I {d}?"
    ),
    "who": "Who can {d}? | Who is able to {d}? | Which people can {d}? | Who is allowed to {d}? | Which person may"
    " {d}?",
    "why": (
        "Why should I {d}? | What is the reason to {d}? | For what reason should one {d}? | What is the point if I"
        " {d}? | Why would anybody {d}?"
    ),
    "whether": (
        "Can I {d}? | Am I allowed to {d}? | Is it possible to {d}? | May I {d}? | Is it okay if I {d}? | Would it"
        " be possible for me to {d}?"
    ),
    "duty": (
        "Do I have to {d}? | Must I {d}? | Is it necessary to {d}? | Am I required to {d}? | Is one obliged to {d}?"
        " | Do I really need to {d}?"
    ),
    "then": "What happens if I {d}? | What follows when I {d}? | What are the consequences if I {d}? | If I {d},"
    " what happens then?",
    "then not": (
        "What happens if I do not {d}? | What follows when I don't {d}? | What are the consequences if I never {d}?"
        " | If I fail to {d}, what"
        " happens then?"
    ),
    "needs": (
        "What do I need to {d}? | Which things do I need to {d}? | What is required to {d}? | What should I have at"
        " hand to {d}? | Which tools or"
        " papers do I need to {d}?"
    ),
    "risk": "Is it dangerous to {d}? | Is it risky to {d}? | What are the dangers if I {d}? | Which risks are there"
    " when I {d}?",
}
ASKS = {way: [part.strip() for part in text.split(" | ")] for way, text in _ASKS.items()}
# What is said; ways of one line mean the same.
SAYS = {
    way: [part.strip() for part in text.split(" | ")]
    for way, text in {
        "may": "You can {d} | It is possible to {d} | You are allowed to {d} | Customers may {d} | Nothing keeps"
        " you from it if you want to {d}",
        "may not": "You cannot {d} | It is not possible to {d} | You are not allowed to {d} | Customers may not {d}"
        " | Nobody is able to {d}",
        "must": "You must {d} | You have to {d} | It is necessary to {d} | You are required to {d} | Everybody is"
        " obliged to {d}",
        "need not": "You need not {d} | You do not have to {d} | It is not necessary to {d} | Nobody is required to"
        " {d} | There is no need to {d}",
        "costs": "It costs {n} to {d} | You pay {n} to {d} | To {d} costs {n} | The fee is {n} if you want to {d} |"
        " You are charged {n} to {d}",
        "free": "It costs nothing to {d} | You can {d} for free | To {d} is free of charge | There is no fee if you"
        " want to {d}",
        "takes": "It takes {t} to {d} | You need {t} to {d} | To {d} takes {t} | Count on {t} if you want to {d} |"
        " {t} is the time it takes to {d}",
    }.items()
}
_CONTRARY = (("may", "may not"), ("may", "must"), ("must", "need not"), ("must", "may not"), ("costs", "free"))
"""Ways that contradict each other, but `may` and `must`, of which the first follows from the second."""
_QUALIFIERS = [
    line.strip().split("=")
    for line in """
    on my phone=on my mobile phone
    on a computer=on a PC
    online=on the web=over the internet
    by post=by mail
    by phone=by telephone
    without a receipt=if I have no receipt
    without an account=if I have no account
    with a credit card=by credit card
    in cash=with cash
    for a child=for a kid
    for a friend=on behalf of a friend
    as a student=when I am a student
    as a beginner=with no experience
    in winter=during the winter
    in summer=during the summer
    at the weekend=on a weekend
    at night=during the night
    abroad=in another country
    in Germany=on German soil
    in Canada=on Canadian soil
    before the deadline=ahead of the deadline
    after the deadline=once the deadline is over
    today=this very day
    tomorrow=on the next day
    next year=in the coming year
    twice=two times
    for two people=for a couple
    for ten people=for a group of ten
    with little money=on a small budget
    at home=in my own home
    """.strip().splitlines()
]


@dataclass(frozen=True, slots=True)
class Intent:
    """An action and its object by their numbers, and a qualifier (-1: none)."""

    action: int
    object: int
    qualifier: int

    def said(self, rng: random.Random) -> str:
        """Says what is to be done, in one of its wordings."""
        verbs, nouns = _ACTIONS[self.action]
        words = f"{rng.choice(verbs[0])} {rng.choice(nouns[self.object])}"
        return words if self.qualifier < 0 else f"{words} {rng.choice(_QUALIFIERS[self.qualifier])}"


def intent(rng: random.Random) -> Intent:
    action = rng.randrange(len(_ACTIONS))
    qualifier = rng.randrange(len(_QUALIFIERS)) if rng.random() < 0.4 else -1
    return Intent(action, rng.randrange(len(_ACTIONS[action][1])), qualifier)


def near(one: Intent, rng: random.Random) -> tuple[Intent, str]:
    """Returns another intent that shares most words with `one`, and what was exchanged."""
    verbs, nouns = _ACTIONS[one.action]
    noun = nouns[one.object][0]
    beside = [
        (action, at)
        for action, (others, theirs) in enumerate(_ACTIONS)
        if action != one.action and not set(others[0]) & set(verbs[0])
        for at, their in enumerate(theirs)
        if their[0] == noun
    ]
    draw = rng.random()
    if beside and draw < 0.5:
        action, at = rng.choice(beside)
        return Intent(action, at, one.qualifier), "another action"
    if len(nouns) > 1 and draw < 0.8:
        at = rng.choice([at for at in range(len(nouns)) if at != one.object])
        return replace(one, object=at), "another object"
    qualifier = rng.choice([at for at in range(-1, len(_QUALIFIERS)) if at != one.qualifier])
    return replace(one, qualifier=qualifier), "another qualifier"


def intent_pairs(rng: random.Random) -> list[Pair]:
    """Returns pairs of questions about an intent, and of statements about it."""
    return _questions(rng) if rng.random() < 0.65 else _statements(rng)


def _wrapped(text: str, rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.12:
        text = rng.choice(["Hi, ", "Hello! ", "Quick question: ", "Please tell me: ", "Sorry to bother you. "]) + text
    elif draw < 0.2:
        text += rng.choice([" Thanks!", " Please help.", " Thank you.", " I could not find it anywhere."])
    if rng.random() < 0.25:
        text = text.lower()
    if rng.random() < 0.2:
        text = text.rstrip("?.")
    return text


def _questions(rng: random.Random) -> list[Pair]:
    one = intent(rng)
    way = rng.choice([*ASKS, "how", "how", "how"])

    def ask(it: Intent, how: str) -> str:
        return _wrapped(rng.choice(ASKS[how]).format(d=it.said(rng)), rng)

    a = ask(one, way)
    found = [Pair(a, ask(one, way), ENTAILS, "intent: reworded"), Pair(ask(one, way), a, ENTAILS, "intent: reworded")]
    other, why = near(one, rng)
    found.append(Pair(a, ask(other, way), NEUTRAL, f"intent: {why}"))
    found.append(Pair(ask(near(one, rng)[0], way), a, NEUTRAL, "intent: another"))
    another = rng.choice([name for name in ASKS if name != way])
    if {way, another} != {"whether", "how"}:  # who asks whether it is possible often wants to know how
        found.append(Pair(a, ask(one, another), NEUTRAL, "intent: asked in another way"))
    return found


def _statements(rng: random.Random) -> list[Pair]:
    one, way = intent(rng), rng.choice(list(SAYS))
    values = {"n": s.money(rng), "t": s.span(rng)}

    def say(it: Intent, how: str, **new: str) -> str:
        words = it.said(rng).replace("my ", "your ").replace(" I ", " you ").replace(" I'", " you'")
        text = rng.choice(SAYS[how]).format(d=words, **{**values, **new})
        return text[:1].upper() + text[1:] + rng.choice([".", ""])

    a = say(one, way)
    found = [Pair(a, say(one, way), ENTAILS, "intent said: reworded")]
    other, why = near(one, rng)
    found.append(Pair(a, say(other, way), NEUTRAL, f"intent said: {why}"))
    for two in _CONTRARY:
        if way in two:
            against = two[1 - two.index(way)]
            if set(two) == {"may", "must"}:
                found.append(
                    Pair(a, say(one, against), ENTAILS if way == "must" else NEUTRAL, "intent said: may and must")
                )
            else:
                found.append(Pair(a, say(one, against), CONTRADICTS, "intent said: contrary"))
            found.append(Pair(a, say(other, against), NEUTRAL, "intent said: contrary of another"))
    if way in ("costs", "takes"):
        slot, make = ("n", s.money) if way == "costs" else ("t", s.span)
        if (new := make(rng)) != values[slot]:
            found.append(Pair(a, say(one, way, **{slot: new}), CONTRADICTS, "intent said: another amount"))
    if one.qualifier >= 0 and way in ("may", "costs", "takes"):
        found.append(Pair(say(replace(one, qualifier=-1), way), a, NEUTRAL, "intent said: more than was said"))
    return found
