"""Reading Kubernetes' timestamps without ever raising."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

LATEST: Final = datetime.max.replace(tzinfo=UTC)


def time_from(text: str) -> datetime | None:
    """Return an RFC 3339 timestamp in UTC; None when it is none."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        # The overflow: a time of the year 1 or 9999, in a time zone that moves it out of range.
        return None


def later(moment: datetime, seconds: float) -> datetime:
    """Return the moment so many seconds after another, or the latest that there is."""
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return LATEST
