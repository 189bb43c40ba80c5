"""How often an address or a name may guess before it has to wait.

In: the address and the name of each wrong token. Out: the seconds to wait. What is kept has a limit.
"""

from __future__ import annotations

from guardproxy.gateway.clients import Guesses

WRONG_OF_ADDRESS = 10  # in a minute
WRONG_OF_NAME = 10


class WrongTokens:
    """The wrong tokens of each address and of each name."""

    def __init__(self) -> None:
        # By both: an attacker with many addresses guesses one name, and one with a single address guesses many names.
        # The price: whoever knows a name can keep its owner out for as long as they go on guessing.
        self._addresses = Guesses(WRONG_OF_ADDRESS)
        self._names = Guesses(WRONG_OF_NAME)

    def wait_s(self, address: str, name: str, unix_s: float) -> int:
        """Returns the seconds until a token is looked at again; 0 if it is."""
        return max(self._addresses.wait_s(address, unix_s), self._names.wait_s(_of(name), unix_s))

    def add(self, address: str, name: str, unix_s: float) -> None:
        """Counts a wrong token."""
        self._addresses.add(address, unix_s)
        self._names.add(_of(name), unix_s)

    def forgive(self, address: str, name: str) -> None:
        """Takes back the last count, as the token was right."""
        self._addresses.forgive(address)
        self._names.forgive(_of(name))


def _of(name: str) -> str:
    # A stranger chooses the name, so it is cut before it is kept. A blank keeps it apart from every address.
    return f"name {name[:64]}"  # no address begins so
