"""What a run of the study says about itself: what it reused, and where its time went.

Nothing here is about hedging; the findings are printed by ``study_output``.
"""

from typing import TYPE_CHECKING, Any

from counterpoise.cli.output import print_table
from counterpoise.profiling import Profile, peak_memory_bytes

if TYPE_CHECKING:
    from counterpoise.study.reuse import Shelf


def reuse_sentence(shelf: "Shelf") -> str:
    """What came from earlier studies of the lake, in one line, and whether anything was kept."""
    kinds = [*shelf.reused, *(kind for kind in shelf.computed if kind not in shelf.reused)]
    parts = []
    for kind in kinds:
        reused, whole = shelf.reused[kind], shelf.reused[kind] + shelf.computed[kind]
        if reused:
            parts.append(kind if whole == 1 else f"{reused} of {whole} {kind}s")
    said = f"Reused from earlier studies: {', '.join(parts) or 'nothing'}."
    if shelf.refused is not None:
        said += (
            f"\nWARNING: this study could not keep its results for the next one "
            f"({shelf.refused}). Next: check disk space and permissions of the lake."
        )
    return said


def reuse_json(shelf: "Shelf") -> dict[str, Any]:
    """Counts of results by kind: ``reused`` and ``computed``."""
    return {"reused": dict(shelf.reused), "computed": dict(shelf.computed)}


def profile_json(profile: Profile) -> dict[str, Any]:
    """Seconds, peak memory and every stage: ``name``, ``seconds``, ``share``, ``calls``."""
    stages = profile.stages
    seconds = sum(one.seconds for one in stages)
    return {
        "seconds": seconds,
        "peak_memory_bytes": peak_memory_bytes(),
        "stages": [
            {
                "name": one.name,
                "seconds": one.seconds,
                "share": one.seconds / seconds,
                "calls": one.calls,
            }
            for one in stages
        ],
    }


def print_profile(found: dict[str, Any]) -> None:
    """Print what :func:`profile_json` gives as a small table."""
    print_table(
        [("stage", False), ("seconds", True), ("share", True), ("calls", True)],
        [
            [one["name"], f"{one['seconds']:.2f}", f"{one['share']:.1%}", f"{one['calls']:,}"]
            for one in found["stages"]
        ],
        title=(
            f"where the time went: {found['seconds']:.1f} s, peak memory "
            f"{found['peak_memory_bytes'] / 1e9:.2f} GB"
        ),
    )
