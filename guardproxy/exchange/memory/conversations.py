"""The conversations of an exchange, as far as a request or an answer names one: keys of the memory.

A conversation is named by the id of a stored answer or conversation (`previous_response_id`), by the id of a session of the
protocol, or by a header of a trusted hop (`RequestReceived.conversation`). An exchange leaves what it learned under the names
that the next request can give: the id of its answer too. A call that gives none of them has no conversation.
"""

from __future__ import annotations

from guardproxy.exchange.memory.use import MemoryAsking, MemoryEnding


def recalled_names(asking: MemoryAsking) -> tuple[str, ...]:
    """Returns the conversations that a request names."""
    stored = asking.setting.codec.contract.stored
    referred = stored.referred(asking.request.frame.tree) if stored else ()
    return (*(f"stored:{name}" for name in referred), *_named(asking.event.conversation, asking.event.session))


def left_names(ending: MemoryEnding) -> tuple[str, ...]:
    """Returns the conversations that the next request of a client can name."""
    stored, tree, event = ending.asking.setting.codec.contract.stored, ending.tree, ending.asking.event
    lasting = stored.referred(tree, lasting=True) if stored and tree is not None else ()
    own = (ending.stored_id,) if ending.stored_id else ()
    return (*(f"stored:{name}" for name in dict.fromkeys((*own, *lasting))), *_named(event.conversation, event.session))


def _named(conversation: str, session: str) -> tuple[str, ...]:
    names = (("header", conversation), ("session", session))
    return tuple(f"{kind}:{name}" for kind, name in names if name)
