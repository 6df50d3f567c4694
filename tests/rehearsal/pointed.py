"""ccxt, unmodified, pointed at a local venue."""

import re
from typing import Any

from counterpoise.rehearsal.binance_signing import ApiKey
from counterpoise.rehearsal.binance_venue import Venue
from tests.rehearsal.steady import KEY

LIVE = re.compile(r"https://f?api\.binance\.com")


def pointed(kind: Any, venue: Venue, key: ApiKey = KEY, secret: str = "") -> Any:
    """A ``binanceusdm`` of ccxt's async or pro module that asks this venue and no other."""
    client = kind({"apiKey": key.key, "secret": secret or key.secret, "enableRateLimit": False})
    api = client.urls["api"]
    for name, address in api.items():
        if isinstance(address, str):
            api[name] = LIVE.sub(venue.url_http, address)
    if "ws" in api:
        # ccxt puts /public, /market or /private before this very ending.
        api["ws"]["linear"] = venue.url_ws + "/ws"
        api["ws"]["ws-api"]["linear"] = venue.url_ws + "/ws-fapi/v1"
    client.options["fetchCurrencies"] = False
    return client
