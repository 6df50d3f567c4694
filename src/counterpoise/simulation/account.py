"""What a simulated path is: positions, bands, collateral and an attribution that adds up.

The components of :data:`COMPONENTS` sum to the total P&L; nothing is left over by construction
and the tests hold it to 1e-6 USD against an independent simulator.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Parts of the P&L in USD, in the order of the columns of ``SimulatedPath.pnl``.
COMPONENTS = ("delta", "basis", "funding", "fees", "slippage", "capital", "liquidation")


@dataclass(frozen=True)
class SimulatedPath:
    """One policy over one history; B buckets (ticks, or days), V venues.

    Attributes
    ----------
    ts_ms : int64 (B,)
        Last tick of each bucket.
    pnl : float64 (B, 7)
        USD earned in the bucket, by component: price move of the unhedged part (delta), change of
        perpetual minus spot on the short (basis), funding received, fees (negative), half spread
        and impact (negative), opportunity cost of collateral (negative), liquidation fees
        (negative).
    short_eth : float64 (B, V)
        Short at the end of the bucket, in ETH; positive is short.
    collateral_usd : float64 (B, V)
        Margin equity at the end of the bucket, posted ETH after its haircut.
    traded_eth : float64 (B,)
        Sum of absolute order sizes in the bucket.
    lo, hi : float64 (B,)
        Band in force at the end of the bucket.
    reasons : int64 (B,)
        Union of the reason flags of ``decision.step`` over the bucket.
    exposure_eth : float64 (B,)
        Long ETH at the end of the bucket; with coin-margined collateral, what the account won or
        lost in ETH included.
    exposure_mean_eth : float64 (B,)
        Mean over the bucket's ticks of the ETH held into each: what its P&L is measured against.
    spot : float64 (B,)
        Last known spot close of the bucket, USD.
    spot_open : float64 (B,)
        Last known spot close before the bucket began: the price a day's P&L is measured against.
    posted_eth : float64 (B, V)
        ETH posted as collateral at the end of the bucket.
    paid_in_usd : float64 (B,)
        USDT paid to the venues minus what came back, since the beginning.
    margin_low : float64 (B,)
        Smallest margin equity ÷ notional at the worst mark of any bar; NaN without a short.
    coming : float64 (B, V)
        Collateral on its way to a venue at the end of the bucket: USD, or ETH.
    chain : float64 (B, 18)
        Numbers behind the last decision, in the order of ``decision.moment.CHAIN``.
    liquidations : int
        Positions taken over by the venue on the path.
    """

    ts_ms: NDArray[np.int64]
    pnl: Floats
    short_eth: Floats
    collateral_usd: Floats
    traded_eth: Floats
    lo: Floats
    hi: Floats
    reasons: NDArray[np.int64]
    exposure_eth: Floats
    exposure_mean_eth: Floats
    spot: Floats
    spot_open: Floats
    posted_eth: Floats
    paid_in_usd: Floats
    margin_low: Floats
    coming: Floats
    chain: Floats
    liquidations: int

    @property
    def total(self) -> Floats:
        """USD earned in each bucket, all components together; shape (B,)."""
        return np.asarray(self.pnl.sum(axis=1))

    @property
    def ratio(self) -> Floats:
        """Hedge ratio S/L at the end of each bucket; shape (B,)."""
        return np.asarray(self.short_eth.sum(axis=1) / self.exposure_eth)
