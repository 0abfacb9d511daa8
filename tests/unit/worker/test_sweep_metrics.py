"""The numbers of sweeps: there from the start, and counted by kind and outcome."""

from __future__ import annotations

from api.payloads import RepairOutcome, StrayKind
from worker.metrics import Metrics


def shown(metrics: Metrics) -> dict[str, float]:
    lines = metrics.render().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(("kaito_s",)))
    return {name: float(value) for name, value in pairs}


def test_every_kind_and_outcome_is_shown_before_anything_happened() -> None:
    numbers = shown(Metrics())
    for kind in StrayKind:
        assert numbers[f'kaito_strays_found_total{{kind="{kind}"}}'] == 0
        for outcome in RepairOutcome:
            name = f'kaito_strays_treated_total{{kind="{kind}",outcome="{outcome}"}}'
            assert numbers[name] == 0


def test_looks_and_repairs_are_counted() -> None:
    metrics = Metrics()
    metrics.sweep.found_strays({StrayKind.MACHINE_WITHOUT_CLAIM: 2}, [])
    metrics.sweep.found_strays({}, ["Workspaces: the API server does not answer"])
    metrics.sweep.repaired_stray(StrayKind.MACHINE_WITHOUT_CLAIM, RepairOutcome.REPAIRED)
    numbers = shown(metrics)
    assert numbers['kaito_strays_found_total{kind="MachineWithoutClaim"}'] == 2
    name = 'kaito_strays_treated_total{kind="MachineWithoutClaim",outcome="repaired"}'
    assert numbers[name] == 1
    assert numbers['kaito_sweep_looks_total{is_complete="true"}'] == 1
    assert numbers['kaito_sweep_looks_total{is_complete="false"}'] == 1
    assert numbers["kaito_sweep_last_look_timestamp_seconds"] > 0
