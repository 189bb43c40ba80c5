"""`audit ship`: reads a log and sends its lines to other systems, each at least once."""

from __future__ import annotations

from guardproxy.audit.shipping.acknowledged import LoggedEntry, confirmed_entries, last_confirmed
from guardproxy.audit.shipping.intents import abandoned_intents, closing, open_intents_of
from guardproxy.audit.shipping.shipping import Arrears, Batch, Sent, Shipper, Target, position_of, sent_of, ship_on
from guardproxy.audit.shipping.targets import Sink, open_sink, sink_opener, target_of

__all__ = [
    "Arrears",
    "Batch",
    "LoggedEntry",
    "Sent",
    "Shipper",
    "Sink",
    "Target",
    "abandoned_intents",
    "closing",
    "confirmed_entries",
    "last_confirmed",
    "open_intents_of",
    "open_sink",
    "position_of",
    "sent_of",
    "ship_on",
    "sink_opener",
    "target_of",
]
