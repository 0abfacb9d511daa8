"""The door for errors: every foreign error has a class, and every class a way to go on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationErrorCategory

from activities.clients.azure import AzureFailed
from activities.clients.hugging_face import NO_ANSWER, HubError
from activities.clients.kubernetes import ApiError
from activities.clients.model_endpoint import EndpointError
from activities.clients.onebox_agent import AgentError
from activities.errors import HAND_OVER, HandOver, WorkspaceGone, to_application_error, translate
from api.errors import BY_REASON, PlatformError, Remedy
from planner.azure_errors import read_failure


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "InvalidWorkspace"),
        (401, "AccessDenied"),
        (403, "AccessDenied"),
        (404, "MissingReference"),
        (409, "Conflict"),
        (410, "ClusterUnavailable"),
        (422, "InvalidWorkspace"),
        (429, "Throttled"),
        (500, "ClusterUnavailable"),
        (503, "ClusterUnavailable"),
        (504, "ClusterUnavailable"),
        (418, "ClusterUnavailable"),
    ],
)
def test_an_answer_of_the_api_server_becomes_a_class_of_ours(status: int, reason: str) -> None:
    translated = translate(ApiError(status, "Whatever", "its own words", details="get pods"))
    assert translated is not None
    assert translated.reason() == reason
    assert "its own words" in str(translated)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("InsufficientCapacity", "InsufficientCapacity"),
        ("QuotaExceeded", "QuotaExceeded"),
        ("SkuNotAvailable", "InstanceTypeTooSmall"),
        ("Unavailable", "ClusterUnavailable"),
        ("AnythingElse", "ProviderFailed"),
    ],
)
def test_an_error_of_the_node_agent_becomes_a_class_of_ours(code: str, reason: str) -> None:
    translated = translate(AgentError(code, "all 2 machines are taken"))
    assert translated is not None
    assert translated.reason() == reason


def test_an_answer_of_azures_becomes_a_class_of_ours_with_azures_own_pause() -> None:
    body = {"error": {"code": "TooManyRequests", "message": "slow down"}}
    failed = AzureFailed("list", read_failure(429, body, retry_after_seconds=7))
    error = to_application_error(failed)
    assert error is not None
    assert (error.type, error.non_retryable) == ("Throttled", False)
    assert error.next_retry_delay == timedelta(seconds=7)
    assert "slow down" in error.message


def test_a_refusal_of_azures_goes_back_to_the_workflow_at_once() -> None:
    body = {"error": {"code": "SkuNotAvailable", "message": "not in this region"}}
    error = to_application_error(AzureFailed("create", read_failure(409, body)))
    assert error is not None
    assert (error.type, error.non_retryable) == ("InsufficientCapacity", True)
    assert error.next_retry_delay is None


def test_a_wrong_answer_of_the_model_is_a_failure_of_the_runtime() -> None:
    translated = translate(EndpointError("no choices"))
    assert translated is not None
    assert translated.reason() == "RuntimeFailed"


@pytest.mark.parametrize(
    ("status", "code", "had_token", "reason"),
    [
        (401, "GatedRepo", False, "ModelAccessDenied"),
        (401, "", True, "ModelAccessDenied"),
        (403, "GatedRepo", True, "ModelAccessDenied"),
        # The hub tells strangers the same of what is private and of what does not exist.
        (401, "RepoNotFound", False, "UnknownModel"),
        (401, "RepoNotFound", True, "ModelAccessDenied"),
        (404, "RepoNotFound", True, "UnknownModel"),
        (404, "RevisionNotFound", False, "UnknownModel"),
        (404, "EntryNotFound", False, "UnknownModel"),
        (400, "", False, "HubUnavailable"),
        (429, "", False, "HubUnavailable"),
        (500, "", False, "HubUnavailable"),
        (504, "", False, "HubUnavailable"),
        (NO_ANSWER, "Timeout", False, "HubUnavailable"),
        (NO_ANSWER, "Offline", False, "HubUnavailable"),
    ],
)
def test_an_answer_of_the_model_hub_becomes_a_class_of_ours(
    status: int, code: str, *, had_token: bool, reason: str
) -> None:
    translated = translate(HubError(status, code, "its own words", had_token=had_token))
    assert translated is not None
    assert translated.reason() == reason
    assert "its own words; " in str(translated)


def test_what_helps_finds_room_after_the_hubs_words() -> None:
    translated = translate(HubError(403, "", "x" * 5000))
    assert "presetOptions.modelAccessSecret" in str(translated)


@pytest.mark.parametrize("cls", BY_REASON.values(), ids=lambda cls: cls.__name__)
def test_only_what_passes_by_itself_is_retried_by_the_activity(cls: type[PlatformError]) -> None:
    error = to_application_error(cls("why"))
    assert error is not None
    assert error.type == cls.__name__
    passes_by_itself = cls.remedy is Remedy.FAST_RETRY
    assert error.non_retryable is not passes_by_itself
    assert (error.category is ApplicationErrorCategory.BENIGN) is passes_by_itself


def test_a_workspace_that_is_gone_is_not_asked_for_again() -> None:
    error = to_application_error(WorkspaceGone("default/x is gone"))
    assert error is not None
    assert (error.type, error.non_retryable) == ("Conflict", True)


def test_a_stopping_worker_gives_its_step_away_at_once() -> None:
    error = to_application_error(HandOver())
    assert error is not None
    assert (error.type, error.non_retryable) == (HAND_OVER, False)
    assert error.next_retry_delay is not None
    assert error.next_retry_delay.total_seconds() < 1


def test_an_error_that_nobody_foresaw_stays_what_it_is() -> None:
    assert translate(KeyError("metadata")) is None
    assert to_application_error(KeyError("metadata")) is None
