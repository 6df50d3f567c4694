"""Settings of a run that trades: how orders are worked, what protects, where it is remembered.

No secret is a setting: keys come from the environment or the keyring, see ``credentials``.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from counterpoise.sections import Section


class TwapSettings(Section):
    """How an order is worked over time."""


class ProtectionSettings(Section):
    """What rests on the venue so that it protects when we are gone."""


class AlertSettings(Section):
    """Whom to tell, and how often."""


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
