"""The catalog as Markdown, for the documentation: one table of definitions, one of pitfalls."""

from collections.abc import Sequence

from counterpoise.features.catalog import FEATURES, KNOWN_AT, UNAVAILABLE


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    # A bar would end the cell.
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def markdown_tables(names: Sequence[str]) -> str:
    """Tables of the named features, of the known-at rules, and of what is not available.

    Parameters
    ----------
    names : sequence of str
        Names of the catalog.
    """
    features = [FEATURES[name] for name in names]
    return "\n\n".join(
        (
            _table(
                ("feature", "unit", "known at", "warm-up, h", "formula"),
                [
                    (f"`{one.name}`", one.unit, one.known_at, str(one.warm_up), one.formula)
                    for one in features
                ],
            ),
            _table(("feature", "pitfall"), [(f"`{one.name}`", one.pitfall) for one in features]),
            _table(("known at", "means"), [(key, words) for key, words in KNOWN_AT.items()]),
            _table(("not evaluated", "because"), list(UNAVAILABLE.items())),
        )
    )
