"""Listen keys of Binance's user data streams: they live for an hour, and longer when told so."""

import secrets
from collections.abc import Callable

from counterpoise.rehearsal.denied import Denied

#: How long a key lives after it was made or kept alive.
LIFE_S = 3600.0


class ListenKeys:
    """The one key an account has at a time.

    Parameters
    ----------
    wall_s : callable
        Seconds since 1970.
    life_s : float
    """

    def __init__(self, wall_s: Callable[[], float], life_s: float = LIFE_S) -> None:
        self._wall_s, self._life_s = wall_s, life_s
        self._key = ""
        self._until_s = 0.0

    @property
    def key(self) -> str:
        """The living key, empty without one."""
        return self._key

    def open(self) -> str:
        """The key, a new one where there is none; its life begins anew."""
        self._key = self._key or secrets.token_hex(32)
        self._until_s = self._wall_s() + self._life_s
        return self._key

    def keep(self) -> str:
        """Let it live on.

        Raises
        ------
        Denied
            -1125: there is none.
        """
        if not self._key:
            raise Denied(-1125, "This listenKey does not exist.")
        return self.open()

    def close(self) -> None:
        """End it."""
        self._key = ""

    def expired(self) -> str:
        """End a key whose time is over and return it; empty while there is none of those."""
        if not self._key or self._wall_s() < self._until_s:
            return ""
        ended, self._key = self._key, ""
        return ended
