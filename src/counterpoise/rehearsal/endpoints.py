"""Binance's REST calls by method and path: who may ask, what it weighs, what answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from counterpoise.rehearsal.binance_signing import ApiKey
from counterpoise.rehearsal.params import Params

if TYPE_CHECKING:
    from counterpoise.rehearsal.binance_venue import Venue


@dataclass(frozen=True)
class Endpoint:
    """One call.

    Attributes
    ----------
    answer : callable
        The reply's JSON from the venue, the parameters and the key; the key is None where
        ``security`` is ``open``.
    weight : int or callable
        Of the minute's budget; some depend on the parameters.
    orders : int
        New orders it counts as.
    security : {"open", "key", "signed"}
        Whether a key is named and the request signed.
    """

    answer: Callable[["Venue", Params, ApiKey | None], Any]
    weight: int | Callable[[Params], int] = 1
    orders: int = 0
    security: Literal["open", "key", "signed"] = "signed"

    def weighs(self, params: Params) -> int:
        """Of this request."""
        return self.weight if isinstance(self.weight, int) else self.weight(params)


Endpoints = dict[tuple[str, str], Endpoint]
