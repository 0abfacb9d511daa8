"""What the pods of a revision are doing: ready, on their way, or failed for a cause one can name.

Waiting for a deadline is the last resort. What Kubernetes tells at once is a failure at once, as
long as it can't mend itself:

    image not found, no valid name        failure, at the first attempt
    access to an image denied             failure, at the second (a pull secret may come late)
    other trouble with a registry         on its way (a registry that restarts looks the same)
    a named ConfigMap, Secret or volume
    claim is absent                       failure
    OOM kill, a crash that another start
    would only repeat                     failure, at the first
    any other crash                       failure, at the second, with the program's last words
    no node has room                      on its way (`unschedulable` tells; the caller decides)

Which crashes another start would repeat is told by `planner.runtime_messages`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from api import errors, names
from api.payloads import Problem
from planner.pod_facts import OOM_KILLED, ORDINARY_WAITS
from planner.runtime_messages import RuntimeMessage, last_words, recognise
from planner.world import PodFacts

MAX_DESCRIBED_PODS: Final = 3
"""Pods in one sentence; a heartbeat is read in one line."""

MAX_WAITING_MESSAGE_CHARACTERS: Final = 300
# Container runtimes repeat an image's name several times; this leaves room for what to do.

CRASHES_THAT_FAIL: Final = 2
"""One crash may be bad luck (a peer that was not up yet); the second one is a pattern. A cause that
is known to be final needs no second: a server that can't start takes 6 to 25 s to say so each time
(vLLM on CPU, 2026-11), and nobody is served in the meantime."""

WEIGHTS_CONTAINER: Final = "weights"
"""Init container that brings the weights, as the renderer names it."""

_PULL_BACK_OFF: Final = "ImagePullBackOff"
_PULL_WAITS: Final = frozenset({"ErrImagePull", _PULL_BACK_OFF})
_HOPELESS_IMAGE_WAITS: Final = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_CONFIG_WAIT: Final = "CreateContainerConfigError"
_START_WAITS: Final = frozenset({"CreateContainerError", "RunContainerError"})
_CRASH_WAIT: Final = "CrashLoopBackOff"

_DENIED_WORDS: Final = re.compile(
    r"unauthori[sz]ed|forbidden|denied|authentication required|no basic auth|\b40[13]\b",
    re.IGNORECASE,
)
_ABSENT_WORDS: Final = re.compile(
    r"not found|manifest unknown|name unknown|does not exist", re.IGNORECASE
)
_ABSENT_HOST_WORDS: Final = re.compile(r"no such host|lookup \S+", re.IGNORECASE)
_CONFIG_OBJECT: Final = re.compile(
    r"(configmap|secret) \"([^\"]+)\" not found"
    r"|find key (\S+) in (configmap|secret) (\S+)",
    re.IGNORECASE,
)
_VOLUME_CLAIM: Final = re.compile(r"persistentvolumeclaim \"([^\"]+)\" not found", re.IGNORECASE)
_KINDS: Final = {"configmap": "ConfigMap", "secret": "Secret"}


@dataclass(frozen=True)
class PodsVerdict:
    """The pods of one revision, judged together."""

    ready: tuple[str, ...]
    """Names of the pods that serve, sorted."""
    sentence: str
    """How far they are, for a heartbeat: "1 of 2 pods ready; llm-abc-0: loading weights"."""
    failure: Problem | None = None
    """Why waiting is of no use, when it is not."""
    unschedulable: str = ""
    """The scheduler's words on the first pod that no node has room for."""


