"""One error for everything that a person can put right: it names the thing and the remedy."""

from __future__ import annotations

from typing import Final

EXIT_CODE_NOT_WELL: Final = 1
"""Everything runs, but not as it should: a Workspace failed, or `down` left something."""

EXIT_CODE_UNMET: Final = 2
"""What a command needs is missing, taken or broken; nothing half-started is left."""

EXIT_CODE_INTERRUPTED: Final = 130


class OneboxError(Exception):
    """Something that onebox needs is missing, taken or broken."""

    def __init__(self, message: str, remedy: str = "", *, exit_code: int = EXIT_CODE_UNMET) -> None:
        """Keep what is wrong and what to do about it apart, so that both are always printed."""
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.exit_code = exit_code

    def __str__(self) -> str:
        """Return both lines as a person should read them."""
        return f"{self.message}\n  remedy: {self.remedy}" if self.remedy else self.message
