"""Documents with true, altered and added sentences of answers, made up by hand.

They are for trying `grounded` and choosing its numbers. No network is trained on them. Each row: a document, sentences that it
supports, sentences that it contradicts, sentences that it does not have. `NOTHING`: sentences that state nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """A document and sentences about it."""

    document: str
    true: tuple[str, ...]
    altered: tuple[str, ...]
    added: tuple[str, ...]


TOLD = (
    Told(
        "The Northgate Library lends books for 21 days. A loan can be renewed twice unless another reader has reserved the "
        "book. Reference works and newspapers are not lent. Readers who return a book late pay 25 cents a day, at most 10 "
        "euros. Children under 14 pay no fines. The library was founded in 1908 by the printer Emil Hartwig.",
        (
            "Books may be kept for three weeks.",
            "You can renew a loan two times, as long as nobody else has reserved the book.",
            "Newspapers cannot be borrowed.",
            "The fine for a late book never exceeds 10 euros.",
            "Late returns cost 25 cents per day.",
            "Kids younger than 14 do not have to pay fines.",
            "Emil Hartwig, a printer, founded the library in 1908.",
            "Books are lent for 21 days and can be renewed twice.",
            "It was founded in 1908.",
            "Reference works stay in the library.",
            "A renewal is not possible if another reader has reserved the book.",
            "The founder of the Northgate Library was Emil Hartwig.",
        ),
        (
            "Books may be kept for 12 days.",
            "A loan cannot be renewed.",
            "Newspapers can be borrowed as well.",
            "Children under 14 have to pay fines.",
            "Children over 14 pay no fines.",
            "The library was founded by the carpenter Emil Hartwig.",
            "Late books cost 10 euros a day.",
            "A loan can be renewed twice even if another reader has reserved the book.",
            "The fine is at least 10 euros.",
            "The library was founded in 1918 by Emil Hartwig.",
        ),
        (
            "The library offers guided tours on Saturdays.",
            "Members can also borrow films and music.",
            "Emil Hartwig was born in Hamburg.",
            "Readers need a card, which costs 15 euros a year.",
            "Books are lent for 21 days, and films for 7 days.",
            "The building was renovated after a fire.",
        ),
    ),
    Told(
        "The Velta X3 e-bike has a range of up to 120 km in eco mode and 60 km in sport mode. Its battery is charged in 4 "
        "hours with the standard charger. The fast charger, which is sold separately, needs 90 minutes. The motor assists up "
        "to 25 km/h. The frame is guaranteed for ten years, the battery for two. The guarantee does not cover wear parts such "
        "as brake pads.",
        (
            "In eco mode the bike reaches up to 120 km.",
            "Sport mode halves the range to 60 km.",
            "Charging takes four hours with the standard charger.",
            "With the fast charger, the battery is full after an hour and a half.",
            "The fast charger is not included.",
            "Above 25 km/h the motor gives no assistance.",
            "There is a ten-year guarantee on the frame.",
            "The battery is guaranteed for 24 months.",
            "Brake pads are excluded from the guarantee.",
            "The guarantee on the frame lasts longer than that on the battery.",
            "The Velta X3 has less range in sport mode than in eco mode.",
            "Wear parts are not covered by the guarantee.",
        ),
        (
            "In sport mode the bike reaches up to 120 km.",
            "The fast charger is included in the price.",
            "Charging takes nine hours with the standard charger.",
            "The battery is guaranteed for ten years, the frame for two.",
            "Brake pads are covered by the guarantee.",
            "The motor assists up to 45 km/h.",
            "The frame is not guaranteed.",
            "With the standard charger the battery is full after 90 minutes.",
            "The guarantee of the battery is 36 months.",
        ),
        (
            "The bike weighs 19 kg.",
            "The display connects to a phone by Bluetooth.",
            "A second battery can be mounted on the rear rack.",
            "The motor is made by Bosch.",
            "The battery can be removed and charged indoors.",
            "The frame comes in black and in green.",
        ),
    ),
    Told(
        "Employees may work from home on up to two days a week. Requests are sent to the team lead at least one week in "
        "advance. New employees cannot work from home during their first three months. Equipment is provided by the IT "
        "department; private computers must not be used for work. Core hours are from 10 am to 3 pm, during which everyone "
        "must be reachable. Overtime must be approved by the department head before it is worked.",
        (
            "Working from home is allowed on at most two days per week.",
            "You have to ask your team lead a week before.",
            "During the first three months, new employees have to work in the office.",
            "The IT department provides the equipment.",
            "It is forbidden to use a private computer for work.",
            "Everyone has to be reachable between 10 am and 3 pm.",
            "Core hours last until 15:00.",
            "The department head has to approve overtime in advance.",
            "New staff may not work from home for the first three months, and later on up to two days a week.",
            "Overtime needs the approval of the department head.",
            "Employees can work at home two days a week.",
        ),
        (
            "Employees may work from home on up to four days a week.",
            "New employees can work from home from their first day.",
            "Requests are sent to the department head at least one week in advance.",
            "Private computers may be used for work.",
            "Nobody has to be reachable during core hours.",
            "Overtime is approved by the team lead.",
            "Overtime may be approved after it is worked.",
            "Core hours begin at 8 am.",
            "Equipment is not provided by the IT department.",
        ),
        (
            "The company pays for the internet connection at home.",
            "Employees who travel get 30 euros a day.",
            "Managers meet their teams every Monday.",
            "The canteen is open from 11:30.",
            "Overtime is paid with a bonus of 25 percent.",
            "Requests are sent through the portal Workline.",
        ),
    ),
    Told(
        "Anna Lindqvist hired Tomas Berg in 2015. Berg had trained Sofia Reyes before he left the Oslo office. Reyes now leads "
        "the team in Madrid, and she reports to Lindqvist. The Madrid team has 14 members; the Oslo team has 9. In 2022 the "
        "company bought Nordfjell AS, a maker of sensors, for 32 million euros. All engineers of Nordfjell stayed.",
        (
            "Tomas Berg was hired by Anna Lindqvist.",
            "Sofia Reyes was trained by Berg.",
            "Reyes is the head of the team in Madrid.",
            "Lindqvist is Reyes's superior.",
            "The team in Madrid is larger than the one in Oslo.",
            "Nordfjell AS was acquired in 2022.",
            "The company paid 32 million euros for Nordfjell.",
            "None of Nordfjell's engineers left.",
            "Nordfjell AS makes sensors.",
            "Berg no longer works in the Oslo office.",
            "There are nine people in the Oslo team.",
            "Berg, who was hired in 2015, trained Reyes.",
        ),
        (
            "Anna Lindqvist was hired by Tomas Berg in 2015.",
            "Sofia Reyes trained Berg.",
            "Lindqvist reports to Reyes.",
            "The Oslo team has 14 members.",
            "Nordfjell bought the company in 2022.",
            "Most engineers of Nordfjell left.",
            "Berg leads the team in Madrid.",
            "The company bought Nordfjell AS for 32 billion euros.",
            "Reyes leads the team in Oslo.",
            "Nordfjell AS was bought in 2012.",
        ),
        (
            "Sofia Reyes studied physics in Barcelona.",
            "The company has 240 employees.",
            "Nordfjell AS has its seat in Bergen.",
            "The company plans to open an office in Lisbon.",
            "Tomas Berg now works for a competitor.",
            "Lindqvist founded the company.",
        ),
    ),
    Told(
        "Store the vaccine between 2 and 8 degrees Celsius. Do not freeze it. Once opened, a vial must be used within six "
        "hours. Adults receive two doses, four weeks apart; children under twelve receive a single dose. Fever on the day "
        "after the injection is common and passes without treatment. Patients with an allergy to eggs should not be "
        "vaccinated. The vaccine may be given during pregnancy.",
        (
            "The vaccine has to be kept at 2 to 8 °C.",
            "The vaccine must not be frozen.",
            "An opened vial has to be used within six hours.",
            "There are four weeks between the two doses for adults.",
            "Children under twelve get only one dose.",
            "Many patients have a fever the day after the injection.",
            "A fever after the injection needs no treatment.",
            "People who are allergic to eggs should not get the vaccine.",
            "Pregnant women can be vaccinated.",
            "Adults get the second dose a month after the first.",
            "Six hours after opening, a vial can no longer be used.",
        ),
        (
            "The vaccine may be frozen.",
            "Store the vaccine at room temperature.",
            "An opened vial can be used for six days.",
            "Children under twelve receive two doses.",
            "Adults receive a single dose.",
            "Fever on the day after the injection is rare.",
            "Patients with an allergy to eggs can be vaccinated.",
            "The vaccine must not be given during pregnancy.",
            "The doses are given four days apart.",
            "A fever after the injection must be treated.",
        ),
        (
            "The vaccine protects for about ten years.",
            "The injection is given in the upper arm.",
            "Patients should avoid sports for two days.",
            "The vaccine is made in Belgium.",
            "Adults receive two doses and a booster after a year.",
            "Vials hold ten doses each.",
        ),
    ),
    Told(
        "The council voted on the new tram line on 4 May. Twelve members were in favour, seven against and two abstained. "
        "Construction begins in March 2026 and should take about three years. The line will connect the university with the "
        "main station and have eleven stops. Costs are estimated at 148 million euros, of which the state pays 60 percent. "
        "Shop owners in Harbour Street fear losses during construction. The mayor promised them compensation.",
        (
            "The council approved the tram line.",
            "Seven members voted against the line.",
            "Two members of the council abstained.",
            "Work starts in March 2026.",
            "The tram will run between the university and the main station.",
            "There will be eleven stops.",
            "The state bears 60 percent of the costs.",
            "The line is expected to cost 148 million euros.",
            "Shop owners in Harbour Street are worried about losses.",
            "The mayor has promised to compensate the shop owners.",
            "More members voted for the line than against it.",
            "Construction will take roughly three years and begin in March 2026.",
        ),
        (
            "The council rejected the tram line.",
            "Twelve members were against the line and seven in favour.",
            "Construction begins in May 2026.",
            "The line will connect the airport with the main station.",
            "The state pays nothing.",
            "The city pays 60 percent of the costs.",
            "The mayor refused to compensate the shop owners.",
            "Shop owners promised the mayor compensation.",
            "No member abstained.",
            "Construction ends in March 2026.",
            "Shop owners in Harbour Street welcome the construction.",
        ),
        (
            "The trams will run every six minutes.",
            "The mayor belongs to the Green Party.",
            "Residents have filed a suit against the line.",
            "A ticket will cost 2.80 euros.",
            "The trams are built by Siemens.",
            "The university has 30,000 students.",
        ),
    ),
    Told(
        "To return an item, log in to your account and open the page Orders. Choose the item and print the label. Returns are "
        "free within 30 days; after that, 4.90 euros are deducted. Refunds are made to the original means of payment within "
        "five working days after we receive the item. Underwear and opened software cannot be returned. Items bought in a shop "
        "must be returned in a shop. Gift cards never expire.",
        (
            "Returns cost nothing during the first 30 days.",
            "After 30 days, a return costs 4.90 euros.",
            "You get the money back on the means of payment that you used.",
            "The refund arrives within five working days of receipt of the item.",
            "Opened software is excluded from returns.",
            "What you bought in a shop has to be brought back to a shop.",
            "Gift cards have no expiry date.",
            "You find the item on the page Orders of your account.",
            "Print the label after you have chosen the item.",
            "Underwear can't be sent back.",
            "Gift cards do not expire, and returns are free within 30 days.",
        ),
        (
            "Returns are free within 60 days.",
            "Gift cards expire after three years.",
            "Opened software can be returned.",
            "Refunds are made by voucher only.",
            "Items bought in a shop can be returned online.",
            "Returns are never free.",
            "Underwear may be returned within 30 days.",
            "Refunds are made within five working days after you order the item.",
            "Within 30 days, 4.90 euros are deducted.",
        ),
        (
            "Delivery is free from 50 euros.",
            "Customers in Switzerland pay customs duties.",
            "You can also exchange an item for another size.",
            "Refunds above 500 euros must be confirmed by phone.",
            "The label is also sent by email.",
            "Gift cards can be bought at supermarkets.",
        ),
    ),
    Told(
        "Deploys run every weekday at 14:00 UTC from the branch release. A deploy is stopped automatically when the error rate "
        "rises above 2 percent. Only the on-call engineer can roll back. Database migrations are not rolled back; they have to "
        "be written so that the old code still works. Secrets live in Vault and are rotated every 90 days. The staging cluster "
        "has three nodes, production has eighteen. Logs are kept for 30 days, audit logs for seven years.",
        (
            "A deploy takes place each weekday at 2 pm UTC.",
            "There are no deploys on weekends.",
            "If more than 2 percent of requests fail, the deploy stops by itself.",
            "Rolling back is reserved for the on-call engineer.",
            "Migrations of the database cannot be rolled back.",
            "Secrets are rotated every three months.",
            "Secrets are stored in Vault.",
            "Production has eighteen nodes.",
            "The staging cluster is smaller than production.",
            "Audit logs are kept for seven years.",
            "Ordinary logs are deleted after 30 days.",
            "Old code must still work after a migration.",
            "Deploys come from the branch release.",
        ),
        (
            "Deploys run every weekday at 4:00 UTC.",
            "Any engineer can roll back.",
            "Database migrations are rolled back automatically.",
            "Audit logs are kept for 30 days.",
            "Secrets are rotated every 90 hours.",
            "The staging cluster has eighteen nodes.",
            "Deploys run on weekends only.",
            "Secrets are never rotated.",
            "A deploy is stopped when the error rate falls below 2 percent.",
            "Logs are kept for seven years and audit logs for 30 days.",
        ),
        (
            "Alerts go to the channel ops-critical.",
            "The clusters run in Frankfurt.",
            "A deploy takes about 25 minutes.",
            "Migrations are reviewed by two people.",
            "Backups are made every night.",
            "Engineers are on call for one week.",
        ),
    ),
)
NOTHING = (
    "I could not find anything about this in the documents.",
    "Hello!",
    "Thank you for your question.",
    "The documents do not say how much it costs.",
    "Would you like to know more?",
    "I hope this helps!",
    "Let me know if you have further questions.",
    "In my opinion, that is a good offer.",
    "Please contact the support team for details.",
    "Sure, here is a summary:",
    "There is no information about opening hours in the provided text.",
    "I'm sorry, but I don't know that.",
    "Feel free to ask if anything is unclear.",
    "Here are the main points:",
    "I think you should ask them directly.",
    "Unfortunately, the text doesn't mention the price.",
    "Great question!",
    "As an AI, I cannot give legal advice.",
    "You may want to check their website.",
)
