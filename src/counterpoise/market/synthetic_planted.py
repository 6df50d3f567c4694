"""What can be planted in a generated market, at a strength that is known beforehand.

A test that the street finds an edge needs one of known size, and a market of the same make without
it. Direction is planted on the share of gas used, which a trader knows an hour after its day has
ended; nothing else in the generated market knows the next return.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import FixConfig

Floats = NDArray[np.float64]

#: Hours of the planted direction: the horizon of the direction forecast.
HORIZON_H = 4
#: Beyond this the planted drift of a day is no longer small beside its volatility.
STRONGEST_AUC = 0.65
#: Signs of four-hour returns that a planted drift turns, over those it would turn in a normal
#: market of constant volatility: fat tails make returns near zero more frequent, unequal hours blur
#: the signal. With clustered and with shuffled volatility, measured on 120 years of the generator
#: each; ``test_the_planted_auc_is_the_one_stated`` checks it.
SIGN_GAIN, SHUFFLED_SIGN_GAIN = 1.015, 0.925


@dataclass(frozen=True)
class Planted:
    """What is forecastable in a generated market.

    Attributes
    ----------
    direction_auc : float
        AUC of the best forecast of the sign of the next four hours' return, 0.5 to 0.65: the
        share of gas used of the last day known ranks rises above falls with this probability.
        At 0.5 the price is a martingale.
    clustering : bool
        Whether volatility clusters. Without it the same hourly volatilities come in random order,
        so that the past says nothing about the next.

    Examples
    --------
    >>> round(Planted(direction_auc=0.58).ic, 4)
    0.1772
    """

    direction_auc: float = 0.5
    clustering: bool = True

    def __post_init__(self) -> None:
        if not 0.5 <= self.direction_auc <= STRONGEST_AUC:
            raise FixConfig(
                "planted.direction_auc",
                self.direction_auc,
                f"0.5 (nothing planted) to {STRONGEST_AUC}",
                "choose a strength in that range",
            )

    @property
    def ic(self) -> float:
        """Correlation of the signal with the next four hours' return that gives this AUC.

        For two independent pairs (signal, return) of a bivariate normal law with correlation ρ,
        the AUC is the chance that the rise had the larger signal: an orthant probability of three
        normal variables (Sheppard 1899), which is ½ + (2/π)·asin(ρ/√2).
        """
        return float(np.sqrt(2.0) * np.sin(np.pi / 2.0 * (self.direction_auc - 0.5)))

    def hourly_share(self, daily_memory: float) -> float:
        """Share κ of an hour's shock that the signal decides: shock = κ·signal + √(1 − κ²)·noise.

        Parameters
        ----------
        daily_memory : float
            Correlation of the signal with its value of the day after. Four-hour returns that
            begin in the last three hours of a signal's day end in the next one's.
        """
        # Of 24 starting hours three straddle, by one, two and three hours of four.
        kept = 1.0 - (1 + 2 + 3) / (24 * HORIZON_H) * (1.0 - daily_memory)
        ic = self.ic / kept
        # Four shocks: ic = 4κ/√(16κ² + 4(1 − κ²)), solved for κ.
        gain = SIGN_GAIN if self.clustering else SHUFFLED_SIGN_GAIN
        return float(ic / np.sqrt(HORIZON_H - (HORIZON_H - 1) * ic**2)) / gain


NOTHING = Planted()


def signal_of_hours(daily: Floats, lead_days: int) -> Floats:
    """Newest signal known at the open of each hourly bar.

    Parameters
    ----------
    daily : float64 (lead_days + D,)
        Signal of each day, the first ``lead_days`` before the first bar.
    lead_days : int
        At least 2.

    Returns
    -------
    float64 (24 · D,)
        The value of a day is public at 01:00 of the next (``onchain_daily`` in ``tables``), so the
        bar that opens then is the first it can move.
    """
    hours = np.arange(24 * (len(daily) - lead_days))
    return daily[(hours - 1) // 24 - 1 + lead_days]
