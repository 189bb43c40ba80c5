"""A test of a policy with sound checks has the same result for every text and every cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policy.values.cases import RequestFacts, Texts
from guardproxy.policytest.mismatches import disagreement
from guardproxy.policytest.playing import play_scene
from guardproxy.policytest.scenes import Cuts
from tests.kit.play import CHAT, MESSAGES, policy_set

POLICIES = policy_set(r"""
policy: sound
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]{1,9}@[a-z]{1,9}\\.io"]}
  bad:  {use: pattern, label: BAD, words: [bad, worse]}
  key:  {use: secrets}
rules:
  - {id: mail, when: mail, action: redact}
  - {id: key, when: key, action: redact}
  - {id: bad, on: response, when: bad, action: block}
  - {id: quiet, when: bad, action: flag, mode: shadow}
""")
PARTS = st.sampled_from(
    (
        "jo@ab.io",
        "jo@",
        "ab.io",
        "bad",
        " ba",
        "d ",
        "worse",
        "[MAIL_1]",
        "[MAIL_",
        "ghp_" + "a1B2" * 9,
        " ",
        ".",
        "\U0001f600",
        "\n",
    )
)
TEXTS = st.lists(PARTS, max_size=8).map("".join)


@given(TEXTS, TEXTS, st.integers(0, 10**6), st.sampled_from((CHAT, MESSAGES)))
def test_every_seed_comes_to_the_same(request: str, answer: str, seed: int, route: str) -> None:
    scene, told = Texts(request, (answer,)), RequestFacts(route)
    whole = play_scene(POLICIES, scene, told, Cuts())
    at_once = play_scene(POLICIES, scene, told, Cuts(True, 0))
    assert list(disagreement(whole, at_once, "streamed", alike=False)) == []
    assert list(disagreement(at_once, play_scene(POLICIES, scene, told, Cuts(True, seed)), "cut", alike=True)) == []
