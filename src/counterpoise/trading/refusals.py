"""What a refusal means: the order is not there, or nobody knows.

NautilusTrader calls an order rejected whatever went wrong. Where the venue did not say that it
refused, the order may live: it is asked for by its client id and never sent again.
"""

import re

from counterpoise.execution.events import Status

#: Codes after which the order may have been executed: unknown error, disconnected, too many
#: requests on the way, unexpected response, timeout, server busy.
FATE_UNKNOWN = frozenset({-1000, -1001, -1006, -1007, -1008})
#: A post-only order would have taken.
WOULD_TAKE = -5022
_CODE = re.compile(r"""['"]code['"]:\s*(-\d{4,5})\b|^code (-\d{4,5})\b""")


def code_of(reason: str) -> int:
    """Code in a refusal's words; 0 where there is none.

    Examples
    --------
    >>> code_of("{'code': -2019, 'msg': 'Margin is insufficient.'}"), code_of("timed out")
    (-2019, 0)

    Numbers elsewhere are no codes, such as those of an order's id:

    >>> code_of("timed out (order cp7bebf1-2045-3-0)")
    0
    """
    found = _CODE.search(reason)
    return int(found.group(1) or found.group(2)) if found else 0


def refusal_of(reason: str) -> tuple[Status, int]:
    """Status and code of an order that NautilusTrader calls rejected or denied.

    Examples
    --------
    >>> refusal_of("code -5022: would take"), refusal_of("connection reset")
    (('rejected', -5022), ('unknown', 0))
    """
    code = code_of(reason)
    if code == 0 or code in FATE_UNKNOWN:
        return "unknown", code
    return "rejected", code
