"""Every feature by name, and what SCIENCE §6 asks for that cannot be computed yet.

A new feature is a recursion and its entry in one of the rooms imported here, and an oracle in
``tests/features/test_oracles.py``. Nothing here computes.
"""

from counterpoise.features import price, volatility, range, carry, premium, funding_means  # noqa: F401, I001  (this order)
from counterpoise.features import slow, flow, events, bitcoin  # noqa: F401  (this order)
from counterpoise.features.feature import FEATURES, KNOWN_AT, SHARED, Feature, Shared

__all__ = ["FEATURES", "KNOWN_AT", "SHARED", "UNAVAILABLE", "Feature", "Shared", "raw_inputs"]

#: What has no input on the timeline, and why.
UNAVAILABLE = {
    "order-flow imbalance": "needs an order book; the lake holds bars",
    "microprice − mid": "needs an order book; the lake holds bars",
}


def raw_inputs(name: str) -> tuple[str, ...]:
    """Columns of the timeline a feature needs, directly or through what it feeds on.

    Examples
    --------
    >>> raw_inputs("basis_zscore")
    ('perp.close', 'spot.close')
    """
    found: dict[str, None] = {}
    for part in FEATURES[name].inputs:
        found |= dict.fromkeys(_raw(part))
    return tuple(found)


def feeding(part: str) -> Feature | Shared | None:
    """What makes an input: a feature, a shared number, or None for a column of the timeline."""
    group, _, name = part.partition(".")
    if group == "feature":
        return FEATURES[name]
    return SHARED[name] if group == "shared" else None


def _raw(part: str) -> tuple[str, ...]:
    source = feeding(part)
    if source is None:
        return (part,)
    return tuple(raw for inner in source.inputs for raw in _raw(inner))
