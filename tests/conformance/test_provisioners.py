"""What every provisioner promises, asked of each with its own cloud behind it."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from activities.clients.azure import AzureFailed
from activities.clients.onebox_agent import AgentError
from activities.errors import translate
from activities.provisioners import Machine, MachineRequest, Provisioner
from api import names
from api.errors import CapacityUnavailable, PlatformError, ProviderFailed
from tests.conformance.subjects import Subject
from tests.harness.waiting import eventually


def request_of(subject: Subject, owner: str = "owner", **fields: object) -> MachineRequest:
    settings: dict[str, object] = {
        "name": f"ws{uuid.uuid4().hex[:10]}",
        "instance_type": subject.instance_type,
        "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_WORKSPACE: "chat"},
        "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
        "tags": {names.LABEL_WORKSPACE_UID: owner},
        "claim_uid": str(uuid.uuid4()),
        **fields,
    }
    return MachineRequest(**settings)  # type: ignore[arg-type] # a test's own fields


async def running(provisioner: Provisioner, name: str) -> Machine:
    """Wait until the provider says that the machine runs."""
    found = await eventually(
        lambda: provisioner.observe(name),
        what=f"machine {name} running",
        accept=lambda machine: machine is not None and machine.state == "running",
    )
    assert found is not None
    return found


async def gone(provisioner: Provisioner, name: str) -> None:
    """Ask for a machine's end until it has come, as the activity does."""

    async def look() -> Machine | None:
        machine = await provisioner.observe(name)
        if machine is not None and machine.state != "deleting":
            await provisioner.terminate(name)
        return machine

    await eventually(look, what=f"the end of {name}", accept=lambda machine: machine is None)


async def test_a_machine_is_asked_for_comes_and_goes(
    subject: Subject, provisioner: Provisioner
) -> None:
    subject.promises("buys")
    request = request_of(subject)

    launched = await provisioner.launch(request)

    assert launched.created
    assert launched.state == "creating"
    assert (await running(provisioner, request.name)).provider_id == launched.provider_id
    assert subject.alive() == [request.name]
    await gone(provisioner, request.name)
    assert subject.alive() == []


async def test_asking_twice_buys_one(subject: Subject, provisioner: Provisioner) -> None:
    subject.promises("buys")
    request = request_of(subject)

    first = await provisioner.launch(request)
    second = await provisioner.launch(request)
    await running(provisioner, request.name)
    third = await provisioner.launch(request)

    assert [one.created for one in (first, second, third)] == [True, False, False]
    assert {one.provider_id for one in (first, second, third)} == {first.provider_id}
    assert subject.bought_count() == 1


async def test_asking_from_many_workers_at_once_buys_one(
    subject: Subject, provisioner: Provisioner, another_process: Provisioner
) -> None:
    subject.promises("buys")
    request = request_of(subject)

    await asyncio.gather(
        *(who.launch(request) for who in (provisioner, another_process) for _ in range(5))
    )

    assert subject.alive() == [request.name]
    assert subject.bought_count() == 1


async def test_who_crashed_between_asking_and_telling_finds_the_machine_again(
    subject: Subject, provisioner: Provisioner, another_process: Provisioner
) -> None:
    subject.promises("buys")
    request = request_of(subject)
    await provisioner.launch(request)

    again = await another_process.launch(request)

    assert not again.created
    assert (await running(another_process, request.name)).provider_id == again.provider_id
    assert subject.bought_count() == 1


async def test_an_operation_is_looked_at_by_another_worker_that_has_its_token(
    subject: Subject, provisioner: Provisioner, another_process: Provisioner
) -> None:
    subject.promises("buys")
    subject.be_slow(0.5)
    request = request_of(subject)
    launched = await provisioner.launch(request)

    seen = await another_process.observe(request.name, launched.operation)

    assert seen is not None
    assert seen.state == "creating"
    assert subject.bought_count() == 1


async def test_a_refusal_is_one_of_capacity_in_the_providers_words(
    subject: Subject, provisioner: Provisioner
) -> None:
    words = subject.run_out()

    refusal = await refused(provisioner, request_of(subject))

    assert isinstance(refusal, CapacityUnavailable)
    assert words in str(refusal)
    assert subject.alive() == []


async def refused(provisioner: Provisioner, request: MachineRequest) -> PlatformError | None:
    """Ask, and return the refusal as one of our errors."""
    try:
        await provisioner.launch(request)
    except (PlatformError, AzureFailed, AgentError) as error:
        return translate(error)
    return None


async def test_a_machine_that_fails_late_says_why_and_makes_room_for_the_next_attempt(
    subject: Subject, provisioner: Provisioner
) -> None:
    subject.promises("late")
    words = subject.run_out_late()
    request = request_of(subject)
    launched = await provisioner.launch(request)

    failed = await eventually(
        lambda: provisioner.observe(request.name, launched.operation),
        what="the machine's failure",
        accept=lambda machine: machine is not None and machine.state == "failed",
    )

    assert failed is not None
    assert isinstance(failed.error, CapacityUnavailable)
    assert words in str(failed.error)
    await eventually(
        lambda: refused(provisioner, request),
        what="another attempt",
        accept=lambda refusal: refusal is None,
    )
    await running(provisioner, request.name)
    assert subject.alive() == [request.name]


async def test_what_was_never_asked_for_is_not_there_and_may_be_ended(
    subject: Subject, provisioner: Provisioner
) -> None:
    assert await provisioner.observe("wsnobody") is None
    await provisioner.terminate("wsnobody")
    assert subject.alive() == []


async def test_a_machine_that_is_still_coming_can_be_ended(
    subject: Subject, provisioner: Provisioner
) -> None:
    subject.promises("buys")
    subject.be_slow(1.0)
    request = request_of(subject)
    await provisioner.launch(request)

    await gone(provisioner, request.name)

    assert subject.alive() == []
    assert subject.bought_count() == 1


async def test_only_machines_with_the_tags_are_listed(
    subject: Subject, provisioner: Provisioner
) -> None:
    subject.promises("buys")
    mine = [request_of(subject, owner="me") for _ in range(2)]
    for request in (*mine, request_of(subject, owner="somebody")):
        await provisioner.launch(request)

    found = await provisioner.list_owned({names.LABEL_WORKSPACE_UID: "me"})

    assert found == sorted(request.name for request in mine)
    assert await provisioner.list_owned({names.LABEL_WORKSPACE_UID: "nobody"}) == []


async def test_a_strangers_machine_of_the_same_name_is_never_touched(
    subject: Subject, provisioner: Provisioner
) -> None:
    subject.promises("strangers")
    request = request_of(subject)
    subject.put_strangers_machine(request.name)

    with pytest.raises(ProviderFailed, match="not made by this platform"):
        await provisioner.launch(request)
    assert await provisioner.observe(request.name) is None
    await provisioner.terminate(request.name)

    assert subject.alive() == [request.name]
    assert await provisioner.list_owned({names.LABEL_WORKSPACE_UID: "owner"}) == []
