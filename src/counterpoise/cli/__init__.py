"""The command line: parse, call one house, print. No logic of the product lives here.

Heavy parts are imported inside the commands, so that ``--help`` answers at once.
"""

import os
import sys

from counterpoise.cli import advice, data, study
from counterpoise.cli.app import app
from counterpoise.errors import CounterpoiseError

#: The rooms whose import hangs their commands on ``app``.
ROOMS = (advice, data, study)


def main() -> None:
    """Entry point: run a command and turn errors into one line and an exit code."""
    try:
        app()
    except CounterpoiseError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing half-written was kept.\n")
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of a pipe left (``| head``); that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        sys.stderr.write(f"error: {error}. Next: check disk space and permissions.\n")
        raise SystemExit(1) from None
