"""The cloud of an installation is chosen once, and the emulator above the agent is a program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from onebox import azure_emulator, cloud, places, status, worker_process
from onebox.cli import parser
from onebox.cloud import AZURE_EMULATOR, ONEBOX, Cloud
from onebox.errors import OneboxError
from tests.emulators.azure import __main__ as emulator
from tests.emulators.azure import state

QUOTAS = ("standardNCSv3Family=0", "cores=8")


def begin(run_folder: Path) -> None:
    (run_folder / "etcd").mkdir()


def test_without_a_choice_it_is_onebox(run_folder: Path) -> None:
    assert cloud.kept() is None
    assert cloud.settle(None, ()) == Cloud(ONEBOX)
    assert run_folder.joinpath("cloud.json").exists()


def test_what_was_chosen_is_kept_for_calls_that_choose_nothing(run_folder: Path) -> None:
    chosen = cloud.settle(AZURE_EMULATOR, QUOTAS)
    begin(run_folder)
    assert chosen == Cloud(AZURE_EMULATOR, QUOTAS)
    assert cloud.settle(None, ()) == cloud.settle(AZURE_EMULATOR, ()) == cloud.kept() == chosen


@pytest.mark.parametrize("kind", [ONEBOX, AZURE_EMULATOR])
def test_another_cloud_than_the_installations_is_refused(run_folder: Path, kind: str) -> None:
    cloud.settle(kind, ())
    begin(run_folder)
    other = AZURE_EMULATOR if kind == ONEBOX else ONEBOX
    with pytest.raises(OneboxError, match=f"began with --cloud {kind}") as caught:
        cloud.settle(other, ())
    assert "make down" in str(caught.value)
    assert cloud.kept() == Cloud(kind)


def test_a_choice_that_came_to_nothing_binds_nobody(run_folder: Path) -> None:
    cloud.settle(AZURE_EMULATOR, QUOTAS)
    assert cloud.settle(None, ()) == Cloud(ONEBOX)


def test_other_quotas_than_the_installations_are_refused(run_folder: Path) -> None:
    cloud.settle(AZURE_EMULATOR, QUOTAS)
    begin(run_folder)
    with pytest.raises(OneboxError, match="cores=8"):
        cloud.settle(None, ("cores=9",))


def test_an_installation_without_a_record_began_as_onebox(run_folder: Path) -> None:
    begin(run_folder)
    assert cloud.kept() == Cloud(ONEBOX)
    with pytest.raises(OneboxError, match="--cloud onebox"):
        cloud.settle(AZURE_EMULATOR, ())


@pytest.mark.parametrize("quota", ["cores", "=4", "cores=", "cores=-1", "cores=4.5", "cores=four"])
def test_what_is_no_quota_is_refused_and_not_kept(run_folder: Path, quota: str) -> None:
    with pytest.raises(OneboxError, match="FAMILY=VCPUS"):
        cloud.settle(AZURE_EMULATOR, (quota,))
    assert not run_folder.joinpath("cloud.json").exists()


def test_a_quota_without_azure_names_the_option_that_is_missing(run_folder: Path) -> None:
    with pytest.raises(OneboxError, match="--cloud azure-emulator"):
        cloud.settle(None, QUOTAS)
    assert not run_folder.joinpath("cloud.json").exists()


def test_the_options_of_up_say_nothing_by_default() -> None:
    chosen = parser().parse_args(["up"])
    assert (chosen.cloud, chosen.azure_quota) == (None, [])
    words = ["up", "--cloud", "azure-emulator", "--azure-quota", "a=1", "--azure-quota", "b=2"]
    assert parser().parse_args(words).azure_quota == ["a=1", "b=2"]


# --- The emulator as a program --------------------------------------------------------------------


def test_the_emulator_understands_the_command_that_starts_it() -> None:
    program = azure_emulator.program(Cloud(AZURE_EMULATOR, QUOTAS))
    assert program.command[1:3] == ["-m", "tests.emulators.azure"]
    chosen = emulator.parser().parse_args(program.command[3:])
    assert chosen.node_agent == places.AGENT_URL
    assert dict(chosen.quota) == {"standardNCSv3Family": 0, "cores": 8}
    assert program.listens == ((chosen.host, chosen.port),)
    assert f"http://{chosen.host}:{chosen.port}" == places.AZURE_URL


def test_a_copy_without_the_tests_is_told_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(OneboxError, match=re.escape(f"{tmp_path}/tests/emulators/azure/__main__")):
        azure_emulator.require(tmp_path)
    azure_emulator.require(places.REPOSITORY)


def test_the_worker_asks_for_the_cluster_that_the_emulator_has(run_folder: Path) -> None:
    settings = worker_process.worker(Cloud(AZURE_EMULATOR)).environment
    assert settings["KAITO_PROVISIONER"] == "aks"
    assert settings["KAITO_AZURE_ENDPOINT"] == places.AZURE_URL
    assert settings["KAITO_AZURE_SUBSCRIPTION"] == state.SUBSCRIPTION
    assert settings["KAITO_AZURE_RESOURCE_GROUP"] == state.RESOURCE_GROUP
    assert settings["KAITO_AZURE_CLUSTER"] == state.CLUSTER
    assert "KAITO_ONEBOX_ENDPOINT" not in settings
    own = worker_process.worker(Cloud()).environment
    assert (own["KAITO_PROVISIONER"], own["KAITO_ONEBOX_ENDPOINT"]) == ("onebox", places.AGENT_URL)


def test_status_shows_the_emulator_only_where_it_belongs(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(run_folder)
    status.status()
    assert azure_emulator.NAME not in capsys.readouterr().out
    (run_folder / "cloud.json").write_text('{"kind": "azure-emulator", "quotas": []}')
    status.status()
    assert azure_emulator.NAME in capsys.readouterr().out
