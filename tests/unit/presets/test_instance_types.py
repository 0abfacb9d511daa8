"""The tables of instance types: complete, and with upstream's errors corrected."""

from __future__ import annotations

from typing import Final

import pytest

from api.preset import AcceleratorVendor, InstanceType
from presets.loader import load_catalogue
from tests import gen
from tests.unit.presets import upstream

TYPES: Final = {one.name: one for one in load_catalogue().instance_types.values()}
CLOUDS: Final = ("azure", "aws", "arc")

CORRECTED: Final = {
    # Upstream's total memory in GB, and ours per GPU in GiB. v0.12 has them right.
    ("v0.4.5", "Standard_ND96amsr_A100_v4"): (80, 80),
    ("v0.4.5", "Standard_NC16_A2"): (48, 16),
    ("v0.4.5", "Standard_NC32_A2"): (48, 16),
    ("v0.4.5", "Standard_NC16_A16"): (48, 16),
    ("v0.4.5", "Standard_NC32_A16"): (48, 16),
}
REAL_NAMES: Final = {
    "Standard_ND96asr_A100_v4": "Standard_ND96asr_v4",
    "g3s.4xlarge": "g3.4xlarge",
    "g3s.8xlarge": "g3.8xlarge",
    "g3s.16xlarge": "g3.16xlarge",
}
"""Names of upstream's, and of the provider's, for the same machine."""


def find(name: str) -> InstanceType:
    found = load_catalogue().instance_type(name)
    assert found is not None, name
    return found


@pytest.mark.parametrize(
    ("version", "provider", "count"),
    [
        ("v0.4.5", "azure", 27),
        ("v0.4.5", "aws", 59),
        ("v0.4.5", "arc", 10),
        ("v0.12", "azure", 14),
        ("v0.12", "aws", 35),
        ("v0.12", "arc", 8),
    ],
)
def test_every_type_of_upstream_is_there_with_its_gpus(
    version: str, provider: str, count: int
) -> None:
    expected = upstream.instance_types(version, provider)
    assert len(expected) == count
    for name, (gpu_count, total) in expected.items():
        found = find(name.upper())
        gib_each = total // gpu_count
        if (version, name) in CORRECTED:
            wrong, gib_each = CORRECTED[version, name]
            assert wrong == total
        assert (found.name, found.provider) == (name, provider)
        assert (found.gpu_count, found.gpu_memory_bytes) == (gpu_count, gib_each * 2**30), name


def test_a_corrected_value_says_so() -> None:
    for _, name in CORRECTED:
        assert "upstream" in find(name).note


def test_the_provider_s_own_name_of_a_machine_works_as_well() -> None:
    for theirs, real in REAL_NAMES.items():
        assert find(theirs).accelerator == find(real).accelerator
        assert (find(theirs).cpus, find(theirs).memory) == (find(real).cpus, find(real).memory)


def test_beyond_upstreams_there_are_only_real_names_and_oneboxs() -> None:
    theirs = {
        name
        for version in ("v0.4.5", "v0.12")
        for provider in CLOUDS
        for name in upstream.instance_types(version, provider)
    }
    assert set(TYPES) - theirs == {*REAL_NAMES.values(), "onebox.small", "onebox.large"}


def test_only_nvidia_s_accelerators_are_called_nvidia_s() -> None:
    models = {vendor: set[str]() for vendor in AcceleratorVendor}
    for one in TYPES.values():
        models[one.accelerator.vendor].add(one.accelerator.model)
    assert models == {
        AcceleratorVendor.NVIDIA: {
            *("K80", "M60", "V100", "T4", "T4G", "A2", "A10", "A10G", "A16", "L4"),
            *("A100", "H100", "H100 NVL", "H200"),
        },
        AcceleratorVendor.AMD: {"Radeon Instinct MI25", "Radeon PRO V620", "Radeon Pro V520"},
        AcceleratorVendor.NEURON: {"Trainium", "Inferentia2"},
        AcceleratorVendor.EMULATED: {"none"},
    }


def test_g5g_is_known_to_have_another_gpu_than_g4dn() -> None:
    assert find("g5g.xlarge").accelerator.model == "T4G"
    assert "Arm" in find("g5g.xlarge").note
    assert find("g4dn.xlarge").accelerator.model == "T4"


@pytest.mark.parametrize("provider", CLOUDS)
def test_cpus_and_memory_of_a_cloud_s_machines_are_known(provider: str) -> None:
    for one in TYPES.values():
        if one.provider == provider:
            assert one.cpus, one.name
            assert one.memory, one.name


def test_local_disks_are_those_that_upstream_counts_and_two_that_it_overlooks() -> None:
    with_disk = {one.name for one in TYPES.values() if one.provider == "azure" and one.local_disk}
    assert with_disk == {
        "Standard_NC24ads_A100_v4",
        "Standard_NC48ads_A100_v4",
        "Standard_NC96ads_A100_v4",
        "Standard_ND96amsr_A100_v4",
        "Standard_NC40ads_H100_v5",
        "Standard_NC80adis_H100_v5",
        "Standard_ND96isr_H100_v5",
        "Standard_ND96isr_H200_v5",
        "Standard_NG32ads_V620_v1",
        "Standard_NG32adms_V620_v1",
    }


def test_a_price_is_of_a_region_of_its_cloud() -> None:
    regions = {one.provider: one.price.region for one in TYPES.values() if one.price is not None}
    assert regions == {"azure": "eastus", "aws": "us-east-1"}


def test_prices_grow_with_the_machine() -> None:
    order = sorted(
        (one for one in TYPES.values() if one.price and one.name.startswith("g5.")),
        key=lambda one: (one.gpu_count, one.cpus),
    )
    prices = [one.price.usd_per_hour for one in order if one.price]
    assert len(prices) == 8
    assert prices == sorted(prices)


@pytest.mark.parametrize(
    ("name", "usd_per_hour"),
    [
        ("Standard_NC24ads_A100_v4", 3.673),
        ("Standard_NC4as_T4_v3", 0.526),
        ("g5.12xlarge", 5.672),
        ("p5.48xlarge", 55.04),
    ],
)
def test_known_list_prices(name: str, usd_per_hour: float) -> None:
    price = find(name).price
    assert price is not None
    assert price.usd_per_hour == usd_per_hour


@pytest.mark.parametrize("name", ["p5e.48xlarge", "Standard_NCC40ads_H100_v5", "Standard_NC4_A2"])
def test_a_price_that_is_not_known_is_left_out(name: str) -> None:
    assert find(name).price is None


def test_the_instance_type_that_settings_fall_back_to_is_known() -> None:
    default = gen.settings().default_instance_type
    assert find(default).accelerator.vendor is AcceleratorVendor.NVIDIA


def test_oneboxs_types_have_emulated_gpus() -> None:
    counts = {}
    for name in ("onebox.small", "onebox.large"):
        found = find(name)
        assert found.accelerator.vendor is AcceleratorVendor.EMULATED
        assert found.gpu_memory_bytes == 8 * 2**30
        counts[name] = found.gpu_count
    assert counts == {"onebox.small": 1, "onebox.large": 2}
