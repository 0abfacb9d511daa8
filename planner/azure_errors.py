"""What Azure means when it says no: its code, status and words become one of our errors.

    answer ──read_failure──► AzureFailure ──judge──► Verdict (class, words)

Azure's codes alone do not tell. `OperationNotAllowed` is a quota, a conflict or a stopped cluster,
by its words; a deployment's refusal carries its cause in `details`; an operation that failed wraps
the cause's code into its message (`SubCode: AllocationFailed`). So rules look at every code that
the answer holds, on whatever level, and at the words; the first rule that fits decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.errors import (
    AccessDenied,
    ClusterUnavailable,
    Conflict,
    InsufficientCapacity,
    InvalidWorkspace,
    PlatformError,
    ProviderFailed,
    QuotaExceeded,
    Throttled,
    trim,
)

MAX_WORDS_CHARACTERS: Final = 400
"""Of Azure's own words in a message of ours. A guess: three sentences; refusals run to 1500."""

MAX_DEPTH: Final = 5
"""Levels of `details` that are read. A guess: 2 were seen."""

UNREACHABLE: Final = "Unreachable"
"""Our own code, as the next two: no answer came at all."""
TIMED_OUT: Final = "TimedOut"
"""No answer came within the call's deadline."""
NO_CREDENTIAL: Final = "CredentialUnavailable"
"""No token could be had, so nothing was asked."""
CANCELED: Final = "Canceled"
"""An operation ended so without saying why."""
FAILED: Final = "Failed"
"""An operation failed in words without a code, as Arc's do."""

_OK: Final = 200


@dataclass(frozen=True)
class Cause:
    """One code with its words."""

    code: str
    message: str = ""


@dataclass(frozen=True)
class AzureFailure:
    """A refusal, or the end of an operation that failed, taken apart."""

    status: int
    """HTTP status; 200 where an operation failed; 0 where no answer came."""
    causes: tuple[Cause, ...] = ()
    """Outermost first."""
    retry_after_seconds: float | None = None

    @property
    def code(self) -> str:
        """Return the outermost code; empty when Azure gave none."""
        return self.causes[0].code if self.causes else ""

    @property
    def message(self) -> str:
        """Return the outermost words."""
        return self.causes[0].message if self.causes else ""


@dataclass(frozen=True)
class Verdict:
    """What a failure is to us."""

    error: type[PlatformError]
    code: str
    """Azure's own code that decided, or "HTTP <status>" where it gave none."""
    words: str
    """Azure's own words about it, trimmed and free of what changes with every try."""
    retry_after_seconds: float | None = None

    @property
    def message(self) -> str:
        """Return code and words on one line."""
        return f"{self.code}: {self.words}" if self.words else self.code

    def to_error(self) -> PlatformError:
        """Return the error, ready to be raised."""
        return self.error(self.message)


