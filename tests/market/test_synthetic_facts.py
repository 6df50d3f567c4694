"""The generated market resembles the real one in the numbers hedging depends on."""

import numpy as np
import pytest

from counterpoise.market.lake import Lake
from tests.market.stylised_facts import KEYS
from tests.market.synthetic_facts import GROUPS, Group, cut, generated

by_group = pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.measure.__name__)


@by_group
def test_generated_markets_have_the_moments_and_the_memory_of_the_real_one(group: Group) -> None:
    missed = {
        name: (float(values.mean()), kept)
        for name, values in generated(group).items()
        if not abs(values.mean() - (kept := group.kept[name]).real) <= kept.allowed
    }
    assert not missed


@by_group
def test_the_numbers_kept_are_those_of_the_real_data(group: Group, real_lake: Lake) -> None:
    found = group.measure(
        cut({key: real_lake.read_key(key) for key in KEYS}, group.span), group.span
    )
    assert found.keys() == group.kept.keys()
    for name, kept in group.kept.items():
        assert float(f"{found[name]:.4g}") == pytest.approx(kept.real, rel=1e-3), name


def test_no_allowed_miss_is_so_wide_that_anything_passes() -> None:
    """A market without clustering, or with another's funding, would fail most of the table."""
    wide = [
        name
        for group in GROUPS
        for name, kept in group.kept.items()
        if kept.allowed > max(abs(kept.real), 1e-12) * 0.6
    ]
    everything = sum(len(group.kept) for group in GROUPS)
    assert len(wide) / everything < 0.2
    assert np.isfinite([kept.allowed for group in GROUPS for kept in group.kept.values()]).all()
