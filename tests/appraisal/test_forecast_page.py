"""The page of the forecasts: nothing loaded, nothing unescaped, verdicts all in one size."""

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from counterpoise.appraisal.page import better, each, signals_page, write_page
from counterpoise.errors import FixConfig
from counterpoise.units import json_ready

LUCK = "not distinguishable from the baseline"


def value(r2: float, t: float, p: float, **more: Any) -> dict[str, Any]:
    told = {"r2": r2, "r2_vs_no_change": r2 / 2, "mae_ratio": 1.0 - r2, "bias": 0.001}
    return told | {"dm_t": t, "dm_p": p, "dm": {"har": {"gain": 0.0, "t": t, "p": p}}} | more


def odds(auc: float, **more: Any) -> dict[str, Any]:
    told = {"auc": auc, "auc_low": auc - 0.02, "auc_high": auc + 0.02, "ece": 0.0123}
    told |= {"ece_low": 0.01, "ece_high": 0.03, "brier_skill": 0.0045, "base_rate": 0.5}
    bins = [{"forecast": 0.4, "observed": 0.43, "count": 9}]
    bins += [{"forecast": 0.6, "observed": 0.55, "count": 9}]
    told |= {"dm_t": 2.1, "dm_p": 0.0357}
    return told | {"auc_before_calibration": auc, "brier": {}, "bins": bins} | more


def rise(gain: float, t: float, p: float, **more: Any) -> dict[str, Any]:
    return {"pinball_gain": gain, "coverage": 0.94, "dm_t": t, "dm_p": p} | more


HELD = {"coverage": 0.904, "coverage_error": 0.01, "coverage_level": 0.9}


def judged(baseline: dict, best: dict, name: str, **candidates: dict) -> dict[str, Any]:
    best = best | HELD
    base = {"name": name, **baseline}
    part = {"count": 50, "baseline": base, "best": best}
    return {
        "count": 1234,
        "baseline": base,
        "best": best,
        "candidates": {name: baseline, **candidates, "blend": best},
        "by_year": {"2021": part, "2022": {"count": 0}},
        "selection": part,
        "holdout": {"count": 0},
        "weights": dict.fromkeys(candidates, 0.37),
        "deflated_p": 0.0471,
        "spa_p": 0.0821,
        "silent": [],
    }


def made() -> dict[str, Any]:
    """A report with one of each verdict."""
    return {
        "direction": {
            "4h": judged(odds(0.501), odds(0.5404), "reversal", trees=odds(0.531)),
            "1h": judged(
                odds(0.53), odds(0.5303, dm_t=1.0, dm_p=0.345), "reversal", trees=odds(0.531)
            ),
            "24h": judged(odds(0.5), odds(0.5112), "reversal", trees=odds(0.5)),
        },
        "volatility": {
            "24h": judged(value(0.41, 0, 1), value(0.4567, 3, 0.0004), "har", trees=value(0, 1, 1)),
            "7d": judged(value(0.41, 0, 1), value(0.3, -3, 0.0123), "har", trees=value(0, 1, 1)),
        },
        "funding": {
            "next": judged(
                value(0.1, 0, 1), value(0.2, 1, 0.345), "mean_of_two", own=value(0, 0, 1)
            )
        },
        "adverse_move": {
            "24h_99": judged(rise(0, 0, 1), rise(0.0765, 2.5, 0.02), "static", trees=rise(0, 0, 1))
        },
        "start": "2021-08-01 00:00",
        "end": "2025-06-30 00:00",
        "holdout": "2024-01-01 00:00",
        "synthetic": False,
        "trials": 1405,
        "not_evaluated": ["depth_1pct: the lake never knows it"],
        "contributions": [
            {"target": "direction.4h", "features": ["basis", "return_1h"], "share": [0.3, 0.2]}
        ],
        "ablation": [
            {
                "target": "volatility.24h",
                "group": "clock",
                "change": "without",
                "gain": 0.0123,
                "p": 0.0321,
                "verdict": "helps",
            },
            {
                "target": "volatility.24h",
                "group": "events",
                "change": "–",
                "gain": float("nan"),
                "p": float("nan"),
                "verdict": "not evaluated: never known",
            },
        ],
    }


class Seen(HTMLParser):
    """Tags with their attributes, and tables as rows of (attributes, text)."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.tables: list[list[list[tuple[dict[str, str | None], str]]]] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "img", "link"):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append((dict(attrs), ""))
        elif tag in ("h1", "h2", "h3"):
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            attributes, text = self.tables[-1][-1][-1]
            self.tables[-1][-1][-1] = (attributes, text + data)
        elif self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings[-1] += data

    def rows(self, table: int) -> list[list[str]]:
        return [[text for _, text in row] for row in self.tables[table]]


def read(report: dict[str, Any]) -> Seen:
    seen = Seen()
    seen.feed(signals_page(report))
    assert seen.open == []
    return seen


def test_the_summary_holds_each_target_beside_its_baseline_with_its_verdict() -> None:
    rows = read(made()).rows(0)
    assert rows[0][0] == "target"
    expected = """
