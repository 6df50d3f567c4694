"""What each group of features adds: trees trained again without it, or with it.

The question is asked of the trees of three targets, each walked forward as in the programme, and
judged by paired losses. A group that was never known is said to be absent, not useless.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise import cluster
from counterpoise.appraisal import scores
from counterpoise.appraisal.choice import losses
from counterpoise.signals import inputs
from counterpoise.signals.boosted import Trees
from counterpoise.signals.programme import Programme, run
from counterpoise.signals.targets import Candidate, Part, Target, targets, trees_of
from counterpoise.study.inference import holm

Floats = NDArray[np.float64]

#: Beginnings of the names in each group.
GROUPS: dict[str, tuple[str, ...]] = {
    "returns and range": ("return_", "range_position_", "mean_gap_", "momentum_"),
    "volatility": (
        *("log_rv_", "log_parkinson_", "log_bipower_", "jump_share_", "upside_", "downside_"),
    ),
    "volume and flow": ("volume_", "taker_", "depth_", "open_interest_"),
    "basis and funding": ("basis", "funding_", "premium_", "predicted_"),
    "clock": ("hour_", "weekday_", "weekend_"),
    "gas": ("gas_", "base_fee_"),
    "validators": ("active_validators_", "entry_queue_", "exit_queue_"),
    "macro": ("vix_", "dollar_", "us10y_", "hy_spread_", "sp500_"),
    "events": ("hours_to_", "hours_since_", "near_"),
}
#: Targets asked, by key.
ASKED = ("direction.4h", "volatility.24h", "funding.7d")
#: Share of hours at which a feature must be known to be tried.
KNOWN = 0.2


@dataclass(frozen=True)
class Ablation:
    """One group tried on one target.

    Attributes
    ----------
    target, group : str
    change : str
        ``without`` or ``with``.
    gain : float
        Share of the loss the group saves; negative where it costs. NaN where nothing of it is
        known.
    p : float
        Two-sided, adjusted by Holm over all that was tried.
    verdict : str
    """

    target: str
    group: str
    change: str
    gain: float
    p: float
    verdict: str


def _members(group: str, programme: Programme) -> tuple[str, ...]:
    known = np.isfinite(programme.X).mean(axis=0)
    return tuple(
        name
        for k, name in enumerate(inputs.NAMES)
        if name.startswith(GROUPS[group]) and known[k] >= KNOWN
    )


def ablate(
    programme: Programme,
    rows: NDArray[np.bool_],
    *,
    asked: Sequence[str] = ASKED,
    models: Path | None = None,
    folder: Path | None = None,
    backend: cluster.Backend = "threads",
    progress: cluster.Progress | None = None,
) -> tuple[Ablation, ...]:
    """Every group on every target asked.

    Parameters
    ----------
    programme : Programme
    rows : bool (T,)
        Hours that count.
    asked : sequence of str
        Keys of targets.
    models, folder, backend, progress
        As of :func:`counterpoise.signals.targets.targets` and :func:`counterpoise.cluster.run`.
    """
    everyone = targets(models)
    trials: list[tuple[str, str, str]] = []
    stripped: dict[str, Target] = {}
    absent: list[Ablation] = []
    for key in asked:
        target, part = everyone[key], trees_of(everyone[key])
        if not isinstance(part.model, Trees):
            raise TypeError(f"{key}: its trees are no Trees")
        variants = [Candidate("all", (part,))]
        for group in GROUPS:
            members = _members(group, programme)
            if not members:
                absent.append(
                    Ablation(key, group, "–", np.nan, np.nan, "not evaluated: never known")
                )
                continue
            has = [name for name in part.model.columns if name in members]
            kept = tuple(name for name in part.model.columns if name not in members)
            added = (*part.model.columns, *(m for m in members if m not in part.model.columns))
            change, columns = ("without", kept) if has else ("with", added)
            if not columns:
                continue
            name = f"{change} {group}"
            model = replace(part.model, name=name, columns=columns)
            variants.append(Candidate(name, (Part(model, part.outcome),)))
            trials.append((key, group, change))
        stripped[key] = replace(
            target, candidates=tuple(variants), baseline="all", blended=("all",)
        )
    walked = run(programme, stripped, folder=folder, backend=backend, progress=progress)
    found, raw = [], []
    for key, group, change in trials:
        one = walked[key]
        target = one.target
        base, other = one.candidates["all"], one.candidates[f"{change} {group}"]
        good = rows & np.isfinite(one.outcome) & np.isfinite(base) & np.isfinite(other)
        if not good.any():
            told = "not evaluated: no hour to judge it at"
            absent.append(Ablation(key, group, change, np.nan, np.nan, told))
            continue
        with_it, without = (other, base) if change == "with" else (base, other)
        ours = losses(target, with_it[good], one.outcome[good])
        theirs = losses(target, without[good], one.outcome[good])
        gap_h = max(int(np.median(np.diff(np.flatnonzero(good)))), 1) if good.sum() > 1 else 1
        overlap = max(target.horizon_h // gap_h, 1)
        test = scores.diebold_mariano(ours, theirs, overlap, gap_h=gap_h)
        raw.append(test.p)
        found.append((key, group, change, 1.0 - float(ours.mean() / theirs.mean())))
    adjusted = holm(raw) if raw else np.empty(0)
    judged = [
        Ablation(key, group, change, gain, float(p), _verdict(gain, float(p)))
        for (key, group, change, gain), p in zip(found, adjusted, strict=True)
    ]
    return (*judged, *absent)


def _verdict(gain: float, p: float) -> str:
    if p >= 0.05:
        return "nothing that can be told from luck"
    return "helps" if gain > 0 else "hurts"
