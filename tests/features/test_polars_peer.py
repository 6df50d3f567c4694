"""The benchmark's peer computes the same features: a second, vectorised oracle."""

import numpy as np
import pytest

from counterpoise.features.catalog import FEATURES
from counterpoise.features.engine import compute
from tests.benchmarks.features import inputs_frame, peer
from tests.features.market import market

#: Ticks after which it no longer matters how an EWMA began.
SETTLED = 2_500
TIMELINE = market(4_000, seed=9)
MATRIX = compute(TIMELINE)
PEER = inputs_frame(TIMELINE).select(**peer(TIMELINE))


def test_the_peer_computes_every_feature_of_the_catalog() -> None:
    assert list(FEATURES) == PEER.columns


@pytest.mark.parametrize("name", list(FEATURES))
def test_polars_finds_the_same_value_at_every_settled_tick(name: str) -> None:
    expected = PEER[name].fill_null(np.nan).to_numpy()[SETTLED:]
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(MATRIX[name][SETTLED:], expected, rtol=1e-7, atol=1e-10)
