"""Fixtures every house shares."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A property holds or not, however busy the machine is.
settings.register_profile("counterpoise", deadline=None)
settings.load_profile("counterpoise")

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL_DATA = Path(os.environ.get("ETH_MARKET_DATA", BESIDE))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real ETH data, beside the checkout or in ETH_MARKET_DATA; skips without it."""
    if not (REAL_DATA / "MANIFEST.md").exists():
        pytest.skip("no real market data in ../shared/data, nor where ETH_MARKET_DATA points")
    return REAL_DATA
