"""Measures the proxy on this machine: what it adds to a request, and what one core serves.

In: a policy, and a time for each measurement. Out: figures, by the length of prompts, for turns of agents and for streams. The
proxy, the client and an upstream that answers at once are three processes, so on two cores they take time from each other.
Figures for a core come from processor time.
"""

from guardproxy.sizing.figures import PROMPT_WORDS, Added, Sizes
from guardproxy.sizing.measuring import measure
from guardproxy.sizing.picture import picture

__all__ = ["PROMPT_WORDS", "Added", "Sizes", "measure", "picture"]
