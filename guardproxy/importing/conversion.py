"""Converts a configuration of LiteLLM.

In: the text of its file. Out: a `Conversion`: the draft of our files, and a note for every key.
"""

from __future__ import annotations

from dataclasses import dataclass

from guardproxy.importing.draft import ImportDraft, NewNames, variable_of
from guardproxy.importing.guardrails import convert_guardrails
from guardproxy.importing.models import convert_models
from guardproxy.importing.process import NEEDLESS, REASONS, convert_process
from guardproxy.importing.report import ImportNote, ImportReport
from guardproxy.importing.source import read_source


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a configuration becomes, and a note for every key of it."""

    draft: ImportDraft
    notes: tuple[ImportNote, ...]


def convert_litellm(text: bytes, where: str) -> Conversion:
    """Converts the configuration of LiteLLM's proxy. `where`: its path, for messages. Raises `ConfigError`."""
    source = read_source(text, where)
    named = {variable_of(source.get(*path)) for path in source.leaves()} | {*source.keys("environment_variables")}
    draft, report = ImportDraft(names_of_variables=NewNames("_", named)), ImportReport(source, REASONS, NEEDLESS)
    convert_models(source, draft, report)
    convert_guardrails(source, draft, report)
    convert_process(source, draft, report)
    # Without a policy of its own, the proxy has the shipped policy `default`.
    draft.settings = {**({"policies": "policies"} if draft.policies else {}), "audit": "audit", **draft.settings}
    if draft.limits or draft.prices:
        draft.settings["limits"] = "limits.toml"
    return Conversion(draft, tuple(report.notes()))
