"""From a timeline to a bundle: walk every target forward, then fit what goes live."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from counterpoise.config import Settings
from counterpoise.market.timeline import Timeline
from counterpoise.signals.bundle import Bundle
from counterpoise.signals.final import live_targets, train_bundle
from counterpoise.signals.live import PAYS
from counterpoise.signals.network import NAME as LSTM
from counterpoise.signals.programme import Programme, run
from counterpoise.signals.targets import choose

Progress = Callable[[str, int, int], None]


def train_live(
    timeline: Timeline,
    settings: Settings,
    *,
    created_at: datetime,
    keys: Sequence[str] = (),
    network: bool = True,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Train on a whole timeline.

    Parameters
    ----------
    timeline : Timeline
    settings : Settings
    created_at : datetime
    keys : sequence of str
        Targets; all of them when empty.
    network : bool
        Whether the LSTM takes part where a target blends it.
    folder : Path, optional
        Cache of trained trees, and under ``results`` of the forecasts of each refit.
    progress : callable, optional
        Called as ``progress(what, done, total)``.

    Returns
    -------
    Bundle

    Raises
    ------
    NotEnoughData
        History too short for a refit, or for anything to be said.
    """
    wanted = choose(live_targets(settings, folder), keys)
    results = None if folder is None else folder / "results"
    programme = Programme.of(timeline, settings.signals)

    def tell(what: str) -> Callable[[int, int], None] | None:
        return None if progress is None else lambda done, of: progress(what, done, of)

    given, networks = {}, []
    # The networks have the heads they are judged with in the report.
    heads = {key: one for key, one in wanted.items() if key != PAYS}
    if network and any(LSTM in target.blended for target in heads.values()):
        from counterpoise.signals.network import last_networks, walk

        given = walk(programme, heads, folder=results, progress=tell("network"))
        networks = last_networks(programme, heads)
    walked = run(programme, wanted, given=given, folder=results, progress=tell("refits"))
    return train_bundle(
        programme,
        wanted,
        walked=walked,
        networks=networks,
        heads=tuple(heads),
        created_at=created_at,
    )
