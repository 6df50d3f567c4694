"""Bitcoin's return and place in its range, and the return of ETH measured in BTC.

Spot bars of one venue for both, so the quote cancels. The recursions are those of ``price`` and
``range`` on other columns, with scales of their own. A lake without bars of BTC knows none of them.
"""

from counterpoise.features.feature import SHARED, Memory, Shared, add
from counterpoise.features.price import difference, hourly_variance, log_price, scaled_return
from counterpoise.features.range import range_position

_NAN = float("nan")

SHARED.add("btc_log_price", Shared(("hourly.btc_close",), log_price, Memory()))
SHARED.add(
    "eth_btc_log_price",
    Shared(("shared.log_price", "shared.btc_log_price"), difference, Memory()),
)


def _returns(price: str, symbol: str, windows_h: tuple[int, ...], pitfall: str) -> None:
    """Returns of a shared log price, in standard deviations of its own."""
    SHARED.add(
        f"{price}_hourly_variance",
        Shared((f"shared.{price}_log_price",), hourly_variance, Memory((0.0, 0.0, _NAN))),
    )
    for hours in windows_h:
        add(
            f"{price}_return_{hours}h",
            f"shared.{price}_log_price shared.{price}_hourly_variance",
            scaled_return,
            Memory((0.0,), hours),
            warm_up=max(24, hours),
            unit="std deviations",
            known_at="bar close",
            formula=(
                f"ln({symbol}_t / {symbol}_(t-{hours}h)) / (σ_1h·√{hours}), B spot of BTC, "
                f"σ_1h² an EWMA of r² of {symbol}, span 168 h"
            ),
            pitfall=pitfall,
        )


_returns("btc", "B", (1, 4, 8, 24), "moves in the same hour as ETH: much of it is in return_*")
for _hours in (8, 24, 48):
    add(
        f"btc_range_position_{_hours}h",
        "hourly.btc_high hourly.btc_low hourly.btc_close",
        range_position,
        Memory((0.0,) * 7, 5 * _hours, 0.0),
        warm_up=-(-5 * _hours // 6) - 1,
        unit="share, −½ to ½",
        known_at="bar close",
        formula=f"(B − L)/(H − L) − ½, H high, L low of BTC over {_hours} h; 0 where H = L",
        pitfall="one false print of BTC sets the range for a whole window",
    )
_returns(
    "eth_btc", "(S/B)", (1, 4, 8, 24, 72), "a false print of either spot moves it and its own scale"
)
