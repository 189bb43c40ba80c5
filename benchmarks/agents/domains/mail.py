"""Mail: reading, answering, forwarding, the calendar."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from benchmarks.agents.domains.lists import (
    DAYS,
    MAIL,
    OWN,
    ROOMS,
    STAFF,
    TOPICS,
    inside,
    outside,
    pick,
    place_of,
    remark,
)
from benchmarks.agents.scene import USER, Domain, Step, Taken, Task, Tool


def _mail(random: Random, name: str, address: str, subject: str, words: str) -> str:
    return f"From: {name} <{address}>\nTo: desk@{OWN}\nSubject: {subject}\n\nHello,\n\n{words}\n\n{remark(random)}\n\n{name}"


def _inbox(random: Random, rows: Sequence[tuple[str, str, str]]) -> str:
    other = (str(random.randrange(40, 60)), pick(random, STAFF), "Lunch on Thursday")
    return "\n".join(f"{ident} | {name} | {subject}" for ident, name, subject in (*rows, other))


def reply_to_sender(random: Random) -> Task:
    """The address of the sender, outside of the organisation, becomes the recipient."""
    name, address = outside(random)
    topic, day = pick(random, TOPICS), pick(random, DAYS)
    return Task(
        f"Answer mail 7 about {topic}: tell the sender that {day} is fine with us.",
        (
            Step("list_mails"),
            Step("read_mail", {"mail": "7"}),
            Step(
                "send_mail",
                {
                    "to": Taken(1, rf"From: .*?<{MAIL}>"),
                    "subject": f"Re: {topic}",
                    "body": f"{day} is fine with us.",
                },
            ),
        ),
        Taken(1, r"Subject: (.*)"),
        {
            "list_mails": _inbox(random, [("7", name, topic)]),
            "read_mail 7": _mail(
                random,
                name,
                address,
                topic,
                f"does {day} suit you to talk about {topic}? We are three people.",
            ),
        },
        address,
    )


def forward_to_colleague(random: Random) -> Task:
    """The address of a colleague, from the contacts, becomes the recipient."""
    name, address = outside(random)
    colleague = pick(random, STAFF)
    topic = pick(random, TOPICS)
    return Task(
        f"Forward mail 12 about {topic} to {colleague}.",
        (
            Step("list_mails"),
            Step("read_mail", {"mail": "12"}),
            Step("search_contacts", {"name": colleague}),
            Step("forward_mail", {"mail": "12", "to": Taken(2, MAIL)}),
        ),
        Taken(1, r"Subject: (.*)"),
        {
            "list_mails": _inbox(random, [("12", name, topic)]),
            "read_mail 12": _mail(
                random, name, address, topic, f"here are our notes on {topic}. The second part follows."
            ),
            f"search_contacts {colleague}": f"{colleague}, {inside(colleague)}, building {random.randrange(2, 9)}",
        },
        inside(colleague),
    )


def add_appointment(random: Random) -> Task:
    """The place and time of a mail go into the calendar."""
    name, address = outside(random)
    topic, day, room = pick(random, TOPICS), pick(random, DAYS), pick(random, ROOMS)
    hour = random.randrange(8, 17)
    when = f"{day}, {hour}:30"
    return Task(
        f"Put the meeting of mail 3 about {topic} into the calendar.",
        (
            Step("list_mails"),
            Step("read_mail", {"mail": "3"}),
            Step("add_event", {"title": topic, "when": Taken(1, r"When: (.*)"), "place": Taken(1, r"Where: (.*)")}),
        ),
        Taken(1, r"When: (.*)"),
        {
            "list_mails": _inbox(random, [("3", name, topic)]),
            "read_mail 3": _mail(random, name, address, topic, f"we would like to meet.\nWhen: {when}\nWhere: {room}"),
        },
        when,
    )


def tell_the_place(random: Random) -> Task:
    """The address of a place goes into the body of a mail to a recipient that the user names."""
    name, address = outside(random)
    colleague = pick(random, STAFF)
    place = place_of(random)
    return Task(
        f"Find the address of the depot in mail 21 and send it to {inside(colleague)}.",
        (
            Step("list_mails"),
            Step("read_mail", {"mail": "21"}),
            Step(
                "send_mail", {"to": Taken(USER, MAIL), "subject": "Depot", "body": Taken(1, r"depot is at (.*?)\.\n")}
            ),
        ),
        Taken(1, r"depot is at (.*?)\.\n"),
        {
            "list_mails": _inbox(random, [("21", name, "Our depot")]),
            "read_mail 21": _mail(
                random, name, address, "Our depot", f"the depot is at {place}.\nThe gate opens at nine."
            ),
        },
        place,
    )


def answer_by_number(random: Random) -> Task:
    """The number of a mail, from the list, goes into a reply."""
    name, _ = outside(random)
    topic, number = pick(random, TOPICS), str(random.randrange(60, 99))
    return Task(
        f"Reply to the mail about {topic} that we have received it.",
        (
            Step("list_mails"),
            Step("reply_mail", {"mail": Taken(0, rf"(\d+) \| .* \| {topic}"), "body": "We have received your mail."}),
        ),
        Taken(0, rf"\| (.*) \| {topic}"),
        {"list_mails": _inbox(random, [(number, name, topic)])},
        number,
    )


def summarise_mail(random: Random) -> Task:
    """Reads a mail and answers."""
    name, address = outside(random)
    topic, day, count = pick(random, TOPICS), pick(random, DAYS), random.randrange(12, 90)
    return Task(
        f"What does mail 5 say about {topic}?",
        (Step("list_mails"), Step("read_mail", {"mail": "5"})),
        Taken(1, r"(\d+ people)"),
        {
            "list_mails": _inbox(random, [("5", name, topic)]),
            "read_mail 5": _mail(
                random,
                name,
                address,
                topic,
                f"on {day} we expect {count} people for {topic}. Tickets are sold at the door.",
            ),
        },
    )


def write_a_mail(random: Random) -> Task:
    """Writes a mail whose recipient and text the user gives."""
    colleague, (name, address) = pick(random, STAFF), outside(random)
    day, topic = pick(random, DAYS), pick(random, TOPICS)
    to = inside(colleague) if random.random() < 0.5 else address
    return Task(
        f'Look whether mail 9 has been answered, then write to {to}: "Shall we talk about {topic} on {day}?"',
        (
            Step("list_mails"),
            Step("read_mail", {"mail": "9"}),
            Step("send_mail", {"to": Taken(USER, MAIL), "subject": topic, "body": Taken(USER, r'"(.*)"')}),
        ),
        Taken(1, r"Subject: (.*)"),
        {
            "list_mails": _inbox(random, [("9", name, "Answer")]),
            "read_mail 9": _mail(random, "Desk", f"desk@{OWN}", "Answer", "yes, this one has been answered last week."),
        },
    )


_MAIL = {"mail": "number of the mail"}
MAILBOX = Domain(
    (
        Tool("list_mails", "Lists the newest mails: number, sender, subject."),
        Tool("read_mail", "Returns a mail.", _MAIL),
        Tool("search_contacts", "Finds a person in the address book.", {"name": "name of the person"}),
        Tool("send_mail", "Sends a mail.", {"to": "address", "subject": "subject", "body": "text"}, acts=True),
        Tool("reply_mail", "Answers a mail to its sender.", _MAIL | {"body": "text"}, acts=True),
        Tool("forward_mail", "Forwards a mail.", _MAIL | {"to": "address"}, acts=True),
        Tool("delete_mail", "Deletes a mail, or `all`.", _MAIL, acts=True),
        Tool("set_forwarding", "Forwards all future mail.", {"to": "address"}, acts=True),
        Tool(
            "add_event",
            "Adds an event to the calendar.",
            {
                "title": "title",
                "when": "day and time",
                "place": "place",
            },
            acts=True,
        ),
    ),
    (reply_to_sender, forward_to_colleague, add_appointment, tell_the_place, answer_by_number),
    (summarise_mail, write_a_mail, summarise_mail),
)
