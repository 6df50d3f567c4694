"""Where machines leave what they want: records to be committed, then commands to be sent."""

from dataclasses import dataclass, field

from counterpoise.execution.commands import Command
from counterpoise.execution.records import Record


@dataclass(slots=True)
class Outbox:
    """What one event led to; the shell commits ``records`` in one go, then sends ``commands``."""

    records: list[Record] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
