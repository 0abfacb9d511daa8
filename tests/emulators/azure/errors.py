"""What Azure says when it says no: bodies as people have met them, by name.

The AKS resource provider answers flat (`{"code", "details", "message", "subcode"}`), everything
else wraps in `{"error": …}`. Texts follow public reports: Microsoft's AKS error-code pages
(MicrosoftDocs/SupportArticles-docs, support/azure/azure-kubernetes/error-codes), Azure/AKS#1187,
#1413, #2417, Azure/karpenter-provider-azure#91, #192, MicrosoftDocs/azure-docs#62378,
cilium/cilium#25944. Where no report was found, the entry says "a guess".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

REGION: Final = "eastus"
VM_SIZE: Final = "Standard_NC24ads_A100_v4"
FAMILY: Final = "standardNCADSA100v4Family"


@dataclass(frozen=True)
class ArmError:
    """One refusal, or the end of an operation that failed."""

    status: int
    code: str
    message: str
    details: tuple[Mapping[str, Any], ...] = ()
    is_flat: bool = False
    """As the AKS resource provider writes it."""
    subcode: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: str = ""
    """Sent instead of JSON: gateways answer HTML."""

    def body(self) -> dict[str, Any]:
        """Return the body of an HTTP refusal."""
        if self.is_flat:
            return {
                "code": self.code,
                "details": list(self.details) or None,
                "message": self.message,
                "subcode": self.subcode,
            }
        return {"error": self.inner()}

    def inner(self) -> dict[str, Any]:
        """Return the error as it stands in an operation's status."""
        inner: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details:
            inner["details"] = list(self.details)
        return inner


class Refused(Exception):
    """The API answers with this error."""

    def __init__(self, error: ArmError) -> None:
        super().__init__(error.message)
        self.error = error


def family_quota(
    family: str = FAMILY, *, requested: int = 24, remaining: int = 0, region: str = REGION
) -> ArmError:
    return ArmError(
        400,
        "ErrCode_InsufficientVCPUQuota",
        f"Insufficient vcpu quota requested {requested}, remaining {remaining} for family {family} "
        f"for region {region}. If you want to increase the quota, please follow this instruction: "
        "https://learn.microsoft.com/en-us/azure/quotas/view-quotas. Surge nodes would also "
        "consume vcpu quota, please consider use smaller maxSurge or use maxUnavailable to "
        "proceed upgrade without surge nodes, details: aka.ms/aks/maxUnavailable.",
        is_flat=True,
    )


def regional_quota(*, requested: int = 24, remaining: int = 4, region: str = REGION) -> ArmError:
    return ArmError(
        400,
        "ErrCode_InsufficientVCPUQuota",
        f"Insufficient regional vcpu quota left for location {region}. left regional vcpu quota "
        f"{remaining}, requested quota {requested}. If you want to increase the quota, please "
        "follow this instruction: https://learn.microsoft.com/en-us/azure/quotas/view-quotas.",
        is_flat=True,
    )


def compute_quota(quota: str = f"{FAMILY} Cores", *, region: str = REGION) -> ArmError:
    """Compute's own refusal: the code says OperationNotAllowed, only the words say quota."""
    return ArmError(
        409,
        "OperationNotAllowed",
        f"Operation could not be completed as it results in exceeding approved {quota} quota. "
        f"Additional details - Deployment Model: Resource Manager, Location: {region}, Current "
        "Limit: 100, Current Usage: 96, Additional Required: 24, (Minimum) New Limit Required: "
        "120. Submit a request for Quota increase at https://aka.ms/ProdportalCRP/#blade/"
        "Microsoft_Azure_Capacity/UsageAndQuota.ReactView/Parameters/%7B%22subscriptionId%22:"
        "%2200000000-0000-0000-0000-000000000000%22,%22command%22:%22openQuotaApprovalBlade%22%7D "
        "by specifying parameters listed in the 'Details' section for deployment to succeed. "
        "Please read more about quota limits at "
        "https://docs.microsoft.com/en-us/azure/azure-supportability/per-vm-quota-requests",
    )


