"""A process of its own that decodes foreign Parquet first, because a damaged file may end it.

A Parquet reader trusts lengths that the file states: a flipped bit can make it abort, not raise.
Here that ends a child, and the caller learns which file it was. Nothing is changed or kept.
"""

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Undecodable(Exception):
    """The file cannot be decoded; the message says how that showed."""


@dataclass(frozen=True)
class Description:
    """What a Parquet file's footer says of it."""

    columns: tuple[str, ...]
    rows: int


class ParquetGuard:
    """Context in which Parquet files are tried out by a child process, one at a time."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def describe(self, path: Path) -> Description:
        """Columns and rows of a file.

        Raises
        ------
        Undecodable
            Its footer is damaged, or it is no Parquet.
        """
        answer = self._ask(path, None)
        return Description(tuple(answer["columns"]), int(answer["rows"]))

    def decode(self, path: Path, columns: Sequence[str]) -> None:
        """Decode columns of a file and throw them away: what passes here can be read.

        Raises
        ------
        Undecodable
            One of its pages is damaged.
        """
        self._ask(path, list(columns))

    def _ask(self, path: Path, columns: list[str] | None) -> dict[str, Any]:
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            # ASCII throughout: a file's name need not be valid UTF-8.
            child.stdin.write(json.dumps([str(path), columns]) + "\n")
            child.stdin.flush()
            line = child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._child = None
            code = child.wait()
            child.communicate()
            raise Undecodable(f"decoding it ended the reader (exit {code}): it is damaged")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Undecodable(answer["error"])
        return answer


def _answer(path: str, columns: list[str] | None) -> dict[str, Any]:
    """Describe a file, or decode columns of it."""
    import polars as pl

    content = io.BytesIO(Path(path).read_bytes())
    try:
        if columns is not None:
            pl.read_parquet(content, columns=columns, hive_partitioning=False)
            return {}
        names = list(pl.read_parquet_schema(content))
        rows = pl.scan_parquet(content, hive_partitioning=False).select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as broken:
        return {"error": (str(broken).strip() or type(broken).__name__).splitlines()[0]}
    return {"columns": names, "rows": rows}


def main() -> None:
    """Answer one question a line until standard input ends."""
    for line in sys.stdin:
        path, columns = json.loads(line)
        sys.stdout.write(json.dumps(_answer(path, columns)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
