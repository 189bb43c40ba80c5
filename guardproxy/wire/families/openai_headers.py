"""The headers of OpenAI's API, which several formats share. Azure and Google serve them with key headers of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from guardproxy.wire.contract.headers import (
    AMOUNT,
    DATE,
    IDENTIFIER,
    PRODUCTS,
    REGION,
    SWITCH,
    FormatHeaders,
    HeaderFamily,
    LimitHeaders,
    Remaining,
    header_form,
)

# OpenRouter shows the program that asks by its name and address. Both are short, and without a query and long numbers.
_TITLE = header_form(r"(?!(?:.*\d){6})[A-Za-z][A-Za-z0-9.'&+-]{0,24}(?: [A-Za-z0-9.'&+-]{1,25}){0,4}")
_REFERER = header_form(
    r"(?!.*\d{6})https?://(?:[A-Za-z0-9-]{1,40}\.){0,4}[A-Za-z0-9-]{1,40}(?::\d{1,5})?(?:/[A-Za-z0-9._~-]{0,40}){0,4}"
)
OPENAI_HEADERS = FormatHeaders(
    credentials=("authorization", "api-key", "x-goog-api-key"),
    meaning={
        "aoai-evals": header_form("preview"),
        "openai-beta": header_form(rf"[a-z][a-z_-]{{0,40}}(?:=(?:v\d{{1,2}}|[a-z]{{1,20}}|{DATE}))?", is_list=True),
    },
    single=frozenset(),
    client={
        "originator": header_form(r"[a-z][a-z_-]{0,30}"),
        "x-goog-api-client": header_form(PRODUCTS),
        **dict.fromkeys(("x-title", "x-openrouter-title"), _TITLE),
        "http-referer": _REFERER,
    },
    account={
        "openai-organization": header_form(r"org-(?!.*\d{7})[A-Za-z0-9]{1,40}"),
        "openai-project": header_form(r"proj_(?!.*\d{7})[A-Za-z0-9_]{1,64}"),
    },
    answer={
        "openai-processing-ms": AMOUNT,
        **dict.fromkeys(("openai-version", "openai-model", "openai-organization", "openai-project"), IDENTIFIER),
        **dict.fromkeys(("apim-request-id", "x-ms-request-id", "x-ms-client-request-id"), IDENTIFIER),
        "x-ms-region": REGION,
    },
    families=(
        HeaderFamily(
            re.compile(r"azureml-[a-z]+(?:-[a-z]+){0,5}|x-ms-[a-z]+(?:-[a-z]+){0,6}", re.ASCII),
            (AMOUNT, SWITCH, IDENTIFIER),
        ),
    ),
)


def _limits(limit: Remaining, unix_s: float) -> Mapping[str, str]:
    """`x-ratelimit-remaining-requests: 59` and `x-ratelimit-reset-requests: 6m0s`."""
    return {
        f"x-ratelimit-limit-{limit.unit}": str(limit.limit),
        f"x-ratelimit-remaining-{limit.unit}": str(limit.remaining),
        f"x-ratelimit-reset-{limit.unit}": duration(limit.reset_s),
    }


def duration(seconds: float) -> str:
    """Returns a time as OpenAI writes it: `12ms`, `1.5s`, `6m0s`, `2h0m3s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    if seconds < 60:
        return f"{round(seconds, 3):g}s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"


LIMIT_HEADERS = LimitHeaders("x-ratelimit-", _limits)
