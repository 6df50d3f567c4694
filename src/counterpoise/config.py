"""Frozen settings: ``counterpoise.toml``, overridden by ``COUNTERPOISE_*`` in the environment.

Unknown keys are refused with the nearest known one, and every refusal names where to mend it.
Nothing here reads market data, and no secret is a setting of this file.
"""

import difflib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from counterpoise.errors import FixConfig
from counterpoise.units import Collateral

Reading = Literal["literal", "bearish", "hedge_value"]

PREFIX = "COUNTERPOISE_"


def _as_utc(moment: datetime) -> datetime:
    """Read a moment without a zone as UTC: every clock of the product is UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _by_comma(names: object) -> object:
    """Split the text of an environment variable, by comma or as JSON; a file's list is one."""
    if not isinstance(names, str):
        return names
    if names.lstrip().startswith("["):
        try:
            return json.loads(names)
        except json.JSONDecodeError:
            raise ValueError("names separated by commas, or a JSON list") from None
    return [name.strip() for name in names.split(",")]


Moment = Annotated[datetime, AfterValidator(_as_utc)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExposureSettings(_Section):
    """What is being hedged."""

    eth: Annotated[float, Field(gt=0, allow_inf_nan=False, description="long ETH held")] = 1000.0


class HedgeSettings(_Section):
    """How the hedge ratio is chosen (SCIENCE §1, §2)."""

    policy: str = Field("volatility_timed", description="the policy that is acted on")
    base_ratio: Fraction = Field(0.8, description="base hedge ratio, the formula's β")
    max_ratio: Annotated[float, Field(gt=0, le=1.5)] = Field(1.0, description="cap of S/L")
    max_unhedged: Fraction = Field(0.7, description="most a volatility rule leaves unhedged")
    band: Annotated[float, Field(ge=0, le=0.5)] = Field(0.05, description="half-width of rules")
    reading: Reading = Field("literal", description="what C means in the formula")
    risk_aversion: Annotated[float, Field(gt=0)] = Field(20.0, description="λ of CE and bands")

    @model_validator(mode="after")
    def _ratios_agree(self) -> "HedgeSettings":
        if self.base_ratio > self.max_ratio:
            raise ValueError(
                f"hedge.base_ratio = {self.base_ratio} not to exceed "
                f"hedge.max_ratio = {self.max_ratio}"
            )
        return self


class VenueSettings(_Section):
    """Where the short is held; the first venue is the default one."""

    names: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_by_comma), Field(min_length=1)] = (
        "binance",
    )
    symbol: str = "ETHUSDT"


class CostSettings(_Section):
    """Execution cost; fees come from the venue's dated contract."""

    taker_share: Fraction = Field(0.5, description="share of an unhurried order that crosses")
    half_spread_bps: Annotated[float, Field(ge=0, le=100)] = 0.5
    impact_coefficient: Annotated[float, Field(ge=0, le=10)] = Field(
        0.7, description="Y of the square-root law: cost = Y·σ_day·√(order/daily volume)"
    )


class CapitalSettings(_Section):
    """What is posted as margin and what that costs."""

    collateral: Collateral = "usdt"
    leverage: Annotated[float, Field(ge=1, le=50)] = Field(2.0, description="notional ÷ collateral")
    leverage_max: Annotated[float, Field(ge=1, le=100)] = Field(3.0, description="top up above it")
    cost_per_year: Annotated[float, Field(ge=0, le=1)] = Field(
        0.04, description="opportunity cost of posted USDT"
    )
    eth_haircut: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = Field(
        0.10, description="haircut of ETH in a multi-asset account"
    )

    @model_validator(mode="after")
    def _leverages_agree(self) -> "CapitalSettings":
        if self.leverage_max <= self.leverage:
            raise ValueError(
                f"capital.leverage_max = {self.leverage_max} to exceed "
                f"capital.leverage = {self.leverage}"
            )
        return self


class SafetySettings(_Section):
    """What holds when signals are missing."""

    signal_grace_h: Annotated[int, Field(ge=0, le=168)] = Field(
        6, description="hours the last intent is held when a signal is missing"
    )


class SignalSettings(_Section):
    """Walk-forward training of the forecasts (SCIENCE §5)."""

    min_train_days: Annotated[int, Field(ge=60)] = Field(
        270, description="history before the first model"
    )
    embargo_h: Annotated[int, Field(ge=24)] = Field(24, description="gap beyond the purge")
    rho_window_days: Annotated[int, Field(ge=10, le=365)] = 30
    rho_prior_days: Annotated[float, Field(ge=0)] = Field(
        60.0, description="weight of the long-run correlation, in days of data"
    )
    seed: int = 7


