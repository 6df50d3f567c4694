"""The calendar as a source: shipped, extended by a file of one's own, and refused by its key."""

import pytest

from counterpoise.endpoints import EventSource, SourceSettings
from counterpoise.errors import FixConfig, RejectData
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import EVENTS
from counterpoise.sources.contract import Request
from counterpoise.sources.events import Events
from counterpoise.sources.fetch import fetch

OWN = """
[[event]]
name = "Our migration"
class = "network-upgrade"
announced_at = 2025-01-05
effective_at = 2025-02-01T09:00:00Z
source = "our change calendar"
withdrawn_at = 2025-01-20
"""


@pytest.fixture
def bring(tmp_path):
    """Return a function that fetches the calendar with a file of one's own."""
    lake = Lake(tmp_path / "lake")

    def run(text=None):
        settings = SourceSettings()
        if text is not None:
            file = tmp_path / "own.toml"
            file.write_text(text)
            settings = settings.model_copy(update={"events": EventSource(file=file)})
        report = fetch(
            lake,
            "events",
            Events(settings),
            Request("ETH", ("calendar",), "1h", 0, 1 << 53),
            parallel=1,
        )
        return lake, report

    return run


def test_the_shipped_calendar_arrives_once(bring):
    lake, report = bring()
    table = lake.read_key(EVENTS)
    assert sum(one.rows_new for one in report.datasets) == table.height
    assert "the Merge" in " ".join(table["name"])
    assert set(table["class"]) == {"network-upgrade", "regulatory", "macro"}
    _, again = bring()
    assert sum(one.rows_new for one in again.datasets) == 0
    assert lake.read_key(EVENTS).equals(table)


def test_events_of_ones_own_are_beside_it(bring):
    lake, _ = bring()
    before = lake.read_key(EVENTS).height
    bring(OWN)
    table = lake.read_key(EVENTS)
    assert table.height == before + 1
    (mine,) = table.filter(table["name"] == "Our migration").iter_rows(named=True)
    assert f"{mine['ts']:%Y-%m-%d %H} {mine['withdrawn_at']:%Y-%m-%d}" == "2025-02-01 09 2025-01-20"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("network-upgrade", "party"), "class"),
        (("2025-01-05", "yesterday"), "own.toml"),
        (('name = "Our migration"\n', ""), "name"),
        (("2025-01-05", "2025-03-05"), "announced_at"),
        (("[[event]]", "[[happening]]"), "happening"),
        (('source = "our change calendar"', 'sauce = "ours"'), "sauce"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_key(bring, change, told):
    with pytest.raises((FixConfig, RejectData), match=told):
        bring(OWN.replace(*change))


def test_a_date_that_changed_is_told_and_not_overwritten(bring):
    lake, _ = bring(OWN)
    before = lake.read_key(EVENTS)
    _, report = bring(OWN.replace('source = "our change calendar"', 'source = "another"'))
    assert report.refused
    assert "Our migration" in report.refused[0].reason or "source" in report.refused[0].reason
    assert lake.read_key(EVENTS).equals(before)
