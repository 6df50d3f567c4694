"""Searches recipes of the trees by what they forecast out of sample, and enters every trial.

A recipe is scored walk-forward on data up to one moment; nothing later is even computed with.
Recipes are proposed in batches by a seeded sampler that sees only the batches before, so the
batch decides what is tried and the number of workers never does. Which recipe the forecasts use
stays a choice of people: nothing here changes one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from counterpoise import cluster
from counterpoise.config import Settings
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.features.engine import compute
from counterpoise.market.timeline import Timeline
from counterpoise.registry import Registry
from counterpoise.sealed import digest
from counterpoise.signals import baselines, boosting, labels, trial_file
from counterpoise.signals.boosting import Recipe
from counterpoise.signals.confidence import auc
from counterpoise.signals.labels import Label
from counterpoise.signals.training import MIN_TRAIN_ROWS
from counterpoise.signals.trial_file import Trial
from counterpoise.signals.walkforward import Split, splits
from counterpoise.units import HOUR_MS, from_ms, stamp, to_ms

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna import Trial as OptunaTrial
    from optuna.trial import TrialState

Floats = NDArray[np.float64]

#: Folder below that of the models where forecasts of single refits are kept.
FOLDER = "tuning"


def _r2(forecast: Floats, outcome: Floats) -> float:
    spread = float(outcome.var())
    return 1.0 - float(((outcome - forecast) ** 2).mean()) / spread if spread > 0 else float("nan")


@dataclass(frozen=True)
class Target:
    """What a recipe can be tuned for.

    Attributes
    ----------
    label : callable
        Its outcome, from a timeline.
    recipe : Recipe
        The present choice, always the first trial.
    on_har : bool
        The trees learn what HAR leaves over, not the outcome itself.
    measure : str
        Name of the score, higher is better.
    score : callable
        From forecasts and outcomes, finite, shape (N,) each.
    """

    label: Callable[[Timeline], Label]
    recipe: Recipe
    on_har: bool
    measure: str
    score: Callable[[Floats, Floats], float]


targets: Registry[Target] = Registry("target")
targets.add("direction.4h", Target(labels.direction, boosting.DIRECTION, False, "auc", auc))
targets.add("volatility.24h", Target(labels.log_variance, boosting.VOLATILITY, True, "r2", _r2))


@dataclass(frozen=True)
class Search:
    """What a search tried.

    Attributes
    ----------
    target : str
    trials : tuple of Trial
        In the order of proposal, the present recipe first; a recipe proposed twice is there once.
    entered : int
        How many of them the ledger did not have.
    configurations : int
        How many different ones the ledger holds now, of all searches.
    """

    target: str
    trials: tuple[Trial, ...]
    entered: int
    configurations: int

    @property
    def best(self) -> Trial:
        """The trial with the highest score, the earliest of equals."""
        return max(self.trials, key=lambda one: -np.inf if one.score is None else one.score)


def fold_forecast(
    X: Floats,
    y: Floats,
    terms: Floats,
    recipe: Recipe,
    seed: int,
    train: slice,
    predict: slice,
    coefficients: Floats | None,
) -> Floats:
    """Forecasts of one refit of one recipe; NaN where too few rows could be learned from.

    Parameters
    ----------
    X : float64 (T, F)
        Features.
    y : float64 (T,)
        Outcomes, NaN where unknown.
    terms : float64 (T, K)
        Terms of the linear baseline under the trees.
    recipe : Recipe
    seed : int
    train, predict : slice
        Rows to learn from and to forecast.
    coefficients : float64 (K + 1,) or None
        Of the baseline at this refit; None: the trees learn the outcome itself.

    Returns
    -------
    float64 (rows of ``predict``,)
    """
    target, ahead = y[train], np.zeros(predict.stop - predict.start)
    if coefficients is not None:
        target = target - baselines.apply_linear(coefficients, terms[train])
        ahead = baselines.apply_linear(coefficients, terms[predict])
    rows = np.flatnonzero(np.isfinite(target))
    if len(rows) < MIN_TRAIN_ROWS:
        return np.full(len(ahead), np.nan)
    rows = rows[rows % recipe.stride == 0]
    text = boosting.train(X[train][rows], target[rows], recipe, seed=seed)
    return ahead + boosting.predict(text, X[predict])


@dataclass(frozen=True)
class _Ground:
    """What every trial of a search shares: data up to the last moment seen, and its refits."""

    target: Target
    X: Floats
    y: Floats
    terms: Floats
    splits: tuple[Split, ...]
    coefficients: tuple[Floats | None, ...]
    seeds: tuple[int, ...]
    data: str

    def tasks(self, recipe: Recipe) -> Iterator[cluster.Task]:
        """One task for each seed and refit of a recipe."""
        for seed in self.seeds:
            for split, fitted in zip(self.splits, self.coefficients, strict=True):
                rows = [split.train.start, split.train.stop]
                rows += [split.predict.start, split.predict.stop]
                what = (recipe, seed, rows, fitted, version("lightgbm"))
                key = digest(fold_forecast, self.data, *what)
                arguments = (recipe, seed, split.train, split.predict, fitted)
                yield cluster.Task(key, fold_forecast, arguments)

    def score(self, forecasts: Sequence[Floats]) -> float | None:
        """Mean over the seeds of the score of the forecasts of all refits; None if undefined."""
        per_seed = len(self.splits)
        y = np.concatenate([self.y[split.predict] for split in self.splits])
        scores = []
        for first in range(0, len(forecasts), per_seed):
            ahead = np.concatenate(forecasts[first : first + per_seed])
            rows = np.isfinite(ahead) & np.isfinite(y)
            scores.append(self.target.score(ahead[rows], y[rows]) if rows.any() else np.nan)
        mean = float(np.mean(scores))
        return mean if np.isfinite(mean) else None


def _ground(
    timeline: Timeline, settings: Settings, target: Target, until: datetime, seeds: int
) -> _Ground:
    ts_ms = timeline.ts_ms
    rows = int(np.searchsorted(ts_ms, to_ms(until), side="right"))
    label = target.label(timeline)
    X = np.asfortranarray(compute(timeline, boosting.INPUTS).values[:rows])
    # The last outcomes end after the last moment seen.
    seen = ts_ms[:rows] + label.horizon_h * HOUR_MS <= to_ms(until)
    y = np.where(seen, label.values[:rows], np.nan)
    labelled = np.flatnonzero(np.isfinite(y))
    found = tuple(
        splits(
            ts_ms[:rows],
            horizon_h=label.horizon_h,
            embargo_h=settings.signals.embargo_h,
            min_train_days=settings.signals.min_train_days,
            first_row=int(labelled[0]) if len(labelled) else rows,
        )
    )
    if not found:
        days = settings.signals.min_train_days
        raise NotEnoughData(
            f"timeline: no month start before {stamp(to_ms(until))} lies {days} days after the "
            "first outcome. Next: import a longer history, or see more of it with --until."
        )
    terms = np.empty((rows, 0))
    coefficients: list[Floats | None] = [None] * len(found)
    if target.on_har:
        features = compute(timeline, baselines.VARIANCE_TERMS)
        terms = baselines.variance_terms(features)[:rows]
        # Least squares is done here once: its last bit may depend on the threads of a worker.
        fits = [baselines.fit_linear(terms[split.train], y[split.train]) for split in found]
        kept = [i for i, fit in enumerate(fits) if fit is not None]
        found, coefficients = tuple(found[i] for i in kept), [fits[i] for i in kept]
    first = settings.signals.seed
    return _Ground(
        target=target,
        X=X,
        y=y,
        terms=terms,
        splits=found,
        coefficients=tuple(coefficients),
        seeds=tuple(range(first, first + seeds)),
        data=digest(X, y, terms),
    )


def _sampler(seed: int) -> "OptunaStudy":
    """Optuna's own study, in memory: the ledger and the kept forecasts are what lasts."""
    try:
        import optuna
    except ImportError:
        expected = "an installed package"
        next_step = "pip install 'counterpoise[cluster]'"
        raise FixConfig("signals tune needs", "optuna", expected, next_step) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed)
    return optuna.create_study(direction="maximize", sampler=sampler)


