"""Fixtures every house shares."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from counterpoise.market.lake import Lake
from counterpoise.market.synthetic import generate

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


@pytest.fixture(scope="session")
def real_lake(real_data, tmp_path_factory):
    """The real tables in a lake."""
    lake = Lake(tmp_path_factory.mktemp("real"))
    lake.import_folder(real_data)
    return lake


@pytest.fixture(scope="session")
def generated():
    """Two generated venues over 150 days."""
    return generate(seed=3, days=150, venues=("binance", "bybit"))


@pytest.fixture(scope="session")
def generated_lake(generated, tmp_path_factory):
    """The generated tables in a lake."""
    lake = Lake(tmp_path_factory.mktemp("generated"))
    lake.write(generated, synthetic=True)
    return lake
