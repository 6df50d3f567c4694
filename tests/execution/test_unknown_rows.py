"""A feed that falls silent while the market trades: the hedge is held, then the static one."""

import math
from dataclasses import replace

import pytest

from counterpoise.config import load_settings
from counterpoise.decision.moment import Reason
from counterpoise.execution.events import Mark, Quote, Signals
from counterpoise.execution.judge import Judge
from counterpoise.trading.signal_rows import unknown_row
from counterpoise.units import HOUR_MS, NS_PER_HOUR, NS_PER_MS
from counterpoise.venues import contract_at

FIRST_MS = 1_735_689_600_000
EXPOSURE = 10.0


def test_an_unknown_row_is_held_for_the_grace_and_then_raised_to_the_static_hedge() -> None:
    settings = load_settings(
        overrides={
            "exposure": {"eth": EXPOSURE},
            "safety": {"signal_grace_h": 3},
            "protection": {"transfers": "automatic"},
        }
    )
    judge = Judge(settings, contract_at("binance", FIRST_MS), exposure_eth=EXPOSURE, price=2_000.0)
    judge.account.cash_usd = judge.account.paid_in_usd = 50_000.0
    unknown = unknown_row(settings, FIRST_MS, "nothing is known", None)
    known = replace(
        unknown, lo=0.3, hi=0.3, to_lo=0.3, to_hi=0.3, target=0.3, spot=2_000.0, perp=2_001.0
    )
    short, told = 3.0, []
    judge.account.short_eth = short
    judge.account.cash_usd += short * 2_001.0
    row: Signals | None = known
    for hour in range(6):
        now_ns = FIRST_MS * NS_PER_MS + hour * NS_PER_HOUR
        judge.see_quote(Quote(now_ns, 2_000.5, 1.0, 2_001.5, 1.0))
        judge.see_mark(Mark(now_ns, 2_001.0, 2_000.0, 1e-4, now_ns))
        before = None if hour == 0 else row
        row = (
            known
            if hour == 0
            else unknown_row(settings, FIRST_MS + hour * HOUR_MS, "no answer", before)
        )
        judge.signals = row
        verdict = judge.decide(now_ns, short, bar=True)
        assert verdict is not None
        told.append((verdict.target_eth, Reason(verdict.reasons)))
        # Between two rows the age of what is known does not change.
        again = judge.decide(now_ns, short, bar=False)
        assert again is not None
        assert again.target_eth == verdict.target_eth
    assert [target for target, _ in told] == pytest.approx([3.0] * 4 + [8.0] * 2)
    assert not any(reasons & Reason.HALTED for _, reasons in told)
    assert all(reasons & Reason.HELD for _, reasons in told[1:4])
    assert all(reasons & Reason.FALLBACK for _, reasons in told[4:])
    assert math.isfinite(judge.account.charged_usd)
    assert judge.account.charged_usd > 0.0
