"""Settings for a market that runs faster than the wall."""

from counterpoise.config import Settings

#: Least wall seconds of a slice: a venue's budget of orders is counted by the wall.
LEAST_SLICE_S = 0.2


def stretched(settings: Settings, speed: float) -> Settings:
    """Settings for a market that runs faster than the wall: what waits for wires waits as long.

    Parameters
    ----------
    settings : Settings
    speed : float
        Market seconds per second.
    """
    if speed <= 1.0:
        return settings
    run_settings, twap, risk = settings.run, settings.twap, settings.risk
    return settings.model_copy(
        update={
            "run": run_settings.model_copy(
                update={
                    "position_max_age_ms": round(run_settings.position_max_age_ms * speed),
                    "position_check_s": run_settings.position_check_s * speed,
                    "unknown_wait_ms": round(run_settings.unknown_wait_ms * speed),
                }
            ),
            "twap": twap.model_copy(
                update={
                    "answer_s": twap.answer_s * speed,
                    "slice_s": max(twap.slice_s, LEAST_SLICE_S * speed),
                }
            ),
            "protection": settings.protection.model_copy(
                update={"countdown_s": round(settings.protection.countdown_s * speed)}
            ),
            "risk": risk.model_copy(update={"mark_max_age_s": risk.mark_max_age_s * speed}),
        }
    )