def nested_quota() -> ArmError:
    """A deployment's refusal: the cause is one level down."""
    return ArmError(
        400,
        "InvalidTemplateDeployment",
        "The template deployment '2320693c-1b94-4a7f-9d0d-b308750a3af3' is not valid according to "
        "the validation procedure. The tracking id is 'd7d6453e-c1de-4f43-ad40-428504576e19'. See "
        "inner errors for details.",
        details=(
            {
                "code": "QuotaExceeded",
                "message": "Operation could not be completed as it results in exceeding approved "
                "Total Regional Cores quota. Additional details - Deployment Model: Resource "
                f"Manager, Location: {REGION}, Current Limit: 4, Current Usage: 4, Additional "
                "Required: 24, (Minimum) New Limit Required: 28.",
            },
        ),
    )


def _reconciler(subcode: str, words: str, *, category: str = "InternalError") -> ArmError:
    return ArmError(
        200,
        "ReconcileVMSSAgentPoolFailed",
        "Reconcile vmss agent pool error: VMSSAgentPoolReconciler retry failed: Category: "
        f"{category}; SubCode: {subcode}; Dependency: Microsoft.Compute/VirtualMachineScaleSet; "
        f'OrginalError: Code="{subcode}" Message="{words}"; AKSTeam: NodeProvisioning',
    )


def zonal_allocation_failed() -> ArmError:
    return _reconciler(
        "ZonalAllocationFailed",
        "Allocation failed. We do not have sufficient capacity for the requested VM size in this "
        "zone. Read more about improving likelihood of allocation success at "
        "https://aka.ms/allocation-guidance",
    )


def allocation_failed() -> ArmError:
    return _reconciler(
        "AllocationFailed",
        "Allocation failed. We do not have sufficient capacity for the requested VM size in this "
        "region. Read more about improving likelihood of allocation success at "
        "http://aka.ms/allocation-guidance",
    )


_CONSTRAINTS: Final = (
    "Allocation failed. VM(s) with the following constraints cannot be allocated, because the "
    "condition is too restrictive. Please remove some constraints and try again. Constraints "
    "applied are:\\n  - Networking Constraints (such as Accelerated Networking or IPv6)\\n  - VM "
    "Size\\n"
)


def overconstrained() -> ArmError:
    return ArmError(200, "OverconstrainedAllocationRequest", _CONSTRAINTS)


def overconstrained_zonal() -> ArmError:
    return ArmError(200, "OverconstrainedZonalAllocationRequest", _CONSTRAINTS)


def sku_not_available(vm_size: str = VM_SIZE, *, region: str = REGION) -> ArmError:
    return ArmError(
        409,
        "SkuNotAvailable",
        f"The requested VM size for resource 'Following SKUs have failed for Capacity "
        f"Restrictions: {vm_size}' is currently not available in location '{region}'. Please try "
        "another size or deploy to a different location or different zone. See "
        "https://aka.ms/azureskunotavailable for details.",
    )


def size_not_allowed(vm_size: str = VM_SIZE, *, region: str = REGION) -> ArmError:
    return ArmError(
        400,
        "BadRequest",
        f"The VM size of {vm_size} is not allowed in your subscription in location '{region}'. The "
        "available VM sizes are 'standard_d2_v3,standard_d4s_v3,standard_d8s_v3'. For more "
        "details, please visit https://aka.ms/cpu-quota",
        is_flat=True,
    )


def zone_not_supported(zones: str = "1", *, pool: str = "pool", region: str = REGION) -> ArmError:
    return ArmError(
        400,
        "AvailabilityZoneNotSupported",
        f"Preflight validation check for resource(s) for container service failed. Message: The "
        f"zone(s) '{zones}' for resource '{pool}' is not supported. The supported zones for "
        f"location '{region}' are '2', '3'",
        is_flat=True,
    )


def capacity_heavy_usage(*, region: str = REGION) -> ArmError:
    return ArmError(
        400,
        "AksCapacityHeavyUsage",
        f"AKS is currently experiencing heavy usage in {region}. Please consider creating the "
        "resource in another region.",
        is_flat=True,
    )


