"""Rules on whether the model runs on the accelerators, and fits into their memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api.errors import FeatureNotAvailable, InstanceTypeTooSmall
from api.preset import Accelerator, AcceleratorVendor, Catalogue, Preset, Runtime
from planner.amounts import gibibytes
from planner.fit import fit_model
from planner.hardware import accelerator_for, accelerator_of, partitioned
from planner.rules.base import Case, Fault, Rule, choose, rule
from planner.sizing import DoesNotFit

_TYPE: Final = "resource.instanceType"


@rule(_TYPE, FeatureNotAvailable)
def accelerator_is_served(case: Case) -> Iterator[Fault]:
    """The model has a runtime image for the accelerators of the instance type."""
    known, runtime, preset = case.instance_type, case.runtime, case.preset
    if known is None or runtime is None or preset is None:
        return
    if known.accelerator.vendor not in runtime.accelerators:
        yield _without_image(case, preset, runtime, _called(case), known.accelerator)


@rule(_TYPE, InstanceTypeTooSmall)
def model_fits(case: Case) -> Iterator[Fault]:
    """The model fits into the accelerators' memory, on as many nodes as may be used for it."""
    fault = serving_misfit(case)
    if fault is not None and not case.bypasses_checks:
        yield fault


@rule(_TYPE, InstanceTypeTooSmall)
def tuning_fits(case: Case) -> Iterator[Fault]:
    """What tuning the model takes is there on one node."""
    fault = tuning_misfit(case)
    if fault is not None and not case.bypasses_checks:
        yield fault


def serving_misfit(case: Case) -> Fault | None:
    """Return why the model can't be served on the wanted nodes; None when it can, or may."""
    if case.catalogue is None:
        return None
    accelerator = accelerator_for(case.workspace, case.settings, case.catalogue)
    field = _TYPE if case.workspace.resource.partition is None else "resource.partition"
    return _misfit(case, accelerator, field)


def fallback_misfit(case: Case, name: str) -> Fault | None:
    """Return, likewise, why it can't be served on nodes of a fallback type."""
    runtime, preset = case.runtime, case.preset
    if case.catalogue is None or runtime is None or preset is None:
        return None
    accelerator = accelerator_of(name, case.catalogue)
    if accelerator is not None and accelerator.vendor not in runtime.accelerators:
        return _without_image(case, preset, runtime, name, accelerator)
    return _misfit(case, partitioned(accelerator, case.workspace.resource.partition), _TYPE)


def _without_image(
    case: Case, preset: Preset, runtime: Runtime, called: str, accelerator: Accelerator
) -> Fault:
    return Fault(
        f"{called} has {accelerator.vendor} accelerators, and {preset.name} has no runtime image "
        "for them in this version",
        choose(_types_with(case.catalogue, set(runtime.accelerators))),
    )


def _misfit(case: Case, accelerator: Accelerator | None, field: str) -> Fault | None:
    runtime, preset = case.runtime, case.preset
    if runtime is None or preset is None or accelerator is None:
        return None
    if accelerator.vendor not in runtime.accelerators:
        return None
    found = fit_model(
        case.workspace,
        preset,
        runtime,
        accelerator,
        config=case.serving_config,
        settings=case.settings,
    )
    return Fault(found.message, found.remedy, field) if isinstance(found, DoesNotFit) else None


def tuning_misfit(case: Case) -> Fault | None:
    """Return why the model can't be tuned on the wanted nodes; None when it can, or may."""
    known, preset = case.instance_type, case.preset
    if case.workspace.tuning is None or known is None or preset is None or preset.tuning is None:
        return None
    needs, each = preset.tuning, known.gpu_memory_bytes
    remedy = "choose an instance type with more GPU memory, or a smaller model"
    has = f"{_called(case)} has {known.gpu_count} GPUs of {gibibytes(each)}"
    if known.gpu_count * each < needs.gpu_memory:
        return Fault(
            f"tuning {preset.name} takes {gibibytes(needs.gpu_memory)} of GPU memory, and {has}",
            remedy,
        )
    if needs.gpu_memory_each is not None and each < needs.gpu_memory_each:
        return Fault(
            f"tuning {preset.name} takes {gibibytes(needs.gpu_memory_each)} of each GPU, and {has}",
            remedy,
        )
    return None


def _called(case: Case) -> str:
    """Return the instance type as a message names it; nobody wrote the default one."""
    name = case.instance_type.name if case.instance_type is not None else case.wanted_type
    is_default = not case.workspace.resource.instance_type
    return f"{name}, the platform's default," if is_default else name


def _types_with(catalogue: Catalogue | None, vendors: set[AcceleratorVendor]) -> list[str]:
    if catalogue is None:
        return []
    return sorted(
        one.name for one in catalogue.instance_types.values() if one.accelerator.vendor in vendors
    )


RULES: Final[tuple[Rule, ...]] = (accelerator_is_served, model_fits, tuning_fits)
