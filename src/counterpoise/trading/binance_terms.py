"""The terms of a symbol at Binance: rules, brackets, fees, modes, and what the key may do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from counterpoise.errors import RejectData
from counterpoise.trading.binance_rest import BinanceRest, VenueRefused
from counterpoise.venues.contract import Tier


@dataclass(frozen=True, slots=True)
class SymbolRules:
    """What the venue says of the symbol now; USD and ETH."""

    status: str
    tick: float
    step: float
    least_size: float
    min_notional: float
    liquidation_fee: float


@dataclass(frozen=True, slots=True)
class KeyRights:
    """What the key may do."""

    reading: bool
    futures: bool
    withdrawals: bool
    transfers: bool
    bound_to_ip: bool


@dataclass(frozen=True, slots=True)
class SymbolSetting:
    """Leverage and margin type as set on the venue, and the notional that the leverage allows."""

    leverage: int
    isolated: bool
    max_notional: float


class BinanceTerms:
    """Terms of one symbol of one account, and the two of them that can be set.

    Parameters
    ----------
    rest : BinanceRest
    symbol : str
        ``ETHUSDT``.
    """

    def __init__(self, rest: BinanceRest, symbol: str) -> None:
        self.rest = rest
        self.symbol = symbol
        self._of_symbol = {"symbol": symbol}

    async def hedge_mode(self) -> bool:
        """Whether the account holds long and short beside each other."""
        found = await self.rest.call("GET", "/fapi/v1/positionSide/dual")
        with reading("positionSide/dual"):
            return _truth(found["dualSidePosition"])

    async def multi_assets(self) -> bool:
        """Whether other coins than USDT are margin."""
        found = await self.rest.call("GET", "/fapi/v1/multiAssetsMargin")
        with reading("multiAssetsMargin"):
            return _truth(found["multiAssetsMargin"])

    async def setting(self) -> SymbolSetting:
        """Leverage and margin type as set on the venue."""
        found = await self.rest.call("GET", "/fapi/v1/symbolConfig", self._of_symbol)
        with reading("symbolConfig"):
            row = next(row for row in found if row["symbol"] == self.symbol)
            return SymbolSetting(
                int(row["leverage"]),
                str(row["marginType"]).upper() == "ISOLATED",
                float(row["maxNotionalValue"]),
            )

    async def set_leverage(self, leverage: int) -> None:
        """Set the leverage of the symbol; setting what is set is no error."""
        await self._set("/fapi/v1/leverage", {"leverage": leverage})

    async def set_margin_type(self, isolated: bool) -> None:
        """Set the margin type; the venue refuses it while a position or an order is open."""
        kind = "ISOLATED" if isolated else "CROSSED"
        await self._set("/fapi/v1/marginType", {"marginType": kind})

    async def _set(self, path: str, given: dict[str, str | int]) -> None:
        try:
            await self.rest.call("POST", path, self._of_symbol | given)
        except VenueRefused as refused:
            if refused.kind != "unchanged":
                raise

    async def tiers(self) -> tuple[Tier, ...]:
        """Margin brackets of the symbol, by rising notional."""
        found = await self.rest.call("GET", "/fapi/v1/leverageBracket", self._of_symbol)
        with reading("leverageBracket"):
            rows = found if isinstance(found, list) else [found]
            one = next(row for row in rows if row["symbol"] == self.symbol)
            tiers = [
                Tier(
                    float(row["notionalCap"]),
                    float(row["maintMarginRatio"]),
                    float(row["initialLeverage"]),
                    float(row["cum"]),
                )
                for row in one["brackets"]
            ]
        return tuple(sorted(tiers, key=lambda tier: tier.cap))

    async def fees(self) -> tuple[float, float]:
        """Maker's and taker's fee of this account, fractions."""
        found = await self.rest.call("GET", "/fapi/v1/commissionRate", self._of_symbol)
        with reading("commissionRate"):
            return float(found["makerCommissionRate"]), float(found["takerCommissionRate"])

    async def rules(self) -> SymbolRules | None:
        """Filters and status of the symbol; None where the venue does not list it."""
        found = await self.rest.call("GET", "/fapi/v1/exchangeInfo", signed=False)
        with reading("exchangeInfo"):
            row = next((row for row in found["symbols"] if row["symbol"] == self.symbol), None)
            if row is None:
                return None
            filters = {one["filterType"]: one for one in row["filters"]}
            return SymbolRules(
                str(row["status"]),
                float(filters["PRICE_FILTER"]["tickSize"]),
                float(filters["LOT_SIZE"]["stepSize"]),
                float(filters["LOT_SIZE"]["minQty"]),
                float(filters["MIN_NOTIONAL"]["notional"]),
                float(row.get("liquidationFee", "nan")),
            )

    async def mark(self) -> float:
        """Mark price, USD."""
        found = await self.rest.call("GET", "/fapi/v1/premiumIndex", self._of_symbol, signed=False)
        with reading("premiumIndex"):
            return float(found["markPrice"])

    async def rights(self) -> KeyRights:
        """What the key may do; only where there is a wallet (``rest.has_wallet``)."""
        found = await self.rest.call("GET", "/sapi/v1/account/apiRestrictions")
        with reading("apiRestrictions"):
            return KeyRights(
                _truth(found["enableReading"]),
                _truth(found["enableFutures"]),
                _truth(found["enableWithdrawals"]),
                _truth(found.get("permitsUniversalTransfer", False)),
                _truth(found["ipRestrict"]),
            )


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Refuse an answer that lacks what the venue's documentation promises."""
    try:
        yield
    except (KeyError, TypeError, ValueError, StopIteration, AttributeError) as odd:
        raise RejectData(
            f"Binance's answer to {what}",
            "reply",
            f"{type(odd).__name__}: {odd}",
            "the fields its documentation promises",
            "check the address of the venue, or tell the developers",
        ) from None


def _truth(given: object) -> bool:
    """A truth of the venue's, which it sends as a word in some answers."""
    return given is True or str(given).lower() == "true"
