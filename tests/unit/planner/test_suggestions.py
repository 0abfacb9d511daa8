"""Instance types that would carry a model, the smallest first."""

from __future__ import annotations

from api.preset import Catalogue, InstanceType, Preset, Price
from planner.suggestions import fitting_types
from tests import gen

RUNTIME = {"name": "vllm", "accelerators": ["nvidia"]}


def model(weights: str) -> Preset:
    return gen.preset(model={"weightsBytes": weights}, runtimes=[RUNTIME])


def machine(
    name: str, *, count: int = 1, memory: str = "80Gi", usd: float | None = None, gpu: str = "A100"
) -> InstanceType:
    made = gen.instance_type(name, vendor="nvidia", gpu_count=count, memory=memory)
    accelerator = made.accelerator.model_copy(update={"model": gpu})
    price = Price(usd_per_hour=usd, region="x", as_of="2026-01") if usd is not None else None
    return made.model_copy(update={"accelerator": accelerator, "price": price})


def names(preset: Preset, *types: InstanceType, max_nodes: int = 8) -> list[str]:
    catalogue = Catalogue.of((preset,), types)
    found = fitting_types(preset, preset.runtimes[0], catalogue, "test", max_nodes=max_nodes)
    return [one.instance_type for one in found]


def test_fewer_nodes_come_before_less_money_and_a_price_before_none() -> None:
    found = names(
        model("100Gi"),
        machine("two-of-these", usd=1.0),
        machine("unpriced", count=4),
        machine("dear", count=4, usd=9.0),
        machine("cheap", count=2, memory="140Gi", usd=8.0),
    )
    assert found == ["cheap", "dear", "unpriced", "two-of-these"]


def test_what_is_too_small_too_old_or_of_another_vendor_is_left_out() -> None:
    found = names(
        model("60Gi"),
        machine("fits"),
        machine("small", memory="16Gi"),
        machine("old", gpu="V100"),
        gen.instance_type("emulated", memory="80Gi"),
        max_nodes=1,
    )
    assert found == ["fits"]


def test_only_types_of_the_provider_count() -> None:
    preset = model("60Gi")
    elsewhere = machine("elsewhere").model_copy(update={"provider": "other"})
    assert names(preset, elsewhere) == []


def test_the_price_is_that_of_all_nodes() -> None:
    preset = model("100Gi")
    catalogue = Catalogue.of((preset,), (machine("half", usd=1.5),))
    (found,) = fitting_types(preset, preset.runtimes[0], catalogue, "test", max_nodes=8)
    assert (found.nodes, found.usd_per_hour) == (2, 3.0)
