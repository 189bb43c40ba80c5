"""The facts of a request by which policies are selected: for the exchange, and for duties that carry out parts of policies.

In: a decoded request, and what is known of its client. Out: its `About`, the pseudonym of its conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from guardproxy.policy import About
from guardproxy.wire import Codec, Request, RequestStatement


def about_of(
    route: str, tenant: str | None, request: Request, statement: RequestStatement, headers: Mapping[str, str] | None
) -> About:
    """Returns the facts of a request. `tenant`: its name; `headers`: by lower-case name, `None` if they are not known."""
    models, named = statement.models, _named(request)
    if named and named not in (request.model, *models):
        models = (*models, named)  # the path names another model than the body
    return About(
        *(route, request.model, tenant, headers, request.stream),
        max_tokens=statement.max_tokens,
        messages=statement.messages,
        tools=statement.tools,
        models=models,
        limits=statement.limits,
        counts=statement.counts,
        offered=statement.offered,
        unclear=statement.unclear,
    )


def _named(request: Request) -> str:
    tree = request.frame.tree
    named = tree.get("model") if isinstance(tree, (dict, Mapping)) else None
    return named if isinstance(named, str) else ""


def conversation_of(codec: Codec, request: Request, tenant: str, named: str, seal: Callable[[bytes], str]) -> str:
    """Returns the pseudonym of the conversation, derived from the header that names it (`named`) or from the first words of
    the request."""
    words = ("named", named) if named else ("", codec.turns.first_words(request.frame.tree))
    return seal("\0".join(("conversation", tenant, *words)).encode("utf-8", "surrogatepass"))
