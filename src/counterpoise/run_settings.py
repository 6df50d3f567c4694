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


class ProtectionSettings(Section):
    """What rests on the venue so that it protects when we are gone."""


class AlertSettings(Section):
    """Whom to tell, and how often."""


class JournalSettings(Section):
    """Where decisions, orders and fills are remembered."""

    url: str | None = Field(
        None, description="SQLAlchemy URL without a password; default: SQLite in the state folder"
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
