"""Lakes that several tests of this house read."""

import pytest

from counterpoise.market.lake import Lake
from counterpoise.market.synthetic import generate


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


@pytest.fixture(scope="session")
def real_lake(real_data, tmp_path_factory):
    """The real tables in a lake."""
    lake = Lake(tmp_path_factory.mktemp("real"))
    lake.import_folder(real_data)
    return lake