@dataclass(frozen=True)
class Rule:
    """Fits when every part that is set fits."""

    error: type[PlatformError]
    codes: frozenset[str] = frozenset()
    """One of these, on any level or inside the words."""
    words: str = ""
    """A regular expression, case ignored."""
    statuses: frozenset[int] = frozenset()


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Sources: "docs" is MicrosoftDocs/SupportArticles-docs, support/azure/azure-kubernetes/error-codes
# (read 2026-11-25); the others are threads on GitHub with whole payloads.
RULES: Final[tuple[Rule, ...]] = (
    # Too many requests. Also inside failed operations, when AKS itself was throttled by Compute
    # (Azure/AKS#2417, #1187). docs: throttled-error, toomanyrequestsreceived-error.
    Rule(
        Throttled,
        codes=_codes(
            "Throttled TooManyRequests TooManyRequestsReceived OperationNotAllowed_TooManyRequests "
            "SubscriptionRequestsThrottled TenantRequestsThrottled ResourceRequestsThrottled"
        ),
    ),
    Rule(Throttled, statuses=frozenset({429})),
    # Quota. Compute says it with `OperationNotAllowed` or `QuotaExceeded` and these words
    # (Azure/karpenter-provider-azure#91 spot, #192 family; MicrosoftDocs/azure-docs#62378 nested).
    Rule(QuotaExceeded, words=r"exceeding approved (LowPriorityCores|\w*Spot)"),
    Rule(QuotaExceeded, words=r"exceeding approved Total Regional"),
    Rule(QuotaExceeded, words=r"exceeding quota limits of Core\b"),
    Rule(QuotaExceeded, words=r"regional vcpu quota"),
    Rule(QuotaExceeded, words=r"exceeding approved .{1,80} quota"),
    # AKS' own check before it asks Compute (hashicorp/terraform-provider-azurerm runs, 2024-26).
    Rule(QuotaExceeded, codes=_codes("ErrCode_InsufficientVCPUQuota")),
    # At most 100 pools a cluster (learn.microsoft.com/azure/aks/quotas-skus-regions); the code of
    # this refusal was not found, so the words are a guess.
    Rule(
        QuotaExceeded,
        words=r"maximum number of (agent|node) ?pools|(agent|node) ?pools? .{0,40}\blimit\b",
    ),
    # docs: subnetisfull-error, publicipcountlimitreached-error, insufficientsubnetsize-error.
    Rule(
        QuotaExceeded,
        codes=_codes("InsufficientSubnetSize SubnetIsFull PublicIPCountLimitReached"),
    ),
    Rule(QuotaExceeded, codes=_codes("QuotaExceeded ResourceQuotaExceeded")),
    # Capacity. docs: zonalallocation-allocationfailed-error, availabilityzonenotsupported-error.
    Rule(
        InsufficientCapacity,
        codes=_codes(
            "ZonalAllocationFailed OverconstrainedZonalAllocationRequest "
            "AvailabilityZoneNotSupported"
        ),
    ),
    Rule(
        InsufficientCapacity,
        codes=_codes(
            "AllocationFailed OverconstrainedAllocationRequest SkuNotAvailable SKUNotAvailable "
            "NotAvailableForSubscription"
        ),
    ),
    # A `BadRequest` by code (dotnet/core#7314): the subscription has no access to the size.
    Rule(
        InsufficientCapacity,
        words=r"VM size of .{1,120} is not allowed in your subscription",
    ),
    # docs: akscapacityheavyusage-error.
    Rule(
        InsufficientCapacity,
        codes=_codes("AksCapacityHeavyUsage AKSCapacityError"),
    ),
    # A cluster that was stopped; the words are those of MicrosoftDocs/azure-docs#85161, a guess
    # for pools. Shown, since nobody starts a cluster whose platform waits in silence.
    Rule(ProviderFailed, words=r"Power State\(Stopped\)"),
    # Somebody else is at it. cilium/cilium#25944; the sentence of Azure/gpu-provisioner's switch;
    # docs: aksoperationpreempted-error; Azure/AKS#1913 for the last sentence.
    Rule(
        Conflict,
        codes=_codes(
            "AnotherOperationInProgress AKSOperationPreempted AKSOperationPreemptedByDelete "
            "EtagMismatch"
        ),
    ),
    Rule(
        Conflict,
        words=r"in progress (\w+ )?(node|agent) ?pool|operation \(.{0,80}\) is in progress"
        r"|aks-pending-operation|canceled by a later operation",
    ),
    Rule(Conflict, statuses=frozenset({412})),
    # A policy may forbid one size and allow the next. docs: requestdisallowedbypolicy-error.
    Rule(AccessDenied, codes=_codes("RequestDisallowedByPolicy")),
    # Rights. rancher/rancher#11473; docs: linkedauthorizationfailed-error,
    # missingsubscriptionregistration-error. A subscription out of sight counts as not found.
    Rule(
        AccessDenied,
        codes=_codes(
            "AuthorizationFailed LinkedAuthorizationFailed InvalidAuthenticationToken "
            "InvalidAuthenticationTokenTenant ExpiredAuthenticationToken AuthenticationFailed "
            "RequestDisallowedByAzure ScopeLocked ReadOnlyDisabledSubscription "
            "SubscriptionNotFound MissingSubscriptionRegistration CredentialUnavailable"
        ),
    ),
    Rule(AccessDenied, statuses=frozenset({401, 403})),
    # What was asked for is not a thing. docs: invalidparameter-error.
    Rule(InvalidWorkspace, codes=_codes("InvalidParameter"), words=r"vm ?size"),
    Rule(InvalidWorkspace, codes=_codes("InvalidParameter")),
    # The machine came and did not become a node. docs: vmextensionerror-*.
    Rule(ProviderFailed, codes=_codes("VMExtensionProvisioningError")),
    Rule(ProviderFailed, words=r"\w+VMExtensionError|vmssCSE"),
    # Cluster, group or operation are not there: settings name another cluster, or it is gone.
    # (That a *pool* is not there is an answer, not a failure; see activities/clients/azure.)
    Rule(
        ProviderFailed,
        codes=_codes("ResourceNotFound ResourceGroupNotFound ParentResourceNotFound"),
    ),
    # The service has trouble of its own; all of it passes.
    Rule(ClusterUnavailable, statuses=frozenset({0, 408, 500, 502, 503, 504})),
    # "Not allowed" in words that nobody foresaw may last: it must be shown.
    Rule(ProviderFailed, codes=_codes("OperationNotAllowed"), statuses=frozenset({409})),
    Rule(Conflict, statuses=frozenset({409})),
)
"""In order. What none of them fits is `ProviderFailed`, in Azure's own words."""

_SPECIFIC: Final = frozenset(code for rule in RULES for code in rule.codes)


