"""Keys of a venue and other secrets: where they come from, and how they never get out again.

A secret comes from the environment or the keyring, never from a settings file or the command line.
A :class:`Secret` shows itself nowhere; what is logged passes :class:`RedactingFilter`.
"""

import hmac
import importlib
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn
from urllib.parse import quote

from counterpoise.errors import FixConfig

#: Name under which the keyring holds our secrets; the user name of each is its variable.
SERVICE = "counterpoise"
HIDDEN = "(hidden)"
NOT_SHOWN = "(not shown)"
_WHERE = "docs/operations.md says how"
_PRIVATE_KEY = "-----BEGIN"
_SECRET_NAME = re.compile(
    r"(^|[_-])(api[_-]?key|secret|passw(or)?d|passphrase|private[_-]?key|token|mnemonic)s?($|[_-])",
    re.IGNORECASE,
)
_PASSWORD_IN_URL = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
#: What a signed request shows that nobody else should see.
_SIGNED = re.compile(r"((?:signature|listenKey)=)[^&\s\"']+", re.IGNORECASE)
#: A secret shorter than this is no key, and redacting it would tear words.
_SHORTEST = 6


class Secret:
    """A text that is only had by asking for it, and that no printing, copying or saving shows.

    Examples
    --------
    >>> key = Secret("k3y")
    >>> print(key, repr(key), f"{key:>20}", key.reveal())
    (hidden) Secret((hidden)) (hidden) k3y
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for signing and nothing else."""
        return self._text

    def __str__(self) -> str:
        return HIDDEN

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not saved nor sent to another process")


@dataclass(frozen=True)
class Credentials:
    """A key of a venue and what signs with it.

    Attributes
    ----------
    api_key : Secret
    secret : Secret
        Shared secret (HMAC), or the private key in PEM (Ed25519 or RSA).
    source : str
        Where they came from, for people.
    """

    api_key: Secret
    secret: Secret
    source: str

    @property
    def private(self) -> bool:
        """Whether a private key signs."""
        return self.secret.reveal().startswith(_PRIVATE_KEY)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """All that must not be shown."""
        return (self.api_key, self.secret)


def binance_credentials(
    mode: Literal["testnet", "live"], environment: Mapping[str, str] | None = None
) -> Credentials:
    """Keys of a mode: from the environment, or else from the keyring.

    Parameters
    ----------
    mode : {"testnet", "live"}
        ``BINANCE_TESTNET_API_KEY`` or ``BINANCE_API_KEY``, with ``…_SECRET`` beside it, or
        ``…_PRIVATE_KEY_FILE``: the path of an unencrypted Ed25519 or RSA key in PEM.
    environment : mapping, optional
        Instead of ``os.environ``.

    Raises
    ------
    FixConfig
        No key, half of one, two that contradict each other, or one that cannot be.
    """
    stem = "BINANCE_TESTNET_API" if mode == "testnet" else "BINANCE_API"
    names = key_name, secret_name, file_name = (
        f"{stem}_KEY",
        f"{stem}_SECRET",
        f"{stem}_PRIVATE_KEY_FILE",
    )
    given = {name: find(name, environment) for name in names}
    key, secret, file = (given[name] for name in names)
    if key is None or (secret is None and file is None):
        missing = key_name if key is None else f"{secret_name} or {file_name}"
        raise FixConfig(
            missing,
            "nothing",
            f"the key of a {mode} account, in the environment or the keyring",
            f"export {missing.split(' ')[0]}=…, or: keyring set {SERVICE} {missing.split(' ')[0]}; "
            f"{_WHERE}",
        )
    if secret is not None and file is not None:
        raise FixConfig(
            f"{secret_name} and {file_name}",
            "both",
            "one of them: either signs alone",
            "unset the one that does not belong to the key",
        )
    if file is not None:
        signs = _private_key(file_name, Path(file.text.reveal()))
        return Credentials(key.text, signs, f"{key.source}, {file_name}")
    assert secret is not None
    return Credentials(key.text, secret.text, key.source)


@dataclass(frozen=True)
class Found:
    """A secret and where it was found."""

    text: Secret
    source: str


def find(name: str, environment: Mapping[str, str] | None = None) -> Found | None:
    """A secret by the name of its variable, from the environment or else the keyring.

    Raises
    ------
    FixConfig
        It is empty, or has blanks at its ends, as a careless copy has.
    """
    text = (os.environ if environment is None else environment).get(name)
    source = "environment"
    if text is None:
        text, source = _from_keyring(name), "keyring"
    if text is None:
        return None
    if not text or text != text.strip():
        raise FixConfig(
            name, NOT_SHOWN, f"a text without blanks at its ends ({source})", "set it again"
        )
    return Found(Secret(text), source)


