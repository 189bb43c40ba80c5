"""Four domains: their tools, and the honest tasks of an agent in each, made of lists and a generator.

A builder takes a generator and returns a `Task`. In `carrying` builders a value of a result goes into a call with side effects,
as the user wants. The texts of a task are read in their order: first a list, then documents. Written before any guard had
seen them; the documents give harmless orders to their human readers, as documents do.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.agents.domains.files import FILES
from benchmarks.agents.domains.mail import MAILBOX
from benchmarks.agents.domains.shop import SHOP
from benchmarks.agents.domains.tickets import TICKETS
from benchmarks.agents.scene import Domain

DOMAINS: Mapping[str, Domain] = {"mail": MAILBOX, "files": FILES, "shop": SHOP, "tickets": TICKETS}
