"""Reports that say the same are not sent twice, whichever version computed their digest."""

from __future__ import annotations

import hashlib

from api import payloads as p
from workflows.reporter import digest_of

REPORT = p.ReportInput(
    workspace=p.WorkspaceRef(namespace="default", name="w"), phase=p.LifecyclePhase.READY
)
GIVEN_UP = p.GivenUp(revision="b", problem=p.Problem(reason="RuntimeFailed", message="crash loop"))


def test_a_report_without_news_has_the_digest_that_earlier_versions_computed() -> None:
    before_rollouts = REPORT.model_dump_json(exclude={"spec_revision", "given_up", "mode"})
    assert digest_of(REPORT) == hashlib.sha256(before_rollouts.encode()).hexdigest()[:16]


def test_what_was_given_up_and_what_is_asked_for_make_another_report() -> None:
    asked = REPORT.model_copy(update={"spec_revision": "b"})
    kept = asked.model_copy(update={"given_up": GIVEN_UP})
    assert len({digest_of(REPORT), digest_of(asked), digest_of(kept)}) == 3


def test_how_a_revision_comes_is_told_and_is_no_news_by_itself() -> None:
    assert digest_of(REPORT) == digest_of(
        REPORT.model_copy(update={"mode": p.RolloutMode.IN_PLACE})
    )
