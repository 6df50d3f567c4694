"""Named things a user can list and extend: policies, features, venues.

A registry maps a name to one object and refuses a second one under the same name. It does not
discover anything by itself: the house that owns a registry imports the rooms that fill it.
"""

import difflib
from collections.abc import Iterator

from counterpoise.errors import FixConfig


class Registry[T]:
    """Objects of one kind by name, in the order they were added.

    Parameters
    ----------
    kind : str
        What is registered, for messages (``policy``).

    Examples
    --------
    >>> colours = Registry[int]("colour")
    >>> colours.add("red", 1)
    >>> colours["red"], list(colours)
    (1, ['red'])
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def add(self, name: str, item: T) -> None:
        """Register ``item``; a name that is taken is a defect of the caller."""
        if name in self._items:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._items[name] = item

    def __getitem__(self, name: str) -> T:
        try:
            return self._items[name]
        except KeyError:
            close = difflib.get_close_matches(name, self._items, n=1)
            hint = f"use {close[0]!r}" if close else "pick one of these"
            raise FixConfig(self.kind, name, f"one of {', '.join(self._items)}", hint) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def items(self) -> Iterator[tuple[str, T]]:
        """Names and objects in the order they were added."""
        return iter(self._items.items())
