"""The second generation's network: how `jailbreak` follows from the parts, and what a loss counts."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.export

from models.supervisor.recipe.second.network import jailbreak  # noqa: E402
from models.supervisor.recipe.second.outputs import JAILBREAK, PARTS, targets  # noqa: E402
from models.supervisor.recipe.second.train import COLUMNS, UNKNOWN, loss_of  # noqa: E402

SURE = 9.0


def logit_of(**parts: float) -> float:
    """The logit of `jailbreak` when the named parts have these logits and the others are surely absent."""
    return float(jailbreak(torch.tensor([[parts.get(name, -SURE) for name in PARTS]]))[0])


@pytest.mark.parametrize("names", [("override",), ("extraction",), ("wrapper", "harmful"), ("obfuscation", "harmful")])
def test_each_way_to_a_jailbreak_is_found(names: tuple[str, ...]) -> None:
    assert logit_of(**dict.fromkeys(names, SURE)) > 6


@pytest.mark.parametrize(
    "names",
    [(), ("wrapper",), ("obfuscation",), ("harmful",), ("wrapper", "obfuscation"), ("harmful", "illicit", "order")],
)
def test_a_wrapper_or_harm_alone_is_none(names: tuple[str, ...]) -> None:
    assert logit_of(**dict.fromkeys(names, SURE)) < -6


def test_the_composed_logit_is_that_of_the_noisy_or() -> None:
    for values in product((-3.0, 0.5, 2.0), repeat=3):
        override, wrapper, harmful = values
        chance = [1 / (1 + math.exp(-value)) for value in values]
        rest = 1 / (1 + math.exp(SURE))
        miss = (1 - chance[0]) * (1 - rest) * (1 - chance[1] * chance[2]) * (1 - rest * chance[2])
        wanted = math.log((1 - miss) / miss)
        assert logit_of(override=override, wrapper=wrapper, harmful=harmful) == pytest.approx(wanted, abs=1e-3)


def test_extreme_logits_stay_finite_and_have_gradients() -> None:
    for value in (-60.0, 60.0):
        parts = torch.full((2, len(PARTS)), value, requires_grad=True)
        found = jailbreak(parts)
        found.sum().backward()
        assert torch.isfinite(found).all()
        assert torch.isfinite(parts.grad).all()


def test_what_is_unknown_costs_nothing() -> None:
    parts = torch.zeros(8, len(PARTS))
    unknown = torch.full((8, len(COLUMNS)), UNKNOWN)
    assert float(loss_of(parts, unknown)) == 0
    known = unknown.clone()
    known[:, COLUMNS.index("order")] = 1
    assert float(loss_of(parts, known)) > 0.5


def test_targets_of_the_definition_agree_with_the_composition() -> None:
    for how, what in ((["override"], []), (["wrapper"], ["illicit"]), (["wrapper"], []), ([], ["hate"])):
        wanted = targets(how, what)
        logits = {name: SURE for name, value in wanted.items() if value and name in PARTS}
        assert (logit_of(**logits) > 0) == bool(wanted[JAILBREAK])
