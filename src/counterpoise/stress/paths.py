"""Does the drawdown limit hold? The hardest intent under the guard, over history and months.

The intent hedges nothing, so that every hedge is the guard's own. It runs through the whole
history and through months of resampled hours, half of them with jumps added; every breach is
explained by ``breaches``. Made-up months prove the machinery, not what ETH will do.
"""

import math
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from counterpoise.decision.limits import limits_of
from counterpoise.decision.moment import CHAIN
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.hedging import Intent, Situation
from counterpoise.market.liquidity import liquidity
from counterpoise.profiling import stage
from counterpoise.risk.guard_rules import NO_GUARD, GuardRules
from counterpoise.simulation.arena import Arena, arena
from counterpoise.simulation.prices import MarketArrays, prices_of
from counterpoise.simulation.simulate import simulate_one
from counterpoise.stress.breaches import Breach, breaches_of
from counterpoise.units import HOUR_MS, HOURS_PER_DAY, HOURS_PER_YEAR

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]
#: By rule and hours of transfer: every breach, and the largest drawdown.
Explained = dict[tuple[str, int], tuple[list[Breach], float]]

#: Hours of a made-up path, and the mean length of a block of history in it.
PATH_H, BLOCK_H = 30 * HOURS_PER_DAY, 48
#: Merton's jumps: how many a year, and mean and deviation of their log size.
JUMPS_PER_YEAR, JUMP_MEAN, JUMP_SD = 5.0, -0.10, 0.10
#: Drawdown limits that are tried, and the profit lock.
LIMITS = (0.10, 0.20, 0.30)
LOCK_STEP, LOCK_KEEP = 0.10, 0.50
SOURCES = ("history", "bootstrap", "jumps")
_EQUITY = CHAIN.index("guarded_usd")
#: Paths a thread takes at once.
_BATCH = 50


@dataclass
class Tally:
    """What became of one rule on the paths of one source.

    Attributes
    ----------
    paths, broken : int
        How many there were, and how many had a breach.
    causes : Counter of str
        Breaches by cause.
    worst, worst_not_gap : Breach or None
        The deepest one, and the deepest whose cause was not a fall beyond ``gap``.
    drawdown : float
        Largest drawdown of equity over all cushions of a path, a fraction of the path's peak.
    """

    paths: int = 0
    broken: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    worst: Breach | None = None
    worst_not_gap: Breach | None = None
    drawdown: float = 0.0

    def add(self, found: list[Breach], drawdown: float) -> None:
        """Count one path."""
        self.paths += 1
        self.drawdown = max(self.drawdown, drawdown)
        self.broken += bool(found)
        for one in found:
            self.causes[one.cause] += 1
            if self.worst is None or one.of_peak > self.worst.of_peak:
                self.worst = one
            deepest = self.worst_not_gap
            if one.cause != "gap" and (deepest is None or one.of_peak > deepest.of_peak):
                self.worst_not_gap = one

    @property
    def breaches(self) -> int:
        """All of them."""
        return self.causes.total()


@dataclass(frozen=True)
class Proof:
    """Every rule on every source, with transfers as set and with transfers that take no time.

    Attributes
    ----------
    rules : dict of str to GuardRules
    transfer_h : tuple of int
        As set, and 0 where that is more.
    tallies : dict of (rule, transfer_h, source) to Tally
    first_ms, last_ms : int
        Of the history.
    """

    rules: dict[str, GuardRules]
    transfer_h: tuple[int, ...]
    tallies: dict[tuple[str, int, str], Tally]
    first_ms: int
    last_ms: int


def rules_tried(gap: float, reserve: float, rerisk_h: float) -> dict[str, GuardRules]:
    """Each drawdown limit alone, and the profit lock alone, all other rules off."""
    base = NO_GUARD._replace(active=True, gap=gap, reserve=reserve, rerisk_h=rerisk_h)
    found = {
        f"drawdown_{limit:.0%}".rstrip("%"): base._replace(drawdown_limit=limit) for limit in LIMITS
    }
    lock = base._replace(lock_step=LOCK_STEP, lock_keep=LOCK_KEEP)
    return found | {"profit_lock": lock}


