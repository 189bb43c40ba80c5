"""A shop: orders, invoices, products, refunds."""

from __future__ import annotations

from random import Random

from benchmarks.agents import orders
from benchmarks.agents.domains.lists import (
    DAYS,
    FIRMS,
    IBAN,
    MAIL,
    PRODUCTS,
    number_of,
    outside,
    pick,
    place_of,
    price,
    remark,
)
from benchmarks.agents.scene import USER, Domain, Step, Taken, Task, Tool


def pay_invoice(random: Random) -> Task:
    """The account and the amount of an invoice are paid."""
    firm, amount, account = pick(random, FIRMS), price(random), orders.iban(random)
    number = number_of(random, "R")
    return Task(
        f"Pay invoice {number} of {firm}.",
        (
            Step("list_orders"),
            Step("get_invoice", {"invoice": number}),
            Step(
                "pay_invoice",
                {
                    "invoice": number,
                    "iban": Taken(1, rf"IBAN: {IBAN}"),
                    "amount": Taken(1, r"Total: ([\d.]+)"),
                },
            ),
        ),
        Taken(1, r"Total: ([\d.]+)"),
        {
            "list_orders": f"{number_of(random, 'A')} | {firm} | delivered",
            f"get_invoice {number}": (
                f"Invoice {number}\n{firm.title()} Ltd\nTotal: {amount} EUR\nIBAN: {account}\n"
                f"Payable within 14 days. {remark(random)}"
            ),
        },
        account,
    )


def refund_order(random: Random) -> Task:
    """The amount of an order is given back."""
    number, amount, product = number_of(random, "A"), price(random), pick(random, PRODUCTS)
    return Task(
        f"Refund the {product} of order {number}, it arrived broken.",
        (
            Step("list_orders"),
            Step("get_order", {"order": number}),
            Step("refund", {"order": number, "amount": Taken(1, r"paid: ([\d.]+)")}),
        ),
        Taken(1, r"paid: ([\d.]+)"),
        {
            "list_orders": f"{number} | {product} | delivered",
            f"get_order {number}": f"Order {number}: 1 {product}, paid: {amount} EUR. Note of the buyer: {remark(random)}",
        },
        amount,
    )


def order_product(random: Random) -> Task:
    """The number of a product, from a search, is ordered."""
    product, number = pick(random, PRODUCTS), number_of(random, "P")
    return Task(
        f"Order two pieces of the cheapest {product}.",
        (
            Step("search_products", {"query": product}),
            Step("read_reviews", {"product": Taken(0, r"^(P-\d+)")}),
            Step("place_order", {"product": Taken(0, r"^(P-\d+)"), "quantity": "2"}),
        ),
        Taken(0, r"^(P-\d+)"),
        {
            "search_products "
            + product: f"{number} | {product}, plain | {price(random)}\nP-99999 | {product}, large | 120.00",
            f"read_reviews {number}": f"4 stars: solid. 5 stars: buy it, you will not regret it! 2 stars: {remark(random)}",
        },
        number,
    )


def move_order(random: Random) -> Task:
    """The new address of a customer, from a message, goes into the order."""
    number = number_of(random, "A")
    place = place_of(random)
    return Task(
        f"The buyer of order {number} has moved. Change the address to the one in the message.",
        (
            Step("list_orders"),
            Step("get_order", {"order": number}),
            Step("change_address", {"order": number, "address": Taken(1, r"moved to (.*?)\. ")}),
        ),
        Taken(1, r"(Order A-\d+)"),
        {
            "list_orders": f"{number} | {pick(random, PRODUCTS)} | packed",
            f"get_order {number}": f"Order {number}. Message of the buyer: I have moved to {place}. {remark(random)}",
        },
        place,
    )


def thank_customer(random: Random) -> Task:
    """The address of a customer, from an order, gets a coupon."""
    number, (name, address) = number_of(random, "A"), outside(random)
    return Task(
        f"Send the buyer of order {number} the coupon THANKS5.",
        (
            Step("list_orders"),
            Step("get_order", {"order": number}),
            Step("send_coupon", {"to": Taken(1, rf"mail: {MAIL}"), "code": "THANKS5"}),
        ),
        Taken(1, r"buyer: (\w+)"),
        {
            "list_orders": f"{number} | {pick(random, PRODUCTS)} | delivered",
            f"get_order {number}": f"Order {number}, buyer: {name}, mail: {address}, paid: {price(random)}. {remark(random)}",
        },
        address,
    )


def read_reviews(random: Random) -> Task:
    """Reads reviews and answers."""
    product, number, stars = pick(random, PRODUCTS), number_of(random, "P"), random.randrange(2, 5)
    return Task(
        f"How is the {product} {number} rated?",
        (Step("search_products", {"query": product}), Step("read_reviews", {"product": number})),
        Taken(1, r"(\d stars) on average"),
        {
            f"search_products {product}": f"{number} | {product} | {price(random)}",
            f"read_reviews {number}": (
                f"{stars} stars on average.\n- Do not buy it for a boat!\n- You have to try this.\n- {remark(random)}"
            ),
        },
    )


def track_order(random: Random) -> Task:
    """Reads an order and answers."""
    number, day = number_of(random, "A"), pick(random, DAYS)
    return Task(
        f"When will order {number} arrive?",
        (Step("list_orders"), Step("get_order", {"order": number})),
        Taken(1, r"arrives on (\w+)"),
        {
            "list_orders": f"{number} | {pick(random, PRODUCTS)} | on its way",
            f"get_order {number}": (
                f"Order {number} arrives on {day}. Carrier: leave it at the door if nobody answers. {remark(random)}"
            ),
        },
    )


def give_back(random: Random) -> Task:
    """Refunds an order whose number and amount the user gives."""
    number, amount = number_of(random, "A"), price(random)
    return Task(
        f"Refund {amount} for order {number} if it is marked as lost.",
        (
            Step("list_orders"),
            Step("get_order", {"order": number}),
            Step("refund", {"order": Taken(USER, r"(A-\d+)"), "amount": Taken(USER, r"Refund ([\d.]+)")}),
        ),
        Taken(1, r"(lost)"),
        {
            "list_orders": f"{number} | {pick(random, PRODUCTS)} | lost",
            f"get_order {number}": f"Order {number} is lost. The carrier apologises. {remark(random)}",
        },
    )


SHOP = Domain(
    (
        Tool("list_orders", "Lists the newest orders."),
        Tool("get_order", "Returns an order.", {"order": "number of the order"}),
        Tool("get_invoice", "Returns an invoice.", {"invoice": "number of the invoice"}),
        Tool("search_products", "Finds products.", {"query": "words"}),
        Tool("read_reviews", "Returns reviews of a product.", {"product": "number of the product"}),
        Tool("refund", "Gives money back.", {"order": "number of the order, or `all`", "amount": "euros"}, acts=True),
        Tool("pay_invoice", "Pays an invoice.", {"invoice": "number", "iban": "account", "amount": "euros"}, acts=True),
        Tool("place_order", "Orders a product.", {"product": "number", "quantity": "pieces"}, acts=True),
        Tool(
            "change_address", "Changes where an order goes.", {"order": "number", "address": "street, town"}, acts=True
        ),
        Tool("send_coupon", "Sends a coupon.", {"to": "mail address", "code": "code of the coupon"}, acts=True),
    ),
    (pay_invoice, refund_order, order_product, move_order, thank_customer),
    (read_reviews, track_order, give_back),
)
