"""Which recorded revision may serve in another one's stead.

The planner announces it before an edit and the workflow brings it back after a failure, so both ask
here.
"""

from __future__ import annotations

from collections.abc import Sequence

from api.payloads import RevisionOutcome, RevisionRecord


def good_revision(recorded: Sequence[RevisionRecord], active_revision: str, other_than: str) -> str:
    """Return the revision to bring back in another one's stead; empty when there is none.

    What has the traffic counts without a mark, too: traffic goes to nothing that nobody verified,
    and a worker may have died between the traffic and the mark.

    Args:
        recorded: What the cluster remembers, newest first.
        active_revision: That has the traffic; empty when none has.
        other_than: That failed, or may fail.
    """
    for one in recorded:
        is_active = one.revision == active_revision and one.revision != other_than
        if is_active and one.outcome is not RevisionOutcome.GIVEN_UP:
            return one.revision
    return newest_good(recorded, other_than)


def newest_good(recorded: Sequence[RevisionRecord], other_than: str) -> str:
    """Return the newest revision but one that was verified; empty when there is none."""
    good = (one.revision for one in recorded if one.outcome is RevisionOutcome.GOOD)
    return next((revision for revision in good if revision != other_than), "")
