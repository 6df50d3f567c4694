"""Keys come from the environment or the keyring, and nothing ever shows them."""

import copy
import json
import logging
import os
import pickle
import sys
import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from counterpoise.cli import run_command
from counterpoise.config import known_keys, load_settings
from counterpoise.credentials import (
    _SECRET_NAME,
    HIDDEN,
    RedactingFilter,
    Secret,
    binance_credentials,
    redact,
)
from counterpoise.errors import FixConfig

SHY = "s3cr3t-Value/+=and%more"


def pem(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    for name in os.environ:
        if name.startswith(("BINANCE_", "ALERT_", "COUNTERPOISE_")):
            monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "keyring", None)


def test_a_secret_shows_itself_nowhere():
    secret = Secret(SHY)
    for text in (
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret:>9}",
        f"{[secret]}",
        f"{secret!r}",
    ):
        assert SHY not in text
        assert HIDDEN in text
    with pytest.raises(TypeError):
        json.dumps(secret)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not saved"):
            pickle.dumps(secret, protocol)
    assert copy.deepcopy(secret) is copy.copy(secret) is secret
    assert secret == Secret(SHY) != Secret("other")
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == SHY


def test_a_traceback_with_its_locals_does_not_show_it():
    def fails(secret):
        raise ValueError(f"cannot use {secret}")

    try:
        fails(Secret(SHY))
    except ValueError as error:
        told = "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
    assert HIDDEN in told
    assert SHY not in told.replace(f"SHY = {SHY!r}", "")


@given(
    st.text(st.characters(codec="ascii", exclude_categories=["C", "Z"]), min_size=8, max_size=40),
    st.text(max_size=30),
    st.text(max_size=30),
)
def test_redaction_leaves_nothing_of_a_secret(secret, before, after):
    told = redact(f"{before}{secret}{after}&signature=00ff{secret}", [Secret(secret)])
    assert secret not in told.replace(HIDDEN, "")
    assert "00ff" not in told or "00ff" in before + after


def test_a_log_shows_neither_message_nor_arguments_nor_traceback(capsys):
    class OfItsOwn(logging.StreamHandler):
        """Writes tracebacks by itself, as handlers for machines do."""

        def emit(self, record):
            super().emit(record)
            self.stream.write(
                "".join(traceback.format_exception(record.exc_info and record.exc_info[1]))
            )

    logger = logging.getLogger("counterpoise.test_credentials")
    handler = OfItsOwn(sys.stderr)
    handler.addFilter(RedactingFilter([Secret(SHY)]))
    logger.addHandler(handler)
    try:
        try:
            raise RuntimeError(f"GET https://x/y?a=1&signature=deadbeef refused for {SHY}")
        except RuntimeError:
            logger.exception("key %s was refused", SHY, stack_info=True)
    finally:
        logger.removeHandler(handler)
    said = capsys.readouterr().err
    assert "was refused" in said
    assert "RuntimeError" in said
    assert "deadbeef" not in said
    assert SHY not in said.replace("SHY", "")


def test_keys_come_from_the_environment_by_mode():
    environment = {
        "BINANCE_API_KEY": "live-key",
        "BINANCE_API_SECRET": "live-secret",
        "BINANCE_TESTNET_API_KEY": "test-key",
        "BINANCE_TESTNET_API_SECRET": "test-secret",
    }
    live, test = (binance_credentials(mode, environment) for mode in ("live", "testnet"))
    assert (live.api_key.reveal(), live.secret.reveal()) == ("live-key", "live-secret")
    assert (test.api_key.reveal(), test.secret.reveal()) == ("test-key", "test-secret")
    assert not live.private
    assert live.source == "environment"


