"""Reading Kubernetes' timestamps without ever raising."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

LATEST: Final = datetime.max.replace(tzinfo=UTC)


def time_from(text: str) -> datetime | None:
    """Return an RFC 3339 timestamp in UTC; None when it is none."""
    try:
        return in_utc(datetime.fromisoformat(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        # The overflow: a time of the year 1 or 9999, in a time zone that moves it out of range.
        return None


def in_utc(moment: datetime) -> datetime:
    """Return a moment that can be compared; one without a zone is in UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def later(moment: datetime, seconds: float) -> datetime:
    """Return the moment so many seconds after another, or the latest that there is."""
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return LATEST
