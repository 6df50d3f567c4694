"""A model from my own file: it learns like any other; a wrong answer is told by line."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from counterpoise.errors import FixConfig
from counterpoise.signals.model import Kind
from counterpoise.signals.own_model import OwnModel, load_model

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "own_model.py"
ROWS = slice(80, 100)
HEAD = """import numpy as np


class Fitted:
    def predict(self, X, rows):
        {answer}


class Mine:
    name = "mine"

    def fit(self, X, y, seed):
        {learn}


model = Mine()
"""


def data(hours: int = 100) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(hours, 3))
    y = (X[:, 0] + rng.normal(size=hours) > 0).astype(float)
    X[3, 1] = y[7] = np.nan
    return X, y


def loaded(
    folder: Path,
    answer: str = "return np.full(rows.stop - rows.start, 0.5)",
    learn: str = "return Fitted()",
    kind: Kind = "probability",
) -> OwnModel:
    file = folder / "mine.py"
    file.write_text(HEAD.format(answer=answer, learn=learn), encoding="utf-8")
    return load_model(file, kind)


def refusal(model: OwnModel) -> str:
    """What the user reads when the model learns and answers."""
    X, y = data()
    with pytest.raises(FixConfig) as refused:
        model.fit(X[:80], y[:80], 1).predict(X, ROWS)
    message = str(refused.value)
    assert "mine.py" in message
    assert "expected" in message
    assert "Next: " in message
    return message


def test_the_documented_example_is_ridge_logistic_regression() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 37
    X, y = data(3000)
    X[3, 1] = 0.0
    model = load_model(EXAMPLE, "probability")
    assert model.name == "ridge_logistic"
    found = model.fit(X[:2000], y[:2000], 1).predict(X, slice(2000, 3000))

    learnt = np.isfinite(y[:2000])
    centre, spread = X[:2000][learnt].mean(axis=0), X[:2000][learnt].std(axis=0)
    z = (X - centre) / spread
    # The ridge on the intercept is immaterial here: half of the outcomes are rises.
    peer = LogisticRegression(C=1 / (0.01 * learnt.sum()), tol=1e-10)
    peer.fit(z[:2000][learnt], y[:2000][learnt])
    expected = peer.predict_proba(z[2000:])[:, 1]
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert found.std() > 0.1


def test_nothing_of_a_file_stays_behind(tmp_path: Path) -> None:
    before = set(sys.modules)
    model = loaded(tmp_path)
    X, y = data()
    assert model.fit(X[:80], y[:80], 1).predict(X, ROWS).tolist() == [0.5] * 20
    assert set(sys.modules) - before == set()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]
    assert model.source.startswith("import numpy")


def test_two_versions_differ_by_what_they_do_not_by_their_comments(tmp_path: Path) -> None:
    first = loaded(tmp_path)
    commented = loaded(tmp_path, learn="return Fitted()  # as before")
    other = loaded(tmp_path, learn="return Fitted() or None")
    assert first.meaning == commented.meaning
    assert first.source != commented.source
    assert first.meaning != other.meaning


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "a Python file in UTF-8 that exists"),
        ("x = 1\n", "a file that defines model"),
        ("def f(:\n", "line 1 = 'invalid syntax"),
        ("a = 1\nb = a / 0\n", "line 2 = ZeroDivisionError"),
        ("class Mine:\n    name = 'mine'\nmodel = Mine\n", "write model = Mine()"),
        ("class Mine:\n    name = 'mine'\nmodel = Mine()\n", "an object with fit(X, y, seed)"),
        (
            "class Mine:\n    name = 'mine'\n    def fit(self, X, y): ...\nmodel = Mine()\n",
            "an object with fit(X, y, seed)",
        ),
        (
            "class Mine:\n    def fit(self, X, y, seed): ...\nmodel = Mine()\n",
            "name = None: expected a letter",
        ),
    ],
)
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "mine.py"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(FixConfig) as refused:
        load_model(file, "probability")
    assert told in str(refused.value)
    assert "mine.py" in str(refused.value)
    assert "Next: " in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("return [0.5] * 20", "= 'list': expected a numpy array"),
        ("return np.zeros(19)", "'float64 of shape (19,)': expected float64 of shape (20,)"),
        ("return np.zeros((20, 1))", "'float64 of shape (20, 1)'"),
        ("return np.zeros(20, np.float32)", "'float32 of shape (20,)'"),
        ("return X[rows, 0] * 9", "at row 8"),
        ("return np.where(X[rows, 0] > 1, np.inf, 0.5)", "expected finite forecasts"),
        ("X[rows] = 0", "line 6"),
        ("raise KeyError('close')", "line 6"),
    ],
)
def test_a_wrong_answer_is_refused(tmp_path: Path, answer: str, told: str) -> None:
    assert told in refusal(loaded(tmp_path, answer))


def test_what_cannot_predict_is_refused(tmp_path: Path) -> None:
    assert "it to return an object with predict(X, rows)" in refusal(
        loaded(tmp_path, learn="return None")
    )
    assert "line 13" in refusal(loaded(tmp_path, learn="y[0] = 1.0"))


def test_only_a_probability_is_held_to_its_range(tmp_path: Path) -> None:
    X, y = data()
    answer = "return X[rows, 0] * 9 + np.where(rows.start == 80, np.nan, 0.0)"
    found = loaded(tmp_path, answer, kind="value").fit(X[:80], y[:80], 1).predict(X, slice(60, 80))
    np.testing.assert_array_equal(found, X[60:80, 0] * 9)
    assert np.isnan(loaded(tmp_path, answer).fit(X[:80], y[:80], 1).predict(X, ROWS)).all()
