"""The servers of the platform: every file that a flag names exists, no two want one port."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from onebox import (
    azure_emulator,
    cluster_dns,
    control_plane,
    places,
    registry,
    temporal,
    worker_process,
)
from onebox.cloud import AZURE_EMULATOR, Cloud
from onebox.processes import Program

MADE_LATER = {"etcd", "temporal.db"}
"""Data that the programs themselves make."""


@pytest.fixture
def programs(run_folder: Path, cache_folder: Path) -> Sequence[Program]:
    pki = run_folder / "pki"
    return (
        control_plane.etcd(pki),
        control_plane.api_server(pki),
        control_plane.controller_manager(pki),
        control_plane.scheduler(),
        registry.registry(),
        temporal.server(),
        worker_process.agent(2),
        worker_process.worker(Cloud()),
        azure_emulator.program(Cloud(AZURE_EMULATOR)),
    )


def test_every_file_that_a_flag_names_is_made_first(
    programs: Sequence[Program], run_folder: Path
) -> None:
    control_plane.prepare()
    registry.write_config()
    words = [word.rpartition("=")[2] for program in programs for word in program.command]
    named = {Path(word) for word in words if word.startswith(f"{run_folder}/")}
    assert len(named) > 10
    assert {path.name for path in named if not path.exists()} == MADE_LATER


def test_no_two_programs_want_one_port(programs: Sequence[Program]) -> None:
    wanted = [address for program in programs for address in program.listens]
    assert len(wanted) == len(set(wanted))
    assert all(program.listens for program in programs)


def test_the_cluster_leaves_loopback_to_others(programs: Sequence[Program]) -> None:
    for program in programs[:5]:
        assert {host for host, _ in program.listens} == {places.HOST_ADDRESS}, program.name
        assert not any("127.0.0.1" in word or "0.0.0.0" in word for word in program.command)  # noqa: S104


def test_what_is_for_this_machine_only_stays_on_loopback(programs: Sequence[Program]) -> None:
    for program in programs[5:]:
        assert {host for host, _ in program.listens} == {"127.0.0.1"}, program.name


def test_the_api_server_asks_everyone_who_they_are(programs: Sequence[Program]) -> None:
    flags = programs[1].command
    assert "--authorization-mode=Node,RBAC" in flags
    assert "--anonymous-auth=false" in flags
    assert f"--service-cluster-ip-range={places.SERVICE_NETWORK}" in flags


def test_the_registry_keeps_its_layers_where_down_does_not_reach(
    run_folder: Path, cache_folder: Path
) -> None:
    registry.write_config()
    kept = json.loads((run_folder / "registry.json").read_text())
    folder = Path(kept["storage"]["filesystem"]["rootdirectory"])
    assert folder.is_relative_to(cache_folder)
    assert not folder.is_relative_to(run_folder)
    assert kept["http"] == {"addr": places.REGISTRY}


def test_the_worker_is_told_where_everything_is(programs: Sequence[Program]) -> None:
    settings = next(one for one in programs if one.name == "worker").environment
    assert settings["KUBECONFIG"] == str(places.kubeconfig())
    assert settings["KAITO_ONEBOX_ENDPOINT"] == "http://127.0.0.1:7070"
    assert settings["KAITO_IMAGE_REGISTRY"] == places.REGISTRY
    namespaces = [cluster_dns.platform_namespace()["metadata"]["name"]]
    assert settings["KAITO_LEASE_NAMESPACE"] in namespaces
