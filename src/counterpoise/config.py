"""Frozen settings: ``counterpoise.toml``, overridden by ``COUNTERPOISE_*`` in the environment.

Unknown keys are refused with the nearest known one, and every refusal names where to mend it.
Nothing here reads market data, and no secret is a setting of this file.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
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

from counterpoise.contradictions import (
    HOLDOUT_START,
    TRAINING_RULES,
    Contradiction,
    refuse_contradictions,
    value_at,
)
from counterpoise.credentials import refuse_secrets_in_file
from counterpoise.endpoints import SourceSettings
from counterpoise.errors import FixConfig
from counterpoise.holdings import ExposureSettings, HoldingSettings
from counterpoise.provenance import Sources, nearest, read_file
from counterpoise.risk_settings import RiskSettings
from counterpoise.run_settings import (
    AlertSettings,
    FastSettings,
    JournalSettings,
    ProtectionSettings,
    RunSettings,
    TwapSettings,
)
from counterpoise.sections import Fraction, Moment, Section
from counterpoise.units import Collateral

Reading = Literal["literal", "bearish", "hedge_value"]

PREFIX = "COUNTERPOISE_"

#: LightGBM and NumPy both take it.
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]


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


def _folder(given: object) -> object:
    """Refuse a folder without a name: it would be the current one."""
    if isinstance(given, str) and (not given.strip() or "\0" in given):
        raise ValueError("the name of a folder")
    return given


class HedgeSettings(Section):
    """How the hedge ratio is chosen (SCIENCE §1, §2)."""

    policy: str = Field("volatility_timed", description="the policy that is acted on")
    base_ratio: Fraction = Field(0.8, description="base hedge ratio, the formula's β")
    max_ratio: Annotated[float, Field(gt=0, le=1.5)] = Field(1.0, description="cap of S/L")
    max_unhedged: Fraction = Field(0.7, description="most a volatility rule leaves unhedged")
    band: Annotated[float, Field(ge=0, le=0.5)] = Field(0.05, description="half-width of rules")
    reading: Reading = Field("literal", description="what C means in the formula")
    risk_aversion: Annotated[float, Field(gt=0, le=10_000)] = Field(
        20.0, description="λ of CE and bands"
    )


class VenueSettings(Section):
    """Where the short is held; the first venue is the default one."""

    names: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_by_comma), Field(min_length=1)] = (
        "binance",
    )
    symbol: str = "ETHUSDT"


class CostSettings(Section):
    """Execution cost; fees come from the venue's dated contract."""

    taker_share: Fraction = Field(0.5, description="share of an unhurried order that crosses")
    half_spread_bps: Annotated[float, Field(ge=0, le=100)] = 0.5
    impact_coefficient: Annotated[float, Field(ge=0, le=10)] = Field(
        0.7, description="Y of the square-root law: cost = Y·σ_day·√(order/daily volume)"
    )


class CapitalSettings(Section):
    """What is posted as margin and what that costs."""

    collateral: Collateral = "usdt"
    leverage_mode: Literal["fixed", "dynamic"] = Field(
        "fixed", description="dynamic: as much collateral as the forecast adverse move asks for"
    )
    leverage: Annotated[float, Field(ge=1, le=50)] = Field(
        2.0, description="notional ÷ collateral after a top-up, of mode fixed"
    )
    leverage_min: Annotated[float, Field(ge=1, le=50)] = Field(
        1.0, description="least notional ÷ collateral, of mode dynamic"
    )
    leverage_max: Annotated[float, Field(ge=1, le=100)] = Field(3.0, description="top up above it")
    adverse_quantile: Annotated[float, Field(ge=0.5, lt=1)] = Field(
        0.99, description="adverse move that margin must outlast, of mode dynamic"
    )
    headroom: Annotated[float, Field(ge=1.01, le=10)] = Field(
        1.25, description="adverse moves that a top-up pays for, of mode dynamic"
    )
    transfer_h: Annotated[int, Field(ge=0, le=168)] = Field(
        1, description="hours that collateral travels to a venue"
    )
    transfer_usd: Annotated[float, Field(ge=0, le=100_000)] = Field(
        5.0, description="cost of moving collateral, once"
    )
    cost_per_year: Annotated[float, Field(ge=0, le=1)] = Field(
        0.04, description="opportunity cost of posted USDT, and interest on USDT owed"
    )
    usdt_budget: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="most USDT that can be paid in, net of what came back; default: no limit"
    )
    eth_cost_per_year: Annotated[float, Field(ge=0, le=1)] = Field(
        0.03, description="opportunity cost of posted ETH, such as staking rewards forgone"
    )
    eth_haircut: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = Field(
        0.10, description="haircut of ETH in a multi-asset account"
    )


class SafetySettings(Section):
    """What holds when signals are missing."""

    signal_grace_h: Annotated[int, Field(ge=0, le=168)] = Field(
        6, description="hours the last intent is held when a signal is missing"
    )


