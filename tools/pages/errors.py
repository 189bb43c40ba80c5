"""The page of all errors, from their codes."""

from __future__ import annotations

from guardproxy.errors import ErrorCode, UpstreamCause

HEAD = """# Error codes

<!-- This page is generated: make pages -->

The codes of all errors that guardproxy answers with. The code is in the body of the error (OpenAI: `error.code`;
Anthropic: in brackets at the end of `error.message`; Gemini: `error.details[0].reason`), in the audit record and in the
metrics. [What fails, and how](../operations/failures.md) explains the most important ones.

- The **status** is the HTTP status if no part of an answer was sent. Afterwards the client gets an error event with the
  same code.
- The **switch** is the [setting](settings.md), or the key of a policy, that changes when the error occurs.
- A switch with a star is named in the message that the client gets. The other messages do not name theirs, because this
  would help an attacker: they are about capacity, the audit log, credentials or the health of an upstream.
"""
SECTIONS = {
    False: (
        "The request must change",
        "The same request gets the same error. The answer has the header `x-should-retry: false`.",
    ),
    True: (
        "The same request may succeed later",
        "Answers with status 429 or 503 have the header `Retry-After`. SDKs repeat the request by themselves.",
    ),
}


CAUSES = """## Why an upstream failed

In addition to the code, the operator gets a word for the cause: `error.cause` in the record (`cause` of an attempt if
another followed), `cause` in the log line of the exchange, the metric `guardproxy_upstream_failures_total`, and `/readyz`
for an upstream whose circuit breaker is not closed. Clients do not get it.

| cause | meaning |
|---|---|
"""


def row(code: ErrorCode) -> str:
    """The row of one code."""
    star = "*" if code.names_switch else ""
    switches = [f"`{setting}`{star}" for setting in code.settings]
    if code.policy_key:
        switches.append(f"`{code.policy_key}` in a policy")
    meaning = code.sentence[0].upper() + code.sentence[1:] + "."
    return f"| `{code}` | {code.status} | {' '.join(filter(None, (meaning, code.meaning)))} | {', '.join(switches)} |"


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for is_retryable, (title, about) in SECTIONS.items():
        rows = [row(code) for code in ErrorCode if code.is_retryable is is_retryable]
        parts.append(
            "\n".join(
                (f"## {title}\n", f"{about}\n", "| code | status | meaning | switch |", "|---|---|---|---|", *rows, "")
            )
        )
    causes = [f"| `{cause}` | {cause.meaning[0].upper() + cause.meaning[1:]}. |\n" for cause in UpstreamCause]
    return "\n".join(parts) + "\n" + CAUSES + "".join(causes)
