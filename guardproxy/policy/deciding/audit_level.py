"""How much of an exchange its record keeps, by all policies that apply to it.

In: policies. Out: a `Keeping`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from guardproxy.policy.values.document import KEEP, Keep, Policy


class Keeping(NamedTuple):
    """How much of the texts the record keeps. `subjects`: whose key may seal them (`Policy.subject`); the first that a
    request names is used. `values`: whether the values that the record masks are sealed beside it."""

    keep: Keep = "redacted"
    subjects: tuple[str, ...] = ()
    values: bool = False


def keeping_of(policies: Sequence[Policy]) -> Keeping:
    """Returns the least that any policy demands. The masked values are sealed only if all policies seal, because `redacted`
    keeps no value."""
    keep: Keep = min((policy.keep for policy in policies), key=KEEP.index, default="redacted")
    if keep != "sealed":
        return Keeping(keep)
    sealing = sorted((policy for policy in policies if policy.keep == "sealed"), key=lambda policy: policy.name)
    return Keeping(keep, tuple(dict.fromkeys(policy.subject for policy in sealing)), len(sealing) == len(policies))
