"""What a run prints while it trades: a line for what moves, and a summary at the end.

Everything it says is in the journal too; ``status`` shows how it stands now.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from counterpoise.units import BPS, NS_PER_MS, from_ms, json_ready

if TYPE_CHECKING:
    from counterpoise.execution.records import Decision, Record, Shortfall

#: Sizes that differ by less are the same, ETH.
_SAME = 1e-9
#: What the journal keeps of a decision for the next one: nothing for a screen.
_UNTOLD = ("state", "memory", "chain", "inputs", "plan")


class RunLines:
    """The lines of one run.

    Parameters
    ----------
    as_json : bool
        One JSON document a line, for programs.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._counts: Counter[str] = Counter()
        self._target_eth: float | None = None
        self._short_eth: float | None = None
        self._traded_eth = self._fees_usd = self._funding_usd = 0.0
        self._cost_usd = self._worked_usd = 0.0

    def note(self, line: str) -> None:
        """Tell what a run says of itself."""
        self._tell("note", line, {"text": line})

    def watch(self, records: Sequence["Record"]) -> None:
        """Tell what was committed, where a person wants to know."""
        for record in records:
            name = type(record).__name__
            line = self._line(name, record)
            if line is None:
                continue
            told = {key: one for key, one in asdict(record).items() if key not in _UNTOLD}
            when = f"{from_ms(record.ts_ns // NS_PER_MS):%Y-%m-%d %H:%M:%S}"
            self._tell(name.lower(), f"{when}  {line}", told)

    def end(self, account: Mapping[str, float]) -> None:
        """Tell the summary.

        Parameters
        ----------
        account : mapping of str to float
            ``short_eth`` and ``wallet_usd`` as the venue has them; empty where it was not asked.
        """
        summary: dict[str, Any] = {
            "moves": self._counts["moves"],
            "schedules": self._counts["schedules"],
            "fills": self._counts["fills"],
            "alerts": self._counts["alerts"],
            "traded_eth": self._traded_eth,
            "shortfall_usd": self._cost_usd,
            "shortfall_bp": self._cost_usd / self._worked_usd / BPS if self._worked_usd else None,
            "fees_usd": self._fees_usd,
            "funding_usd": self._funding_usd,
            "short_eth": self._short_eth,
            "venue": dict(account),
        }
        shortfall = summary["shortfall_bp"]
        lines = [
            f"decisions that moved {summary['moves']}, schedules {summary['schedules']}, fills "
            f"{summary['fills']}, alerts {summary['alerts']}",
            f"traded {self._traded_eth:,.3f} ETH"
            + ("" if shortfall is None else f" at a shortfall of {shortfall:+.2f} bp")
            + f"; fees {self._fees_usd:,.2f} USD, funding {self._funding_usd:+,.2f} USD",
        ]
        if account:
            lines.append(
                f"at the venue: short {account['short_eth']:,.3f} ETH, "
                f"wallet {account['wallet_usd']:,.2f} USDT"
            )
        self._tell("summary", "\n".join(lines), summary)

    def _line(self, name: str, record: "Record") -> str | None:
        """One line, or None for what nobody waits for."""
        one: Any = record
        match name:
            case "Decision":
                if not self._moves(one):
                    return None
                self._counts["moves"] += 1
                return f"short {one.short_eth:,.3f} to {one.target_eth:,.3f} ETH: {one.because}"
            case "FillBooked":
                self._counts["fills"] += 1
                self._traded_eth += one.size
                self._fees_usd += one.fee_usd
                self._short_eth = one.short_eth
            case "FundingBooked":
                self._funding_usd += one.usd
                return f"funding {one.usd:+,.2f} USD"
            case "Shortfall":
                return self._shortfall(one)
            case "AlertRaised":
                self._counts["alerts"] += 1
                return f"{one.severity.upper()}: {one.text} Next: {one.next_step}."
            case "Mode":
                return f"{one.mode} by {one.by}: {one.why}"
        return None

    def _moves(self, one: "Decision") -> bool:
        """Whether a decision wants another short than the one before."""
        from counterpoise.decision.moment import Reason

        before, self._target_eth = self._target_eth, one.target_eth
        if before is None:
            # A run that begins again goes on with the schedule of the one before.
            before = one.target_eth if one.reasons & Reason.IN_BAND else one.short_eth
        return abs(one.target_eth - before) > _SAME

    def _shortfall(self, one: "Shortfall") -> str:
        worked_usd = one.filled_eth * one.arrival_mid
        self._counts["schedules"] += 1
        self._cost_usd += one.total_usd
        self._worked_usd += worked_usd
        done = "sold" if one.side == "sell" else "bought"
        told = f"schedule {one.schedule_id} {done} {one.filled_eth:,.3f} of {one.size:,.3f} ETH"
        if not worked_usd:
            return f"{told}, shortfall {one.total_usd:+,.2f} USD"
        bp = one.total_usd / worked_usd / BPS
        return (
            f"{told} at {one.average_price:,.2f}, shortfall {bp:+.2f} bp "
            f"({one.total_usd:+,.2f} USD), {one.maker_share:.0%} as maker"
        )

    def _tell(self, event: str, line: str, told: Mapping[str, Any]) -> None:
        if not self._as_json:
            typer.echo(line)
            return
        document = json_ready({"event": event, **told})
        typer.echo(json.dumps(document, ensure_ascii=False, allow_nan=False))
