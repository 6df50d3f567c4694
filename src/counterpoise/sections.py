"""What every section of the settings is made of: frozen tables, moments in UTC, bounded numbers.

The sections themselves are in ``config`` and, for what is held, in ``holdings``.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
)

#: Years in which any moment of a setting lies.
FIRST_YEAR, LAST_YEAR = 1990, 2100


def _no_number(given: object) -> object:
    """Refuse a number as a moment: its unit would be guessed."""
    if isinstance(given, int | float) or (isinstance(given, str) and given.strip().isdigit()):
        raise ValueError("a moment such as 2024-01-31 or 2024-01-31T08:00:00Z, not a number")
    return given


def _as_utc(moment: datetime) -> datetime:
    """Read a moment without a zone as UTC: every clock of the product is UTC."""
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"a moment between {FIRST_YEAR} and {LAST_YEAR}")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class Section(BaseModel):
    """A frozen table of settings that knows no other keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch(cls, given: object) -> object:
        # true would be read as 1.0.
        if isinstance(given, bool):
            raise ValueError("a value, not true or false")
        return given


Moment = Annotated[datetime, BeforeValidator(_no_number), AfterValidator(_as_utc)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
#: A file of the user's; results name it without its folder, which is nobody else's business.
UserFile = Annotated[Path, PlainSerializer(lambda path: path.name, when_used="json")]
