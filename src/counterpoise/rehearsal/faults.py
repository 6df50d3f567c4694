"""What goes wrong on purpose: armed by a test or a rehearsal, met by the next requests it fits.

Faults of connections (a gap in the sequence, a cut, an expired listen key) happen at once and are
methods of the venue.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal, get_args

from counterpoise.errors import FixConfig

#: ``too-many`` (429), ``banned`` (418) and ``clock`` (-1021) refuse. ``timeout`` (408 with -1007),
#: ``unavailable`` (503) and ``cut`` (no answer at all) come although the request was executed;
#: ``lost`` is 503 and it was not. ``delay``: it is executed late.
Kind = Literal["too-many", "banned", "clock", "timeout", "unavailable", "cut", "lost", "delay"]


@dataclass(frozen=True)
class Fault:
    """One of them.

    Attributes
    ----------
    kind : Kind
    path : str
        End of the paths it fits, such as ``/order``.
    method : str
        ``GET``, ``POST``, ``PUT``, ``DELETE``; empty fits all.
    seconds : float
        Of a ``delay``.
    """

    kind: Kind
    path: str = ""
    method: str = ""
    seconds: float = 0.0


class Faults:
    """Faults that wait for their request, each met once.

    Examples
    --------
    >>> faults = Faults()
    >>> faults.arm("timeout", "/order", method="POST")
    >>> faults.meet("GET", "/fapi/v1/order"), faults.meet("POST", "/fapi/v1/order").kind
    (None, 'timeout')
    >>> len(faults)
    0
    """

    def __init__(self) -> None:
        self._waiting: deque[Fault] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def arm(
        self, kind: Kind, path: str = "", *, method: str = "", seconds: float = 0.0, times: int = 1
    ) -> None:
        """Let the next ``times`` requests that fit meet a fault.

        Raises
        ------
        FixConfig
            There is no such kind.
        """
        if kind not in get_args(Kind):
            expected = f"one of {', '.join(get_args(Kind))}"
            raise FixConfig("fault", kind, expected, "choose one of them")
        self._waiting.extend([Fault(kind, path, method, seconds)] * times)

    def meet(self, method: str, path: str) -> Fault | None:
        """The oldest fault that fits a request; it is gone from then on."""
        for fault in self._waiting:
            if path.endswith(fault.path) and fault.method in ("", method):
                self._waiting.remove(fault)
                return fault
        return None
