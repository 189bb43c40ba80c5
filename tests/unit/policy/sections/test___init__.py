"""The registry of sections: each is a key of a policy file that is inherited, may hold variables, and does without rules."""

from __future__ import annotations

from guardproxy.policy import keys
from guardproxy.policy.extending import INHERITED
from guardproxy.policy.sections import SECTIONS
from guardproxy.policy.variables import PLACES


def test_each_section_is_a_key_of_a_policy_file() -> None:
    for name, section in SECTIONS.items():
        assert name == section.name
        assert keys.POLICY[name].doc == section.doc
        assert name in INHERITED
        assert name in PLACES
