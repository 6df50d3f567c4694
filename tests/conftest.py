"""Fixtures every house shares."""

from pathlib import Path

import pytest

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real ETH market data beside the checkout; skips where it is absent."""
    if not (REAL_DATA / "MANIFEST.md").exists():
        pytest.skip("real market data is not beside this checkout (../shared/data)")
    return REAL_DATA