def _proposal(trial: "OptunaTrial", present: Recipe) -> Recipe:
    """Recipe within the space that is searched."""
    return Recipe(
        objective=present.objective,
        rounds=trial.suggest_int("rounds", 50, 300, step=25),
        learning_rate=trial.suggest_float("learning_rate", 0.01, 0.1, log=True),
        leaves=trial.suggest_int("leaves", 3, 31),
        min_leaf_rows=trial.suggest_int("min_leaf_rows", 100, 1_200, step=50),
        feature_share=trial.suggest_int("feature_tenths", 3, 10) / 10,
        l2=trial.suggest_float("l2", 0.1, 100.0, log=True),
        stride=trial.suggest_int("stride", 1, 6),
    )


def _as_proposed(recipe: Recipe) -> dict[str, float]:
    """The present recipe in the words of the space."""
    named = asdict(recipe)
    named["feature_tenths"] = round(10 * named.pop("feature_share"))
    del named["objective"]
    return named


def _failed() -> "TrialState":
    import optuna

    return optuna.trial.TrialState.FAIL


def search(
    timeline: Timeline,
    settings: Settings,
    target: str,
    *,
    until: datetime,
    models: Path,
    trials: int = 20,
    batch: int = 4,
    seeds: int = 1,
    backend: cluster.Backend = "local",
    workers: int | None = None,
    address: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Search:
    """Try recipes for a target and enter each trial in the ledger.

    A search that was killed, started again with the same arguments on the same data, proposes
    the same recipes, reads the refits that were done and goes on.

    Parameters
    ----------
    timeline : Timeline
    settings : Settings
        ``signals`` is read; its seed is that of the sampler and the first of the trees.
    target : str
        Name in :data:`targets`.
    until : datetime
        Last moment whose data is seen, aware of its time zone.
    models : Path
        Folder of the ledger and, below it, of the forecasts of every refit.
    trials : int
        Recipes proposed, the present one among them.
    batch : int
        Recipes proposed before their scores are known. It decides which recipes are tried.
    seeds : int
        Seeds of the trees a recipe is scored by; the score is their mean.
    backend, workers, address
        As for :func:`counterpoise.cluster.run`; they decide no result.
    progress : callable, optional
        Called as ``progress(target, refits done, refits in all)``.

    Returns
    -------
    Search

    Raises
    ------
    FixConfig
        An unknown target, a package or a cluster that is not there.
    NotEnoughData
        History too short for a single refit.
    RejectData
        A damaged ledger.
    """
    chosen = targets[target]
    ledger = models / trial_file.FILE
    trial_file.read(ledger)  # a damaged one is refused before the work
    study = _sampler(settings.signals.seed)
    study.enqueue_trial(_as_proposed(chosen.recipe))
    ground = _ground(timeline, settings, chosen, until, seeds)
    per_recipe = len(ground.splits) * len(ground.seeds)
    found: dict[Recipe, Trial] = {}
    entered = 0
    with cluster.opened(
        backend=backend,
        folder=models / FOLDER,
        workers=workers,
        address=address,
        shared=(ground.X, ground.y, ground.terms),
    ) as run:
        for first in range(0, trials, batch):
            asked = [study.ask() for _ in range(min(batch, trials - first))]
            recipes = [_proposal(one, chosen.recipe) for one in asked]
            new = list(dict.fromkeys(recipe for recipe in recipes if recipe not in found))
            tasks = [task for recipe in new for task in ground.tasks(recipe)]

            def tell(done: int, of: int, first: int = first) -> None:
                if progress is not None:
                    progress(target, first * per_recipe + done, trials * per_recipe)

            forecasts = run(tasks, tell)
            for i, recipe in enumerate(new):
                found[recipe] = Trial(
                    what="recipe of the trees, searched by machine",
                    target=target,
                    parameters={**asdict(recipe), "seeds": list(ground.seeds)},
                    data_until=from_ms(to_ms(until)).isoformat(),
                    measure=chosen.measure,
                    score=ground.score(forecasts[i * per_recipe : (i + 1) * per_recipe]),
                    when=datetime.now(UTC).isoformat(timespec="seconds"),
                )
                entered += trial_file.append(ledger, found[recipe])
            for one, recipe in zip(asked, recipes, strict=True):
                scored = found[recipe].score
                # An undefined score teaches the sampler nothing.
                study.tell(one, scored, state=_failed() if scored is None else None)
    return Search(target, tuple(found.values()), entered, trial_file.count(ledger))
