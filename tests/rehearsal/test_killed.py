"""The live run over the real wire, killed by SIGKILL and started again."""

import random
import time

import pytest

from counterpoise.watch.kill_switch import KillSwitch
from tests.rehearsal.killing import killing, main

pytest.importorskip("nautilus_trader")
#: Says when: drawn once, printed with a failure.
SEED = 11


def test_a_killed_run_goes_on_over_the_wire(tmp_path) -> None:
    rng = random.Random(SEED)
    with killing(tmp_path) as one:
        one.begin()
        time.sleep(rng.uniform(0.0, 3.0))
        one.kill()
        for _ in range(2):
            one.begin()
            one.says("Trading")
            one.wait_for_swing()
            time.sleep(rng.uniform(0.2, 2.5))
            one.kill()
        one.begin()
        one.settled()
        one.kill()
        # Somebody trades by hand while nobody runs: that halts until a person has looked.
        one.trade_by_hand()
        one.begin()
        assert "0.5000" in one.halted()
        sent = one.orders_sent()
        time.sleep(1.0)
        assert one.orders_sent() == sent
        KillSwitch(one.state).ask_to_resume()
        one.settled()
        assert not KillSwitch(one.state).asked_to_resume()
        one.kill()
        print(f"seed {SEED}: killed {dict(one.phases)}")


@pytest.mark.long
def test_a_run_killed_two_hundred_times_goes_on_over_the_wire() -> None:
    main(200, SEED)
