"""AdmissionReview in, AdmissionReview out; and whatever else a body may hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import names
from planner.rules.base import Violation
from tests import gen
from worker.webhook.judge import UNREAD, Judge, is_judged
from worker.webhook.review import BadReview, Verdict, answer, read_review

JUDGE = Judge(gen.settings(), gen.catalogue())


def request_body(**changes: Any) -> bytes:
    """Return the body of a review of a new Workspace; `changes` go into its request."""
    request = {
        "uid": "42",
        "operation": "CREATE",
        "kind": {"group": "kaito.sh", "version": "v1beta1", "kind": "Workspace"},
        "resource": {"group": "kaito.sh", "version": "v1beta1", "resource": "workspaces"},
        "name": "chat",
        "namespace": "default",
        "object": gen.workspace_object(),
        "oldObject": None,
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
    return json.dumps({**review, "request": gen.merged(request, changes)}).encode()


def judged(**changes: Any) -> Verdict:
    return JUDGE.judge(read_review(request_body(**changes)))


def update(old: Mapping[str, Any], new: Mapping[str, Any]) -> Verdict:
    return judged(operation="UPDATE", oldObject=old, object=new)


BAD = gen.workspace_object(instance_type="onebox.small2")


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"9" * 10_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "send admission.k8s.io/v1 AdmissionReview"),
        (b'{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview"}', "v1beta1"),
        (b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}', "request.uid"),
        (request_body(uid=None), "request.uid"),
        (request_body(uid=7), "request.uid"),
        (request_body(object="chat"), "request.object is no JSON object"),
        (request_body(oldObject=[1]), "request.oldObject is no JSON object"),
    ],
)
def test_a_body_that_is_no_review_is_refused_with_a_sentence(body: bytes, words: str) -> None:
    with pytest.raises(BadReview, match=words):
        read_review(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    JSON,
    st.sampled_from(
        ["metadata", "resource", "inference", "tuning", "rollout", "status", "spec", "apiVersion"]
    ),
)
def test_any_object_gets_an_answer_that_is_json(value: Any, field: str) -> None:
    obj = {**gen.workspace_object(), field: value}
    for changes in (
        {"object": obj},
        {"object": obj, "oldObject": gen.workspace_object(), "operation": "UPDATE"},
        {"object": gen.workspace_object(), "oldObject": obj, "operation": "UPDATE"},
    ):
        review = read_review(_replaced(changes))
        said = json.loads(json.dumps(answer(review, JUDGE.judge(review))))
        assert said["response"]["uid"] == "42"


def _replaced(changes: Mapping[str, Any]) -> bytes:
    body = json.loads(request_body())
    body["request"] |= changes
    return json.dumps(body).encode()


@given(st.binary(max_size=200))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    with pytest.raises(BadReview):
        read_review(body)


# --- judging --------------------------------------------------------------------------------------


def test_a_new_workspace_is_judged() -> None:
    assert judged().is_judged
    assert [one.field for one in judged(object=BAD).violations] == ["resource.instanceType"]


@pytest.mark.parametrize(
    "changes",
    [
        {"operation": "DELETE", "object": None, "oldObject": BAD},
        {"operation": "CONNECT", "object": BAD},
        {"subResource": "status", "operation": "UPDATE", "object": BAD},
        {"resource": {"group": "apps", "resource": "deployments"}, "object": BAD},
        {"object": gen.merged(BAD, {"metadata": {"deletionTimestamp": "2026-11-25T12:00:00Z"}})},
    ],
    ids=["deletion", "connection", "status", "another-kind", "being-deleted"],
)
def test_what_asks_for_nothing_is_let_through_unread(changes: dict[str, Any]) -> None:
    assert judged(**changes) == UNREAD


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"finalizers": ["a"]}},
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"annotations": {"example.com/owner": "me"}}},
        {"metadata": {"ownerReferences": [{"name": "x"}], "generation": 7}},
        {"metadata": {"managedFields": [{"manager": "x"}], "resourceVersion": "9"}},
        {"status": {"phase": "Failed"}},
        {"apiVersion": "kaito.sh/v1alpha1"},
    ],
    ids=lambda change: next(iter(next(iter(change.values())))),
)
def test_an_update_that_asks_for_nothing_new_is_let_through_though_the_object_is_bad(
    change: dict[str, Any],
) -> None:
    assert update(BAD, gen.merged(BAD, change)) == UNREAD


@pytest.mark.parametrize("annotation", [names.ANNOTATION_RUNTIME, "kaito.sh/something-new"])
def test_an_annotation_of_ours_asks_for_something(annotation: str) -> None:
    plain = gen.workspace_object()
    changed = gen.merged(plain, {"metadata": {"annotations": {annotation: "abacus"}}})
    assert update(plain, changed).is_judged
    assert update(changed, plain).is_judged


def test_a_repair_of_a_workspace_that_no_version_could_read_is_taken() -> None:
    broken = gen.workspace_object(resource={"count": "many"})
    verdict = update(broken, gen.workspace_object())
    assert verdict.is_judged
    assert not verdict.violations


def test_a_field_of_a_wrong_type_is_named() -> None:
    (violation,) = judged(object=gen.workspace_object(resource={"count": "many"})).violations
    assert violation.field == "resource.count"
    assert violation.remedy == "see kubectl explain workspace"


def test_what_is_judged_needs_no_name() -> None:
    """A rule about names must not be needed for what is let through."""
    assert not is_judged(read_review(request_body(operation="DELETE", object=None, name=None)))


# --- answering ------------------------------------------------------------------------------------


def test_a_refusal_reads_like_the_api_servers_own() -> None:
    first = Violation("rule-a", "resource.count", "it is odd", "make it even")
    second = Violation("rule-b", "inference", "it is empty", "fill it")
    said = answer(read_review(request_body()), Verdict(violations=[first, second]))
    assert said == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {
            "uid": "42",
            "allowed": False,
            "status": {
                "status": "Failure",
                "code": 422,
                "reason": "Invalid",
                "message": (
                    "resource.count: it is odd; make it even\ninference: it is empty; fill it"
                ),
                "details": {
                    "name": "chat",
                    "group": "kaito.sh",
                    "kind": "Workspace",
                    "causes": [
                        {
                            "reason": "rule-a",
                            "field": "resource.count",
                            "message": "it is odd; make it even",
                        },
                        {
                            "reason": "rule-b",
                            "field": "inference",
                            "message": "it is empty; fill it",
                        },
                    ],
                },
            },
        },
    }


def test_a_warning_is_one_line() -> None:
    said = answer(read_review(request_body()), Verdict(warnings=["one\ntwo  three"]))
    assert said["response"] == {"uid": "42", "allowed": True, "warnings": ["one two three"]}


def test_an_answer_without_anything_to_say_is_short() -> None:
    said = answer(read_review(request_body()), UNREAD)
    assert said["response"] == {"uid": "42", "allowed": True}