def diagnose(
    pods: Sequence[PodFacts], want: int, restarts_before: Mapping[str, int] | None = None
) -> PodsVerdict:
    """Judge the pods of a workload that should have `want` ready ones.

    Args:
        pods: All pods of the revision, in any order.
        want: Pods that should be ready.
        restarts_before: Restarts by pod name that were there when the wait began; they are not
            counted as crashes. Kubernetes never resets its count, so without this an old pod's
            past speaks against it.
    """
    ordered = sorted(pods, key=lambda pod: pod.name)
    ready = tuple(pod.name for pod in ordered if _is_serving(pod))
    others = [pod for pod in ordered if not _is_serving(pod)]
    before = restarts_before or {}
    failures = (failure_of(pod, pod.restart_count - before.get(pod.name, 0)) for pod in others)
    return PodsVerdict(
        ready=ready,
        sentence=_sentence(len(ready), want, others),
        failure=next((one for one in failures if one is not None), None),
        unschedulable=next(
            (pod.unschedulable_message for pod in others if pod.unschedulable_message), ""
        ),
    )


def _is_serving(pod: PodFacts) -> bool:
    return pod.is_ready and not pod.is_deleting


def _sentence(ready_count: int, want: int, others: Iterable[PodFacts]) -> str:
    described = [f"{pod.name}: {progress_of(pod)}" for pod in others]
    missing_count = want - ready_count - len(described)
    if missing_count > 0:
        described.append(f"{missing_count} to be created")
    more = len(described) - MAX_DESCRIBED_PODS
    shown = described[:MAX_DESCRIBED_PODS] + ([f"and {more} more"] if more > 0 else [])
    noun = "pod" if want == 1 else "pods"
    return "; ".join([f"{ready_count} of {want} {noun} ready", *shown])


def progress_of(pod: PodFacts) -> str:
    """Return where one pod is that is not ready."""
    return _trouble(pod) or _ordinary_progress(pod)


def _trouble(pod: PodFacts) -> str:
    if pod.is_deleting:
        return "stopping"
    if pod.failure:
        return f"ended ({pod.failure})"
    if pod.unschedulable_message:
        return f"waiting for a node: {_beginning(pod.unschedulable_message)}"
    if pod.waiting_reason in _PULL_WAITS:
        return _with_words("image can't be pulled yet", pod)
    if pod.waiting_reason not in ORDINARY_WAITS:
        return _with_words(pod.waiting_reason, pod)
    return ""


def _ordinary_progress(pod: PodFacts) -> str:
    is_pulling = pod.labels.get(names.LABEL_ROLE) == names.ROLE_IMAGE_PULL
    if pod.running_init_container and not is_pulling:
        is_weights = pod.running_init_container == WEIGHTS_CONTAINER
        return (
            "downloading weights"
            if is_weights
            else f"running init container {pod.running_init_container}"
        )
    if not pod.node_name:
        return "waiting for a node"
    if is_pulling:
        return "pulling images"
    if pod.phase == "Running" and not pod.waiting_reason:
        again = f" (restarted after {pod.last_exit})" if pod.last_exit else ""
        return f"loading weights{again}"
    # The kubelet does not tell pulling from starting; the step `images` pulled before.
    return "container starting"


def failure_of(pod: PodFacts, crash_count: int) -> Problem | None:
    """Return why the pod won't become ready by itself, or None while it may."""
    if pod.is_deleting or pod.failure:
        # It is on its way out, and its controller makes another.
        return None
    return _before_its_start(pod) or _after_its_start(pod, crash_count)


def _before_its_start(pod: PodFacts) -> Problem | None:
    reason = pod.waiting_reason
    if reason in _PULL_WAITS or reason in _HOPELESS_IMAGE_WAITS:
        return _image_failure(pod)
    if reason == _CONFIG_WAIT:
        return _config_failure(pod)
    if reason in _START_WAITS:
        return _start_failure(pod)
    if absent := _VOLUME_CLAIM.search(pod.unschedulable_message):
        return _absent(pod, f"PersistentVolumeClaim {absent[1]}")
    return None


def _after_its_start(pod: PodFacts, crash_count: int) -> Problem | None:
    cause = recognise(pod.last_exit_message)
    is_final = pod.last_exit == OOM_KILLED or (cause is not None and cause.is_final)
    if (
        pod.waiting_reason == _CRASH_WAIT
        or crash_count >= CRASHES_THAT_FAIL
        or (crash_count > 0 and pod.last_exit and is_final)
    ):
        return _crash_failure(pod, cause)
    return None


