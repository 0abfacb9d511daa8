"""Node classes that the platform makes where its operator asked for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.render.node_class import NodeClass, render_node_class
from presets.loader import load_catalogue

AKS = NodeClass(create=True)
EKS = NodeClass(group="karpenter.k8s.aws", kind="EC2NodeClass", create=True, cluster_name="models")


def test_an_aks_node_class_has_room_for_models_and_leaves_the_rest_to_karpenter() -> None:
    made = render_node_class(AKS)
    assert made["apiVersion"] == "karpenter.azure.com/v1beta1"
    assert made["kind"] == "AKSNodeClass"
    assert made["metadata"]["name"] == "default"
    assert made["spec"] == {"imageFamily": "Ubuntu", "osDiskSizeGB": 1024}


def test_an_ec2_node_class_is_found_by_the_clusters_name() -> None:
    made = render_node_class(EKS)
    assert made["apiVersion"] == "karpenter.k8s.aws/v1"
    spec = made["spec"]
    assert spec["role"] == "KarpenterNodeRole-models"
    tags = [{"tags": {"karpenter.sh/discovery": "models"}}]
    assert spec["subnetSelectorTerms"] == spec["securityGroupSelectorTerms"] == tags
    assert spec["amiSelectorTerms"] == [{"alias": "al2023@latest"}]
    assert spec["blockDeviceMappings"][0]["ebs"]["volumeSize"] == "1024Gi"


def test_what_the_operator_says_goes_before_defaults() -> None:
    changed = replace(
        EKS, role="mine", image_family="bottlerocket@latest", disk_gib=200, tags={"team": "ml"}
    )
    spec = render_node_class(changed)["spec"]
    assert spec["role"] == "mine"
    assert spec["amiSelectorTerms"] == [{"alias": "bottlerocket@latest"}]
    assert spec["blockDeviceMappings"][0]["ebs"]["volumeSize"] == "200Gi"
    assert spec["tags"] == {"team": "ml"}


def test_the_default_disk_holds_every_model_of_the_catalogue() -> None:
    largest = max(
        int(preset.disk.removesuffix("Gi")) for preset in load_catalogue().presets.values()
    )
    # The kubelet keeps a tenth of the disk for itself.
    assert largest < NodeClass().disk_gib * 0.9


@pytest.mark.parametrize(
    ("node_class", "words"),
    [
        (AKS, ""),
        (EKS, ""),
        (replace(EKS, cluster_name=""), "cluster's name"),
        (replace(AKS, disk_gib=4096), "30 to 2048 GB"),
        (replace(AKS, disk_gib=10), "30 to 2048 GB"),
        (NodeClass(group="karpenter.example", kind="OtherNodeClass", create=True), "must exist"),
        (NodeClass(group="karpenter.example", kind="OtherNodeClass"), ""),
    ],
)
def test_what_can_not_be_made_is_known_before_anything_is_asked(
    node_class: NodeClass, words: str
) -> None:
    problem = node_class.problem()
    assert words in problem
    assert bool(problem) == bool(words)


def test_other_node_classes_are_found_by_their_kind() -> None:
    other = NodeClass(group="karpenter.example", kind="OtherNodeClass")
    assert (other.api_version, other.plural) == ("v1", "othernodeclasses")
    assert replace(other, version="v2").api_version == "v2"
