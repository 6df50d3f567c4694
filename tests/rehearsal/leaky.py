"""The command ``rehearse`` with a known key and secret, among faults; run as a program.

``signature``: the venue knows another secret. ``journal``: the first calls meet refusals and
timeouts, then the journal is locked while orders are worked. ``defect``: the controller fails.
"""

import sqlite3
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from counterpoise.cli import main
from counterpoise.execution.controller import Controller
from counterpoise.rehearsal import rehearse, stage

#: With what a URL spells in another way, so that its spellings differ.
KEY = "k3Y+of/an=account&that~no%page.may:show" + "K" * 26
SECRET = "s3cret+of/an=account&that~no%log.may:show" + "S" * 24
#: Calls that fail, by what they meet.
FAULTS = (
    ("clock", "/balance", "GET"),
    ("clock", "/positionRisk", "GET"),
    ("unavailable", "/openOrders", "GET"),
    ("unavailable", "/openAlgoOrders", "GET"),
    ("timeout", "/order", "POST"),
    ("lost", "/order", "POST"),
    ("clock", "/order", "POST"),
    ("clock", "/order", "DELETE"),
    ("clock", "/countdownCancelAll", "POST"),
)


def known(script: stage.Script) -> stage.Script:
    """The script, with a key and a secret that can be searched for."""
    return replace(script, key=KEY, secret=SECRET)


class Faulty(stage.Stage):
    """A stage that has faults armed when the market begins."""

    def begin(self) -> None:
        for kind, path, method in FAULTS:
            self.arm(kind, path, method=method)
        super().begin()


class Stranger(stage.Stage):
    """A stage whose venue knows another secret."""

    def __init__(self, script: stage.Script) -> None:
        super().__init__(replace(script, secret="another" + SECRET))


def lock_when_traded(journal: Path) -> None:
    """Hold the journal's lock from the first fill on, as another program might."""
    while True:
        time.sleep(0.1)
        try:
            with sqlite3.connect(journal) as looked:
                if looked.execute("SELECT count(*) FROM fills").fetchone()[0]:
                    break
        except sqlite3.Error:
            continue
    held = sqlite3.connect(journal, isolation_level=None)
    while True:
        try:
            held.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.OperationalError:
            continue
    time.sleep(3600)


def break_when_traded() -> None:
    """Let the controller fail, as a defect would, with what it holds in the traceback."""
    handle = Controller.handle

    def fail(self: Controller, event: Any) -> Any:
        if self.short_eth > 0.0:
            raise ZeroDivisionError(f"a defect, at {event}")
        return handle(self, event)

    Controller.handle = fail  # type: ignore[method-assign]


if __name__ == "__main__":
    how, folder = sys.argv.pop(1), Path(sys.argv[sys.argv.index("--out") + 1])
    script_of = rehearse.script_of
    rehearse.script_of = lambda *given, **named: known(script_of(*given, **named))
    rehearse.Stage = Stranger if how == "signature" else Faulty
    if how == "journal":
        journal = folder / "state" / "journal.sqlite"
        threading.Thread(target=lock_when_traded, args=(journal,), daemon=True).start()
    if how == "defect":
        break_when_traded()
    main()