direction 4h|AUC|reversal: 0.501 [0.481, 0.521]|0.540 [0.520, 0.560]|0.036|0.047|90.4 %|{better}
direction 1h|AUC|reversal: 0.530 [0.510, 0.550]|0.530 [0.510, 0.550]|0.345|0.047|90.4 %|{luck}
direction 24h|AUC|reversal: 0.500 [0.480, 0.520]|0.511 [0.491, 0.531]|0.036|0.047|90.4 %|{no}
volatility 24h|R² of log variance|har: 0.410|0.457|< 0.001|0.047|90.4 %|better than the baseline
volatility 7d|R² of log variance|har: 0.410|0.300|0.012|0.047|90.4 %|worse than the baseline
funding next|error / no change|mean of two: 0.900|0.800|0.345|0.047|90.4 %|{luck}
adverse move 24h at 99|pinball below static|static: 0.0 %|+7.6 %|0.020|0.047|90.4 %|{better}
""".format(luck=LUCK, better="better than the baseline", no="not better than chance")
    assert ["|".join(row) for row in rows[1:]] == expected.strip().splitlines()


def test_verdicts_for_and_against_look_the_same() -> None:
    seen = read(made())
    cells = [row[-1][0] for row in seen.tables[0][1:]]
    assert len(cells) == 7
    assert all(cell == cells[0] for cell in cells)
    rows = [attributes for tag, attributes in seen.tags if tag == "tr"]
    assert all(attributes == {} for attributes in rows)
    inside = {tag for tag, _ in seen.tags}
    assert not inside & {"b", "strong", "em", "i", "small", "big", "font", "mark", "s", "del"}
    assert all("style" not in attributes for tag, attributes in seen.tags if tag in ("td", "th"))


def test_the_page_loads_nothing_and_is_whole() -> None:
    text = signals_page(made())
    seen = read(made())
    for tag, attributes in seen.tags:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base", "form")
        assert not {"src", "href", "action", "srcset", "data"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
    own = text.replace(get_plotlyjs(), "")
    assert "http" not in own
    assert "@import" not in own
    assert "url(" not in own
    assert text.startswith("<!DOCTYPE html>")
    assert seen.headings[0] == "Forecasts"
    for title in (
        "Beside the baseline",
        "By year",
        "Reliability of the probabilities",
        "What each group of features adds",
        "What the trees look at",
        "Every candidate",
        "Not evaluated",
    ):
        assert title in seen.headings


def test_the_span_the_trials_and_a_synthetic_market_are_told() -> None:
    report = made()
    text = signals_page(report)
    assert "2021-08-01 00:00 to 2025-06-30 00:00" in text
    assert "choices saw data to 2024-01-01 00:00" in text
    assert "1,405 configurations were tried" in text
    assert "synthetic: it proves plumbing" not in text
    assert "synthetic: it proves plumbing" in signals_page(report | {"synthetic": True})


def test_years_without_a_row_are_dashes() -> None:
    rows = read(made()).rows(1)
    assert rows[0] == ["target", "2021", "2022", "choice seen", "holdout"]
    assert rows[1] == ["direction 4h: reversal", "0.501", "–", "0.501", "–"]
    assert rows[2] == ["direction 4h: best", "0.540", "–", "0.540", "–"]
    assert len(rows) == 1 + 2 * 7


def test_every_candidate_has_its_numbers_and_its_weight() -> None:
    seen = read(made())
    tables = [seen.rows(k) for k in range(len(seen.tables))]
    mine = [rows for rows in tables if rows[0][0] == "candidate"]
    assert len(mine) == 7
    assert mine[0] == [
        ["candidate", "AUC", "Brier skill", "calibration error", "weight now"],
        ["reversal", "0.501 [0.481, 0.521]", "0.0045", "0.012", ""],
        ["trees", "0.531 [0.511, 0.551]", "0.0045", "0.012", "37 %"],
        ["blend", "0.540 [0.520, 0.560]", "0.0045", "0.012", ""],
        ["best", "0.540 [0.520, 0.560]", "0.0045", "0.012", ""],
    ]
    assert mine[5][2] == ["own", "0.000", "1.000", "1.000", "37 %"]
    assert mine[6][1] == ["static", "0.0 %", "94.0 %", "1.000", ""]


def test_the_ablation_is_told_with_what_was_not_evaluated() -> None:
    seen = read(made())
    (rows,) = [seen.rows(k) for k in range(len(seen.tables)) if len(seen.rows(k)[0]) == 6]
    assert rows[1] == ["volatility.24h", "clock", "without", "+1.23 %", "0.032", "helps"]
    assert rows[2][3:] == ["–", "–", "not evaluated: never known"]
    bare = {k: v for k, v in made().items() if k not in ("ablation", "contributions")}
    assert "What each group" not in signals_page(bare)
    assert "What the trees look at" not in signals_page(bare)


EVIL = "</script><script>alert(1)</script><b onload=x>"


def test_names_from_elsewhere_are_escaped() -> None:
    report = made()
    report["not_evaluated"] = [EVIL]
    report["ablation"][0] |= {"group": EVIL, "verdict": EVIL, "target": EVIL, "change": EVIL}
    report["contributions"][0]["features"] = [EVIL, "basis"]
    one = report["volatility"]["24h"]
    one["candidates"][EVIL] = one["candidates"]["har"]
    one["baseline"]["name"] = EVIL
    report["start"] = EVIL
    text = signals_page(report)
    assert "<script>alert" not in text
    assert "<b onload" not in text
    plain = read(made())
    seen = read(report)
    assert [tag for tag, _ in seen.tags].count("script") == [t for t, _ in plain.tags].count(
        "script"
    )
    assert any(EVIL.replace("_", " ") in text for row in seen.rows(0) for text in row)


def test_the_page_of_the_printed_json_is_the_page() -> None:
    def still(text: str) -> str:
        return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "", text)

    printed = json.loads(json.dumps(json_ready(made())))
    assert still(signals_page(printed)) == still(signals_page(made()))


def holed(value: Any, hole: float | None) -> Any:
    """Every number but counts unknown."""
    if isinstance(value, dict):
        kept = ("count", "trials", "forecast", "observed")
        return {k: v if k in kept else holed(v, hole) for k, v in value.items()}
    if isinstance(value, list):
        return [holed(item, hole) for item in value]
    return hole if isinstance(value, float) else value


@pytest.mark.parametrize("hole", [None, float("nan")])
def test_unknown_numbers_are_dashes_and_claim_nothing(hole: float | None) -> None:
    report = made()
    for name in ("direction", "volatility", "funding", "adverse_move", "ablation"):
        report[name] = holed(report[name], hole)
        for one in report[name].values() if name != "ablation" else ():
            # Weights are never unknown; a loss test may be written as whole numbers.
            one["weights"] = {}
            for part in (one["best"], one["baseline"], *one["candidates"].values()):
                part["dm_t"] = part["dm_p"] = hole
    for one in report["direction"].values():
        del one["best"]["coverage"], one["best"]["coverage_level"]
    text = signals_page(report)
    seen = Seen()
    seen.feed(text)
    verdicts = [row[-1] for row in seen.rows(0)[1:]]
    assert verdicts == ["not better than chance"] * 3 + [LUCK] * 4
    told = [text for k in range(len(seen.tables)) for row in seen.rows(k) for text in row]
    assert "–" in told
    assert not [text for text in told if "nan" in text.lower() or "None" in text]


def test_a_target_without_a_row_is_left_out() -> None:
    report = made()
    report["volatility"]["7d"] = {
        "count": 0,
        "by_year": {},
        "selection": {"count": 0},
        "holdout": {"count": 0},
        "weights": {"trees": 1.0},
    }
    del report["adverse_move"]
    assert len(each(report)) == 5
    seen = read(report)
    assert [row[0] for row in seen.rows(0)[1:]] == [
        *("direction 4h", "direction 1h", "direction 24h", "volatility 24h", "funding next")
    ]
    for horizons in (report["direction"], report["volatility"], report["funding"]):
        for horizon in horizons:
            horizons[horizon] = report["volatility"]["7d"]
    assert "Reliability" not in signals_page(report | {"volatility": {"7d": {"count": 0}}})


@pytest.mark.parametrize(
    ("low", "p", "told"),
    [
        (0.51, 0.02, "better than the baseline"),
        (0.51, 0.2, LUCK),
        (0.5, 0.02, "not better than chance"),
        (0.49, 0.2, "not better than chance"),
    ],
)
def test_a_direction_is_held_against_chance_first(low: float, p: float, told: str) -> None:
    one = {"best": {"auc_low": low, "dm_t": 2.0, "dm_p": p}}
    assert better("direction", one) == told


@pytest.mark.parametrize(
    ("t", "p", "told"),
    [
        (2.5, 0.049, "better than the baseline"),
        (2.5, 0.05, LUCK),
        (-2.5, 0.01, "worse than the baseline"),
        (0.0, 1.0, LUCK),
    ],
)
def test_a_value_is_held_against_its_baseline(t: float, p: float, told: str) -> None:
    one = {"best": {"dm_t": t, "dm_p": p}, "baseline": {}}
    assert [better(name, copy.deepcopy(one)) for name in ("volatility", "funding")] == [told] * 2


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "page.html"
    write_page(out, "first")
    write_page(out, "σ second")
    assert out.read_text(encoding="utf-8") == "σ second"
    assert [file.name for file in out.parent.iterdir()] == ["page.html"]
    folder = tmp_path / "taken.html"
    folder.mkdir()
    (folder / "inside").touch()
    with pytest.raises(FixConfig, match="--page"):
        write_page(folder, "text")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["deep", "taken.html"]
