"""How long each call may take, all of it: the token, the connection, the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CONNECT_TIMEOUT_SECONDS: Final = 5.0
"""5 s: another data centre answers within 0.3 s; a lost SYN is sent again after 1 s and 3 s."""

READ_DEADLINE_SECONDS: Final = 15.0
"""15 s for GET and LIST. A guess: they usually take below 1 s."""

WRITE_DEADLINE_SECONDS: Final = 70.0
"""70 s for PUT, DELETE and abort. A guess: Resource Manager gives up on a provider after about 60 s
with a GatewayTimeout, and its answer is better than none. AKS checks quota and policy before it
accepts a pool."""

SKUS_DEADLINE_SECONDS: Final = 60.0
"""60 s for the sizes of a region: several MB. A guess after reports of 10 to 20 s."""

CLOSE_DEADLINE_SECONDS: Final = 5.0
"""5 s to close connections at the end of the process."""


@dataclass(frozen=True)
class Deadlines:
    """The deadlines of one client; a test sets shorter ones."""

    read_seconds: float = READ_DEADLINE_SECONDS
    write_seconds: float = WRITE_DEADLINE_SECONDS
    skus_seconds: float = SKUS_DEADLINE_SECONDS
