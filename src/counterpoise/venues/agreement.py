"""Settings that contradict what the configured venues allow, refused before any work.

Whether a position of some size can be held on one account depends on its price, so that is said
with the position (``decision.margin_need``), not here.
"""

from counterpoise.config import Settings
from counterpoise.venues.contract import Contract, venues


def refuse_what_venues_refuse(settings: Settings) -> None:
    """Refuse collateral and leverage that one of the configured venues does not take.

    Parameters
    ----------
    settings : Settings
        ``venue.names``, ``capital.collateral``, ``capital.leverage_max`` and ``risk.orders`` are
        read.

    Raises
    ------
    FixConfig
        Naming both settings, their values and where each came from; or an unknown venue.
    """
    capital = settings.capital
    for name in settings.venue.names:
        linear = venues[name][-1]
        inverse = f"{name}-coin-m"
        traded: Contract = linear
        if capital.collateral == "coin-margined" and inverse in venues:
            traded = venues[inverse][-1]
        if capital.collateral not in traded.collateral:
            raise settings.contradiction(
                ("capital.collateral", "venue.names"),
                f"collateral that {name} takes: {', '.join(traded.collateral)}",
            )
        for key in ("order_usd", "minute_usd", "venue_usd", "total_usd"):
            limit = getattr(settings.risk.orders, key)
            if limit is not None and limit < traded.min_notional_usd:
                raise settings.contradiction(
                    (f"risk.orders.{key}", "venue.names"),
                    f"at least {traded.min_notional_usd:g} USD, the smallest order of {name}",
                )
        most = traded.tiers[0].max_leverage
        if capital.leverage_max > most:
            raise settings.contradiction(
                ("capital.leverage_max", "venue.names"),
                f"at most {most:g}, what {name} allows its smallest position",
            )
