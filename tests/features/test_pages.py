"""The command, the page and the document show every feature, and what is unknown as unknown."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import counterpoise.cli
from counterpoise.cli.app import app
from counterpoise.errors import FixConfig, NotEnoughData
from counterpoise.features.catalog import FEATURES, KNOWN_AT, UNAVAILABLE
from counterpoise.features.coverage import coverage
from counterpoise.features.engine import compute
from counterpoise.features.reference import markdown_tables
from counterpoise.market.lake import Lake
from counterpoise.market.layouts import MACRO
from counterpoise.market.synthetic import generate
from counterpoise.study.feature_page import feature_page, stretches, write_feature_page
from tests.features.market import market

DOCUMENT = Path(__file__).parents[2] / "docs" / "features.md"
SMALL = dataclasses.replace(market(800, seed=12), daily={})
MATRIX = compute(SMALL)
ROWS = coverage(SMALL, MATRIX)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty synthetic days without the high-yield spread."""
    tables = generate(5, days=60)
    tables[MACRO] = tables[MACRO].filter(pl.col("series") != "us_hy_oas_pct")
    path = tmp_path_factory.mktemp("features") / "lake"
    Lake(path).write(tables, synthetic=True)
    return path


def run(*arguments: str):
    """Run the command in this process; errors of the product come through."""
    assert counterpoise.cli.ROOMS
    return CliRunner().invoke(app, ["features", *arguments], catch_exceptions=False)


def test_the_list_has_a_line_for_each_feature_and_fits_eighty_columns(lake: Path) -> None:
    lines = run("--lake", str(lake)).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for name, feature in FEATURES.items():
        (line,) = (one for one in lines if one.split(" ")[0] == name)
        assert feature.unit in line
        assert feature.known_at in line
    assert any("SYNTHETIC" in line for line in lines)


def test_the_list_says_what_the_lake_lacks_and_what_nothing_can_show(lake: Path) -> None:
    text = " ".join(run("--lake", str(lake)).stdout.split())
    assert "Not evaluated: hy_spread_change: the lake holds no us_hy_oas_pct." in text
    for name, reason in UNAVAILABLE.items():
        assert f"Not evaluated: {name}: {reason}." in text
    assert re.search(r" basis fraction bar close \d+\.\d% \d{4}-\d\d – \d{4}-\d\d ", text)


def test_json_holds_definition_and_coverage_of_each_feature(lake: Path) -> None:
    found = json.loads(run("--lake", str(lake), "--json").stdout)
    assert [one["name"] for one in found["features"]] == list(FEATURES)
    by_name = {one["name"]: one for one in found["features"]}
    assert by_name["basis"]["coverage"]["known"] > 0.9
    assert by_name["basis"]["known_at_rule"] == KNOWN_AT["bar close"]
    assert by_name["hy_spread_change"]["coverage"]["state"] == "not evaluated"
    assert by_name["hy_spread_change"]["coverage"]["first"] is None
    assert found["unavailable"] == UNAVAILABLE
    assert found["synthetic"] is True


def test_one_feature_is_shown_in_full(lake: Path) -> None:
    text = " ".join(run("predicted_funding", "--lake", str(lake)).stdout.split())
    assert FEATURES["predicted_funding"].pitfall in text
    assert "perp.close, spot.close" in text
    assert "median" in text


def test_an_unknown_feature_is_refused_before_the_work_with_the_nearest_name() -> None:
    with pytest.raises(FixConfig, match="log_rv_24h"):
        run("log_rv_24", "--lake", "no-such-lake")


def test_without_a_lake_there_is_nothing_to_list_but_the_catalog(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData):
        run("--lake", str(tmp_path / "none"))
    assert run("--markdown").stdout.strip() == markdown_tables(list(FEATURES))


def test_the_document_holds_what_the_command_prints() -> None:
    assert markdown_tables(list(FEATURES)) in DOCUMENT.read_text(encoding="utf-8")


def test_the_page_explains_every_feature_and_plots_every_one_that_is_known() -> None:
    html = feature_page(SMALL, MATRIX, ROWS)
    for row in ROWS:
        drawn = f'id="figure-{row.name}"' in html
        assert drawn == (row.state != "not evaluated"), row.name
        assert f'id="{row.name}"' in html
    assert html.count("Not evaluated:") == sum(row.state == "not evaluated" for row in ROWS) > 10
    assert "Source: Parkinson (1980)." in html
    assert "proves plumbing, not edge" in html
    outside_scripts = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"""(src|href)=["'](?!#)""", outside_scripts)


def test_the_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "new" / "features.html"
    write_feature_page(SMALL, MATRIX, ROWS[:2], out)
    assert out.read_text(encoding="utf-8").endswith("</html>\n")
    assert [one.name for one in out.parent.iterdir()] == ["features.html"]


@pytest.mark.parametrize("name", ["features.png", "taken.html", "file/features.html"])
def test_a_page_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "taken.html").mkdir()
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FixConfig, match="--plot"):
        write_feature_page(SMALL, MATRIX, ROWS[:1], tmp_path / name)
    assert {one.name for one in tmp_path.iterdir()} == {"taken.html", "file"}


def test_stretches_keep_the_extremes_and_count_what_is_missing() -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(1_000) < 0.3, np.nan, rng.normal(size=1_000))
    values[96:120] = np.nan
    low, middle, high, missing = stretches(values, 24)
    for k in range(42):
        part = values[24 * k : 24 * k + 24]
        assert missing[k] == pytest.approx(np.isnan(part).mean())
        if k == 4:
            assert np.isnan([low[k], middle[k], high[k]]).all()
        else:
            expected = np.nanmin(part), np.nanmedian(part), np.nanmax(part)
            assert (low[k], middle[k], high[k]) == pytest.approx(expected)
