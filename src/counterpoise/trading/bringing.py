"""How the lake of a run is brought up to an hour: from the services, or from a rehearsal's past.

The services are those of ``update``: the venue's own every hour, the slow ones once a day. What
the lake never held is not begun here.
"""

from counterpoise.config import Settings
from counterpoise.market.history import history_until
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import DatasetKey
from counterpoise.sources.needs import ARCHIVED_MS, INTERVAL, Feed
from counterpoise.sources.update import update
from counterpoise.units import DAY_MS


class FromServices:
    """Brings what the configured addresses tell.

    Parameters
    ----------
    settings : Settings
    slow : bool
        Ask the slow services too, once a day.
    synthetic : bool
        The venue is a rehearsal's, and its market is made.
    """

    def __init__(self, settings: Settings, *, slow: bool = True, synthetic: bool = False) -> None:
        self._settings, self._slow, self._synthetic = settings, slow, synthetic
        self._day = -1

    def __call__(self, ts_ms: int) -> list[str]:
        """Bring the lake up to a tick; returns what did not come."""
        held = Lake(self._settings.lake).datasets()
        daily = self._slow and ts_ms // DAY_MS != self._day

        def wanted(feed: Feed) -> bool:
            return feed.key in held and bool(feed.source) and (daily or self._by_hour(feed))

        found = update(self._settings, ts_ms, ts_ms, wanted=wanted, synthetic=self._synthetic)
        self._day = ts_ms // DAY_MS
        return [f"{one.feed.key}: {one.reason}" for one in found if one.reason]

    def _by_hour(self, feed: Feed) -> bool:
        venues = ("binance", *self._settings.venue.names)
        return feed.source in venues and feed.fresh_ms < ARCHIVED_MS


class FromPast:
    """Brings what a whole lake knew by then: all of it, or what a local venue does not serve.

    Parameters
    ----------
    settings : Settings
        ``lake`` is brought up to date.
    whole : Lake
    without : frozenset of str
        Tables that come from elsewhere.
    """

    def __init__(
        self, settings: Settings, whole: Lake, without: frozenset[str] = frozenset()
    ) -> None:
        self._into, self._whole, self._without = Lake(settings.lake), whole, without
        self._until: int | None = None

    def __call__(self, ts_ms: int) -> list[str]:
        """Bring the lake up to a tick; nothing can be missing."""

        def wanted(key: DatasetKey) -> bool:
            # Bars of a minute are as many as all else together, and no hour reads them.
            hourly = not key.table.endswith("_bars") or key.interval == INTERVAL
            return hourly and key.table not in self._without

        history_until(self._whole, self._into, ts_ms, after_ms=self._until, wanted=wanted)
        self._until = ts_ms
        return []