def _image_failure(pod: PodFacts) -> Problem | None:
    words = _end(pod.waiting_message)
    if pod.waiting_reason in _HOPELESS_IMAGE_WAITS:
        return _problem(
            errors.RuntimeFailed,
            f"pod {pod.name} can't pull its image: {pod.waiting_reason}: {words}. Correct the "
            "image that the Workspace names",
        )
    if _ABSENT_HOST_WORDS.search(pod.waiting_message):
        return None
    if _DENIED_WORDS.search(pod.waiting_message):
        # A pull secret that was made at the same time is known to the kubelet a moment later.
        is_first_attempt = pod.waiting_reason != _PULL_BACK_OFF
        return (
            None
            if is_first_attempt
            else _problem(
                errors.AccessDenied,
                f"pod {pod.name} may not pull its image: {words}. Check the pull secrets that "
                "the Workspace names, the rights at the registry, and the image's name",
            )
        )
    if _ABSENT_WORDS.search(pod.waiting_message):
        return _problem(
            errors.MissingReference,
            f"pod {pod.name} names an image that does not exist: {words}. Push it or correct the "
            "reference, then send the signal `retry`",
        )
    return None


def _config_failure(pod: PodFacts) -> Problem:
    found = _CONFIG_OBJECT.search(pod.waiting_message)
    if found is None:
        return _problem(
            errors.RuntimeFailed, f"pod {pod.name} can't be configured: {_end(pod.waiting_message)}"
        )
    if found[1]:
        what = f"{_KINDS[found[1].lower()]} {found[2]}"
    else:
        what = f"key {found[3]} of {_KINDS[found[4].lower()]} {found[5]}"
    return _absent(pod, what)


def _absent(pod: PodFacts, what: str) -> Problem:
    return _problem(
        errors.MissingReference,
        f"pod {pod.name} needs {what}, which does not exist; create it, then send the signal "
        "`retry`",
    )


def _start_failure(pod: PodFacts) -> Problem | None:
    cause = recognise(pod.waiting_message)
    if cause is None or not cause.is_final:
        return None
    return _problem(
        errors.RuntimeFailed,
        f"pod {pod.name} can't start: {cause}. The kubelet says: {_end(pod.waiting_message)}",
    )


def _crash_failure(pod: PodFacts, cause: RuntimeMessage | None) -> Problem:
    ended = pod.last_exit or "no exit code that Kubernetes knows"
    what = f"pod {pod.name} keeps failing: its container ended with {ended}"
    if pod.restart_count:
        what += f" after {pod.restart_count} restart{'s' if pod.restart_count > 1 else ''}"
    if pod.last_exit == OOM_KILLED:
        what += (
            ", because it used more memory than its limit or its node has; choose an instance type "
            "with more memory, or make the model need less (max-model-len in inference.config)"
        )
    elif cause is not None:
        what += f": {cause}"
    if pod.last_exit_message:
        what += f". Last words: {last_words(pod.last_exit_message)}"
    return _problem(errors.RuntimeFailed, what)


def _problem(cause: type[errors.PlatformError], message: str) -> Problem:
    return Problem(reason=cause.reason(), message=errors.trim(message))


def _with_words(what: str, pod: PodFacts) -> str:
    return f"{what}: {_end(pod.waiting_message)}" if pod.waiting_message else what


def _beginning(message: str) -> str:
    return errors.trim(" ".join(message.split()), MAX_WAITING_MESSAGE_CHARACTERS)


def _end(message: str) -> str:
    # Runtimes wrap the cause in layers of context, outermost first.
    words = " ".join(message.split())
    if len(words) <= MAX_WAITING_MESSAGE_CHARACTERS:
        return words
    return "…" + words[1 - MAX_WAITING_MESSAGE_CHARACTERS :]
