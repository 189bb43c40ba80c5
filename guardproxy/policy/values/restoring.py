"""Reads `restore` of a rule: `true`, `false`, or where values are restored (`{in: [assistant], urls:
[api.example.com]}`).

In: the node. Out: whether values are restored (`None` if the rule does not say), and in which places.
"""

from __future__ import annotations

from collections.abc import Mapping

from guardproxy.findings import KINDS, Kind
from guardproxy.policy.values.document import KINDS_OF
from guardproxy.policy.yaml.reading import FileReading, did_you_mean, join
from guardproxy.policy.yaml.tree import YamlNode
from guardproxy.redaction import EVERYWHERE, Restoration
from guardproxy.urls import HOST

_KEYS = ("in", "urls")


def read_restore(reading: FileReading, node: YamlNode | None) -> tuple[bool | None, Restoration]:
    """Returns whether values are restored, and in which places. Adds errors to `reading`."""
    if node is None or not isinstance(node.value, Mapping):
        return reading.boolean(node), EVERYWHERE
    keys = reading.entries(node, "true, false or a mapping like `{in: [assistant]}`", _KEYS)
    if not node.value:
        reading.fail(
            node.place, "an empty mapping has no effect; write `restore: true` or name places with `in` or `urls`"
        )
    return True, Restoration(_kinds(reading, keys.get("in")), _hosts(reading, keys.get("urls")))


def _kinds(reading: FileReading, node: YamlNode | None) -> frozenset[Kind] | None:
    if node is None:
        return None
    if node.value == ():
        reading.fail(node.place, "an empty list restores nothing; write `restore: false`")
    kinds = tuple(kind for kind in KINDS if kind in KINDS_OF["response"])
    chosen: set[Kind] = set()
    for item in reading.items(node, "a list of kinds of texts, like `[assistant, tool_arguments]`"):
        word = reading.word(item)
        kind = next((kind for kind in kinds if kind == word), None)
        if kind:
            chosen.add(kind)
        elif word is not None:
            reading.fail(
                item.place, f"unknown word `{word}`{did_you_mean(word, kinds)} (expected any of {join(kinds)})"
            )
    return frozenset(chosen)


def _hosts(reading: FileReading, node: YamlNode | None) -> frozenset[str]:
    if node is None:
        return frozenset()
    hosts = []
    for item in reading.items(node, "a list of hosts, like `[api.example.com]`"):
        host = (reading.word(item, "a host like `api.example.com`") or "").strip().lower()
        if host and not HOST.fullmatch(host):
            reading.fail(
                item.place,
                f"`{host}` is not a host name; write the host alone, like `api.example.com`, `api.example.com:8443` or "
                "`*.example.com`",
            )
        if host:
            hosts.append(host)
    return frozenset(hosts)
