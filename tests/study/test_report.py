"""The report says what was found, wherever it is opened, and nothing more."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from counterpoise.study import page, plots
from counterpoise.study.contents import PolicySeries, StudyReport
from counterpoise.study.report import render, write_report

Build = Callable[..., StudyReport]
BANNER = plots.SYNTHETIC


class Reader(HTMLParser):
    """What a browser would load, and what a person would read."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.styles: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag would load."""
        self.tags.append(tag)
        self._inside = tag if tag in ("script", "style") else ""
        self.loads += [(tag, v) for k, v in attrs if k in ("src", "href", "srcset") and v]

    def handle_endtag(self, tag: str) -> None:
        """Leave scripts and styles."""
        self._inside = ""

    def handle_data(self, data: str) -> None:
        """Keep text and style, not script."""
        if self._inside == "style":
            self.styles.append(data)
        elif not self._inside:
            self.text.append(data)

    @property
    def words(self) -> str:
        """All visible text, single-spaced."""
        return " ".join(" ".join(self.text).split())


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


@pytest.fixture(scope="module")
def html(report: Build) -> str:
    return render(report())


def without_library(html: str) -> str:
    """Page without plotly.js, whose own source is full of strings."""
    return html.replace(page.get_plotlyjs(), "")


def test_the_page_loads_nothing_from_anywhere(html: str) -> None:
    reader = read(html)
    assert reader.loads == []
    assert "link" not in reader.tags
    assert "iframe" not in reader.tags
    assert not re.search(r"url\(|@import|https?://", " ".join(reader.styles))
    assert not re.search(r"https?://", without_library(html))


def test_the_library_is_embedded_once(html: str) -> None:
    assert html.count(page.get_plotlyjs()) == 1
    assert html.count("Plotly.newPlot(") - page.get_plotlyjs().count("Plotly.newPlot(") >= 10


def test_the_verdict_comes_first_and_as_given(report: Build) -> None:
    verdict = "LightGBM lost: vol +0.3 points, p = 0.41 & not significant."
    words = read(render(report(verdict=verdict))).words
    assert words.count(verdict) == 1
    assert words.index(verdict) < words.index("Every policy")


def test_good_and_bad_verdicts_are_set_alike(report: Build) -> None:
    good, bad = (
        without_library(render(report(verdict=v))).replace(v, "") for v in ("It won.", "It lost.")
    )
    assert good == bad


def test_a_synthetic_market_is_named_at_both_ends_and_in_every_plot(report: Build) -> None:
    html = without_library(render(report(synthetic=True)))
    banner = f'<p class="synthetic">{BANNER}</p>'
    assert html.count(banner) == 2
    assert html.index(banner) < html.index("<h1>")
    assert html.rindex(banner) > html.index("<h2>Trials</h2>")
    plotted = html.split("Plotly.newPlot(")[1:]
    assert len(plotted) >= 10
    assert all(BANNER in plot.split("</script>")[0] for plot in plotted)


def test_a_real_market_carries_no_such_banner(html: str) -> None:
    assert BANNER not in html


def test_every_policy_is_in_the_table_and_in_the_equity_plot(report: Build) -> None:
    study = report()
    words = read(render(study)).words
    drawn = {trace.name for trace in plots.equity(study).data}
    for row in study.policies:
        assert row.name in words
        assert row.label in words
        assert row.name in drawn


def test_six_policies_are_visible_and_the_acted_on_one_first(report: Build) -> None:
    study = replace(report(), acted_on="carry")
    traces = plots.equity(study).data
    assert traces[0].name == "carry"
    assert sum(trace.visible is True for trace in traces) == plots.VISIBLE
    assert {trace.visible for trace in traces[plots.VISIBLE :]} == {"legendonly"}


def test_a_policy_keeps_its_colour_from_plot_to_plot(report: Build) -> None:
    study = report()
    for draw in (plots.equity, plots.drawdown, plots.funding, plots.cost):
        for trace in draw(study).data:
            look = plots.looks(study)[trace.name]
            assert (trace.line.color, trace.line.dash) == (look.colour, look.dash)
    assert len({(look.colour, look.dash) for look in plots.looks(study).values()}) == 10


