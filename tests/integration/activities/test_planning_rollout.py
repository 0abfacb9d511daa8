"""Planning with records: what is planned in the stead of a revision that failed, and its words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from activities.clients.kubernetes import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    WORKSPACES,
    KubernetesClient,
)
from activities.workspace.models import preset_in
from activities.workspace.planning import Planning
from activities.workspace.reading import read_revision
from activities.workspace.workload import Workload
from api import names
from api import payloads as p
from api.preset import Catalogue
from tests import gen
from tests.integration.activities.conftest import Runner
from tests.integration.activities.story import Story
from tests.integration.activities.test_rendered import begin, put_config, service, workload

GOOD, BAD = "vllm:\n  max-model-len: 1024\n", "vllm:\n  max-model-len: 512\n"


@pytest.fixture
async def story(ctx: Any, run: Runner, client: KubernetesClient, full_namespace: str) -> Story:
    await put_config(client, full_namespace, GOOD)
    obj = gen.workspace_object(namespace=full_namespace, inference={"config": "settings"})
    return await begin(ctx, run, client, obj)


@pytest.fixture
async def good(story: Story, client: KubernetesClient) -> p.WorkspacePlan:
    """The revision that gets the traffic; afterwards the settings are edited."""
    plan = await story.adopt()
    await workload(story, plan)
    await service(story, plan)
    await put_config(client, story.ref.namespace, BAD)
    return plan


async def instead(story: Story, given_up: str, restore: str) -> p.WorkspacePlan:
    plan: p.WorkspacePlan = await story.run(
        Planning(story.ctx).plan_workspace,
        p.PlanInput(workspace=story.ref, given_up=given_up, restore=restore),
    )
    return plan


async def test_a_good_revision_is_planned_while_the_spec_asks_for_one_that_failed(
    story: Story, good: p.WorkspacePlan
) -> None:
    bad = await story.adopt()
    assert bad.revision != good.revision
    plan = await instead(story, bad.revision, good.revision)
    assert (plan.revision, plan.spec_revision) == (good.revision, bad.revision)
    assert (plan.problem, plan.adopted) == (None, True)
    assert [one.revision for one in plan.recorded] == [bad.revision, good.revision]


async def test_another_edit_is_planned_itself(
    story: Story, good: p.WorkspacePlan, client: KubernetesClient
) -> None:
    bad = await story.adopt()
    await put_config(client, story.ref.namespace, "vllm:\n  max-model-len: 768\n")
    plan = await instead(story, bad.revision, good.revision)
    assert plan.revision == plan.spec_revision
    assert plan.revision not in {good.revision, bad.revision}


async def test_without_its_record_nothing_is_planned_in_the_stead_of_the_spec(
    story: Story, good: p.WorkspacePlan, client: KubernetesClient
) -> None:
    bad = await story.adopt()
    name = names.workload_name(story.ref.name, good.revision)
    await client.delete(CONTROLLER_REVISIONS, name, story.ref.namespace)
    plan = await instead(story, bad.revision, good.revision)
    assert plan.revision == plan.spec_revision == bad.revision


async def test_settings_that_the_user_deletes_hinder_nobody_from_going_back(
    story: Story, good: p.WorkspacePlan, client: KubernetesClient
) -> None:
    await client.merge_patch(
        WORKSPACES, story.ref.name, {"inference": {"config": None}}, story.ref.namespace
    )
    bad = await story.adopt()
    await client.delete(CONFIG_MAPS, "settings", story.ref.namespace)
    plan = await instead(story, bad.revision, good.revision)
    assert (plan.revision, plan.problem) == (good.revision, None)


async def test_an_edit_is_announced_by_what_the_serving_revision_was_made_from(
    story: Story, good: p.WorkspacePlan
) -> None:
    plan = await story.plan()
    assert plan.mode is p.RolloutMode.IN_PLACE
    assert plan.announcement.startswith(
        f"Revision {plan.revision} replaces {good.revision}: config.vllm.max-model-len 1024 → 512."
    )
    assert good.announcement == ""


async def test_a_revision_is_made_from_its_recorded_model_whatever_the_catalogue_says_today(
    story: Story, good: p.WorkspacePlan
) -> None:
    ctx = dataclasses.replace(story.ctx, catalogue=Catalogue.of((), ()))
    revision = await read_revision(ctx, p.RevisionInput(**story.of(good)))
    assert revision.preset is not None
    assert revision.preset.name == good.preset
    assert revision.config_text == GOOD


def test_records_of_earlier_versions_keep_the_model_that_was_looked_up_for_them() -> None:
    preset = gen.gpu_preset()
    data = {"hubPreset": preset.model_dump(mode="json", by_alias=True)}
    assert preset_in({"data": data}) == preset


async def test_a_surge_retires_what_serves_at_the_end_and_a_stopped_revision_never(
    story: Story, good: p.WorkspacePlan, client: KubernetesClient
) -> None:
    rollout = {"rollout": {"strategy": "Surge"}}
    await client.merge_patch(WORKSPACES, story.ref.name, rollout, story.ref.namespace)
    plan = await story.plan()
    assert (plan.mode, plan.steps[-1]) == (p.RolloutMode.SURGE, p.Step.RETIRE)
    assert plan.stale_revisions == [good.revision]
    target = p.RetireWorkloadsInput(
        workspace=story.ref, revisions=[good.revision], deadline_seconds=60
    )
    await story.run(Workload(story.ctx).retire_workloads, target)
    stopped = await story.plan()
    assert (stopped.mode, stopped.stale_revisions) == (p.RolloutMode.NONE, [])
    assert p.Step.RETIRE not in stopped.steps