def invalid_vm_size(vm_size: str) -> ArmError:
    return ArmError(
        400,
        "InvalidParameter",
        f"The value of parameter agentPoolProfile.vmSize is invalid. Error details: The VM size "
        f"'{vm_size}' is not supported. Please see https://aka.ms/aks-naming-rules for more "
        "details.",
        is_flat=True,
    )


def invalid_pool(what: str) -> ArmError:
    return ArmError(
        400,
        "InvalidParameter",
        f"{what} Please see https://aka.ms/aks-naming-rules for more details.",
        is_flat=True,
    )


def invalid_tag_names(names: list[str]) -> ArmError:
    return ArmError(
        400,
        "InvalidTagNameCharacters",
        f"The tag names '{', '.join(names)}' have reserved characters '<,>,%,&,\\,?,/' or control "
        "characters.",
    )


def property_change(name: str) -> ArmError:
    return ArmError(
        400,
        "PropertyChangeNotAllowed",
        f'Changing property "properties.{name}" is not allowed.',
        is_flat=True,
    )


def invalid_token() -> ArmError:
    return ArmError(
        401,
        "InvalidAuthenticationToken",
        "The access token is invalid.",
        headers={"WWW-Authenticate": 'Bearer realm="", error="invalid_token"'},
    )


def expired_token() -> ArmError:
    return ArmError(
        401,
        "ExpiredAuthenticationToken",
        "The access token expiry UTC time '11/25/2026 8:00:00 AM' is earlier than current UTC time "
        "'11/25/2026 9:00:00 AM'.",
        headers={"WWW-Authenticate": 'Bearer realm="", error="invalid_token"'},
    )


def authentication_missing() -> ArmError:
    return ArmError(
        401,
        "AuthenticationFailed",
        "Authentication failed. The 'Authorization' header is missing.",
        headers={"WWW-Authenticate": 'Bearer authorization_uri="https://login.windows.net/"'},
    )


def forbidden(
    action: str = "Microsoft.ContainerService/managedClusters/agentPools/write",
) -> ArmError:
    return ArmError(
        403,
        "AuthorizationFailed",
        "The client '30211224-d916-4684-83b8-655fd6b56001' with object id "
        "'30211224-d916-4684-83b8-655fd6b56001' does not have authorization to perform action "
        f"'{action}' over scope '/subscriptions/00000000-0000-0000-0000-000000000000/"
        "resourceGroups/group' or the scope is invalid. If access was recently granted, please "
        "refresh your credentials.",
    )


def disallowed_by_policy() -> ArmError:
    return ArmError(
        403,
        "RequestDisallowedByPolicy",
        "Resource 'pool' was disallowed by policy. Policy identifiers: '[{\"policyAssignment\":"
        '{"name":"Allowed GPU sizes"}}]\'.',
    )


def provider_not_registered() -> ArmError:
    return ArmError(
        409,
        "MissingSubscriptionRegistration",
        "The subscription is not registered to use namespace 'Microsoft.ContainerService'. See "
        "https://aka.ms/rps-not-found for how to register subscriptions.",
    )


def subscription_not_found(subscription: str = "?") -> ArmError:
    return ArmError(
        404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found."
    )


def group_not_found(group: str = "?") -> ArmError:
    return ArmError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")


