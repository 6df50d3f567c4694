"""The reply to a request that gets nothing, as Binance words it."""


class Denied(Exception):
    """A request that is not served; the exchange itself refuses with its own ``Refused``.

    Attributes
    ----------
    code : int
        The venue's, negative.
    message : str
    status : int
        Of HTTP.
    retry_after_s : int
        Seconds to wait; 0 where the reply does not say.
    """

    def __init__(
        self, code: int, message: str, *, status: int = 400, retry_after_s: int = 0
    ) -> None:
        super().__init__(f"{code} {message}")
        self.code, self.message = code, message
        self.status, self.retry_after_s = status, retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """Of the reply."""
        return {"Retry-After": str(self.retry_after_s)} if self.retry_after_s else {}


def missing(name: str) -> Denied:
    """The reply where a parameter is missing or empty."""
    return Denied(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )
