"""The plan of `up` is whole, whatever a person leaves out."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from onebox import lock, preflight, temporal
from onebox.cloud import AZURE_EMULATOR, KINDS, Cloud
from onebox.errors import EXIT_CODE_UNMET, OneboxError
from onebox.progress import Progress
from onebox.steps import check
from onebox.up import CRDS, EXAMPLE, Options, Platform, closing_words


@pytest.mark.parametrize(
    ("workspace", "worker", "images"), list(itertools.product([True, False], repeat=3))
)
def test_every_choice_gives_steps_that_can_all_run(
    workspace: bool, worker: bool, images: bool
) -> None:
    options = Options(workspace=workspace, worker=worker, images=images)
    for kind in KINDS:
        check(Platform(options, Progress(), Cloud(kind))._steps())


def test_an_emulated_azure_is_there_before_the_worker_that_asks_it() -> None:
    steps = Platform(Options(), Progress(), Cloud(AZURE_EMULATOR))._steps()
    needs = {step.name: step.needs for step in steps}
    assert "azure emulator" in needs["worker"]
    assert "agent" in needs["azure emulator"]
    plain = Platform(Options(), Progress(), Cloud())._steps()
    assert "azure emulator" not in {step.name for step in plain}


def test_what_up_applies_is_in_the_repository() -> None:
    assert EXAMPLE.exists()
    assert list(CRDS.glob("*.yaml"))


def test_the_last_words_hold_the_commands_to_go_on_with() -> None:
    words = closing_words(Options())
    for command in ("export KUBECONFIG=", "kubectl get workspace", "temporal workflow list"):
        assert command in words


def test_temporal_knows_our_search_attributes_from_the_start() -> None:
    command = temporal.server().command
    assert "--search-attribute=KaitoPhase=Keyword" in command
    assert "--search-attribute=KaitoGeneration=Int" in command


def test_a_full_disk_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(OneboxError, match="GB are free on the disk of") as caught:
        preflight.require_disk(tmp_path / "not" / "there", minimum_bytes=10**18)
    assert "KAITO_CACHE" in caught.value.remedy
    assert caught.value.exit_code == EXIT_CODE_UNMET


def test_a_second_command_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        lock.hold("up", path),
        pytest.raises(OneboxError, match=f"`onebox up` of process {os.getpid()} is still at work"),
        lock.hold("down", path),
    ):
        pytest.fail("the lock was given twice")
    with lock.hold("down", path):
        pass
