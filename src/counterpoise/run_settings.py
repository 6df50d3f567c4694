"""Settings of a run that trades: how orders are worked, what protects, where it is remembered.

No secret is a setting: keys come from the environment or the keyring, see ``credentials``.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from counterpoise.sections import Section


class TwapSettings(Section):
    """How an order is worked over time: docs/twap.md."""

    risk_aversion: Annotated[float, Field(ge=0.1, le=10_000)] = Field(
        20.0, description="λ of cost + λ/2·variance that sets the horizon; urgency 1 means 100·λ"
    )
    horizon_min_s: Annotated[float, Field(ge=1, le=60)] = Field(
        20.0, description="least seconds of a schedule"
    )
    horizon_max_s: Annotated[float, Field(ge=60, le=3_600)] = Field(
        1_800.0, description="most seconds of a schedule"
    )
    bar_margin_s: Annotated[float, Field(ge=0, le=600)] = Field(
        60.0, description="seconds before the end of the hourly bar by which a schedule is over"
    )
    slice_s: Annotated[float, Field(ge=1, le=600)] = Field(
        5.0, description="seconds of a slice, before jitter"
    )
    jitter: Annotated[float, Field(ge=0, le=0.9)] = Field(
        0.3, description="random part of the length and size of a slice"
    )
    patience: Annotated[int, Field(ge=0, le=100)] = Field(
        6, description="slices that an unfilled remainder may keep resting before it crosses"
    )
    participation: Annotated[float, Field(gt=0, le=1)] = Field(
        0.2, description="most of the traded volume that a schedule may be"
    )
    protection_bps: Annotated[float, Field(ge=0.1, le=100)] = Field(
        5.0, description="worst price of a crossing order, from the mid"
    )
    hurry_protection_bps: Annotated[float, Field(ge=1, le=1_000)] = Field(
        100.0, description="worst price that an emergency widens to, from the mid"
    )
    repeg_bps: Annotated[float, Field(ge=0, le=100)] = Field(
        0.5, description="how far the touch moves away before a resting order follows"
    )
    repegs: Annotated[int, Field(ge=0, le=100)] = Field(
        10, description="most times an order follows the touch within a slice"
    )
    answer_s: Annotated[float, Field(ge=0.1, le=60)] = Field(
        2.0, description="seconds without an answer after which the venue is asked"
    )


class FastSettings(Section):
    """What fast numbers may do between two rows of the bar clock: docs/live-signals.md."""

    carry_bound: Annotated[float, Field(ge=0, le=0.2)] = Field(
        0.0, description="most that running funding moves the band, a ratio; 0 is off"
    )
    risk_aversion: Annotated[float, Field(ge=0.1, le=10_000)] = Field(
        20.0, description="λ by which running funding moves the band"
    )
    delay_s: Annotated[float, Field(ge=0, le=300)] = Field(
        0.0, description="longest a move waits while order flow goes its way; 0 is off"
    )
    flow: Annotated[float, Field(ge=0.1, le=1_000)] = Field(
        3.0, description="order flow that counts, in sizes at the touch"
    )
    flow_half_life_s: Annotated[float, Field(ge=0.1, le=3_600)] = Field(
        5.0, description="seconds in which order flow fades by half"
    )
    basis_half_life_s: Annotated[float, Field(ge=0.1, le=3_600)] = Field(
        60.0, description="seconds in which the basis forgets by half"
    )


class ProtectionSettings(Section):
    """What rests on the venue so that it protects when we are gone."""

    stop_inside: Annotated[float, Field(ge=0.002, le=0.2)] = Field(
        0.02, description="distance of the stop below the liquidation price, a share of it"
    )
    stop_further: Annotated[float, Field(ge=0.02, le=1.0)] = Field(
        0.05, description="rise beyond the old liquidation price that the rest must survive"
    )
    stop_slippage: Annotated[float, Field(ge=0.0, le=0.1)] = Field(
        0.005,
        description="what a triggered stop is expected to pay beyond its trigger, fees included",
    )
    stop_tolerance: Annotated[float, Field(ge=0.0, le=0.9)] = Field(
        0.25, description="share of stop_inside by which a stop may be off before it is replaced"
    )
    spot_stop: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(
        None, description="fall from the highest mark at which the short is raised to a full hedge"
    )
    countdown_s: Annotated[int, Field(ge=0, le=3_600)] = Field(
        60, description="silence after which the venue cancels open orders; 0 is off"
    )
    transfers: Literal["by_hand", "automatic"] = Field(
        "by_hand", description="whether collateral is moved by us or asked of a person"
    )
    transfer_min_usd: Annotated[float, Field(ge=1, le=1_000_000)] = Field(
        100.0, description="smallest amount of collateral worth moving"
    )
    transfer_cooldown_s: Annotated[int, Field(ge=0, le=604_800)] = Field(
        600,
        description="seconds after a transfer before collateral is taken out, or a refused one "
        "tried again",
    )


class AlertSettings(Section):
    """Whom to tell, and how often; the addresses are secrets: ``ALERT_URLS``."""

    severity: Literal["info", "warning", "critical"] = Field(
        "warning", description="least severity that is sent"
    )
    quiet_s: Annotated[float, Field(ge=1, le=86_400)] = Field(
        900.0, description="seconds in which the same alert is not sent twice"
    )
    attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        5, description="tries of one message at one address, ever longer apart"
    )


class JournalSettings(Section):
    """Where decisions, orders and fills are remembered."""

    # In no report of settings, should somebody write a password into it all the same.
    url: str | None = Field(
        None,
        exclude=True,
        repr=False,
        description="SQLAlchemy URL without a password; default: SQLite in the state folder",
    )


class RunSettings(Section):
    """The run itself."""

    mode: Literal["paper", "testnet", "live"] = Field(
        "paper", description="paper: a local venue; testnet and live are asked for twice"
    )
    state: Path = Field(Path("state"), description="folder of journal, kill switch and logs")
    position_max_age_ms: Annotated[int, Field(ge=500, le=600_000)] = Field(
        15_000, description="age of the confirmed position from which on no order leaves"
    )
    position_check_s: Annotated[float, Field(ge=0.2, le=300)] = Field(
        5.0, description="seconds between two queries of the account"
    )
    unknown_wait_ms: Annotated[int, Field(ge=5_000, le=600_000)] = Field(
        10_000,
        description="between two queries of an order of unknown fate; longer than a request may "
        "travel before the venue refuses it",
    )
    margin: Literal["cross", "isolated"] = Field("cross", description="margin type on the venue")
