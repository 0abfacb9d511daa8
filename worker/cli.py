"""`python -m worker`: starts the process, and ends it in a way that always ends."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from typing import Final

from worker import settings as settings_module
from worker.exits import EXIT_FAILED, EXIT_REFUSED, leave
from worker.settings import BadSetting, Settings
from worker.telemetry import set_up_logs

_logger = logging.getLogger(__name__)

_DESCRIPTION: Final = """\
Runs KAITO's platform worker: workflows, activities and the watcher, in one process.
"""

_SETTINGS_HELP: Final = """\
It is configured by environment variables:

  KUBECONFIG                   kubeconfig file (default: the pod's account, else ~/.kube/config)
  TEMPORAL_ADDRESS             host:port of Temporal (default: localhost:7233)
  TEMPORAL_NAMESPACE           Temporal namespace (default: default); also TEMPORAL_API_KEY,
                               TEMPORAL_TLS_*, TEMPORAL_PROFILE and TEMPORAL_CONFIG_FILE
  KAITO_ROLES                  workflows,activities,watcher: what this process does (default: all)
  KAITO_PROVISIONER            byo or onebox: where nodes come from (default: byo)
  KAITO_ONEBOX_ENDPOINT        address of onebox's node agent
  KAITO_IMAGE_REGISTRY         registry of runtime images and weights (default: ghcr.io)
  KAITO_REGISTRY_PLAIN_HTTP    true: that registry speaks HTTP without TLS
  KAITO_WATCH_NAMESPACE        only Workspaces of this namespace (default: all)
  KAITO_LEASE_NAMESPACE        where watchers elect their leader (default: kaito-system)
  KAITO_HTTP_HOST, _PORT       address of /healthz, /readyz and /metrics (default: 0.0.0.0, 8090)
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
    parser = argparse.ArgumentParser(
        prog="python -m worker",
        description=_DESCRIPTION,
        epilog=_SETTINGS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=["run"], default="run", help="run (default)")
    parser.parse_args(arguments)
    leave(_run())


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
