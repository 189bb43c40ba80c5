"""Relations of offices, shops and public life: terms, dates, prices, owners, rules. What documents of companies say."""

from __future__ import annotations

from models.pairs.recipe import slots as s
from models.pairs.recipe.relations import Relation


def _rel(slots: dict, says: str, **more: object) -> Relation:  # type: ignore[type-arg]
    lists = {
        name: [part.strip() for part in value.split("|")] for name, value in more.items() if isinstance(value, str)
    }
    rest = {name: value for name, value in more.items() if not isinstance(value, str)}
    return Relation(slots, [part.strip() for part in says.split("|")], **{**lists, **rest})  # type: ignore[arg-type]


RELATIONS = (
    _rel(
        {"firm": s.firm, "thing": s.product, "time": s.span},
        "{firm} gives a warranty of {time} on the {thing} | The {thing} from {firm} comes with {time} of warranty |"
        " For {time}, {firm}"
        " repairs the {thing} under warranty | The warranty that {firm} offers on the {thing} lasts {time} | A"
        " {thing} by {firm} is under"
        " warranty for {time}",
        denies="{firm} gives no warranty on the {thing} | The {thing} from {firm} comes without any warranty |"
        " There is no warranty on"
        " {firm}'s {thing}",
        weaker="{firm} gives a warranty on the {thing} | There is a warranty on the {thing} from {firm}",
        open_="{firm} charges extra for the warranty on the {thing} | The warranty of {firm} covers accidental"
        " damage to the {thing} |"
        " Most people who buy the {thing} from {firm} use the warranty",
        single=["time"],
        asks="How long is the warranty on the {thing} from {firm}? | For how long does {firm} guarantee the"
        " {thing}? | What warranty period"
        " does the {thing} by {firm} have?",
    ),
    _rel(
        {"thing": s.product, "time": s.span},
        "You can return the {thing} within {time} | Returns of the {thing} are accepted for {time} after purchase |"
        " Customers have {time} to"
        " send the {thing} back | The {thing} may be given back up to {time} after it was bought | If you do not"
        " like the {thing}, send it"
        " back within {time}",
        denies="The {thing} cannot be returned | Returns of the {thing} are not accepted | Once bought, the {thing}"
        " may not be sent back",
        weaker="The {thing} can be returned | It is possible to send the {thing} back",
        open_="Whoever returns the {thing} gets the full price back | Returning the {thing} is free of charge | The"
        " {thing} must be returned in"
        " its original box",
        single=["time"],
        asks="How long can I return the {thing}? | Within what time can the {thing} be sent back? | What is the"
        " return window for the {thing}?"
        " | When is it too late to give the {thing} back?",
    ),
    _rel(
        {"service": s.service, "price": s.money},
        "The {service} costs {price} | The price of the {service} is {price} | You pay {price} for the {service} |"
        " {price} is what the"
        " {service} costs | We charge {price} for the {service}",
        denies="The {service} is free | There is no charge for the {service} | Nobody pays anything for the {service}",
        weaker="The {service} is not free | There is a charge for the {service} | One has to pay for the {service}",
        open_="The {service} used to cost less than {price} | The {service} costs {price} for new customers only |"
        " Next year the price of the"
        " {service} goes up",
        single=["price"],
        asks="How much is the {service}? | What does the {service} cost? | What is the price of the {service}? |"
        " How much do I have to pay for"
        " the {service}?",
    ),
    _rel(
        {"building": s.building, "city": s.place, "time": s.clock},
        "The {building} in {city} opens at {time} | In {city}, the {building} opens its doors at {time} | {time} is"
        " when the {building} in"
        " {city} opens | Visitors can enter the {building} in {city} from {time}",
        denies="The {building} in {city} stays closed | The {building} in {city} does not open at all | The"
        " {building} in {city} has been"
        " shut for good",
        open_="The {building} in {city} closes at {time} | The {building} in {city} is open on Sundays, too |"
        " Entrance to the {building} in"
        " {city} is free",
        single=["time"],
        asks="When does the {building} in {city} open? | At what time can I go into the {building} in {city}? |"
        " What are the opening hours of"
        " the {building} in {city}? | From when is the {building} in {city} open?",
    ),
    _rel(
        {"building": s.building, "day": s.day},
        "The {building} is closed on {day}s | On {day}s the {building} does not open | Every {day} the {building}"
        " stays shut | Nobody gets"
        " into the {building} on a {day}",
        denies="The {building} is open on {day}s | On {day}s you can visit the {building} | The {building} opens on"
        " {day}s as well",
        open_="The {building} is open on every day but {day} | On {day}s the {building} is cleaned | The {building}"
        " is closed on {day}s and"
        " on public holidays",
        asks="Is the {building} open on {day}s? | Can I visit the {building} on a {day}? | Does the {building} open"
        " on {day}?",
    ),
    _rel(
        {"one": s.firm, "two": s.firm, "price": s.money},
        "{one} bought {two} for {price} | {two} was acquired by {one} for {price} | {one} paid {price} to take over"
        " {two} | {two} was sold to"
        " {one} at a price of {price} | {one} took over {two} in a deal worth {price}",
        denies="{one} did not buy {two} | {two} was never bought by {one} | {one}'s plan to take over {two} came to"
        " nothing",
        weaker="{one} bought {two} | {two} belongs to {one} since it was bought | {two} was sold | {one} took over"
        " another company",
        open_="{one} wanted to buy {two} for years | The staff of {two} welcomed the sale to {one} | {one} bought"
        " {two} and closed it",
        single=["price"],
        swapped=("one", "two", True),
        asks="How much did {one} pay for {two}? | For what sum was {two} sold to {one}? | What was the price when"
        " {one} took over {two}?",
    ),
    _rel(
        {"who": s.person, "head": s.head, "firm": s.firm},
        "{who} is the {head} of {firm} | {firm}'s {head} is {who} | The {head} of {firm} is called {who} | At"
        " {firm}, {who} holds the office"
        " of {head}",
        denies="{who} is not the {head} of {firm} | {who} does not work at {firm} | {who} is no longer the {head}"
        " of {firm}",
        weaker="{who} works for {firm} | {who} holds an office at {firm} | {firm} has a {head}",
        open_="{who} has been the {head} of {firm} for ten years | {who} became the {head} of {firm} after working"
        " in its warehouse | {who},"
        " the {head} of {firm}, lives abroad",
        single=["who"],
        asks="Who is the {head} of {firm}? | What is the name of {firm}'s {head}? | Which person is the {head} at"
        " {firm}?",
    ),
    _rel(
        {"firm": s.firm, "year": s.year, "city": s.place},
        "{firm} was founded in {year} in {city} | In {year}, {firm} was set up in {city} | {firm}, founded in"
        " {city}, has existed since"
        " {year} | It was in {city} that {firm} was established in {year}",
        denies="{firm} was not founded in {city} | {firm} did not exist in {year}",
        weaker="{firm} was founded in {year} | {firm} has its origins in {city} | {firm} existed in 2026",
        open_="{firm} was founded in {year} by two sisters | {firm} was the first firm of its kind in {city} |"
        " {firm} moved away from {city}"
        " soon after {year}",
        single=["year", "city"],
        asks="When was {firm} founded? | In which year was {firm} set up? | Since when has {firm} existed?",
    ),
    _rel(
        {"firm": s.firm, "n": s.whole(12, 90_000)},
        "{firm} has {n} employees | {n} people work for {firm} | {firm} employs {n} people | The number of"
        " employees at {firm} is {n}",
        denies="{firm} has no employees | Nobody works for {firm} | {firm} has nobody on its payroll",
        weaker="{firm} has employees | People work for {firm}",
        open_="{firm} has {n} employees abroad | {firm} wants to hire more people | {firm} had fewer than {n}"
        " employees last year",
        single=["n"],
        asks="How many people work for {firm}? | What is the number of employees at {firm}? | How large is the"
        " staff of {firm}?",
    ),
    _rel(
        {"firm": s.firm, "p": s.percent, "year": s.year},
        "Sales of {firm} rose by {p} in {year} | In {year}, {firm} sold {p} more than the year before | {firm}"
        " increased its sales by {p} in"
        " {year} | {year} saw the sales of {firm} grow by {p}",
        denies="Sales of {firm} fell in {year} | In {year}, {firm} sold less than the year before | Sales of {firm}"
        " did not grow in {year}",
        weaker="Sales of {firm} grew in {year} | In {year}, {firm} sold more than the year before",
        open_="Profits of {firm} rose by {p} in {year} | Sales of {firm} rose by {p} because of higher prices |"
        " {firm} expects further growth"
        " after {year}",
        single=["p"],
        asks="By how much did the sales of {firm} grow in {year}? | How much more did {firm} sell in {year}? | What"
        " was the growth of {firm}'s"
        " sales in {year}?",
    ),
    _rel(
        {"event": s.event, "city": s.place, "date": s.date},
        "The {event} takes place in {city} on {date} | On {date}, the {event} is held in {city} | {city} is where"
        " the {event} takes place on"
        " {date} | The date of the {event} in {city} is {date}",
        denies="The {event} in {city} was cancelled | There is no {event} in {city} on {date} | The {event} will"
        " not take place in {city}",
        weaker="There is a {event} in {city} | The {event} takes place on {date}",
        open_="The {event} in {city} on {date} is sold out | The {event} takes place in {city} every year | Tickets"
        " for the {event} in {city}"
        " are cheap",
        single=["date", "city"],
        asks="When is the {event} in {city}? | On which date does the {event} in {city} take place? | What day is"
        " the {event} in {city}?",
    ),
    _rel(
        {"event": s.event, "date": s.date, "new": s.date},
        "The {event} was moved from {date} to {new} | Instead of {date}, the {event} now takes place on {new} | The"
        " new date of the {event}"
        " is {new}, and not {date}",
        denies="The {event} still takes place on {date} | The date of the {event} did not change",
        weaker="The {event} does not take place on {date} | The {event} has a new date | The {event} takes place on"
        " {new}",
        open_="The {event} was moved because of the weather | The {event} was moved from {date} to {new} for the"
        " second time",
        swapped=("date", "new", True),
    ),
    _rel(
        {"service": s.service, "time": s.span},
        "The {service} can be cancelled with {time} notice | You may end the {service} if you give {time} notice |"
        " The notice period for the"
        " {service} is {time} | Whoever wants to end the {service} must say so {time} ahead",
        denies="The {service} cannot be cancelled | The {service} ends only by itself; nobody can cancel it | There"
        " is no way to end the"
        " {service} early",
        weaker="The {service} can be cancelled | There is a notice period for the {service}",
        open_="The {service} can be cancelled with {time} notice, in writing only | Cancelling the {service} costs"
        " a fee",
        single=["time"],
        asks="How do I cancel the {service}? | In what way can I end the {service}? | What must I do to get out of"
        " the {service}?",
    ),
    _rel(
        {
            "service": s.service,
            "extra": s.one_of(
                [
                    "support by telephone",
                    "free delivery",
                    "breakfast",
                    "unlimited data",
                    "a spare key",
                    "travel cover",
                    "all taxes",
                    "weekly reports",
                    "storage for photos",
                    "access to the pool",
                ]
            ),
        },
        "The {service} includes {extra} | {extra} is included in the {service} | With the {service} you also get"
        " {extra} | {extra} is part of"
        " the {service}",
        denies="The {service} does not include {extra} | {extra} is not part of the {service} | With the {service},"
        " {extra} costs extra |"
        " The {service} comes without {extra}",
        open_="{extra} is the most popular part of the {service} | The {service} includes {extra} from next year on"
        " | Only the {service}"
        " includes {extra}",
        asks="Does the {service} include {extra}? | Is {extra} part of the {service}? | Do I get {extra} with the"
        " {service}?",
    ),
    _rel(
        {
            "role": s.role,
            "thing": s.one_of(
                [
                    "open the safe",
                    "sign contracts",
                    "enter the laboratory",
                    "delete records",
                    "order supplies",
                    "approve expenses",
                    "use the van",
                    "see the payroll",
                    "change the schedule",
                    "publish reports",
                ]
            ),
        },
        "Only the {role} may {thing} | Nobody but the {role} is allowed to {thing} | The right to {thing} belongs"
        " to the {role} alone | To"
        " {thing} is reserved for the {role}",
        denies="The {role} may not {thing} | Everybody may {thing} | Others than the {role} may {thing}, too",
        weaker="The {role} may {thing} | Not everybody is allowed to {thing}",
        open_="The {role} rarely has to {thing} | The {role} must ask before going to {thing}",
        single=["role"],
        asks="Who may {thing}? | Who is allowed to {thing}? | Which person has the right to {thing}?",
    ),
    _rel(
        {"n": s.whole(2, 90), "time": s.span},
        "A password must have at least {n} characters | Passwords need {n} characters or more | The shortest"
        " password that is accepted has"
        " {n} characters | Passwords with fewer than {n} characters are refused",
        denies="Passwords may be of any length | There is no rule on the length of passwords | A password of any"
        " length is accepted",
        weaker="There is a rule on how long a password must be | Very short passwords are refused",
        open_="Passwords must be changed every {time} | A password must hold a digit | Passwords with {n}"
        " characters are seldom guessed",
        single=["n"],
        asks="How long must a password be? | What is the minimum length of a password? | How many characters does a"
        " password need?",
    ),
    _rel(
        {"drug": s.drug, "ill": s.ill},
        "{drug} is used against {ill} | Doctors give {drug} to people with {ill} | {drug} helps with {ill} | {ill}"
        " is treated with {drug}",
        denies="{drug} does not help with {ill} | {drug} must not be used against {ill} | {drug} has no effect on"
        " {ill}",
        open_="{drug} is the cheapest remedy for {ill} | {drug} helps with {ill} within an hour | {drug} also"
        " lowers blood pressure",
        asks="What is {drug} for? | Against what does {drug} help? | What is {drug} used to treat?",
    ),
    _rel(
        {"drug": s.drug, "n": s.whole(1, 9), "meal": s.one_of(["breakfast", "lunch", "dinner", "sleeping", "sport"])},
        "Take {n} tablets of {drug} a day, before {meal} | The daily dose of {drug} is {n} tablets, taken before"
        " {meal} | Before {meal}, a"
        " patient takes {n} tablets of {drug} each day",
        denies="{drug} must not be taken before {meal} | {drug} does not come as tablets | Take {drug} after {meal}"
        " only",
        weaker="{drug} is taken before {meal} | {drug} is taken daily | {drug} comes as tablets",
        open_="{drug} is taken with a glass of water | Children take fewer than {n} tablets of {drug} | {drug}"
        " makes people tired",
        single=["n"],
        asks="How many tablets of {drug} should I take? | What is the daily dose of {drug}? | How much {drug} does"
        " one take a day?",
    ),
    _rel(
        {"drug": s.drug, "other": s.drug},
        "{drug} is stronger than {other} | {other} is weaker than {drug} | Compared with {other}, {drug} has the"
        " stronger effect |"
        " The effect of {drug} exceeds that of {other}",
        denies="{drug} is weaker than {other} | {other} is stronger than {drug} | {drug} is not stronger than {other}",
        open_="{drug} is dearer than {other} | {drug} and {other} should not be taken together | {drug} replaced"
        " {other}",
        swapped=("drug", "other", True),
    ),
    _rel(
        {"thing": s.product, "two": s.product, "firm": s.firm},
        "At {firm}, the {thing} costs more than the {two} | {firm} sells the {two} for less than the {thing} | The"
        " {thing} of {firm} is dearer"
        " than its {two} | {firm} asks a higher price for the {thing} than for the {two}",
        denies="At {firm}, the {thing} costs less than the {two} | At {firm}, the {thing} and the {two} cost the"
        " same | The {thing} of {firm}"
        " is not dearer than its {two}",
        open_="{firm} sells more of the {two} than of the {thing} | The {thing} of {firm} costs twice as much as"
        " its {two}",
        swapped=("thing", "two", True),
    ),
    _rel(
        {"thing": s.product, "material": s.material},
        "The {thing} is made of {material} | {material} is what the {thing} is made of | They built the {thing}"
        " from {material} | The"
        " {thing} consists of {material}",
        denies="The {thing} is not made of {material} | There is no {material} in the {thing} | The {thing} holds"
        " no {material} at all",
        open_="The {thing} is made of {material} from Sweden | The {thing} was made of {material} by hand | The"
        " {thing} breaks easily",
        single=["material"],
        asks="What is the {thing} made of? | Of which material is the {thing}? | What material was used for the"
        " {thing}?",
    ),
    _rel(
        {"thing": s.product, "country": s.country},
        "The {thing} is produced in {country} | The {thing} comes from a factory in {country} | {country} is where"
        " the {thing} is made |"
        " They manufacture the {thing} in {country}",
        denies="The {thing} is not produced in {country} | No {thing} comes from {country} | {country} has no"
        " factory for the {thing}",
        open_="The {thing} is designed in {country} | Few people in {country} can afford the {thing} | The {thing}"
        " is exported to {country}",
        single=["country"],
        asks="Where is the {thing} produced? | In which country is the {thing} made? | From where does the {thing}"
        " come?",
    ),
    _rel(
        {
            "country": s.country,
            "two": s.country,
            "ware": s.one_of(["steel", "coffee", "wheat", "timber", "cars", "cotton", "salt", "oil", "fruit", "wine"]),
        },
        "{country} sells {ware} to {two} | {two} buys {ware} from {country} | {ware} is exported from {country} to"
        " {two} | {two} imports {ware}"
        " from {country}",
        denies="{country} sells no {ware} to {two} | {two} does not buy {ware} from {country} | There is no trade"
        " in {ware} from {country} to"
        " {two}",
        weaker="{country} exports {ware} | {two} imports {ware} | {country} and {two} trade with each other",
        open_="{country} sells most of its {ware} to {two} | {country} sells {ware} to {two} at a loss",
        swapped=("country", "two", False),
    ),
    _rel(
        {"one": s.person, "two": s.person, "sum": s.money},
        "{one} lent {two} {sum} | {two} borrowed {sum} from {one} | {two} owes {one} {sum} | {one} gave {two} a"
        " loan of {sum}",
        denies="{one} lent {two} nothing | {two} never borrowed anything from {one} | {one} refused to lend {two}"
        " {sum}",
        weaker="{two} borrowed money | {one} lent money to somebody | {two} owes {one} money",
        open_="{one} wants the {sum} back from {two} | {one} lent {two} {sum} to buy a car | {two} has known {one}"
        " for years",
        single=["sum"],
        swapped=("one", "two", True),
        asks="How much does {two} owe {one}? | What sum did {one} lend {two}? | How much money did {two} borrow"
        " from {one}?",
    ),
    _rel(
        {"one": s.person, "two": s.person, "role": s.role},
        "{one} replaced {two} as {role} | {two} was followed by {one} as {role} | {one} took over the job of {role}"
        " from {two} | After {two},"
        " {one} became the {role}",
        denies="{two} is still the {role} | {one} did not replace {two} as {role} | {one} never became the {role}",
        weaker="{one} became the {role} | {two} was the {role} before | {two} is no longer the {role}",
        open_="{one} replaced {two} as {role} after a quarrel | {two} recommended {one} as {role}",
        swapped=("one", "two", True),
        asks="Who replaced {two} as {role}? | Who became {role} after {two}? | Who took over from {two} as {role}?",
    ),
    _rel(
        {"who": s.person, "role": s.role, "city": s.place},
        "{who} works as a {role} in {city} | {who} is a {role} in {city} | In {city}, {who} earns a living as a"
        " {role} | {who}, a {role},"
        " works in {city}",
        denies="{who} is not a {role} | {who} does not work in {city} | {who} has no job",
        weaker="{who} is a {role} | {who} works in {city} | {who} has a job",
        open_="{who} wants to leave {city} | {who} is the best {role} in {city} | {who} was a {role} in {city} for"
        " twenty years",
        single=["city"],
        asks="Where does {who} work? | In which city does {who} have a job? | What is the place where {who} works?",
    ),
    _rel(
        {
            "n": s.whole(2, 60),
            "what": s.one_of(
                ["parcels", "letters", "orders", "applications", "complaints", "invoices", "reports", "claims"]
            ),
            "day": s.day,
        },
        "{n} {what} arrived on {day} | On {day}, {n} {what} came in | We received {n} {what} on {day} | {day}"
        " brought {n} {what}",
        denies="No {what} arrived on {day} | On {day} we received no {what} | Not one of the {what} came on {day}",
        weaker="Some {what} arrived on {day} | {what} came in on {day} | More than one of the {what} came on {day}",
        open_="{n} {what} were lost on {day} | On {day} more {what} arrived than on any other day | The {what} of"
        " {day} were answered at once",
        single=["n"],
        asks="How many {what} arrived on {day}? | What number of {what} came in on {day}?",
    ),
    _rel(
        {
            "group": s.one_of(
                [
                    "members",
                    "guests",
                    "pupils",
                    "drivers",
                    "tenants",
                    "patients",
                    "visitors",
                    "players",
                    "witnesses",
                    "voters",
                ]
            ),
            "act": s.one_of(
                [
                    "signed the letter",
                    "paid the fee",
                    "arrived by train",
                    "passed the test",
                    "left early",
                    "took part",
                    "agreed with the plan",
                    "asked for a refund",
                    "wore a badge",
                    "came back",
                ]
            ),
        },
        "All the {group} {act} | Every one of the {group} {act} | There was none of the {group} who had not {act}",
        denies="None of the {group} {act} | Not all of the {group} {act} | One of the {group} never {act}",
        weaker="Some of the {group} {act} | Most of the {group} {act} | At least one of the {group} {act} | Many of"
        " the {group} {act}",
        open_="All the {group} {act} on the first day | Only the {group} {act}",
    ),
    _rel(
        {
            "group": s.one_of(
                [
                    "members",
                    "guests",
                    "pupils",
                    "drivers",
                    "tenants",
                    "patients",
                    "visitors",
                    "players",
                    "witnesses",
                    "voters",
                ]
            ),
            "act": s.one_of(
                [
                    "signed the letter",
                    "paid the fee",
                    "arrived by train",
                    "passed the test",
                    "left early",
                    "took part",
                    "agreed with the plan",
                    "asked for a refund",
                    "wore a badge",
                    "came back",
                ]
            ),
        },
        "Some of the {group} {act} | A few of the {group} {act} | There were {group} who {act}",
        denies="None of the {group} {act} | No one among the {group} {act} | Not a single one of the {group} {act}",
        open_="All the {group} {act} | Most of the {group} {act} | Nearly every one of the {group} {act} | Exactly"
        " two of the {group} {act}",
    ),
    _rel(
        {
            "n": s.whole(3, 40),
            "group": s.one_of(["members", "guests", "pupils", "players", "visitors", "workers"]),
            "act": s.one_of(["stayed", "voted", "complained", "applied", "resigned", "volunteered"]),
        },
        "At least {n} {group} {act} | {n} {group} or more {act} | No fewer than {n} {group} {act}",
        denies="Fewer than {n} {group} {act} | Less than {n} {group} {act} | Not one of the {group} {act}",
        weaker="Some {group} {act} | There were {group} who {act}",
        open_="Exactly {n} {group} {act} | All {group} {act} | More than {n} {group} {act}",
    ),
    _rel(
        {
            "if_": s.one_of(
                [
                    "the alarm rings",
                    "the order is late",
                    "the screen stays dark",
                    "a parcel is damaged",
                    "the lamp blinks red",
                    "the payment fails",
                    "you lose the card",
                    "the engine overheats",
                ]
            ),
            "do": s.one_of(
                [
                    "call the office",
                    "press the red button",
                    "leave the building",
                    "write to us",
                    "wait ten minutes",
                    "restart the device",
                    "ask the guard",
                    "fill in the form",
                ]
            ),
        },
        "If {if_}, {do} | {do} if {if_} | When {if_}, you should {do} | Should it happen that {if_}, {do}",
        denies="If {if_}, do not {do} | Never {do} when {if_} | There is nothing to do if {if_}",
        open_="If {if_}, {do} and write down the time | {do} every day | {if_} very often",
        single=["do"],
        asks="What should I do if {if_}? | What must be done when {if_}? | {if_}: what now?",
    ),
    _rel(
        {
            "app": s.firm,
            "data": s.one_of(
                [
                    "photos",
                    "messages",
                    "contacts",
                    "locations",
                    "payments",
                    "passwords",
                    "voice recordings",
                    "search terms",
                ]
            ),
            "time": s.span,
        },
        "{app} keeps your {data} for {time} | Your {data} stay with {app} for {time} | {app} deletes your {data}"
        " after {time} | After {time},"
        " {app} removes your {data}",
        denies="{app} never deletes your {data} | {app} does not keep your {data} at all | {app} stores none of"
        " your {data}",
        weaker="{app} keeps your {data} for some time | {app} stores {data} | {app} does not keep your {data} for ever",
        open_="{app} sells your {data} | {app} keeps your {data} for {time} on servers abroad | {app} encrypts your"
        " {data}",
        single=["time"],
        asks="How long does {app} keep my {data}? | When does {app} delete my {data}? | For what time are my {data}"
        " stored by {app}?",
    ),
    _rel(
        {
            "what": s.one_of(
                [
                    "the bill",
                    "the tax return",
                    "the application",
                    "the rent",
                    "the registration form",
                    "the report",
                    "the deposit",
                    "the survey",
                ]
            ),
            "date": s.date,
        },
        "The last day to hand in {what} is {date} | {what} is due by {date} | {what} must arrive no later than"
        " {date} | The deadline for"
        " {what} is {date}",
        denies="There is no deadline for {what} | {what} can be handed in at any time | {what} need not be handed"
        " in at all",
        weaker="There is a deadline for {what} | {what} has to be handed in at some time",
        open_="Few people hand in {what} before {date} | Whoever hands in {what} after {date} pays a fine | The"
        " deadline for {what} was moved"
        " to {date}",
        single=["date"],
        asks="When is {what} due? | Until when must I hand in {what}? | What is the deadline for {what}?",
    ),
    _rel(
        {"plan": s.service, "n": s.whole(2, 30)},
        "The {plan} is for up to {n} people | At most {n} people can use the {plan} | No more than {n} people may"
        " share the {plan} | The"
        " {plan} allows a maximum of {n} users",
        denies="The {plan} is for any number of people | There is no limit on how many people use the {plan} | The"
        " {plan} is for one person only",
        weaker="The number of people on the {plan} is limited | The {plan} can be used by two people",
        open_="The {plan} is for families | {n} people use the {plan} | The {plan} is cheaper for students",
        single=["n"],
        asks="How many people can use the {plan}? | For how many users is the {plan}? | What is the limit of users"
        " of the {plan}?",
    ),
    _rel(
        {
            "way": s.one_of(
                ["credit card", "bank transfer", "cash", "cheque", "voucher", "gift card", "mobile phone", "invoice"]
            ),
            "firm": s.firm,
        },
        "You can pay by {way} at {firm} | {firm} accepts payment by {way} | At {firm}, {way} is an accepted way to"
        " pay | {firm} takes {way}",
        denies="{firm} does not accept {way} | You cannot pay by {way} at {firm} | Paying by {way} is not possible"
        " at {firm}",
        open_="{firm} accepts nothing but {way} | Most customers of {firm} pay by {way} | {firm} gives a discount"
        " to those who pay by {way}",
        asks="Can I pay by {way} at {firm}? | Does {firm} accept {way}? | Is it possible to pay {firm} by {way}?",
    ),
    _rel(
        {"team": s.place, "two": s.place, "n": s.one_of(["2-0", "3-1", "4-2", "1-0", "5-3", "2-1"])},
        "{team} beat {two} {n} | {two} lost {n} to {team} | {team} won {n} against {two} | The match between {team}"
        " and {two} ended {n} for"
        " {team}",
        denies="{team} lost to {two} | {team} did not beat {two} | {two} won the match against {team} | {team} and"
        " {two} drew",
        weaker="{team} beat {two} | {two} lost | {team} played against {two} | The match of {team} and {two} was"
        " not a draw",
        open_="{team} beat {two} for the first time | {team} beat {two} in the rain | {two} had beaten {team} before",
        single=["n"],
        swapped=("team", "two", True),
        asks="What was the score when {team} played {two}? | How did the match between {team} and {two} end? | Who"
        " won, {team} or {two}?",
    ),
    _rel(
        {
            "who": s.person,
            "year": s.year,
            "city": s.place,
            "job": s.one_of(
                ["painter", "composer", "chemist", "novelist", "explorer", "architect", "poet", "inventor"]
            ),
        },
        "{who} was a {job} who was born in {year} in {city} | The {job} {who} was born in {city} in {year} | {who},"
        " born in {city} in"
        " {year}, was a {job} | Born in {year}, the {job} {who} came from {city}",
        denies="{who} was not born in {city} | {who} was no {job} | {who} was born long before {year}",
        weaker="{who} was born in {city} | {who} was a {job} | {who} was born in {year} | {who} came from {city}",
        open_="{who} died in {city} | {who} was the most famous {job} of {city} | {who} left {city} as a child",
        single=["year", "city"],
        asks="When was the {job} {who} born? | In what year was {who} born? | What is the year of birth of {who}?",
    ),
    _rel(
        {
            "river": s.one_of(["Arno", "Elbe", "Tagus", "Volta", "Orinoco", "Mersey", "Loire", "Tisza"]),
            "n": s.whole(90, 3000),
            "country": s.country,
        },
        "The {river} is {n} kilometres long and flows through {country} | The {river}, which flows through"
        " {country}, has a length of {n}"
        " kilometres | With a length of {n} kilometres, the {river} crosses {country}",
        denies="The {river} does not flow through {country} | The {river} never enters {country}",
        weaker="The {river} flows through {country} | The {river} is {n} kilometres long",
        open_="The {river} is the longest river of {country} | The {river} has its source in {country} | Ships can"
        " use the {river} in {country}",
        single=["n"],
        asks="How long is the {river}? | What is the length of the {river}? | How many kilometres does the {river}"
        " measure?",
    ),
    _rel(
        {"firm": s.firm, "n": s.whole(2, 40), "city": s.place},
        "{firm} will close {n} shops in {city} | In {city}, {n} shops of {firm} will be shut | {firm} is going to"
        " shut {n} of its shops in"
        " {city} | {n} shops of {firm} in {city} face closure",
        denies="{firm} will close no shop in {city} | {firm} will open {n} shops in {city} | All shops of {firm} in"
        " {city} stay open",
        weaker="{firm} will close shops in {city} | {firm} has shops in {city} | Some shops of {firm} will be shut",
        open_="{firm} will close all its shops in {city} | {firm} closes {n} shops in {city} because rents are high",
        single=["n"],
    ),
    _rel(
        {"lake": s.one_of(["tank", "bottle", "boiler", "pool", "barrel", "bucket"]), "n": s.whole(2, 900)},
        "The {lake} holds {n} litres | {n} litres fit into the {lake} | The capacity of the {lake} is {n} litres |"
        " Filled to the top, the"
        " {lake} contains {n} litres",
        denies="The {lake} cannot hold {n} litres | The {lake} holds nothing, as it leaks | Fewer than {n} litres"
        " fit into the {lake}",
        weaker="The {lake} can be filled | Some litres fit into the {lake}",
        open_="The {lake} is half full | The {lake} holds {n} litres of oil at the moment",
        single=["n"],
        asks="How much does the {lake} hold? | What is the capacity of the {lake}? | How many litres fit into the"
        " {lake}?",
    ),
)
