"""Parameters of a request as text, read as what they must be."""

from decimal import Decimal, InvalidOperation

from counterpoise.rehearsal.denied import Denied, missing


class Params(dict[str, str]):
    """By name.

    Examples
    --------
    >>> asked = Params(symbol="ETHUSDT", limit="5", reduceOnly="True")
    >>> asked.text("symbol"), asked.whole("limit", 500), asked.flag("reduceOnly")
    ('ETHUSDT', 5, True)
    """

    def text(self, name: str) -> str:
        """A parameter that must be there."""
        given = self.get(name)
        if not given:
            raise missing(name)
        return given

    def whole(self, name: str, default: int) -> int:
        """A whole number."""
        found = self.whole_or_none(name)
        return default if found is None else found

    def whole_or_none(self, name: str) -> int | None:
        """A whole number, or None where it was not given."""
        given = self.get(name)
        if not given:
            return None
        try:
            return int(given)
        except ValueError:
            raise _illegal(name) from None

    def number(self, name: str) -> Decimal:
        """A decimal that must be there."""
        self.text(name)
        found = self.number_or_none(name)
        assert found is not None
        return found

    def number_or_none(self, name: str) -> Decimal | None:
        """A decimal, or None where it was not given."""
        given = self.get(name)
        if not given:
            return None
        try:
            found = Decimal(given)
        except InvalidOperation:
            raise _illegal(name) from None
        if not found.is_finite():
            raise _illegal(name)
        return found

    def flag(self, name: str) -> bool:
        """Whether a parameter says true, in either spelling clients use; absent is false."""
        return self.get(name, "").lower() == "true"

    def limit(self, default: int, most: int) -> int:
        """How many rows are asked for."""
        asked = self.whole("limit", default)
        if not 0 < asked <= most:
            raise Denied(-1130, "Data sent for parameter 'limit' is not valid.")
        return asked


def _illegal(name: str) -> Denied:
    return Denied(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is a number."
    )