@dataclass(frozen=True)
class Hours:
    """Hours of history that a made-up path is drawn from; N of them in a row, gaps left out.

    Attributes
    ----------
    moved : float64 (N,)
        Log return of spot.
    basis, reach : float64 (N, V)
        Perpetual ÷ spot, and highest mark ÷ perpetual (NaN: unknown).
    funding : float64 (N, V)
        Settled rate; NaN where nothing was settled.
    sigma_day : float64 (N,)
    volume_day_eth : float64 (N, V)
    """

    moved: Floats
    basis: Floats
    reach: Floats
    funding: Floats
    sigma_day: Floats
    volume_day_eth: Floats


def hours_of(market: MarketArrays) -> Hours:
    """Hours of a market whose price and the one before are known."""
    with np.errstate(invalid="ignore"):
        moved = np.diff(np.log(market.spot), prepend=np.nan)
        basis = market.perp / market.spot[:, None]
        reach = market.mark_high / market.perp
    known = np.isfinite(moved) & np.all(np.isfinite(basis), axis=1)
    return Hours(
        moved[known],
        basis[known],
        reach[known],
        market.funding_settled[known],
        market.sigma_day[known],
        market.volume_day_eth[known],
    )


def made_up(
    hours: Hours, rng: np.random.Generator, *, spot: float, exposure_eth: float, jumps: bool
) -> MarketArrays:
    """One path: blocks of history (stationary bootstrap, Politis & Romano 1994), perhaps jumps.

    Parameters
    ----------
    hours : Hours
    rng : numpy.random.Generator
    spot : float
        First price, USD.
    exposure_eth : float
    jumps : bool
        Add jumps of log size N(:data:`JUMP_MEAN`, :data:`JUMP_SD`), each within one bar (Merton
        1976); their drift is not taken out.
    """
    restart = rng.random(PATH_H) < 1.0 / BLOCK_H
    restart[0] = True
    begins = rng.integers(len(hours.moved), size=PATH_H)
    tick = np.arange(PATH_H)
    last = np.maximum.accumulate(np.where(restart, tick, 0))
    rows = (begins[last] + tick - last) % len(hours.moved)
    moved = hours.moved[rows]
    if jumps:
        count = rng.poisson(JUMPS_PER_YEAR / HOURS_PER_YEAR, PATH_H)
        moved = moved + JUMP_MEAN * count + JUMP_SD * np.sqrt(count) * rng.standard_normal(PATH_H)
    moved[0] = 0.0
    close = spot * np.exp(np.cumsum(moved))
    perp = close[:, None] * hours.basis[rows]
    high = perp * hours.reach[rows]
    # A bar opens where the last one closed.
    high[1:] = np.fmax(high[1:], perp[:-1])
    return MarketArrays(
        spot=close,
        perp=perp,
        mark_high=high,
        funding_settled=hours.funding[rows],
        funding_mark=np.full(perp.shape, np.nan),
        sigma_day=hours.sigma_day[rows],
        volume_day_eth=hours.volume_day_eth[rows],
        exposure_eth=np.full(PATH_H, exposure_eth),
        bucket=tick.astype(np.int64),
    )


def _near(where: Arena) -> float:
    """Size step as a share of the exposure."""
    step = max(
        float(where.venue.step_eth.max()),
        float(where.venue.contract_usd.max() / np.nanmin(where.market.perp)),
    )
    return step / float(where.market.exposure_eth.min())


def explained(where: Arena, rules: dict[str, GuardRules], transfer_h: tuple[int, ...]) -> Explained:
    """Breaches and largest drawdown of a hedger of nothing, by rule and time of transfer."""
    ticks, venues = where.market.perp.shape
    nothing = Intent.around(np.zeros(ticks), 0.0, venues=venues, cap=1.0)
    here = replace(where, first=0, last=ticks)
    prices = prices_of(where.market, where.account.inverse)
    near = _near(where)
    found: Explained = {}
    for hours in transfer_h:
        account = where.account._replace(transfer_ticks=hours)
        for name, rule in rules.items():
            run = replace(here, guard=rule, account=account)
            path = simulate_one(run, nothing, prices)
            equity = path.chain[:, _EQUITY]
            peaks = np.fmax.accumulate(equity)
            drawdown = float(np.fmax.reduce(1.0 - equity / peaks))
            found[name, hours] = (breaches_of(path, rule, near=near), drawdown)
    return found