class StudySettings(_Section):
    """What is compared, when, and how surely."""

    start: Moment | None = Field(None, description="first decision; default: first trustworthy")
    end: Moment | None = Field(None, description="last decision; default: end of the lake")
    holdout_start: Moment = Field(
        datetime(2024, 1, 1, tzinfo=UTC),
        description="choices were made on data before this moment; later days are the holdout",
    )
    burn_in_days: Annotated[int, Field(ge=0)] = Field(
        577,
        description=(
            "days of history before the first compared day; 577 gives the registered window "
            "2021-08-01 on history from 2020-01-01"
        ),
    )
    draws: Annotated[int, Field(ge=100, le=1_000_000)] = Field(
        10_000, description="draws of the stationary bootstrap"
    )
    placebo_draws: Annotated[int, Field(ge=0, le=100_000)] = Field(
        500, description="paths with random confidence"
    )
    seed: int = 11

    @model_validator(mode="after")
    def _start_before_end(self) -> "StudySettings":
        if self.start and self.end and self.start >= self.end:
            raise ValueError(
                f"a span: study.start = {self.start.isoformat()} must be before "
                f"study.end = {self.end.isoformat()}"
            )
        return self


class Settings(BaseSettings):
    """Every setting of the product, frozen after load."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__"
    )

    lake: Path = Field(Path("lake"), description="folder of the data lake")
    exposure: ExposureSettings = ExposureSettings()
    hedge: HedgeSettings = HedgeSettings()
    venue: VenueSettings = VenueSettings()
    costs: CostSettings = CostSettings()
    capital: CapitalSettings = CapitalSettings()
    safety: SafetySettings = SafetySettings()
    signals: SignalSettings = SignalSettings()
    study: StudySettings = StudySettings()


def known_keys(model: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    """Every dotted key a file may set."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, _Section):
            keys += known_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else "see docs/configuration.md"
    return f"a known setting; {hint}"


def _environment() -> dict[str, str]:
    """Variable of every setting that the environment sets, by dotted key.

    Raises
    ------
    FixConfig
        A variable of our prefix that is no setting; its value is not repeated, as it may be a
        secret meant for something else.
    """
    known = {key.replace(".", "__").upper(): key for key in known_keys()}
    found: dict[str, str] = {}
    for variable in sorted(os.environ):
        if not variable.upper().startswith(PREFIX):
            continue
        name = variable.upper().removeprefix(PREFIX)
        if name not in known:
            expected = _nearest(name, known).replace("did you mean ", f"did you mean {PREFIX}")
            raise FixConfig(variable, "(not shown)", expected, f"rename or unset {variable}")
        found[known[name]] = variable
    return found


def _holds(settings: Mapping[str, Any], key: str) -> bool:
    """Whether nested settings have a value at a dotted key."""
    inner: object = settings
    for part in key.split("."):
        if not isinstance(inner, Mapping) or part not in inner:
            return False
        inner = inner[part]
    return True


@dataclass(frozen=True)
class _Sources:
    """Where settings came from, to say where a wrong one is mended."""

    command_line: Mapping[str, Any]
    environment: Mapping[str, str]
    file: Path | None
    in_file: Mapping[str, Any]

    def mend(self, key: str) -> str | None:
        """Next step for a wrong value of a key; None where it is the default's."""
        if _holds(self.command_line, key):
            return f"change {key} on the command line"
        if key in self.environment:
            return f"change {self.environment[key]} in the environment"
        return f"edit {self.file}" if _holds(self.in_file, key) else None

    def refusal(self, error: ValidationError) -> FixConfig:
        """Refusal of the first wrong setting."""
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        # A place inside a list (venue.names.0) is told by the name of the list.
        key = next((known for known in known_keys() if key.startswith(f"{known}.")), key)
        value, message = first["input"], first["msg"]
        involved = [key]
        if first["type"] == "extra_forbidden":
            message = _nearest(key, known_keys())
        elif first["type"] == "model_type":
            message = f"a table of settings, [{key}]"
        elif first["type"] == "value_error" and isinstance(value, dict):
            involved = [known for known in known_keys() if known in message]
            value = "these settings together"
        for lead in ("Value error, ", "Input should be ", "Value should have "):
            message = message.removeprefix(lead)
        steps = dict.fromkeys(step for name in involved if (step := self.mend(name)))
        return FixConfig(key, value, message, " or ".join(steps))


def load_settings(file: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Read settings from a TOML file, command-line overrides and the environment.

    Parameters
    ----------
    file : Path, optional
        A TOML file; without one, ``counterpoise.toml`` of the current folder where it exists.
    overrides : dict, optional
        Nested settings of the command line; they win over file and environment.

    Raises
    ------
    FixConfig
        Missing file, broken TOML, unknown key or environment variable, or a value out of range,
        naming the key and the file, variable or command line it came from.
    """
    default = Path("counterpoise.toml")
    source = file or (default if default.exists() else None)
    raw: dict[str, Any] = {}
    if source is not None:
        try:
            raw = tomllib.loads(source.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise FixConfig("--config", str(source), "an existing file", "check the path") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
            raise FixConfig(
                "--config", str(source), f"valid TOML ({broken})", "mend that line"
            ) from None
    lake = raw.get("lake")
    if source is not None and isinstance(lake, str):
        raw["lake"] = str(source.parent / lake)

    class Loaded(Settings):
        """Settings whose sources are, strongest first: command line, environment, file."""

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, raw)

    sources = _Sources(overrides or {}, _environment(), source, raw)
    try:
        return Loaded(**sources.command_line)
    except ValidationError as error:
        raise sources.refusal(error) from None
