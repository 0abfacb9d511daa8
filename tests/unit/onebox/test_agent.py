"""The node agent's contract, as far as no node has to start for it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from onebox import places
from onebox.agent.fleet import Fleet, to_the_end
from onebox.agent.machine import (
    CREATING,
    DELETING,
    FAILED,
    RUNNING,
    Machine,
    Refused,
    requested_machine,
)
from onebox.agent.server import application
from onebox.agent.store import Store
from onebox.kube import KubeClient
from onebox.node.spec import SYSTEM_INDEX, SYSTEM_NODE
from onebox.pki import CLUSTER_SUBJECTS, Authority, utc_now
from presets.loader import load_catalogue

Client = TestClient[Request, Application]

BODY: dict[str, Any] = {
    "instanceType": "onebox.large",
    "tags": {"claim": "ws1"},
    "labels": {"apps": "chat"},
    "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
}


def machine(name: str, index: int = 2, *, state: str = RUNNING, **tags: str) -> Machine:
    return Machine(name, "onebox.small", index, f"2026-11-0{index}", state=state, tags=tags)


@pytest.fixture
def store(run_folder: Path) -> Store:
    return Store()


@pytest.fixture
def fleet(store: Store, run_folder: Path) -> Fleet:
    """Return a fleet of at most two machines; its cluster is never asked here."""
    authority = Authority(run_folder / "pki")
    authority.ensure_authority(utc_now())
    authority.ensure(CLUSTER_SUBJECTS, utc_now())
    authority.write_kubeconfig(places.kubeconfig(), "admin")
    return Fleet(store, KubeClient(places.kubeconfig()), node_limit=2)


@pytest_asyncio.fixture
async def client(fleet: Fleet) -> AsyncIterator[Client]:
    async with TestClient(TestServer(application(fleet))) as running:
        yield running


# --- a request ------------------------------------------------------------------------------------


def test_a_request_becomes_a_node_with_its_labels_and_taints() -> None:
    found = requested_machine("gpu-1", BODY, index=3, created_at="now")
    assert found.to_answer() == {
        "name": "gpu-1",
        "instanceType": "onebox.large",
        "state": CREATING,
        "message": "",
        "tags": {"claim": "ws1"},
        "providerID": "onebox:///gpu-1",
        "createdAt": "now",
    }
    assert found.gpu_count == 2
    assert found.node.labels == {
        "apps": "chat",
        "node.kubernetes.io/instance-type": "onebox.large",
    }
    assert found.node.taints == tuple(BODY["taints"])
    assert found.node.provider_id == "onebox:///gpu-1"


def test_a_cloud_above_the_agent_brings_type_gpus_and_provider_id(store: Store) -> None:
    body = BODY | {
        "instanceType": "Standard_NC48ads_A100_v4",
        "gpuCount": 3,
        "providerID": "azure:///subscriptions/1/vmss/0",
    }
    asked = requested_machine("gpu-1", body, index=3, created_at="now")
    store.keep(asked)
    for found in (asked, *Store().all()):
        assert found.gpu_count == 3
        assert found.node.provider_id == found.provider_id == "azure:///subscriptions/1/vmss/0"
        assert found.node.labels["node.kubernetes.io/instance-type"] == ("Standard_NC48ads_A100_v4")
        assert found.to_answer()["providerID"] == "azure:///subscriptions/1/vmss/0"


def test_a_machine_of_an_older_onebox_is_read_as_its_own(store: Store, run_folder: Path) -> None:
    store.keep(machine("old"))
    path = run_folder / "machines" / "old.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["givenProviderID"], record["givenGpuCount"]
    path.write_text(json.dumps(record), encoding="utf-8")
    (found,) = Store().all()
    assert (found.provider_id, found.gpu_count) == ("onebox:///old", 1)


def test_every_instance_type_of_the_catalogue_has_as_many_gpus_as_it_says() -> None:
    catalogue = load_catalogue()
    for name in ("onebox.small", "onebox.large"):
        known = catalogue.instance_type(name)
        assert known is not None
        made = requested_machine("n", {"instanceType": name}, index=2, created_at="")
        assert made.gpu_count == known.gpu_count


@pytest.mark.parametrize("instance_type", ["onebox.huge", "", None, 5, ["onebox.small"]])
def test_an_unknown_instance_type_is_refused_with_the_known_ones(instance_type: object) -> None:
    with pytest.raises(Refused, match=r"onebox\.large, onebox\.small") as caught:
        requested_machine("n", {"instanceType": instance_type}, index=2, created_at="")
    assert (caught.value.status, caught.value.code) == (400, "SkuNotAvailable")


@pytest.mark.parametrize("name", ["", "Upper", "-a", "a-", "a" * 64, "a/b", "..", SYSTEM_NODE])
def test_a_name_that_no_node_can_have_is_refused(name: str) -> None:
    with pytest.raises(Refused) as caught:
        requested_machine(name, BODY, index=2, created_at="")
    assert (caught.value.status, caught.value.code) == (400, "BadRequest")


@pytest.mark.parametrize(
    "wrong",
    [
        {"tags": {"a": 1}},
        {"labels": ["a"]},
        {"taints": [{"key": "a"}]},
        {"taints": ["a"]},
        {"taints": 5},
        {"taints": [{"key": "a", "effect": "NoSchedule", "more": "b"}]},
        {"gpuCount": -1},
        {"gpuCount": 17},
        {"gpuCount": "1"},
        {"gpuCount": True},
        {"providerID": 5},
        {"providerID": "azure"},
        {"providerID": "azure://a b"},
    ],
)
def test_a_malformed_field_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        requested_machine("n", BODY | wrong, index=2, created_at="")
    assert caught.value.code == "BadRequest"


# --- the store ------------------------------------------------------------------------------------


def test_a_killed_agent_finds_its_machines_again(store: Store) -> None:
    kept = requested_machine("gpu-1", BODY, index=3, created_at="2026")
    store.keep(kept)
    store.keep(kept.moved_to(FAILED, "the disk is full"))
    assert Store().all() == [kept.moved_to(FAILED, "the disk is full")]


def test_a_forgotten_machine_stays_forgotten(store: Store) -> None:
    store.keep(machine("a"))
    store.forget("a")
    store.forget("a")
    assert store.find("a") is None
    assert Store().all() == []


def test_a_file_that_was_cut_off_does_not_hide_the_others(store: Store, run_folder: Path) -> None:
    store.keep(machine("a"))
    (run_folder / "machines" / "b.json").write_text('{"name": "b"')
    (run_folder / "machines" / "c.json").write_text("{}")
    assert [found.name for found in Store().all()] == ["a"]


def test_machines_are_listed_oldest_first(store: Store) -> None:
    for name, index in (("c", 4), ("a", 3), ("b", 2)):
        store.keep(machine(name, index))
    assert [found.name for found in store.all()] == ["b", "a", "c"]


def test_an_index_is_used_again_once_it_is_free_and_never_twice(store: Store) -> None:
    assert store.free_index() == SYSTEM_INDEX + 1
    store.keep(machine("a", 2))
    store.keep(machine("b", 4))
    assert store.free_index() == 3
    store.keep(machine("c", 3))
    assert store.free_index() == 5
    store.forget("a")
    assert store.free_index() == 2


# --- the fleet ------------------------------------------------------------------------------------


def test_beyond_the_limit_there_is_no_capacity(fleet: Fleet, store: Store) -> None:
    store.keep(machine("a", 2))
    store.keep(machine("b", 3, state=FAILED))  # a failed machine holds its place until deleted
    with pytest.raises(Refused, match="--node-limit") as caught:
        fleet.create("c", BODY)
    assert (caught.value.status, caught.value.code) == (409, "InsufficientCapacity")
    assert store.find("c") is None


def test_asking_again_for_a_machine_changes_nothing(fleet: Fleet, store: Store) -> None:
    kept = store.keep(machine("a", 2))
    store.keep(machine("b", 3))
    assert fleet.create("a", BODY) == (kept, False)  # also at the limit


def test_what_is_unknown_is_refused_before_the_limit_counts(fleet: Fleet, store: Store) -> None:
    store.keep(machine("a", 2))
    store.keep(machine("b", 3))
    with pytest.raises(Refused) as caught:
        fleet.create("c", {"instanceType": "x"})
    assert caught.value.code == "SkuNotAvailable"


def test_deleting_what_is_gone_says_so(fleet: Fleet) -> None:
    with pytest.raises(Refused) as caught:
        fleet.delete("a")
    assert (caught.value.status, caught.value.code) == (404, "NotFound")


def test_a_machine_that_is_being_deleted_is_not_deleted_twice(fleet: Fleet, store: Store) -> None:
    kept = store.keep(machine("a", state=DELETING))
    assert fleet.delete("a") == kept


def test_machines_are_found_by_all_of_their_tags(fleet: Fleet, store: Store) -> None:
    store.keep(machine("a", 2, claim="x", zone="1"))
    store.keep(machine("b", 3, claim="x"))
    assert [found.name for found in fleet.matching({"claim": "x"})] == ["a", "b"]
    assert [found.name for found in fleet.matching({"claim": "x", "zone": "1"})] == ["a"]
    assert fleet.matching({"claim": "y"}) == []
    assert len(fleet.matching({})) == 2


# --- over HTTP ------------------------------------------------------------------------------------


async def test_a_cancelled_start_of_a_node_ends_only_when_its_thread_has() -> None:
    began, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def start_node() -> None:
        began.set()
        may_end.wait(10)
        ended.set()

    boot = asyncio.create_task(to_the_end(start_node))
    await asyncio.to_thread(began.wait, 10)
    boot.cancel()
    done, _ = await asyncio.wait([boot], timeout=0.1)
    assert not done, "a removal would overtake the start"
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await boot
    assert ended.is_set()


async def test_the_agent_answers_in_the_contracts_words(client: Client, store: Store) -> None:
    kept = store.keep(machine("a", 2, claim="x"))
    store.keep(machine("b", 3))
    assert (await client.get("/healthz")).status == 200
    listed = await (await client.get("/v1/nodes", params={"tag": "claim=x"})).json()
    assert listed == {"nodes": [kept.to_answer()]}
    assert await (await client.get("/v1/nodes/a")).json() == kept.to_answer()
    again = await client.put("/v1/nodes/a", json=BODY)
    assert (again.status, await again.json()) == (200, kept.to_answer())


@pytest.mark.parametrize(
    ("request_line", "body", "expected"),
    [
        ("GET /v1/nodes/c", "", (404, "NotFound")),
        ("DELETE /v1/nodes/c", "", (404, "NotFound")),
        ("PUT /v1/nodes/c", json.dumps(BODY), (409, "InsufficientCapacity")),
        ("PUT /v1/nodes/c", '{"instanceType": "x"}', (400, "SkuNotAvailable")),
        ("PUT /v1/nodes/C", json.dumps(BODY), (400, "BadRequest")),
        ("PUT /v1/nodes/c", "{", (400, "BadRequest")),
        ("PUT /v1/nodes/c", "[]", (400, "BadRequest")),
    ],
)
async def test_a_refusal_has_a_code_and_a_message(
    client: Client, store: Store, request_line: str, body: str, expected: tuple[int, str]
) -> None:
    store.keep(machine("a", 2))
    store.keep(machine("b", 3))
    answer = await client.request(*request_line.split(), data=body)
    error = (await answer.json())["error"]
    assert (answer.status, error["code"]) == expected
    assert error["message"]