def whole_history(situation: Situation) -> Arena:
    """Arena of every hour of the lake at which an order can be priced.

    Raises
    ------
    NotEnoughData
        There is none, or funding is missing.
    """
    timeline = situation.timeline
    sigma_day, volume_day = liquidity(timeline)
    known = np.isfinite(sigma_day) & np.all(volume_day > 0, axis=1)
    known &= np.all(np.isfinite(timeline.funding_last), axis=1) & np.isfinite(timeline.spot.close)
    if not known.any():
        raise NotEnoughData(
            "no hour of the lake has prices, volume and funding. Next: import more history."
        )
    return arena(timeline, situation.settings, int(np.argmax(known)), len(timeline.ts_ms))


def _drawn(where: Arena, paths: int, seed: int) -> Iterator[tuple[range, Callable[[int], Arena]]]:
    """Batches of paths, and how to make one: path i is the same whatever the batches are."""
    hours = hours_of(where.market)
    priced = np.flatnonzero(np.isfinite(where.market.spot))
    spot = float(where.market.spot[priced[-1]])
    exposure = float(where.market.exposure_eth[-1])
    watch = where.watch
    month = watch._replace(
        leverage=np.full(PATH_H, watch.leverage[-1]),
        leverage_max=np.full(PATH_H, watch.leverage_max[-1]),
        event_floor=np.zeros(PATH_H),
        event_class=np.full(PATH_H, np.nan),
        quiet=np.zeros(PATH_H, dtype=np.bool_),
        is_open=np.ones(PATH_H, dtype=np.bool_),
        cost=np.full((PATH_H, where.market.perp.shape[1]), np.nan),
    )
    ts_ms = where.ts_ms[-1] + HOUR_MS * np.arange(PATH_H, dtype=np.int64)

    def make(path: int) -> Arena:
        market = made_up(
            hours,
            np.random.default_rng([seed, path]),
            spot=spot,
            exposure_eth=exposure,
            jumps=path % 2 == 1,
        )
        return replace(where, first=0, last=PATH_H, ts_ms=ts_ms, market=market, watch=month)

    for begin in range(0, paths, _BATCH):
        yield range(begin, min(begin + _BATCH, paths)), make


@stage("drawdown paths")
def prove(situation: Situation, paths: int, progress: Progress | None = None) -> Proof:
    """Run the hedger of nothing under each rule over history and made-up months.

    Parameters
    ----------
    situation : Situation
    paths : int
        Made-up months; every second one has jumps.
    progress : callable, optional
        Called with (what, done, total).

    Raises
    ------
    FixConfig
        A cap of the hedge ratio below 1.
    NotEnoughData
        From :func:`whole_history`.
    """
    settings = situation.settings
    if settings.hedge.max_ratio < 1.0:
        raise FixConfig(
            "hedge.max_ratio",
            settings.hedge.max_ratio,
            "at least 1: less than a full hedge cannot keep a drawdown limit",
            "raise hedge.max_ratio, or leave --paths out",
        )
    drawdown = settings.risk.drawdown
    rules = rules_tried(drawdown.gap, drawdown.reserve, float(drawdown.rerisk_h))
    transfer_h = tuple(dict.fromkeys((settings.capital.transfer_h, 0)))
    # What limits orders stays; stops, events and funding are other rules.
    where = replace(whole_history(situation), limits=limits_of(settings))
    where = replace(
        where,
        watch=where.watch._replace(
            event_floor=np.zeros(len(where.ts_ms)), quiet=np.zeros(len(where.ts_ms), np.bool_)
        ),
    )
    tallies = {
        (rule, hours, source): Tally()
        for rule in rules
        for hours in transfer_h
        for source in SOURCES
    }
    for (rule, hours), found in explained(where, rules, transfer_h).items():
        tallies[rule, hours, "history"].add(*found)

    def batch(which: range, make: Callable[[int], Arena]) -> list[tuple[int, Explained]]:
        return [(path, explained(make(path), rules, transfer_h)) for path in which]

    running: deque[Future[list[tuple[int, Explained]]]] = deque()

    def take() -> None:
        for path, found in running.popleft().result():
            for (rule, hours), one in found.items():
                tallies[rule, hours, SOURCES[1 + path % 2]].add(*one)

    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        batches = math.ceil(paths / _BATCH)
        for done, (which, make) in enumerate(_drawn(where, paths, settings.study.seed)):
            running.append(threads.submit(batch, which, make))
            if len(running) > 4 * (os.cpu_count() or 1):
                take()
            if progress is not None:
                progress("drawdown paths", done + 1, batches)
        while running:
            take()
    return Proof(rules, transfer_h, tallies, int(where.ts_ms[0]), int(where.ts_ms[-1]))
