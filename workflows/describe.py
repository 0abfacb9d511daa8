"""Words for people: of a whole Workspace for Temporal's UI, and of an offer in a sentence."""

from __future__ import annotations

from api import payloads as p
from api.workflow_inputs import WorkspaceState


def text(state: WorkspaceState, plan: p.WorkspacePlan | None) -> str:
    """Return the whole story in Markdown: phase, steps with seconds, trouble, past operations."""
    lines = [f"**{state.phase}**{_about(state, plan)}", ""]
    lines += [f"- {_step(record)}" for record in state.timeline]
    if plan is not None and plan.announcement and state.operation_started_at is not None:
        lines += ["", plan.announcement]
    if state.problem is not None:
        lines += ["", f"Problem: {state.problem.reason}: {state.problem.message}"]
    if state.given_up is not None:
        lines += ["", _given_up(state.given_up, state.restore)]
    if state.awaiting_revision:
        lines += ["", f"Revision {state.awaiting_revision} waits. Send `approve` to carry it out."]
    if state.force_delete_reason:
        lines += ["", f"Let go by force: {state.force_delete_reason}"]
        lines += [f"- left behind: {left}" for left in state.leftovers]
    if state.is_paused:
        lines += ["", f"Paused: {state.paused_reason}. Send `resume` to go on."]
    if state.last_refusal:
        lines += ["", state.last_refusal]
    if state.history:
        lines += ["", "Operations before:"]
        lines += [f"- {_operation(record)}" for record in reversed(state.history)]
    return "\n".join(lines)


def offer_words(offer: p.Offer) -> str:
    """Return what an offer is called in a sentence."""
    where = f" in zone {offer.zone}" if offer.zone else ""
    return f"{offer.instance_type} {offer.capacity_type}{where}"


def next_offer_words(plan: p.WorkspacePlan, offer: p.Offer) -> str:
    """Return what is tried after the plan's offer failed."""
    if offer.zone:
        return "trying the next zone or candidate next"
    asked = (offer.instance_type, offer.capacity_type)
    left = [
        f"{one.instance_type} {one.capacity_type}"
        for one in plan.candidates
        if not one.problem and (one.instance_type, one.capacity_type) != asked
    ]
    return f"trying {left[0]} next" if left else "no other candidate is left"


def _given_up(given_up: p.GivenUp, restore: str) -> str:
    problem = given_up.problem
    return (
        f"Given up: revision {given_up.revision} ({problem.reason}: {problem.message}). Revision "
        f"{restore} is kept in its stead. Correct the spec, or send `retry`."
    )


def _about(state: WorkspaceState, plan: p.WorkspacePlan | None) -> str:
    if plan is None:
        return ""
    model = f"{plan.preset} on {plan.instance_type}" if plan.preset else plan.instance_type
    return f": generation {state.generation}, revision {plan.revision or '-'}, {model}"


def _step(record: p.StepRecord) -> str:
    words = f"{record.step}: {record.state}"
    if record.seconds:
        words += f", {record.seconds:.1f} s"
    if record.attempts > 1:
        words += f", attempt {record.attempts}"
    if record.reason:
        words += f" ({record.reason}: {record.message})"
    elif record.message:
        words += f" ({record.message})"
    return words


def _operation(record: p.OperationRecord) -> str:
    words = f"{record.outcome} after {record.seconds:.0f} s, revision {record.revision or '-'}"
    told = [part for part in (record.reason, record.message) if part]
    return f"{words} ({': '.join(told)})" if told else words