def test_keys_come_from_the_keyring_where_the_environment_has_none(tmp_path, monkeypatch):
    (tmp_path / "keyring.py").write_text(
        "class errors:\n    class KeyringError(Exception): pass\n"
        "def get_password(service, name):\n"
        "    assert service == 'counterpoise'\n"
        "    return {'BINANCE_API_KEY': 'ring-key', 'BINANCE_API_SECRET': 'ring-secret'}"
        ".get(name)\n"
    )
    monkeypatch.delitem(sys.modules, "keyring", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    found = binance_credentials("live", {})
    assert (found.api_key.reveal(), found.secret.reveal()) == ("ring-key", "ring-secret")
    assert found.source == "keyring"
    monkeypatch.delitem(sys.modules, "keyring")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "BINANCE_API_KEY = 'nothing'"),
        ({"BINANCE_API_KEY": SHY}, "BINANCE_API_SECRET or BINANCE_API_PRIVATE_KEY_FILE"),
        ({"BINANCE_API_KEY": SHY + " ", "BINANCE_API_SECRET": "x"}, "without blanks"),
        ({"BINANCE_API_KEY": "", "BINANCE_API_SECRET": "x"}, "without blanks"),
        (
            {
                "BINANCE_API_KEY": SHY,
                "BINANCE_API_SECRET": SHY,
                "BINANCE_API_PRIVATE_KEY_FILE": "k.pem",
            },
            "one of them",
        ),
    ],
)
def test_half_a_key_is_refused_without_being_shown(environment, said):
    with pytest.raises(FixConfig) as refused:
        binance_credentials("live", environment)
    assert said in str(refused.value)
    assert SHY not in str(refused.value)


@pytest.mark.parametrize(
    "key",
    [ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)],
    ids=["ed25519", "rsa"],
)
def test_a_private_key_comes_from_a_file_of_its_owner(tmp_path, key):
    file = tmp_path / "key.pem"
    file.write_bytes(pem(key))
    environment = {"BINANCE_API_KEY": "k", "BINANCE_API_PRIVATE_KEY_FILE": str(file)}
    file.chmod(0o640)
    with pytest.raises(FixConfig, match="chmod 600"):
        binance_credentials("live", environment)
    file.chmod(0o600)
    found = binance_credentials("live", environment)
    assert found.private
    assert found.secret.reveal().encode() == pem(key).strip()


@pytest.mark.parametrize(
    "content", [b"no pem", b"\xff\xfe", pem(ec.generate_private_key(ec.SECP256R1()))]
)
def test_a_file_that_is_no_such_key_is_refused(tmp_path, content):
    file = tmp_path / "key.pem"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(FixConfig, match="PEM"):
        binance_credentials(
            "live", {"BINANCE_API_KEY": "k", "BINANCE_API_PRIVATE_KEY_FILE": str(file)}
        )


@pytest.mark.parametrize(
    "text",
    [
        f'[venue]\napi_key = "{SHY}"',
        f'binance_secret = "{SHY}"',
        f'[journal]\nurl = "postgresql://me:{SHY.replace("/", "")}@host/db"',
        f'[exposure]\nholdings = [{{ name = "a", password = "{SHY}" }}]',
        f'[hedge]\npolicy = "{SHY}"',
    ],
)
def test_a_settings_file_that_holds_a_key_is_refused_without_showing_it(
    tmp_path, monkeypatch, text
):
    monkeypatch.setenv("BINANCE_API_SECRET", SHY)
    file = tmp_path / "counterpoise.toml"
    file.write_text(text)
    with pytest.raises(FixConfig, match="replace that secret") as refused:
        load_settings(file)
    assert SHY not in str(refused.value)
    assert SHY.replace("/", "") not in str(refused.value)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize(
    "arguments",
    [("now", f"--api-key={SHY}"), ("now", "--secret", SHY), ("doctor", SHY), (f"--lake=x{SHY}",)],
)
def test_a_command_line_that_holds_a_key_is_refused_without_showing_it(
    monkeypatch, capfd, arguments
):
    monkeypatch.setenv("BINANCE_API_SECRET", SHY)
    assert run_command(arguments) == 3
    said = capfd.readouterr()
    assert "every process can read it" in said.err
    assert SHY not in said.err + said.out


def test_no_setting_is_mistaken_for_a_secret():
    assert not [key for key in known_keys() if _SECRET_NAME.search(key.rpartition(".")[2])]


def test_the_state_folder_lies_beside_the_settings_file(tmp_path: Path):
    file = tmp_path / "counterpoise.toml"
    file.write_text('[run]\nstate = "here"')
    assert load_settings(file).run.state == tmp_path / "here"