class SignalSettings(Section):
    """Walk-forward training of the forecasts (SCIENCE §5)."""

    min_train_days: Annotated[int, Field(ge=60, le=36_500)] = Field(
        270, description="history before the first model"
    )
    embargo_h: Annotated[int, Field(ge=24, le=8_760)] = Field(
        24, description="gap beyond the purge"
    )
    rho_window_days: Annotated[int, Field(ge=10, le=365)] = 30
    rho_prior_days: Annotated[float, Field(ge=0)] = Field(
        60.0, description="weight of the long-run correlation, in days of data"
    )
    seed: Seed = 7


class StudySettings(Section):
    """What is compared, when, and how surely."""

    start: Moment | None = Field(None, description="first decision; default: first trustworthy")
    end: Moment | None = Field(None, description="last decision; default: end of the lake")
    holdout_start: Moment = Field(
        HOLDOUT_START,
        description="choices were made on data before this moment; later days are the holdout",
    )
    burn_in_days: Annotated[int, Field(ge=0, le=36_500)] = Field(
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
    seed: Seed = 11


class Settings(BaseSettings):
    """Every setting of the product, frozen after load."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__"
    )

    lake: Annotated[Path, BeforeValidator(_folder)] = Field(
        Path("lake"), description="folder of the data lake"
    )
    exposure: ExposureSettings = ExposureSettings()
    hedge: HedgeSettings = HedgeSettings()
    venue: VenueSettings = VenueSettings()
    costs: CostSettings = CostSettings()
    capital: CapitalSettings = CapitalSettings()
    safety: SafetySettings = SafetySettings()
    risk: RiskSettings = RiskSettings()
    signals: SignalSettings = SignalSettings()
    study: StudySettings = StudySettings()
    sources: SourceSettings = SourceSettings()
    run: RunSettings = RunSettings()
    twap: TwapSettings = TwapSettings()
    fast: FastSettings = FastSettings()
    protection: ProtectionSettings = ProtectionSettings()
    journal: JournalSettings = JournalSettings()
    alerts: AlertSettings = AlertSettings()

    #: Where the values came from; nowhere for settings made in code.
    _sources: Sources = PrivateAttr(Sources({}, {}, None, {}, ()))

    @model_validator(mode="after")
    def _agree(self) -> "Settings":
        refuse_contradictions(self)
        return self

    def contradiction(self, keys: Sequence[str], expected: str) -> FixConfig:
        """Return the refusal of settings that do not go together for a reason a house knows.

        Parameters
        ----------
        keys : sequence of str
            Dotted keys that contradict each other.
        expected : str
            What would agree.
        """
        return self._sources.contradiction({key: value_at(self, key) for key in keys}, expected)


def known_keys(model: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    """Every dotted key a file may set."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            keys += known_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


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
            expected = nearest(name, known).replace("did you mean ", f"did you mean {PREFIX}")
            raise FixConfig(variable, "(not shown)", expected, f"rename or unset {variable}")
        found[known[name]] = variable
    return found


def _place_beside(folder: Path, raw: dict[str, Any]) -> None:
    """Make the paths of a settings file relative to its folder, in place."""
    exposure = raw.get("exposure")
    exposure = exposure if isinstance(exposure, dict) else {}
    holdings = exposure.get("holdings")
    sources = raw.get("sources")
    events = sources.get("events") if isinstance(sources, dict) else None
    tables = (raw, exposure, events, raw.get("run"))
    for table in (*tables, *(holdings if isinstance(holdings, list) else ())):
        for key in ("lake", "flows", "rate_file", "file", "state"):
            given = table.get(key) if isinstance(table, dict) else None
            if isinstance(given, str) and given.strip():
                table[key] = str(folder / table[key])


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
        Missing file, broken TOML, a secret in the file, unknown key or environment variable, or a
        value out of range, naming the key and the file, variable or command line it came from.
    """
    default = Path("counterpoise.toml")
    source = file or (default if default.exists() else None)
    raw: dict[str, Any] = {}
    if source is not None:
        raw = read_file(source)
        known = {key.rpartition(".")[2] for key in known_keys()}
        refuse_secrets_in_file(source, raw, frozenset(known | set(HoldingSettings.model_fields)))
        _place_beside(source.parent, raw)
    return _load(Sources(overrides or {}, _environment(), source, raw, known_keys()))


def settings_without_file(overrides: dict[str, Any]) -> Settings:
    """Settings of a run that brings its own, on top of which only the environment counts.

    Parameters
    ----------
    overrides : dict
        Nested settings of the run; they win over the environment.

    Raises
    ------
    FixConfig
        As :func:`load_settings`.
    """
    return _load(Sources(overrides, _environment(), None, {}, known_keys()))


def _load(sources: Sources) -> Settings:
    """Settings of these sources, strongest first: command line, environment, file."""

    class Loaded(Settings):
        """Settings with the sources of this run."""

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            in_file = InitSettingsSource(settings_cls, dict(sources.in_file))
            return init_settings, env_settings, in_file

    try:
        loaded = Loaded(**sources.command_line)
        refuse_contradictions(loaded, TRAINING_RULES)
    except ValidationError as error:
        tables = {"exposure.holdings": list(HoldingSettings.model_fields)}
        raise sources.refusal(error, tables) from None
    except Contradiction as found:
        raise sources.contradiction(found.given, found.expected) from None
    loaded._sources = sources
    return loaded
