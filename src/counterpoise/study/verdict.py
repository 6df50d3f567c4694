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
    "ce20": ("certainty equivalent at λ = 20", "points a year", True),
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
    return f"{words} ({100 * found.difference:+.2f} {unit}, Holm p = {p:.3f})"


def strongest_rule(study: Study) -> str:
    """Manual rule that gains most certainty equivalent against its own matched static hedge."""
    rules = {
        name: one.versus["ce20"].difference
        for name, one in study.compared.items()
        if one.policy.family == "manual" and one.versus
    }
    return max(rules, key=lambda name: rules[name])


def verdict(study: Study) -> str:
    """Whether the recommended policy beats its matched static hedge and the best manual rule."""
    versus = study.compared[RECOMMENDED].versus
    better: list[str] = []
    worse: list[str] = []
    rest: list[str] = []
    for metric in PREREGISTERED:
        p = study.p_holm[RECOMMENDED, metric]
        gain = (versus[metric].difference > 0) == _WORDS[metric][2]
        group = rest if p >= SIGNIFICANT else better if gain else worse
        group.append(_part(metric, versus[metric], p))
    begin = from_ms(int(study.where.ts_ms[0])).date()
    end = from_ms(int(study.where.ts_ms[-1])).date()
    said = [f"From {begin} to {end}, hedging timed by forecast volatility"]
    if better:
        said.append(f"beat a static hedge of the same mean size in {' and '.join(better)}")
        said += [f"but was worse in {' and '.join(worse)}"] if worse else []
    elif worse:
        said.append(f"was worse than a static hedge of the same mean size in {' and '.join(worse)}")
    else:
        said.append("did not beat a static hedge of the same mean size")
    if rest:
        said.append(f"with no significant difference in {' and '.join(rest)}")
    mean = versus["mean"]
    more = "more" if mean.difference > 0 else "less"
    said.append(f"earning {100 * abs(mean.difference):.2f} points a year {more} (p = {mean.p:.3f})")
    rule = strongest_rule(study)
    found = study.versus_rules[rule]["ce20"]
    if found.p >= SIGNIFICANT:
        outcome = "is not distinguishable from"
    else:
        outcome = "is better than" if found.difference > 0 else "is worse than"
    points = f"{100 * found.difference:+.2f} points of certainty equivalent, p = {found.p:.3f}"
    said.append(f"and it {outcome} the strongest manual rule, {rule} ({points})")
    return f"{said[0]} {', '.join(said[1:])}."