def cluster_not_found(
    cluster: str = "?",
    *,
    kind: str = "Microsoft.ContainerService/managedClusters",
    group: str = "?",
) -> ArmError:
    return ArmError(
        404,
        "ResourceNotFound",
        f"The Resource '{kind}/{cluster}' under resource group '{group}' was not found. For more "
        "details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def pool_not_found(pool: str = "pool") -> ArmError:
    return ArmError(
        404,
        "NotFound",
        f"Could not find the agentpool: {pool}.",
        is_flat=True,
        subcode="GetAgentPool_NotFound",
    )


def arc_pool_not_found(pool: str = "pool") -> ArmError:
    return ArmError(
        404,
        "ResourceNotFound",
        f"The Resource 'Microsoft.HybridContainerService/provisionedClusterInstances/default/"
        f"agentPools/{pool}' was not found. For more details please go to "
        "https://aka.ms/ARMResourceNotFoundFix",
    )


def own_operation_in_progress(verb: str = "create") -> ArmError:
    """A second request for a pool that is on its way (gpu-provisioner knows this sentence)."""
    return ArmError(
        409,
        "OperationNotAllowed",
        f"Operation is not allowed because there's an in progress {verb} node pool operation. "
        "Please wait for it to finish before starting a new operation. See "
        "https://aka.ms/aks-pending-operation for more details",
        is_flat=True,
    )


def another_operation_in_progress(pool: str = "nodepool1", state: str = "Creating") -> ArmError:
    return ArmError(
        409,
        "OperationNotAllowed",
        f"Operation is not allowed: Another agentpool operation ({pool} - {state}) is in progress, "
        "please wait for it to finish before starting a new operation. See "
        "https://aka.ms/aks-pending-operation for more details",
        is_flat=True,
    )


def etag_mismatch() -> ArmError:
    """The status is HTTP's own; the code is a guess."""
    return ArmError(
        412,
        "EtagMismatch",
        "The etag in the request header does not match the resource's current etag.",
        is_flat=True,
    )


def preempted() -> ArmError:
    return ArmError(
        200,
        "AKSOperationPreempted",
        "This operation has been preempted by another operation with ID "
        "5ec9ad87-44a4-45c2-9b07-4cc2bb4a8b30",
    )


def canceled() -> ArmError:
    """Of an operation that was aborted; the code is a guess."""
    return ArmError(200, "OperationCanceled", "The operation was canceled.")


def cluster_stopped() -> ArmError:
    """Wording after MicrosoftDocs/azure-docs#85161; status and code are a guess."""
    return ArmError(
        409,
        "OperationNotAllowed",
        "managed cluster is in Provisioning State(Succeeded) and Power State(Stopped), the "
        "operation cannot be performed",
        is_flat=True,
    )


def too_many_pools(limit: int = 100) -> ArmError:
    """The limit is documented (aka.ms/aks-quotas: 100 pools a cluster); the wording is a guess."""
    return ArmError(
        400,
        "AgentPoolCountExceedsLimit",
        f"The maximum number of agent pools per cluster is {limit}.",
        is_flat=True,
    )


def aks_throttled(retry_after_seconds: int = 2) -> ArmError:
    return ArmError(
        429,
        "Throttled",
        "The PutAgentPoolHandler.PUT request limit has been exceeded for agent pool, please retry "
        f"again in {retry_after_seconds} seconds. For more information, please visit "
        "aka.ms/aks/throttling",
        is_flat=True,
        headers={"Retry-After": str(retry_after_seconds)},
    )


def arm_throttled(retry_after_seconds: int = 2) -> ArmError:
    return ArmError(
        429,
        "SubscriptionRequestsThrottled",
        "Number of 'write' requests for subscription '00000000-0000-0000-0000-000000000000' actor "
        "'x' exceeded. Please try again after '2' seconds after additional tokens are available.",
        headers={"Retry-After": str(retry_after_seconds)},
    )


def late_throttled() -> ArmError:
    """AKS itself was throttled by Compute and gave up (Azure/AKS#2417)."""
    return ArmError(
        200,
        "ReconcileVMSSAgentPoolFailed",
        "Category: ClientError; SubCode: TooManyRequests; Dependency: Microsoft.Compute/"
        "VirtualMachineScaleSet; OrginalError: autorest/azure: Service returned an error. "
        'Status=429 Code="OperationNotAllowed" Message="The server rejected the request because '
        'too many requests have been received for this subscription."',
    )


def node_bootstrap_failed() -> ArmError:
    return ArmError(
        200,
        "CreateVMSSAgentPoolFailed",
        "VMSSAgentPoolReconciler retry failed: Category: ClientError; SubCode: "
        "OutboundConnFailVMExtensionError; Dependency: Microsoft.Compute/VirtualMachineScaleSet; "
        'OrginalError: Code="VMExtensionProvisioningError" Message="VM has reported a failure when '
        "processing extension 'vmssCSE'. Error message: Enable failed: failed to execute command: "
        'command terminated with exit status=50"; AKSTeam: NodeProvisioning',
    )


def subnet_full() -> ArmError:
    return ArmError(
        400,
        "InsufficientSubnetSize",
        "Pre-allocated IPs 31 exceeds IPs available 2 in Subnet Cidr 10.240.0.0/27, Subnet Name "
        "aks-subnet. If Autoscaler is enabled, the max-count from each nodepool is counted towards "
        "this total.",
        is_flat=True,
    )


def late_internal_error() -> ArmError:
    return ArmError(
        200,
        "CreateVMSSAgentPoolFailed",
        "AKS encountered an internal error while attempting the requested Creating operation. AKS "
        "will continuously retry the requested operation until successful or a retry timeout is "
        "hit. Check back to see if the operation requires resubmission. Correlation ID: "
        "1ee4eb8a-23d8-cdcf-98be-de55bc67a879, Operation ID: 57d1af14-9ead-4b4a-9e57-f85ca9410ed9, "
        "Timestamp: 2021-08-06T10:27:35Z.",
    )


def internal_error() -> ArmError:
    return ArmError(
        500,
        "InternalServerError",
        "The server encountered an internal error. Please retry the request. Correlation ID: "
        "1ee4eb8a-23d8-cdcf-98be-de55bc67a879",
    )


def bad_gateway() -> ArmError:
    return ArmError(502, "", "", raw="<html><body><h1>502 Bad Gateway</h1></body></html>")


def service_unavailable(retry_after_seconds: int = 2) -> ArmError:
    return ArmError(
        503,
        "ServiceUnavailable",
        "The service is unavailable. Please try again later.",
        headers={"Retry-After": str(retry_after_seconds)},
    )


def no_route(method: str, path: str) -> ArmError:
    return ArmError(404, "NotFound", f"No route for {method} {path}.")


def api_version_missing() -> ArmError:
    return ArmError(
        400,
        "MissingApiVersionParameter",
        "The api-version query parameter (?api-version=) is required for all requests.",
    )


CATALOGUE: Final[Mapping[str, ArmError]] = {
    "family-quota": family_quota(),
    "regional-quota": regional_quota(),
    "compute-family-quota": compute_quota(),
    "compute-spot-quota": compute_quota("LowPriorityCores"),
    "nested-quota": nested_quota(),
    "zonal-allocation-failed": zonal_allocation_failed(),
    "allocation-failed": allocation_failed(),
    "overconstrained": overconstrained(),
    "overconstrained-zonal": overconstrained_zonal(),
    "sku-not-available": sku_not_available(),
    "size-not-allowed": size_not_allowed(),
    "zone-not-supported": zone_not_supported(),
    "capacity-heavy-usage": capacity_heavy_usage(),
    "invalid-vm-size": invalid_vm_size("Standard_NC0"),
    "invalid-tag-names": invalid_tag_names(["kaito.sh/workspace"]),
    "property-change": property_change("vmSize"),
    "invalid-token": invalid_token(),
    "expired-token": expired_token(),
    "forbidden": forbidden(),
    "disallowed-by-policy": disallowed_by_policy(),
    "provider-not-registered": provider_not_registered(),
    "subscription-not-found": subscription_not_found(),
    "group-not-found": group_not_found(),
    "cluster-not-found": cluster_not_found(),
    "pool-not-found": pool_not_found(),
    "own-operation-in-progress": own_operation_in_progress(),
    "another-operation-in-progress": another_operation_in_progress(),
    "etag-mismatch": etag_mismatch(),
    "preempted": preempted(),
    "canceled": canceled(),
    "cluster-stopped": cluster_stopped(),
    "too-many-pools": too_many_pools(),
    "aks-throttled": aks_throttled(),
    "arm-throttled": arm_throttled(),
    "late-throttled": late_throttled(),
    "node-bootstrap-failed": node_bootstrap_failed(),
    "subnet-full": subnet_full(),
    "late-internal-error": late_internal_error(),
    "internal-error": internal_error(),
    "bad-gateway": bad_gateway(),
    "service-unavailable": service_unavailable(),
}
"""Every refusal by name. Those with status 200 end an operation; the others refuse a request, and
may end an operation, too."""
