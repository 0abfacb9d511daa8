"""`python -m worker`: starts the process, and ends it in a way that always ends."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from typing import Final

from worker import plan_command
from worker import settings as settings_module
from worker.exits import EXIT_FAILED, EXIT_REFUSED, leave
from worker.settings import BadSetting, Settings
from worker.telemetry import set_up_logs

_logger = logging.getLogger(__name__)

_DESCRIPTION: Final = """\
Runs KAITO's platform worker: workflows, activities and the watcher, in one process.

  run     the worker (what happens without a command)
  plan    say what a Workspace would become, and touch nothing; see `plan --help`
"""

_SETTINGS_HELP: Final = """\
It is configured by environment variables:

  KUBECONFIG                   kubeconfig file (default: the pod's account, else ~/.kube/config)
  TEMPORAL_ADDRESS             host:port of Temporal (default: localhost:7233)
  TEMPORAL_NAMESPACE           Temporal namespace (default: default); also TEMPORAL_API_KEY,
                               TEMPORAL_TLS_*, TEMPORAL_PROFILE and TEMPORAL_CONFIG_FILE
  KAITO_ROLES                  workflows,activities,watcher,webhook: what this process does
                               (default: all but webhook)
  KAITO_PROVISIONER            byo, onebox, aks, aks-arc or karpenter: where nodes come from
                               (default: byo)
  KAITO_DEFAULT_INSTANCE_TYPE  type of new nodes where a Workspace names none
                               (default: Standard_NC24ads_A100_v4)
  KAITO_MAX_NODES_PER_INSTANCE nodes that one instance of a model may span (default: 8)
  KAITO_ONEBOX_ENDPOINT        address of onebox's node agent
  KAITO_AZURE_SUBSCRIPTION, _RESOURCE_GROUP, _CLUSTER
                               for aks and aks-arc: the cluster that gets agent pools; who we are
                               comes from the pod's workload identity, else this machine's login
  KAITO_AZURE_LOCATION         region of its nodes (default: the cluster's)
  KAITO_AZURE_CUSTOM_LOCATION  for aks-arc: resource id of new pools' custom location
  KAITO_AZURE_ENDPOINT         Azure Resource Manager of another cloud, or http://localhost:… of an
                               emulator (default: https://management.azure.com)
  KAITO_NODE_CLASS_KIND, _GROUP, _NAME, _VERSION
                               for karpenter: what claims name (default: AKSNodeClass default)
  KAITO_NODE_CLASS_REGION      region of its nodes, for models that ask for a zone
  KAITO_NODE_CLASS_CREATE      true: make it if it is missing, with KAITO_NODE_CLASS_DISK_GIB,
                               _IMAGE_FAMILY, _TAGS (team=ml,cost-center=12) and, for an
                               EC2NodeClass, _CLUSTER and _ROLE
  KAITO_IMAGE_REGISTRY         registry of runtime images and weights (default: ghcr.io)
  KAITO_REGISTRY_PLAIN_HTTP    true: that registry speaks HTTP without TLS
  KAITO_HUB_ENDPOINT           model hub, or a mirror of it (default: https://huggingface.co)
  KAITO_HUB_CACHE              folder of descriptions of models, for clusters that can't reach it
  KAITO_HUB_OFFLINE            true: ask that folder only
  KAITO_WATCH_NAMESPACE        only Workspaces of this namespace (default: all)
  KAITO_LEASE_NAMESPACE        where watchers elect their leader (default: kaito-system)
  KAITO_HTTP_HOST, _PORT       address of /healthz, /readyz and /metrics (default: 0.0.0.0, 8090)
  KAITO_WEBHOOK_HOST, _PORT    address of the webhook (default: 0.0.0.0, 9443)
  KAITO_WEBHOOK_SERVICE        Service by which API servers call it, in KAITO_WEBHOOK_NAMESPACE
                               (default: that of the leases)
  KAITO_WEBHOOK_URL            base URL that API servers call instead of the Service
  KAITO_WEBHOOK_CERTIFICATE_DIR
                               folder with tls.crt, tls.key and ca.crt of somebody else, such as
                               cert-manager; without it the webhook makes its own
  KAITO_LOG_LEVEL, _FORMAT     debug|info|warning|error (info); json|console (json)
  KAITO_DEPLOYMENT_NAME,
  KAITO_BUILD_ID               set both for a versioned worker (or TEMPORAL_DEPLOYMENT_NAME and
                               TEMPORAL_WORKER_BUILD_ID)
  KAITO_MAX_CACHED_WORKFLOWS   open workflows kept in memory (default: 1000)
  KAITO_MAX_WAIT_ACTIVITIES    waits at a time (default: 1000)
  KAITO_ENDPOINT_BASE_URL      for tests with simulated pods: ask this URL instead of the pods

exit codes: 0 stopped in order, 1 failed while running, 2 could not start (the message says why)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process."""
    options = parser().parse_args(arguments)
    leave(plan_command.run(options) if options.command == "plan" else _run())


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    found = argparse.ArgumentParser(
        prog="python -m worker",
        description=_DESCRIPTION,
        epilog=_SETTINGS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = found.add_subparsers(dest="command", metavar="{run,plan}")
    commands.add_parser("run", description="Runs the worker until it is told to stop.")
    plan = commands.add_parser(
        "plan",
        description=plan_command.DESCRIPTION,
        epilog=plan_command.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    plan_command.add_arguments(plan)
    return found


def _run() -> int:
    try:
        settings = settings_module.load()
    except BadSetting as error:
        print(f"worker: {error}", file=sys.stderr)
        return EXIT_REFUSED
    set_up_logs(settings.telemetry)
    return _serve(settings)


def _serve(settings: Settings) -> int:
    # Only now: --help and a bad setting need no second of loading SDKs.
    from activities.clients.kubernetes import UnusableConfiguration
    from worker.main import run
    from worker.start_checks import StartRefused

    try:
        asyncio.run(run(settings))
    except (StartRefused, UnusableConfiguration) as error:
        _logger.error("can't start: %s", error)  # noqa: TRY400 - the message is the whole story
        return EXIT_REFUSED
    except KeyboardInterrupt:
        # A second Ctrl-C while stopping.
        return EXIT_FAILED
    except BaseException:
        _logger.exception("the worker failed")
        return EXIT_FAILED
    return 0
