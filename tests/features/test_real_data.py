"""On the real history every feature can be evaluated, and predicted funding predicts funding."""

from pathlib import Path

import numpy as np
import pytest

from counterpoise.features.catalog import FEATURES, raw_inputs
from counterpoise.features.coverage import coverage
from counterpoise.features.engine import column, compute
from counterpoise.market.assemble import build_timeline
from counterpoise.market.lake import Lake
from counterpoise.market.timeline import Timeline


@pytest.fixture(scope="module")
def timeline(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Timeline:
    """Binance ETHUSDT, 2020-01 to 2025-06, hourly."""
    lake = Lake(tmp_path_factory.mktemp("real") / "lake")
    lake.import_folder(real_data)
    return build_timeline(lake)


def test_every_feature_varies_and_all_but_the_queues_are_known_nearly_always(
    timeline: Timeline,
) -> None:
    for row in coverage(timeline, compute(timeline)):
        inputs = [part for part in raw_inputs(row.name) if not part.startswith("hourly.btc_")]
        if any(part.startswith(("hourly.", "events.")) for part in inputs):
            # The sample has no open interest, taker flow, book, base fee or calendar.
            assert row.state == "not evaluated", row.name
            continue
        assert row.state == "varies", row.name
        about_validators = "queue" in row.name or "validators" in row.name
        assert row.known > (0.35 if about_validators else 0.98), row.name
    assert len(FEATURES) == 116


def test_funding_is_predicted_better_than_by_no_change_once_the_interval_is_old(
    timeline: Timeline,
) -> None:
    seen = column(timeline, "funding_seen")
    found = compute(timeline, ["predicted_funding", "funding_last"])
    settled = np.flatnonzero(np.isfinite(seen))[1:]

    def skill(hours_before: int) -> float:
        """Share of the squared error of no change that the prediction saves."""
        at, rate = settled - hours_before, seen[settled]
        error = rate - found["predicted_funding"][at]
        unchanged = rate - found["funding_last"][at]
        both = np.isfinite(error) & np.isfinite(unchanged)
        return float(1 - (error[both] ** 2).sum() / (unchanged[both] ** 2).sum())

    assert skill(1) > 0.6
    assert skill(8) < 0.0
