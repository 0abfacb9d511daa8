"""The one exception of these clients."""

from __future__ import annotations

from planner.azure_errors import AzureFailure, judge


class AzureFailed(Exception):
    """Azure refused, or could not be asked; `failure` is its answer, taken apart."""

    def __init__(self, call: str, failure: AzureFailure, *, request_id: str = "") -> None:
        """Keep the answer.

        Args:
            call: What was asked, for people: "create agent pool ws1".
            failure: The answer.
            request_id: Azure's own id of the request, which its support asks for.
        """
        super().__init__(f"{call}: {judge(failure).message}")
        self.call = call
        self.failure = failure
        self.request_id = request_id

    @property
    def retry_after_seconds(self) -> float | None:
        """Return the pause that Azure asked for."""
        return self.failure.retry_after_seconds