def _from_keyring(name: str) -> str | None:
    """What the keyring holds; nothing where there is no such package, or nothing behind it."""
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        return None
    try:
        held = keyring.get_password(SERVICE, name)
    except keyring.errors.KeyringError as refused:
        logging.getLogger(__name__).warning(
            "the keyring gives nothing (%s); keys can be set in the environment instead",
            type(refused).__name__,
        )
        return None
    return None if held is None else str(held)


def _private_key(name: str, file: Path) -> Secret:
    """Private key of a file that nobody else may read."""
    shown = str(file)
    try:
        mode = file.stat().st_mode
        if mode & 0o077:
            raise FixConfig(
                name, shown, "a file that only its owner can read", f"chmod 600 {shown}"
            )
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as refused:
        reason = getattr(refused, "strerror", None) or "no text"
        raise FixConfig(name, shown, f"a readable PEM file ({reason})", "check the path") from None
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key: Any = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey | RSAPrivateKey):
        raise FixConfig(
            name,
            shown,
            "an unencrypted private key in PEM, Ed25519 or RSA",
            "openssl genpkey -algorithm ed25519 -out key.pem, and register its public key at the "
            "venue",
        )
    return Secret(text)


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """Text without any of the secrets, in whatever spelling they travel, nor any signature.

    Examples
    --------
    >>> redact("key=abc+def/1&signature=00ff", [Secret("abc+def/1")])
    'key=(hidden)&signature=(hidden)'
    """
    for secret in secrets:
        whole = secret.reveal()
        for piece in (whole, quote(whole, safe=""), repr(whole)[1:-1], *whole.splitlines()):
            if len(piece) >= _SHORTEST and not piece.startswith("-----"):
                text = text.replace(piece, HIDDEN)
    return _SIGNED.sub(rf"\1{HIDDEN}", text)


class RedactingFilter(logging.Filter):
    """Takes secrets out of every record of the handler or logger it is added to."""

    def __init__(self, secrets: Sequence[Secret]) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the message and the traceback; every record passes."""
        record.msg, record.args = redact(record.getMessage(), self._secrets), None
        if record.exc_info:
            told = logging.Formatter().formatException(record.exc_info)
            record.exc_info, record.exc_text = None, told
        if record.exc_text:
            record.exc_text = redact(record.exc_text, self._secrets)
        if record.stack_info:
            record.stack_info = redact(record.stack_info, self._secrets)
        return True


def refuse_secrets_in_file(
    file: Path, raw: Mapping[str, Any], known: frozenset[str] = frozenset()
) -> None:
    """Refuse a settings file that holds a key, without repeating it.

    Parameters
    ----------
    file : Path
    raw : mapping
        What it holds.
    known : frozenset of str
        Names of settings, which are no secrets whatever they sound like (``eth_per_token``).

    Raises
    ------
    FixConfig
    """
    for key, value in _leaves(raw, ""):
        name = key.rpartition(".")[2]
        if (name not in known and _SECRET_NAME.search(name)) or _looks_secret(value):
            raise FixConfig(
                key,
                NOT_SHOWN,
                f"no key, password or token in a settings file ({file})",
                f"delete the line, replace that secret where it was issued, and keep the new one "
                f"in the environment or the keyring; {_WHERE}",
            )


def refuse_secrets_on_command_line(arguments: Sequence[str]) -> None:
    """Refuse a command line that holds a key: every user of the machine can read it.

    Raises
    ------
    FixConfig
    """
    for argument in arguments:
        name, _, value = argument.partition("=") if argument.startswith("--") else ("", "", "")
        if _SECRET_NAME.search(name.removeprefix("--")) or _looks_secret(value or argument):
            raise FixConfig(
                name or "an argument",
                NOT_SHOWN,
                "no key, password or token on the command line, where every process can read it",
                "replace that secret where it was issued, and keep the new one in the environment "
                f"or the keyring; {_WHERE}",
            )


def _leaves(table: Any, path: str) -> Iterable[tuple[str, str]]:
    """Dotted keys and texts of nested tables and lists."""
    if isinstance(table, Mapping):
        for key, value in table.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(table, list):
        for value in table:
            yield from _leaves(value, path)
    else:
        yield path, str(table)


def _looks_secret(value: str) -> bool:
    """Whether a text is a private key, an address with a password, or a key of the environment."""
    if _PRIVATE_KEY in value or _PASSWORD_IN_URL.search(value):
        return True
    known = [
        text
        for name, text in os.environ.items()
        if name.startswith(("BINANCE_", "ALERT_URLS")) and _SECRET_NAME.search(name)
        if not name.endswith("_FILE")
    ]
    return any(len(text) >= _SHORTEST and text in value for text in known)
