"""One line for each activity that ends: which, for whom, how, and how long it took."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

_logger = logging.getLogger(__name__)


class ActivityLog(Interceptor):
    """Registered with every worker."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        """Put our line around the activity."""
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - as above
        started_at = time.monotonic()
        try:
            result = await super().execute_activity(input)
        except ApplicationError as error:
            # Benign ones belong to normal life: something is not ready, or a worker hands over.
            is_benign = error.category is ApplicationErrorCategory.BENIGN
            level = logging.DEBUG if is_benign else logging.WARNING
            _logger.log(
                level, "%s: %s", error.type, error.message, extra=_took(started_at, error.type)
            )
            raise
        except asyncio.CancelledError:
            _logger.info("cancelled", extra=_took(started_at, "Cancelled"))
            raise
        _logger.info("done", extra=_took(started_at, ""))
        return result


def _took(started_at: float, reason: str | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"seconds": round(time.monotonic() - started_at, 3)}
    if reason:
        facts["reason"] = reason
    return {"facts": facts}