def read_failure(
    status: int, body: object, *, retry_after_seconds: float | None = None
) -> AzureFailure:
    """Take an answer apart.

    Args:
        status: HTTP status; 200 for the status of an operation that failed.
        body: The answer's JSON, or its text where it is none.
        retry_after_seconds: From the header, if there was one.
    """
    causes = tuple(_causes(body, depth=0))
    return AzureFailure(status, causes, retry_after_seconds)


def judge(failure: AzureFailure) -> Verdict:
    """Return what the failure is to us; never fails itself."""
    text = " ".join(cause.message for cause in failure.causes)
    by_code = _by_code(failure)
    for rule in RULES:
        hit = _fit(rule, failure, by_code, text)
        if hit is not None:
            return Verdict(rule.error, hit.code, hit.message, failure.retry_after_seconds)
    return Verdict(
        ProviderFailed, *_shown(failure), retry_after_seconds=failure.retry_after_seconds
    )


def _fit(
    rule: Rule, failure: AzureFailure, by_code: Mapping[str, Cause], text: str
) -> Cause | None:
    """Return the cause to show when the rule fits."""
    if rule.statuses and failure.status not in rule.statuses:
        return None
    if rule.words and re.search(rule.words, text, re.IGNORECASE) is None:
        return None
    if not rule.codes:
        return Cause(*_shown(failure, rule.words))
    for code, cause in by_code.items():
        if code in rule.codes:
            return Cause(code, _clean(cause.message))
    return None


def _shown(failure: AzureFailure, words: str = "") -> tuple[str, str]:
    """Return code and words of the innermost cause that says `words`."""
    nameless = FAILED if failure.status == _OK else f"HTTP {failure.status}"
    for cause in reversed(failure.causes):
        if cause.message and (not words or re.search(words, cause.message, re.IGNORECASE)):
            return cause.code or nameless, _clean(cause.message)
    return failure.code or nameless, _clean(failure.message)


def _by_code(failure: AzureFailure) -> dict[str, Cause]:
    """Return each code of the failure with its words: innermost first, then those inside words."""
    found: dict[str, Cause] = {}
    for cause in reversed(failure.causes):
        found.setdefault(cause.code, cause)
    for cause in reversed(failure.causes):
        for code in re.findall(r"\w+", cause.message):
            if code in _SPECIFIC:
                found.setdefault(code, Cause(code, _quoted(cause.message, code)))
    return found


def _quoted(message: str, code: str) -> str:
    """Return the words that `message` quotes for `code`, or all of it."""
    quoted = re.search(rf'Code=\\?"{code}\\?"\s+Message=\\?"(.+?)\\?"(?:$|[;\s])', message)
    return message if quoted is None else quoted.group(1)


def _causes(body: object, *, depth: int) -> Iterator[Cause]:
    if isinstance(body, str):
        if body.strip():
            yield Cause("", _without_tags(body))
        return
    if not isinstance(body, Mapping) or depth > MAX_DEPTH:
        return
    error = body.get("error")
    if error:
        yield from _causes(error, depth=depth + 1)
        return
    code, message = _text(body.get("code")), _text(body.get("message"))
    if code or message:
        yield Cause(code, message)
    elif _text(body.get("status")).lower() == "canceled":
        yield Cause(CANCELED, "the operation was canceled")
    subcode = _text(body.get("subcode"))
    if subcode:
        yield Cause(subcode)
    details = body.get("details")
    for detail in details if isinstance(details, list) else ():
        yield from _causes(detail, depth=depth + 1)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _without_tags(text: str) -> str:
    return re.sub(r"<[^>]{0,200}>", " ", text)


_NOISE: Final = (
    # Changes with every try, and a condition's message must not.
    (
        re.compile(
            r"\b((Correlation|Operation|Tracking|Request|with) ID):? [\w-]{8,}[,.]?", re.IGNORECASE
        ),
        "",
    ),
    (re.compile(r"'\d{1,2}/\d{1,2}/\d{4} [^']{1,20}'"), "…"),
    (re.compile(r"\bThe tracking id is '[\w-]+'\.?", re.IGNORECASE), ""),
    (re.compile(r"\bTimestamp: [\w:.+-]{8,}", re.IGNORECASE), ""),
    # Said with every quota, and not about us.
    (re.compile(r"\bSurge nodes would also consume vcpu quota\b.*"), ""),
    # A link's parameters are longer than all the rest; the page answers without them.
    (re.compile(r"(https?://[^\s?#]+)[?#][^\s]*"), r"\1"),
    (re.compile(r"\\n|\s+"), " "),
)


def _clean(words: str) -> str:
    for pattern, replacement in _NOISE:
        words = pattern.sub(replacement, words)
    return trim(re.sub(r" {2,}", " ", words).strip(), MAX_WORDS_CHARACTERS)
