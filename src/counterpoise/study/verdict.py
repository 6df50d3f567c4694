"""The one sentence a study ends in, and the count of what was tried; both follow from numbers."""

from counterpoise.study.compare import PREREGISTERED, RECOMMENDED, Study
from counterpoise.study.inference import Difference
from counterpoise.study.trials import trials_before
from counterpoise.units import from_ms

SIGNIFICANT = 0.05
#: Metric to words, unit, and whether larger is better.
_WORDS = {
    "vol": ("volatility", "points a year", False),
    "cvar95": ("mean loss on the worst 5 % of days", "points", False),
    "ce20": ("certainty equivalent (λ = 20)", "points a year", True),
}


def trial_count(study: Study) -> dict[str, int]:
    """Configurations behind the numbers: in this study, before it, together."""
    here, before = len(study.compared), trials_before()
    return {"in_this_study": here, "before": before, "total": here + before}


def trial_sentence(study: Study) -> str:
    """The trial count in words."""
    count = trial_count(study)
    return (
        f"{count['in_this_study']} policies are compared here; {count['before']} configurations "
        f"were tried on this kind of data before them. {len(PREREGISTERED)} metrics of one policy "
        f"({RECOMMENDED}) were registered in advance and are tested with Holm's correction; every "
        "other comparison is exploratory."
    )


def _part(metric: str, found: Difference, p: float) -> str:
    words, unit, _ = _WORDS[metric]
    return f"{words} {100 * found.difference:+.2f} {unit}, p = {p:.3f}"


def strongest_rule(study: Study) -> str:
    """Manual rule that saves most volatility against its own matched static hedge."""
    rules = {
        name: one.versus["vol"].difference
        for name, one in study.compared.items()
        if one.policy.family == "manual" and one.versus
    }
    return min(rules, key=lambda name: rules[name])


def verdict(study: Study) -> str:
    """Whether the recommended policy beats its matched static hedge and the best manual rule."""
    versus = study.compared[RECOMMENDED].versus
    better, worse, open_ = [], [], []
    for metric in PREREGISTERED:
        p = study.p_holm[RECOMMENDED, metric]
        gain = versus[metric].difference > 0
        words = _part(metric, versus[metric], p)
        if p >= SIGNIFICANT:
            open_.append(words)
        elif gain == _WORDS[metric][2]:
            better.append(words)
        else:
            worse.append(words)
    begin = from_ms(int(study.where.ts_ms[0])).date()
    end = from_ms(int(study.where.ts_ms[-1])).date()
    head = f"From {begin} to {end}, hedging timed by forecast volatility"
    if worse:
        said = f"{head} was worse than a static hedge of the same mean size ({'; '.join(worse)})"
        said += f", better on {'; '.join(better)}" if better else ""
    elif better:
        said = f"{head} beat a static hedge of the same mean size ({'; '.join(better)})"
    else:
        said = f"{head} did not beat a static hedge of the same mean size"
    if open_:
        said += f", with no significant difference in {'; '.join(open_)}"
    rule = strongest_rule(study)
    found = study.versus_rules[rule]["vol"]
    if found.p >= SIGNIFICANT:
        outcome = "is not distinguishable from"
    else:
        outcome = "has less volatility than" if found.difference < 0 else "has more volatility than"
    return (
        f"{said}; it {outcome} the strongest manual rule, {rule} "
        f"({100 * found.difference:+.2f} points of volatility, p = {found.p:.3f}, exploratory)."
    )
