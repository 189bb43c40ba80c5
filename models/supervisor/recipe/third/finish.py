"""Make a model folder of a checkpoint of the third generation, as second/finish.py does it for the second.

The output `injection` is the label of that name: it has points of its own for messages and for tools' results. The composed
outputs keep theirs, for policies that name them. Points are chosen on the choice group.
"""

from __future__ import annotations

from models.supervisor.recipe.export import Reading
from models.supervisor.recipe.second.finish import LABELS, Generation, run
from models.supervisor.recipe.third.network import OUTPUTS, ROOM, SPAN, ComposedThird, ThirdSupervisor

READING = Reading(ROOM, SPAN, 0.5)
THIRD_GENERATION = Generation(
    ThirdSupervisor, ComposedThird, OUTPUTS, {"content": LABELS["content"]}, "4", READING, least_positives=20
)


def main() -> None:
    run(__doc__, "build/supervisor-third", THIRD_GENERATION)


if __name__ == "__main__":
    main()
