"""What a node has, by the catalogue or by its labels, and what of it a pod gets."""

from __future__ import annotations

from typing import Any

import pytest

from api import names
from api.preset import Accelerator, AcceleratorVendor
from planner.hardware import (
    accelerator_for,
    accelerator_of,
    accelerator_of_node,
    least_of,
    wanted_instance_type,
)
from planner.mig import memory_bytes
from planner.world import NodeFacts, PlatformSettings
from tests import gen

GIB = 2**30
CATALOGUE = gen.catalogue(
    instance_types=(
        gen.instance_type("onebox.small"),
        gen.instance_type("known.large", vendor="nvidia", gpu_count=4, memory="80Gi"),
        gen.instance_type("known.small", vendor="nvidia", gpu_count=8, memory="16Gi"),
    )
)
BYO = PlatformSettings(provisioner="byo")
CLOUD = PlatformSettings(provisioner="karpenter", default_instance_type="known.large")


def node(name: str, instance_type: str = "", gpus: int = 0, **labels: str) -> NodeFacts:
    """Return a node that the selector `apps=chat` matches."""
    own = {"apps": "chat", names.LABEL_INSTANCE_TYPE: instance_type}
    return NodeFacts(name, labels={**own, **labels}, is_ready=True, gpu_capacity=gpus)


def labelled(
    name: str, instance_type: str = "", *, product: str = "NVIDIA-A100-SXM4-80GB", **values: str
) -> NodeFacts:
    """Return a node as NVIDIA's feature discovery labels it."""
    written = {"count": "2", "memory": "81920", **values}
    labels = {
        names.LABEL_GPU_PRODUCT: product,
        names.LABEL_GPU_COUNT: written["count"],
        names.LABEL_GPU_MEMORY: written["memory"],
    }
    return node(name, instance_type, gpus=2, **labels)


def a100(count: int, gib: int = 80) -> Accelerator:
    return Accelerator(vendor=AcceleratorVendor.NVIDIA, model="A100", count=count, memory=gib * GIB)


# --- Which type is wanted -------------------------------------------------------------------------


def test_a_type_that_is_written_is_wanted_wherever_nodes_come_from() -> None:
    workspace = gen.workspace(instance_type="known.small")
    assert wanted_instance_type(workspace, CLOUD) == "known.small"
    assert wanted_instance_type(workspace, BYO) == "known.small"


def test_without_one_new_nodes_are_of_the_installations_type_and_existing_ones_of_any() -> None:
    workspace = gen.workspace(instance_type="")
    assert wanted_instance_type(workspace, CLOUD) == "known.large"
    assert wanted_instance_type(workspace, BYO) == ""


# --- One type -------------------------------------------------------------------------------------


def test_the_catalogue_knows_better_than_any_node() -> None:
    lying = labelled("a", "known.large", memory="1")
    assert accelerator_of("Known.Large", CATALOGUE, [lying]) == accelerator_of(
        "known.large", CATALOGUE
    )


def test_a_type_that_the_catalogue_lacks_is_read_from_labels() -> None:
    nodes = [labelled("a", "Standard_NX"), labelled("b", "Standard_Other", count="8")]
    assert accelerator_of("standard_nx", CATALOGUE, nodes) == a100(2)


def test_the_least_of_its_nodes_counts_whatever_their_order() -> None:
    nodes = [
        labelled("a", "Standard_NX", count="8", memory="40960"),
        labelled("b", "Standard_NX", count="4"),
    ]
    assert accelerator_of("Standard_NX", CATALOGUE, nodes) == a100(4, 40)
    assert accelerator_of("Standard_NX", CATALOGUE, reversed(nodes)) == a100(4, 40)


@pytest.mark.parametrize(
    ("sentence", "nodes"),
    [
        ("no node of it", []),
        ("no labels", [node("a", "Standard_NX", gpus=4)]),
        ("no memory", [labelled("a", "Standard_NX", memory="")]),
        ("nonsense for memory", [labelled("a", "Standard_NX", memory="80Gi")]),
        ("a memory that is none", [labelled("a", "Standard_NX", memory="0")]),
        ("a number without end", [labelled("a", "Standard_NX", memory="9" * 5000)]),
    ],
)
def test_nobody_may_know_a_type(sentence: str, nodes: list[NodeFacts]) -> None:
    assert accelerator_of("Standard_NX", CATALOGUE, nodes) is None, sentence


def test_no_type_is_nobodys() -> None:
    assert accelerator_of("", CATALOGUE, [labelled("a")]) is None


