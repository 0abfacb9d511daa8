"""AdmissionReview of admission.k8s.io/v1: what the API server asks, and what we answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from planner.fields import text_at
from planner.rules.base import Violation

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"

UNPROCESSABLE: Final = 422
"""HTTP status that the API server itself gives to an object that breaks rules."""


class BadReview(Exception):
    """The body is no AdmissionReview that can be answered; the message says why."""


@dataclass(frozen=True)
class Review:
    """One question of the API server."""

    uid: str
    """Names the question; the answer must repeat it."""
    operation: str
    """CREATE, UPDATE, DELETE or CONNECT."""
    group: str
    resource: str
    subresource: str
    kind: str
    name: str
    obj: Mapping[str, Any]
    """The object as it would be stored; empty when the operation has none."""
    old: Mapping[str, Any]
    """The object as it is stored; empty when the operation has none."""


@dataclass(frozen=True)
class Verdict:
    """What the answer says."""

    violations: Sequence[Violation] = ()
    """Why the object is refused; empty when it may be stored."""
    warnings: Sequence[str] = ()
    """Sentences that the user is shown although the object is stored."""
    is_judged: bool = True
    """False for what was let through unread."""


def read_review(body: bytes) -> Review:
    """Return the question that is in the body of a request.

    Raises:
        BadReview: whoever sent it is no API server, or a newer one than this program knows.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadReview(f"the body is no JSON that can be read: {error}") from error
    if not isinstance(content, dict):
        raise BadReview("the body is no JSON object; send an AdmissionReview")
    stated = f"{content.get('apiVersion')} {content.get('kind')}"
    if stated != f"{API_VERSION} {KIND}":
        raise BadReview(f"the body is {stated[:100]!r}; send {API_VERSION} {KIND}")
    request = content.get("request")
    if not isinstance(request, dict) or not text_at(request, "uid"):
        raise BadReview("request.uid is missing; send an AdmissionReview with a request")
    return Review(
        uid=text_at(request, "uid"),
        operation=text_at(request, "operation"),
        group=text_at(request, "resource", "group"),
        resource=text_at(request, "resource", "resource"),
        subresource=text_at(request, "subResource"),
        kind=text_at(request, "kind", "kind"),
        # The request has no name where the API server makes one up; the object has it then.
        name=text_at(request, "name") or text_at(request, "object", "metadata", "name"),
        obj=_object_at(request, "object"),
        old=_object_at(request, "oldObject"),
    )


def _object_at(request: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = request.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadReview(f"request.{key} is no JSON object; send the Workspace as an object")
    return found


def answer(review: Review, verdict: Verdict) -> dict[str, Any]:
    """Return the AdmissionReview that says the verdict."""
    response: dict[str, Any] = {"uid": review.uid, "allowed": not verdict.violations}
    if verdict.violations:
        response["status"] = _status(review, verdict.violations)
    if verdict.warnings:
        # They travel in HTTP headers, one a line.
        response["warnings"] = [" ".join(warning.split()) for warning in verdict.warnings]
    return {"apiVersion": API_VERSION, "kind": KIND, "response": response}


def _status(review: Review, violations: Sequence[Violation]) -> dict[str, Any]:
    """Return the Status of a refusal, as the API server writes its own: kubectl prints it alike."""
    return {
        "status": "Failure",
        "code": UNPROCESSABLE,
        "reason": "Invalid",
        "message": "\n".join(one.sentence for one in violations),
        "details": {
            "name": review.name,
            "group": review.group,
            "kind": review.kind,
            "causes": [
                {"reason": one.rule, "field": one.field, "message": one.advice}
                for one in violations
            ],
        },
    }
