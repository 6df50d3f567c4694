"""The doctor finds a journal on a server: not yet made, made, and out of reach."""

from counterpoise.config import Settings
from counterpoise.journal.store import Journal
from counterpoise.trading.facts import Unknown, gather_home
from tests.journal.samples import RUN


def seen(where: str, folder):
    settings = Settings.model_validate({"journal": {"url": where}, "run": {"state": folder}})
    return gather_home(settings).journal


def test_a_database_without_a_journal_and_with_one(on_server, tmp_path):
    assert seen(on_server.where, tmp_path) is None
    with Journal.open(on_server.where, run=RUN):
        assert seen(on_server.where, tmp_path) == RUN


def test_a_server_that_does_not_answer(tmp_path):
    found = seen("postgresql+psycopg://me@127.0.0.1:9/journal", tmp_path)
    assert isinstance(found, Unknown)
    assert "127.0.0.1:9" in found.why
