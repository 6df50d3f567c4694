"""The user's own policies, from files, for one study: nothing of them is registered.

``rule_file`` reads a rule of TOML keys; ``user_policy`` runs and checks a Python file.
"""

from collections.abc import Sequence
from pathlib import Path

from counterpoise.config import Settings
from counterpoise.errors import FixConfig
from counterpoise.hedging.policy import Policy, policies
from counterpoise.hedging.rule_file import load_rule
from counterpoise.hedging.user_policy import load_policies


def refuse_clashes(own: Sequence[Policy]) -> None:
    """Refuse a name that a registered policy or another of the user's own has.

    Raises
    ------
    FixConfig
        Upper and lower case count as the same, as they do in file names on some systems.
    """
    taken = {name.casefold(): f"the built-in policy {name}" for name in policies}
    for item in own:
        place = item.place or "an own policy"
        if (whose := taken.get(item.name.casefold())) is not None:
            raise FixConfig(
                f"{place}: name",
                item.name,
                f"a name other than that of {whose}",
                f"give it another name in {place}",
            )
        taken[item.name.casefold()] = place


def load_own(
    rules: Sequence[Path], scripts: Sequence[Path], settings: Settings
) -> tuple[Policy, ...]:
    """Policies of rule files and of Python files, in the order given, rules first.

    Parameters
    ----------
    rules : sequence of Path
        TOML files (docs/rules.md).
    scripts : sequence of Path
        Python files with functions under ``@own_policy``.
    settings : Settings
        Its cap, ``hedge.max_ratio``, bounds what a rule may hold.

    Raises
    ------
    FixConfig
        A file that cannot be read or is wrong, naming file and key or line; a name that is taken.
    """
    own = (
        *(load_rule(file, settings) for file in rules),
        *(item for file in scripts for item in load_policies(file)),
    )
    refuse_clashes(own)
    return own
