"""A run killed at any moment: every commit it was told is done is there, and no half of one."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from counterpoise.errors import RetryLater
from counterpoise.execution.records import Decision, OrderSent, Plan
from counterpoise.journal.chain import verify
from counterpoise.journal.reading import Reader
from counterpoise.journal.store import Journal
from tests.journal.conftest import Database
from tests.journal.samples import RUN

#: Commits for ever, and says each number once its commit is done.
WRITER = """
import os, sys
from dataclasses import replace
from itertools import count
from counterpoise.journal.store import Journal
from tests.journal.samples import RUN, moment_of
with Journal.open(sys.argv[1], run=replace(RUN, run_id=sys.argv[2])) as journal:
    for number in count(int(sys.argv[3])):
        journal.commit(moment_of(number))
        os.write(1, f"{number}\\n".encode())
"""

#: Commits once, then is killed before the n-th statement of the second commit: n = 1, 2, 3, …, each
#: in a process and on a database of its own.
KILLED_INSIDE = """
import os, signal, sys
from counterpoise.journal.store import Journal
from tests.journal.samples import RUN, moment_of

class Killing:
    def __init__(self, cursor, left):
        self.cursor, self.left = cursor, left
    def execute(self, *given):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.cursor.execute(*given)

for statement, where in enumerate(sys.argv[1:], start=1):
    child = os.fork()
    if child == 0:
        journal = Journal.open(where, run=RUN)
        journal.commit(moment_of(1))
        journal._cursor = Killing(journal._cursor, statement)
        journal.commit(moment_of(2))
        journal._cursor.execute("SELECT 1")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""


def wait_until_free(database: Database, run_id: str) -> Journal:
    """The journal, once the server has noticed that its writer is gone."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return Journal.open(database.where, run=replace(RUN, run_id=run_id))
        except RetryLater:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def test_what_was_reported_done_is_there_after_kills_at_random_moments(
    database: Database,
) -> None:
    rng = random.Random(5)
    done = 0
    for round_ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, database.where, f"killed-{round_}", str(done + 1)],
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        told = [writer.stdout.readline()]
        time.sleep(rng.uniform(0.0, 0.05))
        writer.kill()
        told += writer.stdout.readlines()
        writer.wait()
        writer.stdout.close()
        reported = int([line for line in told if line.endswith(b"\n")][-1])
        with wait_until_free(database, f"looked-{round_}"), Reader(database.where) as reader:
            last = reader.last_decision()
            assert last is not None
            # The one in flight may have been done without having been told.
            assert reported <= last.decision_id <= reported + 1
            assert reported > done
            for kind in (Plan, OrderSent):
                assert len(reader.records(kind)) == last.decision_id
            with reader.snapshot() as connection:
                assert verify(connection).findings == ()
            done = last.decision_id


def test_a_run_killed_between_two_statements_leaves_a_whole_commit_or_none(
    new_database: Callable[[], Database],
) -> None:
    # BEGIN, the head, three rows, COMMIT, and a statement after it.
    databases = [new_database() for _ in range(7)]
    subprocess.run(
        [sys.executable, "-c", KILLED_INSIDE, *(one.where for one in databases)], check=True
    )
    for database in databases:
        expected = 2 if database is databases[-1] else 1
        with wait_until_free(database, "after"), Reader(database.where) as reader:
            for kind in (Decision, Plan, OrderSent):
                assert len(reader.records(kind)) == expected
            with reader.snapshot() as connection:
                assert verify(connection).findings == ()
