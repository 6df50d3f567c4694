"""Who a request of Binance's protocol is from: API keys, their rights, and three signatures.

HMAC-SHA256 as hexadecimal digits, Ed25519 and RSA (PKCS#1 v1.5 with SHA-256) as base64. The payload
is the parameters as they were sent, without the signature.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from counterpoise.rehearsal.denied import Denied, missing

#: How old a request may be where it does not say, and the most it may say, ms.
WINDOW_MS = 5_000
MOST_WINDOW_MS = 60_000
#: How far a request may be ahead of the venue's clock, ms.
AHEAD_MS = 1_000


@dataclass(frozen=True)
class ApiKey:
    """A key of the venue and what it may do.

    Attributes
    ----------
    key : str
        Sent in the header ``X-MBX-APIKEY``.
    secret : str
        Of HMAC, or the public key as PEM of Ed25519 and RSA.
    may_trade, may_transfer, may_withdraw : bool
    bound_to_addresses : bool
        Whether it works from listed addresses only.
    """

    key: str
    secret: str = field(repr=False)
    may_trade: bool = True
    may_transfer: bool = True
    may_withdraw: bool = False
    bound_to_addresses: bool = True

    def signed(self, payload: str, signature: str) -> bool:
        """Whether a signature, percent-encoding undone, is this key's of a payload."""
        message = payload.encode()
        if not self.secret.lstrip().startswith("-----BEGIN"):
            wanted = hmac.new(self.secret.encode(), message, hashlib.sha256).hexdigest()
            return hmac.compare_digest(wanted.encode(), signature.encode())
        return _verified(self.secret, message, signature)


def _verified(pem: str, message: bytes, signature: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        given = base64.b64decode(signature, validate=True)
        public: Any = load_pem_public_key(pem.encode())
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(given, message)
        elif isinstance(public, rsa.RSAPublicKey):
            public.verify(given, message, padding.PKCS1v15(), hashes.SHA256())
        else:
            return False
    except (InvalidSignature, binascii.Error):
        return False
    return True


def payload_of(query: str, body: str) -> str:
    """What was signed: query and form as they came, one after the other, without the signature.

    Examples
    --------
    >>> payload_of("a=1&signature=ff&b=2", "")
    'a=1&b=2'
    """
    return _unsigned(query) + _unsigned(body)


def _unsigned(text: str) -> str:
    if "signature=" not in text:
        return text
    return "&".join(part for part in text.split("&") if not part.startswith("signature="))


def payload_of_message(params: Mapping[str, Any]) -> str:
    """What was signed of a WebSocket request: its parameters by name, without the signature.

    Examples
    --------
    >>> payload_of_message({"timestamp": 5, "signature": "ff", "apiKey": "k", "reduceOnly": True})
    'apiKey=k&reduceOnly=true&timestamp=5'
    """
    return "&".join(
        f"{name}={_plain(params[name])}" for name in sorted(params) if name != "signature"
    )


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def refuse_stranger(
    keys: Mapping[str, ApiKey],
    key: str,
    payload: str,
    params: Mapping[str, str],
    clocks_ms: tuple[int, ...],
) -> ApiKey:
    """The key of a signed request.

    Parameters
    ----------
    keys : mapping of str to ApiKey
    key : str
        As the request names it.
    payload : str
        What was signed.
    params : mapping of str to str
        With ``signature``, ``timestamp`` and perhaps ``recvWindow``.
    clocks_ms : tuple of int
        Clocks the time stamp may be of.

    Raises
    ------
    Denied
        -2015 unknown key, -1102 a parameter missing, -1021 too old or from the future, -1022
        another signature.
    """
    known = keys.get(key)
    if known is None:
        raise Denied(-2015, "Invalid API-key, IP, or permissions for action.", status=401)
    for name in ("timestamp", "signature"):
        if not params.get(name):
            raise missing(name)
    window = _whole(params, "recvWindow", WINDOW_MS)
    if not 0 < window <= MOST_WINDOW_MS:
        raise Denied(-1131, "recvWindow must be less than 60000.")
    sent = _whole(params, "timestamp", 0)
    if all(sent >= clock + AHEAD_MS for clock in clocks_ms):
        raise Denied(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if not any(clock - window <= sent < clock + AHEAD_MS for clock in clocks_ms):
        raise Denied(-1021, "Timestamp for this request is outside of the recvWindow.")
    if not known.signed(payload, unquote(params["signature"])):
        raise Denied(-1022, "Signature for this request is not valid.")
    return known


def _whole(params: Mapping[str, str], name: str, default: int) -> int:
    given = params.get(name)
    if given is None:
        return default
    try:
        return int(float(given))
    except ValueError:
        raise Denied(-1100, f"Illegal characters found in parameter '{name}'.") from None
