"""What a study leaves behind: ``results.json``, ``report.html`` and one Parquet file per policy.

All of them replace an earlier study at once (``publish``), so that an interrupted one leaves it as
it was. The JSON is described in docs/results.md.
"""

import io
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from counterpoise import __version__
from counterpoise.decision.moment import CHAIN, Reason
from counterpoise.errors import FixConfig
from counterpoise.hedging import RECOMMENDED
from counterpoise.profiling import stage
from counterpoise.simulation.account import COMPONENTS, SimulatedPath
from counterpoise.study.actual import ledger_json
from counterpoise.study.compare import PREREGISTERED, Study
from counterpoise.study.hedged import hedged_in
from counterpoise.study.page_content import page_of
from counterpoise.study.publish import replacing
from counterpoise.study.report import write_report
from counterpoise.study.verdict import trial_count, verdict
from counterpoise.units import json_ready, stamp

#: Version of the layout of results.json; raised when a key changes its meaning or goes away.
SCHEMA_VERSION = 1


def results_of(study: Study) -> dict[str, Any]:
    """Everything of a study as JSON-ready values; keys as in docs/results.md."""
    ts_ms = study.where.ts_ms
    versus = {
        name: {
            metric: {
                **asdict(difference),
                "p_holm": study.p_holm[name, metric],
                "preregistered": name == RECOMMENDED and metric in PREREGISTERED,
            }
            for metric, difference in one.versus.items()
        }
        for name, one in study.compared.items()
        if one.versus
    }
    result = {
        "schema_version": SCHEMA_VERSION,
        "counterpoise_version": __version__,
        "synthetic": study.timeline.synthetic,
        "from": stamp(int(ts_ms[0])),
        "to": stamp(int(ts_ms[-1])),
        "days": len(study.compared[RECOMMENDED].daily.ts_ms),
        "verdict": verdict(study),
        "trials": trial_count(study),
        "recommended": RECOMMENDED,
        "acted_on": study.settings.hedge.policy,
        "settings": study.settings.model_dump(mode="json", exclude={"lake"}),
        "exposure": asdict(hedged_in(study.settings, study.timeline, study.where)),
        "warnings": list(study.warnings),
        "notes": list(study.notes),
        "policies": {
            name: {
                "label": one.policy.label,
                "family": one.policy.family,
                **({"source": one.policy.source} if one.policy.source else {}),
                **one.metrics,
                "by_year": one.years,
                "peak_collateral_usd": float(one.path.collateral_usd.sum(axis=1).max()),
            }
            for name, one in study.compared.items()
        },
        "versus_matched": versus,
        "periods": {
            period.name: {
                "from": stamp(period.first_ms)[:10],
                "to": stamp(period.last_ms)[:10],
                "days": period.days,
                "mean_ratio": period.mean_ratio,
                "versus_matched": {
                    metric: {**asdict(difference), "p_holm": period.p_holm.get(metric)}
                    for metric, difference in period.versus.items()
                },
            }
            for period in study.periods
        },
        "versus_rules": {
            name: {
                metric: {**asdict(difference), "p_holm": study.p_holm_rules[name, metric]}
                for metric, difference in found.items()
            }
            for name, found in study.versus_rules.items()
        },
        "placebos": [
            {
                "policy": placebo.policy,
                "kind": placebo.kind,
                "statistic": placebo.statistic,
                "value": placebo.value,
                "position": placebo.position,
                "draws": len(placebo.draws),
            }
            for placebo in study.placebos
        ],
        "collateral": [asdict(row) for row in study.collateral],
        "forecasts": study.skill,
    }
    if study.ledger is not None:
        result["actual"] = ledger_json(study.ledger)
    plain = json_ready(result)
    assert isinstance(plain, dict)
    return plain


def path_table(path: SimulatedPath, venues: tuple[str, ...]) -> pl.DataFrame:
    """One row per tick: P&L parts (USD), positions, band, collateral and reasons."""
    columns: dict[str, Any] = {
        "ts": pl.Series(path.ts_ms).cast(pl.Datetime("ms", "UTC")),
        "spot_usd": path.spot,
        "exposure_eth": path.exposure_eth,
        "hedge_ratio": path.ratio,
        "band_lo": path.lo,
        "band_hi": path.hi,
        "traded_eth": path.traded_eth,
    }
    for v, venue in enumerate(venues):
        columns[f"short_eth_{venue}"] = path.short_eth[:, v]
        columns[f"collateral_usd_{venue}"] = path.collateral_usd[:, v]
        columns[f"on_its_way_{venue}"] = path.coming[:, v]
    for c, component in enumerate(COMPONENTS):
        columns[f"{component}_usd"] = path.pnl[:, c]
    columns["pnl_usd"] = path.total
    for link, name in enumerate(CHAIN):
        columns[f"chain_{name}"] = path.chain[:, link]
    words = {
        int(flags): "|".join(flag.name or "" for flag in Reason(int(flags)))
        for flags in np.unique(path.reasons)
    }
    columns["reasons"] = [words[int(flags)] for flags in path.reasons]
    return pl.DataFrame(columns)


def refuse_unwritable(out: Path) -> None:
    """Refuse a folder that cannot be written, before the work and without making it.

    Raises
    ------
    FixConfig
        ``out`` or its nearest existing parent is a file or cannot be written.
    """
    try:
        out.lstat()
    except FileNotFoundError:
        pass
    except OSError as refused:
        expected = f"a folder that can be written ({refused.strerror})"
        raise FixConfig("--out", str(out), expected, "name another") from None
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise FixConfig("--out", str(out), "a folder that can be written", "name another")


def write_study(study: Study, out: Path) -> dict[str, Path]:
    """Write report, results and paths into ``out``; all of them or none.

    Parameters
    ----------
    study : Study
    out : Path
        Folder, made where it is missing. Files of an earlier study in it are replaced.

    Returns
    -------
    dict of str to Path
        ``report``, ``results`` and ``paths``.

    Raises
    ------
    FixConfig
        ``out`` is a file or cannot be written.
    """
    refuse_unwritable(out)
    names = ("paths", "results.json", "report.html")
    try:
        with replacing(out, names) as staging:
            paths = staging / "paths"
            paths.mkdir()
            with stage("write paths"):
                for name, one in study.compared.items():
                    table = io.BytesIO()
                    path_table(one.path, study.timeline.venues).write_parquet(table)
                    (paths / f"{name}.parquet").write_bytes(table.getvalue())
            (staging / "results.json").write_text(
                json.dumps(
                    results_of(study),
                    indent=2,
                    ensure_ascii=False,
                    allow_nan=False,
                )
                + "\n",
                encoding="utf-8",
            )
            with stage("write report"):
                write_report(page_of(study), staging / "report.html")
    except OSError as refused:
        raise FixConfig(
            "--out",
            str(out),
            f"a folder with room for a study ({refused.strerror}; what it held is as it was)",
            "free space there, or name another",
        ) from None
    return {
        "report": out / "report.html",
        "results": out / "results.json",
        "paths": out / "paths",
    }
