"""Settings of what is held: an amount of ETH, or holdings with their rate, growth and debt.

It refuses what contradicts itself. What the holdings amount to at a moment is the house
``exposure``; the keys are described in docs/exposure.md.
"""

import difflib
import json
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode

from counterpoise.sections import Fraction, Moment, Positive, Section, UserFile

#: ETH held where nothing is said.
DEFAULT_ETH = 1000.0
#: There are 121 million ETH; more is an amount in another unit.
MOST_ETH = 200_000_000.0
#: Assets that are one ETH a token, by what they are or by how they can be redeemed.
PLAIN_ASSETS = ("eth", "weth")
REDEEMED_AT_PAR = (*PLAIN_ASSETS, "steth")
#: Assets whose rewards raise the rate and leave the balance as it is.
ACCRUING_ASSETS = ("wsteth", "reth", "cbeth", "weeth", "sfrxeth", "oseth", "ethx", "meth")
#: A larger rate is a price in USD or an amount in wei.
MOST_ETH_PER_TOKEN = 10.0


class HoldingSettings(Section):
    """One holding and what is borrowed against it, as stated at ``as_of``."""

    asset: Annotated[str, Field(pattern=r"^[a-z0-9]+$", description="such as eth, steth, wsteth")]
    amount: Annotated[Positive, Field(le=MOST_ETH)] = Field(description="tokens held")
    eth_per_token: Annotated[Positive, Field(le=MOST_ETH_PER_TOKEN)] | None = None
    rate_file: UserFile | None = Field(None, description="CSV or Parquet: ts, eth_per_token")
    as_of: Moment | None = Field(None, description="when amount, rate and debt are stated")
    yield_per_year: Fraction = Field(0.0, description="growth of the ETH the tokens stand for")
    debt_usd: Positive | None = None
    debt_eth: Positive | None = None
    liquidation_threshold: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="debt ÷ collateral at which the lender liquidates"
    )
    liquidation_penalty: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None, description="paid in collateral on top of the debt that is repaid"
    )
    interest_per_year: Fraction = Field(0.0, description="growth of the debt")

    @property
    def owes(self) -> bool:
        """Whether something is borrowed against it."""
        return self.debt_usd is not None or self.debt_eth is not None

    @model_validator(mode="after")
    def _rate_agrees(self) -> "HoldingSettings":
        what, file = f"asset = {self.asset!r}", f"rate_file = {str(self.rate_file)!r}"
        rate = f"eth_per_token = {self.eth_per_token}"
        given = [
            text
            for text, value in ((rate, self.eth_per_token), (file, self.rate_file))
            if value is not None
        ]
        if len(given) == 2:
            raise ValueError(f"one rate of {what}, not {rate} and {file}")
        if given and self.asset in PLAIN_ASSETS:
            raise ValueError(f"no {given[0]} beside {what}, which is one ETH a token")
        if not given and self.asset not in REDEEMED_AT_PAR:
            near = difflib.get_close_matches(self.asset, REDEEMED_AT_PAR, n=1)
            meant = f"; did you mean {near[0]}?" if near and len(self.asset) < 5 else ""
            raise ValueError(
                f"eth_per_token or rate_file beside {what}, which is not one ETH a token{meant}"
            )
        if self.rate_file is not None and self.yield_per_year and self.asset in ACCRUING_ASSETS:
            raise ValueError(
                f"no yield_per_year = {self.yield_per_year} beside {file}: "
                f"the rewards of {what} are in its rate"
            )
        return self

    @model_validator(mode="after")
    def _debt_agrees(self) -> "HoldingSettings":
        if self.debt_usd is not None and self.debt_eth is not None:
            raise ValueError(
                f"one debt a holding, not debt_usd = {self.debt_usd} and "
                f"debt_eth = {self.debt_eth}; state two holdings"
            )
        threshold, penalty = self.liquidation_threshold, self.liquidation_penalty
        terms = {"liquidation_threshold": threshold, "liquidation_penalty": penalty}
        if self.owes:
            owed = f"debt_usd = {self.debt_usd}"
            if self.debt_usd is None:
                owed = f"debt_eth = {self.debt_eth}"
            for key, value in terms.items():
                if value is None:
                    raise ValueError(f"{key} beside {owed}")
        else:
            interest = {"interest_per_year": self.interest_per_year or None}
            for key, value in (terms | interest).items():
                if value is not None:
                    raise ValueError(f"debt_usd or debt_eth beside {key} = {value}")
        if threshold is not None and penalty is not None and threshold * (1 + penalty) > 1:
            raise ValueError(
                f"liquidation_threshold = {threshold} times (1 + liquidation_penalty = {penalty}) "
                "to be at most 1: the collateral pays both debt and penalty"
            )
        return self

    @model_validator(mode="after")
    def _growth_has_a_beginning(self) -> "HoldingSettings":
        for key in ("yield_per_year", "interest_per_year"):
            if getattr(self, key) and self.as_of is None:
                raise ValueError(
                    f"as_of beside {key} = {getattr(self, key)}: growth needs a beginning"
                )
        return self


def _tables(given: object) -> object:
    """Read the text of an environment variable as JSON; a file's list of tables is one."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except json.JSONDecodeError:
        raise ValueError('a JSON list, such as [{"asset": "eth", "amount": 10}]') from None


class ExposureSettings(Section):
    """What is being hedged: an amount of ETH or holdings, and flows on top of either."""

    eth: Annotated[Positive, Field(le=MOST_ETH)] | None = Field(
        None, description="long ETH held; 1000 where nothing is said"
    )
    holdings: Annotated[tuple[HoldingSettings, ...], NoDecode, BeforeValidator(_tables)] = ()
    flows: UserFile | None = Field(None, description="CSV or Parquet of deposits: ts, eth")

    @model_validator(mode="before")
    @classmethod
    def _default_eth(cls, given: Any) -> Any:
        # Not a field's default: beside holdings it would state what is not held.
        if isinstance(given, dict) and given.get("eth") is None and not given.get("holdings"):
            return {**given, "eth": DEFAULT_ETH}
        return given

    @model_validator(mode="after")
    def _one_statement(self) -> "ExposureSettings":
        if self.eth is not None and self.holdings:
            held = ", ".join(f"{one.amount:g} {one.asset}" for one in self.holdings)
            raise ValueError(
                f"one of exposure.eth = {self.eth:g} and exposure.holdings = {held}; "
                'plain ETH beside others is a holding with asset = "eth"'
            )
        return self
