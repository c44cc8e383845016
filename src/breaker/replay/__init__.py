"""What other policies would have done to calls that were recorded: how a policy is tuned before it ships.

`record` writes the calls of a program's breakers to a file while it runs. `read_calls` reads such a file, and
`read_access_log` the log of a server or proxy. `replay` runs the calls through real breakers on a clock of their own,
at full speed, and says what each policy would have rejected, spared and missed. The command line is ``breaker replay``.
"""

from __future__ import annotations

from breaker.replay.access_logs import FORMATS, read_access_log
from breaker.replay.calls import Call, Recorded, read_calls
from breaker.replay.outages import Outage, find_outages
from breaker.replay.picture import draw
from breaker.replay.recorder import Recording, record
from breaker.replay.simulation import Candidate, Played, Result, read_candidate, replay

__all__ = [
    "FORMATS",
    "Call",
    "Candidate",
    "Outage",
    "Played",
    "Recorded",
    "Recording",
    "Result",
    "draw",
    "find_outages",
    "read_access_log",
    "read_calls",
    "read_candidate",
    "record",
    "replay",
]
