"""Machine code on disk never outlives the source it was compiled from."""

from pathlib import Path

from counterpoise.compiled import _forget_what_changed


def test_an_edit_anywhere_in_the_package_forgets_all_compiled_code(tmp_path: Path) -> None:
    step, kernel = tmp_path / "decision" / "step.py", tmp_path / "simulation" / "kernel.py"
    index = tmp_path / "simulation" / "__pycache__" / "kernel.run-1.py313.nbi"
    for file in (step, kernel, index):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("1", encoding="utf-8")
    _forget_what_changed(tmp_path)
    index.write_text("compiled", encoding="utf-8")
    _forget_what_changed(tmp_path)
    assert index.exists()
    step.write_text("1 + 1", encoding="utf-8")
    _forget_what_changed(tmp_path)
    assert not index.exists()
    index.write_text("compiled again", encoding="utf-8")
    _forget_what_changed(tmp_path)
    assert index.exists()