def test_only_a_registered_comparison_can_be_significant(report: Build) -> None:
    base = report().versus_matched[0]
    sure = replace(base, metric="vol", difference=-0.02, p=1e-4, p_holm=3e-4, preregistered=True)
    rows = (
        sure,
        replace(sure, difference=0.02),
        replace(sure, p_holm=0.2),
        replace(sure, p_holm=float("nan"), preregistered=False),
        replace(sure, p=0.3, p_holm=float("nan"), preregistered=False),
    )
    words = read(render(replace(report(), versus_matched=rows, versus_rules=()))).words
    findings = re.findall(
        r"Volatility (significantly better|significantly worse|"
        r"exploratory, unadjusted|not significant)",
        words,
    )
    assert findings == [
        "significantly better",
        "significantly worse",
        "not significant",
        "exploratory, unadjusted",
        "not significant",
    ]
    filled = [
        t.marker.color != "white"
        for t in plots.forest(replace(report(), versus_matched=rows), "vol").data
    ]
    assert filled == [True, True, False, False, False]


def test_text_from_outside_is_escaped(report: Build) -> None:
    nasty = "<script>alert('x')</script><b>&\"</b>"
    study = report(title=nasty, verdict=nasty)
    first = replace(study.policies[0], label=nasty)
    study = replace(
        study,
        notes=(nasty,),
        trials=nasty,
        settings=((nasty, nasty),),
        policies=(first, *study.policies[1:]),
    )
    html = without_library(render(study))
    assert "<script>alert" not in html
    assert read(html).words.count(nasty) >= 7
    assert read(html).tags.count("b") == 0


def test_a_policy_named_like_a_tag_stays_text_in_the_plots(report: Build) -> None:
    study = report()
    name = "<i>x</i>"
    study = replace(
        study,
        policies=(*study.policies, replace(study.policies[0], name=name)),
        series=(*study.series, replace(study.series[0], policy=name)),
    )
    assert plots.equity(study).data[-1].name == "&lt;i&gt;x&lt;/i&gt;"


def test_what_is_unknown_is_a_dash(report: Build) -> None:
    study = report()
    row = replace(study.policies[0], metrics={"mean": float("nan"), "vol": 0.123})
    html = without_library(render(replace(study, policies=(row, *study.policies[1:]))))
    assert '<td class="n">–</td><td class="n">12.30 %</td><td class="n">–</td>' in html
    assert "nan" not in read(html).words.lower().split()


def test_numbers_are_written_for_people() -> None:
    assert page.percent(-0.12345) == "−12.35 %"
    assert page.percent(0.05, sign=True) == "+5.00 %"
    assert page.percent(-1e-9, sign=True) == "0.00 %"
    assert page.number(float("inf")) == "–"
    assert page.p_value(0.0002) == "< 0.001"
    assert page.p_value(0.2) == "0.200"


def test_the_series_of_a_path_end_at_its_summary(path: Callable[..., object]) -> None:
    from counterpoise.study import metrics

    timed = path(0.8, days=365)
    series, found = PolicySeries.of("x", timed), metrics.attribution(timed)
    assert series.equity[-1] == pytest.approx(sum(found.values()))
    assert series.funding[-1] == pytest.approx(found["funding"])
    assert series.cost[-1] == pytest.approx(-found["fees"] - found["slippage"])
    assert series.drawdown.min() == pytest.approx(
        metrics.max_drawdown(metrics.daily_returns(timed))
    )


def test_an_empty_study_still_renders(report: Build) -> None:
    bare = replace(
        report(),
        versus_matched=(),
        by_year=(),
        reliability=None,
        skill=(),
        placebos=(),
        capital=(),
        settings=(),
        notes=(),
        suspects=(),
        series=(),
        attribution={},
    )
    words = read(render(bare)).words
    assert "No policy was compared with a matched static hedge." in words
    assert "No gap and no treatment." in words


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"acted_on": "stranger"}, "stranger"),
        ({"attribution": {"stranger": {"delta": 0.1}}}, "stranger"),
        ({"spot": np.ones(3)}, "one value per day"),
        ({"days": np.arange(500)}, "datetime64"),
    ],
)
def test_a_report_that_contradicts_itself_is_refused(
    report: Build, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(report(), **change)


def test_the_same_study_writes_the_same_bytes(report: Build, tmp_path: Path) -> None:
    study = report()
    first, second = tmp_path / "new" / "a.html", tmp_path / "b.html"
    write_report(study, first)
    write_report(study, second)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 8_000_000