def test_without_a_label_of_their_number_the_gpus_that_a_node_shows_count() -> None:
    assert accelerator_of_node(labelled("a", count=""), CATALOGUE) == a100(2)


@pytest.mark.parametrize(
    ("product", "model"),
    [
        ("NVIDIA-A100-SXM4-80GB", "A100"),
        ("Tesla-T4", "T4"),
        ("NVIDIA-H100-NVL-MIG-1g.12gb", "H100"),
        ("", "GPU"),
    ],
)
def test_models_are_called_as_in_the_catalogue(product: str, model: str) -> None:
    found = accelerator_of_node(labelled("a", product=product), CATALOGUE)
    assert found is not None
    assert found.model == model


# --- A Workspace ----------------------------------------------------------------------------------


def for_workspace(
    nodes: list[NodeFacts], settings: PlatformSettings = BYO, **resource: Any
) -> Accelerator | None:
    instance_type = resource.pop("instanceType", "")
    workspace = gen.workspace(instance_type=instance_type, resource=resource)
    return accelerator_for(workspace, settings, CATALOGUE, nodes)


def test_a_workspace_with_a_type_has_what_the_type_has() -> None:
    found = for_workspace([labelled("a", count="1")], instanceType="known.large")
    assert found == CATALOGUE.instance_types["known.large"].accelerator


def test_a_workspace_without_a_type_has_what_every_matching_node_has() -> None:
    foreign = NodeFacts("c", labels={}, is_ready=True, gpu_capacity=1)
    found = for_workspace([node("a", "known.large"), node("b", "known.small"), foreign])
    assert found is not None
    assert (found.count, found.memory) == (4, 16 * GIB)


def test_nodes_that_restart_still_have_their_gpus() -> None:
    restarting = NodeFacts("a", labels=node("a", "known.large").labels, is_ready=False)
    assert for_workspace([restarting]) is not None


def test_nodes_without_gpus_do_not_count() -> None:
    assert for_workspace([node("cpus"), node("a", "known.small")]) == least_of(
        [node("a", "known.small")], CATALOGUE
    )


def test_a_workspace_that_matches_no_known_node_has_nobody_knows_what() -> None:
    assert for_workspace([]) is None
    assert for_workspace([node("a", "Standard_NX", gpus=8)]) is None


def test_a_workspace_on_a_fallback_has_what_its_nodes_have() -> None:
    nodes = [node("a", "known.small"), node("b", "known.small")]
    fallback = {"instanceType": "known.large", "fallbackInstanceTypes": ["Known.Small"]}
    found = for_workspace(nodes, CLOUD, **fallback)
    assert found == CATALOGUE.instance_types["known.small"].accelerator
    mixed = for_workspace([*nodes, node("c", "known.large")], CLOUD, **fallback)
    assert mixed == CATALOGUE.instance_types["known.large"].accelerator


# --- Partitions -----------------------------------------------------------------------------------


def test_a_mig_slice_is_one_small_gpu() -> None:
    partition = {"mode": "mig", "profile": "2g.20gb"}
    found = for_workspace([], instanceType="known.large", partition=partition)
    assert found is not None
    assert (found.count, found.memory, found.model) == (1, 20 * GIB, "test MIG 2g.20gb")
    assert found.vendor is AcceleratorVendor.NVIDIA


def test_a_mig_slice_is_known_where_its_gpu_is_not() -> None:
    found = for_workspace([], partition={"mode": "mig", "profile": "1g.10gb"})
    assert found is not None
    assert found.memory == 10 * GIB


def test_some_gpus_of_a_node_are_fewer_of_the_same() -> None:
    partition = {"mode": "accelerator", "count": 2}
    found = for_workspace([], instanceType="known.large", partition=partition)
    assert found is not None
    assert (found.count, found.memory) == (2, 80 * GIB)


@pytest.mark.parametrize(
    "partition",
    [
        {"mode": "mig", "profile": "large"},
        {"mode": "mig"},
        {"mode": "accelerator"},
        {"mode": "accelerator", "count": 0},
    ],
)
def test_a_partition_that_is_none_takes_nothing_away(partition: dict[str, Any]) -> None:
    found = for_workspace([], instanceType="known.large", partition=partition)
    assert found == CATALOGUE.instance_types["known.large"].accelerator


@pytest.mark.parametrize(
    ("profile", "gib"), [("1g.5gb", 5), ("7g.141gb", 141), ("1g.0gb", None), ("10gb", None)]
)
def test_a_profile_names_its_memory(profile: str, gib: int | None) -> None:
    assert memory_bytes(profile) == (gib * GIB if gib else None)
