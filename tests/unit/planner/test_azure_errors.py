"""What Azure's refusals mean, by payloads that people have met."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import (
    MAX_MESSAGE_CHARACTERS,
    AccessDenied,
    ClusterUnavailable,
    Conflict,
    InsufficientCapacity,
    PlatformError,
    ProviderFailed,
    QuotaExceeded,
    Throttled,
)
from planner.azure_errors import (
    CANCELED,
    MAX_WORDS_CHARACTERS,
    NO_CREDENTIAL,
    RULES,
    TIMED_OUT,
    UNREACHABLE,
    AzureFailure,
    Cause,
    judge,
    read_failure,
)


def flat(code: str, message: str, **more: object) -> dict[str, object]:
    return {"code": code, "details": None, "message": message, "subcode": "", **more}


def wrapped(code: str, message: str, **more: object) -> dict[str, object]:
    return {"error": {"code": code, "message": message, **more}}


def failed(code: str, message: str, **more: object) -> dict[str, object]:
    return {"name": "1", "status": "Failed", **wrapped(code, message, **more)}


@pytest.mark.parametrize(
    ("status", "body", "error", "code"),
    [
        pytest.param(
            400,
            # quickstart-aks end-to-end runs of Azure/terraform, 2024
            flat(
                "ErrCode_InsufficientVCPUQuota",
                "Insufficient regional vcpu quota left for location westus2. left regional vcpu "
                "quota 4, requested quota 6.",
            ),
            QuotaExceeded,
            "ErrCode_InsufficientVCPUQuota",
            id="the region's vCPUs are used up",
        ),
        pytest.param(
            400,
            flat(
                "ErrCode_InsufficientVCPUQuota",
                "Insufficient vcpu quota requested 2, remaining 0 for family StandardDasv7Family "
                "for region eastus.",
            ),
            QuotaExceeded,
            "ErrCode_InsufficientVCPUQuota",
            id="the family's vCPUs are used up",
        ),
        pytest.param(
            409,
            # scylladb/scylla-cluster-tests#4994
            wrapped(
                "OperationNotAllowed",
                "Operation could not be completed as it results in exceeding approved "
                "LowPriorityCores quota. Additional details - Deployment Model: Resource Manager",
            ),
            QuotaExceeded,
            "OperationNotAllowed",
            id="spot has a quota of its own",
        ),
        pytest.param(
            200,
            # MicrosoftDocs/azure-docs#62378: JSON inside the words
            failed(
                "BadRequest",
                "Provisioning of resource(s) for Agent Pool npwin failed. Error: { "
                '"code": "InvalidTemplateDeployment", "details": [{"code": "QuotaExceeded", '
                '"message": "Operation could not be completed as it results in exceeding approved '
                'Total Regional Cores quota."}]}',
            ),
            QuotaExceeded,
            "BadRequest",
            id="a quota quoted inside words",
        ),
        pytest.param(
            200,
            # Microsoft's page on ZonalAllocationFailed
            failed(
                "ReconcileVMSSAgentPoolFailed",
                "VMSSAgentPoolReconciler retry failed: Category: InternalError; SubCode: "
                "ZonalAllocationFailed; Dependency: Microsoft.Compute/VirtualMachineScaleSet; "
                'OrginalError: Code="ZonalAllocationFailed" Message="Allocation failed. We do not '
                'have sufficient capacity for the requested VM size in this zone."; AKSTeam: '
                "NodeProvisioning",
            ),
            InsufficientCapacity,
            "ZonalAllocationFailed",
            id="no machine in this zone, wrapped by AKS",
        ),
        pytest.param(
            200,
            # karpenter-provider-azure's fakes of the AKS machine API
            failed(
                "OverconstrainedAllocationRequest",
                'Code="OverconstrainedAllocationRequest" Message="Allocation failed. VM(s) with '
                "the following constraints cannot be allocated, because the condition is too "
                'restrictive." Target="0"',
                details=[
                    {"code": "OverconstrainedAllocationRequest", "message": "Allocation failed."}
                ],
            ),
            InsufficientCapacity,
            "OverconstrainedAllocationRequest",
            id="too many constraints",
        ),
        pytest.param(
            400,
            # dotnet/core#7314
            flat(
                "BadRequest",
                "The VM size of AgentPoolProfile:nodepool1 is not allowed in your subscription in "
                "location 'westus'.  For more details, please visit https://aka.ms/cpu-quota",
            ),
            InsufficientCapacity,
            "BadRequest",
            id="a size that the subscription may not use",
        ),
        pytest.param(
            200,
            # Azure/AKS#2417
            failed(
                "ReconcileVMSSAgentPoolFailed",
                "Category: ClientError; SubCode: TooManyRequests; Dependency: Microsoft.Compute/"
                'VirtualMachineScaleSet; OrginalError: Status=429 Code="OperationNotAllowed" '
                'Message="The server rejected the request because too many requests have been '
                'received for this subscription."',
            ),
            Throttled,
            "TooManyRequests",
            id="AKS was throttled by Compute",
        ),
        pytest.param(
            409,
            # cilium/cilium#25944
            flat(
                "OperationNotAllowed",
                "Operation is not allowed: Another agentpool operation (nodepool1 - Creating) is "
                "in progress, please wait for it to finish before starting a new operation.",
            ),
            Conflict,
            "OperationNotAllowed",
            id="another operation runs",
        ),
        pytest.param(
            200,
            # Azure/AKS#1913
            failed("Canceled", "The operation was canceled by a later operation 1-2-3."),
            Conflict,
            "Canceled",
            id="a later operation took over",
        ),
        pytest.param(
            409,
            flat("OperationNotAllowed", "Something that nobody foresaw."),
            ProviderFailed,
            "OperationNotAllowed",
            id="not allowed, in words that may last, is shown",
        ),
        pytest.param(
            403,
            # rancher/rancher#11473
            wrapped(
                "AuthorizationFailed",
                "The client 'x' with object id 'x' does not have authorization to perform action "
                "'Microsoft.ContainerService/managedClusters/agentPools/write' over scope 'y'.",
            ),
            AccessDenied,
            "AuthorizationFailed",
            id="no right to buy",
        ),
        pytest.param(
            404,
            flat("NotFound", "Could not find the agentpool", subcode="GetAgentPool_NotFound"),
            ProviderFailed,
            "NotFound",
            id="a pool that is not there, where one must be",
        ),
        pytest.param(500, "", ClusterUnavailable, "HTTP 500", id="an answer without words"),
        pytest.param(418, {}, ProviderFailed, "HTTP 418", id="an answer nobody foresaw"),
        pytest.param(
            200,
            {"name": "1", "status": "Canceled"},
            ProviderFailed,
            CANCELED,
            id="canceled without a word",
        ),
    ],
)
def test_a_refusal_means(status: int, body: object, error: type[PlatformError], code: str) -> None:
    verdict = judge(read_failure(status, body))

    assert (verdict.error, verdict.code) == (error, code)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (UNREACHABLE, ClusterUnavailable),
        (TIMED_OUT, ClusterUnavailable),
        (NO_CREDENTIAL, AccessDenied),
    ],
)
def test_what_never_reached_azure_has_a_class_as_well(
    code: str, error: type[PlatformError]
) -> None:
    assert judge(AzureFailure(0, (Cause(code, "why"),))).error is error


def test_the_words_are_azures_own_without_what_changes_with_every_try() -> None:
    body = failed(
        "CreateVMSSAgentPoolFailed",
        "AKS encountered an internal error.\\n  Check back. Correlation ID: "
        "1ee4eb8a-23d8-cdcf-98be-de55bc67a879, Operation ID: 57d1af14-9ead-4b4a-9e57-f85ca9410ed9, "
        "Timestamp: 2021-08-06T10:27:35Z. See https://aka.ms/x/#blade/y?z=%7B1%7D now.",
    )

    message = judge(read_failure(200, body)).message

    assert message == (
        "CreateVMSSAgentPoolFailed: AKS encountered an internal error. Check back. "
        "See https://aka.ms/x/ now."
    )


def test_the_words_of_the_cause_are_shown_and_not_those_around_it() -> None:
    body = failed(
        "ReconcileVMSSAgentPoolFailed",
        'SubCode: AllocationFailed; OrginalError: Code="AllocationFailed" Message="No capacity in '
        'this region"; AKSTeam: NodeProvisioning',
    )

    assert judge(read_failure(200, body)).message == (
        "AllocationFailed: No capacity in this region"
    )


def test_a_gateways_page_is_read_as_text() -> None:
    page = "<html><body><h1>502 Bad Gateway</h1></body></html>"

    assert judge(read_failure(502, page)).message == "HTTP 502: 502 Bad Gateway"


def test_the_pause_that_azure_asks_for_is_kept() -> None:
    body = flat("Throttled", "too many")

    assert judge(read_failure(429, body, retry_after_seconds=7)).retry_after_seconds == 7


def test_the_error_is_ready_to_be_raised() -> None:
    error = judge(read_failure(400, flat("QuotaExceeded", "none left"))).to_error()

    assert isinstance(error, QuotaExceeded)
    assert str(error) == "QuotaExceeded: none left"


def test_no_code_is_judged_twice() -> None:
    # Two rules may know one code only where words or statuses tell them apart.
    alone: dict[str, int] = {}
    for rule in RULES:
        for code in rule.codes if not rule.words and not rule.statuses else ():
            alone[code] = alone.get(code, 0) + 1

    assert {code: count for code, count in alone.items() if count > 1} == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=80),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "message", "details", "status", "subcode"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(status=st.integers(0, 599), body=JSON)
def test_no_answer_is_too_strange(status: int, body: object) -> None:
    verdict = judge(read_failure(status, body))

    assert verdict.code
    assert len(verdict.words) <= MAX_WORDS_CHARACTERS
    assert len(str(verdict.to_error())) <= MAX_MESSAGE_CHARACTERS
