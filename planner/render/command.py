"""The command that a container of the model server starts with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from api.preset import ArgumentValue, RuntimeName
from planner.render import multi_node, transformers, vllm
from planner.render.serving import Serving


def server_command(serving: Serving) -> list[str]:
    """Return the command of the server's container: a shell and its line."""
    return ["/bin/sh", "-c", command_line(serving)]


def command_line(serving: Serving) -> str:
    """Return the shell command that starts the model server.

    The catalogue's arguments win over the ones from here; one that is null takes ours away.
    """
    module = vllm if serving.runtime.name is RuntimeName.VLLM else transformers
    arguments = {**module.arguments(serving), **serving.runtime.arguments}
    server = " ".join([module.PROGRAM, *flags(arguments)])
    # `exec`, so that the server itself and not the shell gets the signal to end.
    line = f"exec {server}"
    return multi_node.command_line(serving, line) if serving.is_multi_node else line


def flags(arguments: Mapping[str, ArgumentValue]) -> list[str]:
    """Return the arguments as words of a shell, in the order of their names."""
    return [
        f"--{name}" if value is True else f"--{name}={shlex.quote(str(value))}"
        for name, value in sorted(arguments.items())
        if value is not None and value is not False
    ]
