"""The action `refuse_with_contact`: block, and tell the client whom to ask."""

from guardproxy.decisions import Decision, Stop
from guardproxy.errors import OptionError
from guardproxy.policy.values import Rule


def decide(rule: Rule) -> Decision:
    for key in rule.options.keys() - {"contact"}:
        raise OptionError(key, "unknown option; the only option is `contact`")
    contact = rule.options.get("contact")
    if not isinstance(contact, str) or "@" not in contact:
        raise OptionError("contact", "must be an e-mail address")
    return Stop(rule.id, f"this request was refused; questions: {contact}")
