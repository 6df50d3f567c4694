"""A feature from the user's own Python file, for an audit; it enters no catalog and no model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterpoise.appraisal.feature_audit import FeatureSet
from counterpoise.errors import FixConfig
from counterpoise.market.timeline import Timeline
from counterpoise.own_file import line_in, read_own_file, refuse_name, run_own_file

Floats = NDArray[np.float64]


def load_feature(file: Path) -> FeatureSet:
    """Feature of a Python file: its function ``feature(timeline)``, under the name of the file.

    Parameters
    ----------
    file : Path
        Run once. ``feature`` gets a :class:`~counterpoise.market.timeline.Timeline` of T ticks and
        returns float64 (T,), NaN where unknown; ``warm_up``, hours before its first value, is 0
        unless the file says otherwise.

    Raises
    ------
    FixConfig
        The file cannot be read or run, has no such function, or a wrong ``warm_up``; calling the
        feature raises it where the function fails.
    """
    names = run_own_file(file, read_own_file("--feature", file, "a Python file"))
    refuse_name(f"{file}: name", file.stem, "rename the file")
    feature, warm_up = names.get("feature"), names.get("warm_up", 0)
    if not callable(feature):
        raise FixConfig(
            "--feature",
            str(file),
            "a file that defines feature(timeline), one number per tick",
            "define it there",
        )
    if not isinstance(warm_up, int) or warm_up < 0:
        raise FixConfig(f"{file} warm_up", warm_up, "whole hours >= 0", "mend it there")
    return FeatureSet((file.stem,), (warm_up,), _checked(file, feature))


def _checked(file: Path, feature: Callable[[Timeline], object]) -> Callable[[Timeline], Floats]:
    def compute(timeline: Timeline) -> Floats:
        try:
            found = np.asarray(feature(timeline))
        except Exception as error:
            raise FixConfig(
                f"{file} line {line_in(file, error)}",
                f"{type(error).__name__}: {error}",
                f"feature(timeline) to answer for {len(timeline.ts_ms)} hours, any gaps NaN",
                "mend that line",
            ) from error
        # Its dtype is judged as it is: another one would be a silent rounding.
        return found[:, None] if found.ndim == 1 else found

    return compute
