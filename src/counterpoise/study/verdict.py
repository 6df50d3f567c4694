"""The one sentence a study ends in, and the count of what was tried; both follow from numbers."""

from counterpoise.hedging import RECOMMENDED
from counterpoise.study.actual import ACTUAL
from counterpoise.study.compare import PREREGISTERED, Study
from counterpoise.study.inference import Difference
from counterpoise.study.trials import trials_before
from counterpoise.units import from_ms

SIGNIFICANT = 0.05
#: Metric to words, unit, and whether larger is better.
_WORDS = {
    "vol": ("volatility", "points", False),
    "cvar95": ("loss on the worst 5 % of days", "points", False),
    "ce20": ("certainty equivalent (λ = 20)", "points", True),
}


def trial_count(study: Study) -> dict[str, int]:
    """Configurations behind the numbers.

    Returns
    -------
    dict of str to int
        ``in_this_study``, ``own`` of them the user's, ``before`` from the ledger of the product,
        ``own_before`` of the user's on the holdout of this lake, and their ``total``.
    """
    tried = [one for one in study.compared.values() if one.policy.family != "actual"]
    here, before = len(tried), trials_before()
    return {
        "in_this_study": here,
        "own": len(study.own),
        "before": before,
        "own_before": study.own_before,
        "total": here + before + study.own_before,
    }


def trial_sentence(study: Study) -> str:
    """The trial count in words."""
    count = trial_count(study)
    own = f" {count['own']} of the policies are your own." if count["own"] else ""
    if study.holdout is not None and count["own"] + count["own_before"]:
        own += (
            " Policies of your own that have looked at the holdout of this lake so far: "
            f"{count['own'] + count['own_before']}; each makes the next p-value there worth less."
        )
    return (
        f"{count['in_this_study']} policies are compared here; {count['before']} configurations "
        f"were tried on this kind of data before them.{own} {len(PREREGISTERED)} metrics of one "
        f"policy ({RECOMMENDED}) were registered in advance and are tested with Holm's correction; "
        "every other comparison is exploratory."
    )


def _part(metric: str, found: Difference, p: float) -> str:
    words, unit, _ = _WORDS[metric]
    return f"{words} {100 * found.difference:+.2f} {unit} (Holm p = {p:.3f})"


def strongest_rule(study: Study) -> str:
    """Manual rule that gains most certainty equivalent against its own matched static hedge."""
    rules = {
        name: one.versus["ce20"].difference
        for name, one in study.compared.items()
        if one.policy.family == "manual" and one.versus
    }
    return max(rules, key=lambda name: rules[name])


def _against_static(versus: dict[str, Difference], p_holm: dict[str, float]) -> str:
    """Outcome in the registered metrics, as the predicate of a sentence."""
    better: list[str] = []
    worse: list[str] = []
    rest: list[str] = []
    for metric in PREREGISTERED:
        gain = (versus[metric].difference > 0) == _WORDS[metric][2]
        group = rest if p_holm[metric] >= SIGNIFICANT else better if gain else worse
        group.append(_part(metric, versus[metric], p_holm[metric]))
    if better:
        said = [f"beat a static hedge of the same mean size: {', '.join(better)}"]
        said += [f"worse: {', '.join(worse)}"] if worse else []
    elif worse:
        said = [f"was worse than a static hedge of the same mean size: {', '.join(worse)}"]
    else:
        said = ["did not beat a static hedge of the same mean size"]
    if rest:
        said.append(f"without significance: {', '.join(rest)}")
    return "; ".join(said)


def _against_rule(study: Study, rule: str) -> str:
    """Registered metrics against one manual rule, each at its own size."""
    said = []
    for metric in PREREGISTERED:
        found, p = study.versus_rules[rule][metric], study.p_holm_rules[rule, metric]
        if p < SIGNIFICANT:
            gain = (found.difference > 0) == _WORDS[metric][2]
            said.append(f"{'better' if gain else 'worse'} in {_part(metric, found, p)}")
    return f"{', '.join(said)} than {rule}" if said else f"not distinguishable from {rule}"


def verdict(study: Study) -> str:
    """Whether the recommended policy beats a static hedge of its size, the manual rules and yours.

    It rests on the holdout where the window has one; the days the choices were made on come second.
    """
    whole = study.compared[RECOMMENDED].versus
    whole_p = {metric: study.p_holm[RECOMMENDED, metric] for metric in PREREGISTERED}
    begin = from_ms(int(study.where.ts_ms[0])).date()
    end = from_ms(int(study.where.ts_ms[-1])).date()
    holdout = study.holdout
    if holdout is None:
        said = (
            f"From {begin} to {end}, hedging timed by forecast volatility "
            f"{_against_static(whole, whole_p)}"
        )
    else:
        said = (
            f"On the {holdout.days} days to {end} that no choice was made on, hedging timed by "
            f"forecast volatility {_against_static(holdout.versus, holdout.p_holm)}"
        )
        if holdout.days < len(study.compared[RECOMMENDED].daily.ts_ms):
            said += f"; over the whole window from {begin}, it {_against_static(whole, whole_p)}"
    mean = whole["mean"]
    more = "more" if mean.difference > 0 else "less"
    p = study.p_holm[RECOMMENDED, "mean"]
    rules = dict.fromkeys(["static_eth", strongest_rule(study)])
    against = ", and ".join(_against_rule(study, rule) for rule in rules)
    count = study.compared[RECOMMENDED].path.liquidations
    liquidated = f"; it was liquidated {count} times" if count else ""
    own = "; ".join(_against_rule(study, name) for name in study.own)
    done = _against_rule(study, ACTUAL) if study.ledger else ""
    return (
        f"{said}; it earned {100 * abs(mean.difference):.2f} points a year {more} than that static "
        f"hedge (Holm p = {p:.3f}), and is {against}{liquidated}."
        + (
            f" Against your own, each at its own size over the whole window, it is {own}."
            if own
            else ""
        )
        + (f" Against what you did, at its own size over these days, it is {done}." if done else "")
    )
