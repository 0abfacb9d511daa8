"""The command line of onebox."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from onebox import binaries, cloud
from onebox.binaries.catalogue import CATALOGUE, FOR_UP
from onebox.errors import EXIT_CODE_INTERRUPTED, OneboxError


def main(arguments: Sequence[str]) -> NoReturn:
    """Run one command and end the process with its exit code."""
    try:
        code = run(parser().parse_args(arguments))
    except OneboxError as error:
        print(f"onebox: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("onebox: interrupted", file=sys.stderr)
        code = EXIT_CODE_INTERRUPTED
    # A stuck thread must not hold the program, nor Temporal's runtime crash it at its very end.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(chosen: argparse.Namespace) -> int:
    """Carry out one command and return its exit code."""
    match chosen.command:
        case "up":
            from onebox.progress import Progress
            from onebox.up import Options, up

            options = Options(
                workspace=chosen.workspace and chosen.images,
                worker=chosen.worker,
                images=chosen.images,
                node_limit=chosen.node_limit,
                cloud=chosen.cloud,
                azure_quotas=tuple(chosen.azure_quota),
            )
            up(options, Progress())
            return 0
        case "down":
            from onebox.down import down
            from onebox.progress import Progress

            return down(Progress())
        case "status":
            from onebox.status import status

            return status()
        case "build":
            binaries.ensure(chosen.names or FOR_UP, lambda line: print(line, flush=True))
            return 0
        case "agent":
            from onebox.agent.server import serve

            serve(chosen.node_limit)
            return 0
        case _:
            from onebox import ask

            kube = ask.connect()
            workspace = chosen.workspace or ask.any_workspace(kube, chosen.namespace)
            answer = ask.ask(kube, workspace, chosen.question, chosen.namespace)
            print(answer.text)
            return 0


def parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    whole = argparse.ArgumentParser(
        prog="python -m onebox",
        description="Real Kubernetes, Temporal and a small model on this one machine.",
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="command")

    up = commands.add_parser("up", help="start everything and ask the model a question")
    up.add_argument(
        "--no-workspace", dest="workspace", action="store_false", help="the platform only"
    )
    up.add_argument("--no-worker", dest="worker", action="store_false", help="start no worker")
    up.add_argument(
        "--no-images",
        dest="images",
        action="store_false",
        help="make neither the runtime image nor the weights, so no model can start",
    )
    up.add_argument(
        "--cloud",
        choices=cloud.KINDS,
        help="where nodes come from: the node agent itself, or an emulated Azure above it, which "
        "Azure's own SDK talks to (default: as this installation began, else onebox)",
    )
    up.add_argument(
        "--azure-quota",
        action="append",
        default=[],
        metavar="FAMILY=VCPUS",
        help="a vCPU quota of the emulated subscription; may be given again",
    )
    _add_node_limit(up)

    commands.add_parser("down", help="stop everything and prove that nothing is left")
    commands.add_parser("status", help="say what runs")

    build = commands.add_parser("build", help="build programs into the cache")
    build.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"of {', '.join(CATALOGUE)} (default: what up needs)",
    )

    agent = commands.add_parser("agent", help="serve the node agent (up starts it)")
    _add_node_limit(agent)

    ask = commands.add_parser("ask", help="ask a served model a question")
    ask.add_argument("question")
    ask.add_argument("--workspace", metavar="NAME", help="default: the first that is ready")
    ask.add_argument("--namespace", default="default")
    return whole


def _add_node_limit(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--node-limit",
        type=int,
        default=2,
        metavar="N",
        help="nodes that may exist at once beside the system node (default 2)",
    )
