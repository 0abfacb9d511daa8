"""Serves one model with vLLM's OpenAI server, the way the platform's pods expect it.

    python3 inference_api.py [--kaito-... flags] [any flag of vLLM's server]

What this program adds to vLLM's own server:

* settings of the `vllm:` map in /mnt/config/inference_config.yaml, which win over flags;
* one LoRA adapter per folder under /mnt/adapter, named after the folder;
* port 5000 and the model in /workspace/weights by default;
* SIGTERM lets running requests finish for SHUTDOWN_SECONDS; a pod's grace is longer;
* while /tmp/draining is there, each answer closes its connection, so the next request of a client
  that keeps one open goes to another pod; streams always do, and idle connections end before the
  drain does;
* a mistake in what it was given is one line that names it, and exit code 2;
* when the engine can't start, its own words are the last ones, for they name the cause.

Read it from top to bottom: constants, then each step, then `main`, which takes the steps in order.
It imports nothing of the platform, and vLLM only in `serve`, so the steps can be tested without it.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import errno
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

DEFAULT_MODEL = "/workspace/weights"
DEFAULT_PORT = 5000
DEFAULT_ADAPTERS = "/mnt/adapter"
DEFAULT_CONFIG = "/mnt/config/inference_config.yaml"

# The longest generation that a stop waits for: about 2,000 tokens at 31 a second (SmolLM2 on two
# CPU cores). The platform's pods ask for a longer grace; what is left over is for the hook before
# SIGTERM and for the engine's processes to end.
SHUTDOWN_SECONDS = 60

# The engine is ended when that time is over, and a request that it left unanswered would keep the
# HTTP server waiting for ever (seen with vLLM 0.32): so long after, the program ends in any case.
ENGINE_END_SECONDS = 8

# Made by the pod's preStop hook, 5 s before SIGTERM.
DRAINING_FILE = Path("/tmp/draining")  # noqa: S108 - a volume that is private to the pod

# An idle connection ends after so long. It must be gone before SIGTERM comes: vLLM answers 500 to
# what arrives on it later. 2 s less than the drain, for busy machines; vLLM's own default is 5 s.
IDLE_CONNECTION_SECONDS = 3
IDLE_CONNECTION_VARIABLE = "VLLM_HTTP_TIMEOUT_KEEP_ALIVE"

# The ranks that vLLM has kernels for (vllm/config/lora.py); an adapter needs the next one up.
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
DEFAULT_LORA_RANK = 16

EXIT_ENGINE_DIED = 1
EXIT_BAD_INPUT = 2
EXIT_TERMINATED = 128 + signal.SIGTERM

ENGINE_FAILED = "Engine core initialization failed"
"""How vLLM's server says that its engine's process ended while starting (v1/engine/utils.py)."""

CONFIG_SECTIONS = ("vllm", "max_probe_steps", "kv_cache_cpu_memory_utilization")
"""Top-level keys that upstream's files carry; only `vllm` has an effect here."""

log = logging.getLogger("inference_api")


class BadInputError(Exception):
    """Something that was given to this program is wrong; the message names it and the remedy."""


# --- 1. Our own flags -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """The flags that are ours; all others are vLLM's."""

    adapters: Path
    config: Path


def parse_options(arguments: Sequence[str]) -> tuple[Options, list[str]]:
    """Split a command line into our options and the flags for vLLM."""
    parser = argparse.ArgumentParser(prog="inference_api.py", add_help=False, allow_abbrev=False)
    parser.add_argument("--kaito-adapters-dir", type=Path, default=Path(DEFAULT_ADAPTERS))
    parser.add_argument("--kaito-config-file", type=Path, default=Path(DEFAULT_CONFIG))
    # Accepted because upstream's command lines carry it; vLLM now finds the length by itself.
    parser.add_argument("--kaito-max-probe-steps", type=int)
    own, rest = parser.parse_known_args(arguments)
    unknown = [flag for flag in rest if flag.startswith("--kaito-")]
    if unknown:
        raise BadInputError(f"unknown flag {unknown[0]}; remove it, or correct its name")
    return Options(own.kaito_adapters_dir, own.kaito_config_file), rest


# --- 2. The configuration file --------------------------------------------------------------------


def read_config(path: Path) -> dict[str, Any]:
    """Return the `vllm:` map of the file, {} if no configuration is mounted."""
    if not path.exists():
        folder = path.parent
        if str(path) == DEFAULT_CONFIG and not (folder.is_dir() and any(folder.iterdir())):
            return {}  # the pod has no ConfigMap; its volume is only mounted when one is named
        raise BadInputError(f"no file {path}; the ConfigMap needs the key {path.name}")
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise BadInputError(f"{path} can't be read ({error.strerror}); mount a file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        words = " ".join(str(error).split())
        raise BadInputError(f"{path} is no valid YAML; correct it: {words}") from error
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise BadInputError(f"{path} holds a {_kind(content)}; it needs a map with the key `vllm`")
    for section, value in content.items():
        if section not in CONFIG_SECTIONS:
            known = ", ".join(CONFIG_SECTIONS)
            raise BadInputError(f"{path}: unknown section `{section}`; known ones are {known}")
        if section != "vllm":
            log.info("%s: `%s: %s` has no effect in this runtime", path, section, value)
    settings = content.get("vllm")
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise BadInputError(f"{path}: `vllm` holds a {_kind(settings)}; it needs a map of settings")
    return settings


def _kind(value: object) -> str:
    names: dict[type, str] = {str: "text", list: "list", dict: "map"}
    return names.get(type(value), type(value).__name__)


# --- 3. Settings become flags ---------------------------------------------------------------------


def to_arguments(settings: Mapping[Any, Any], parser: argparse.ArgumentParser) -> list[str]:
    """Turn settings of the file into flags that the parser understands.

    Yes and no become `--name` and `--no-name`; a list becomes several values where the flag takes
    several, else JSON; a map becomes JSON.
    """
    arguments: list[str] = []
    for key, value in settings.items():
        name, dot, rest = str(key).removeprefix("--").partition(".")
        name = f"--{name.replace('_', '-')}"
        flag = f"{name}{dot}{rest}"  # names below the first dot are spelt as they are
        action = parser._option_string_actions.get(name)  # noqa: SLF001 - argparse has no other way to ask
        if action is None:
            raise BadInputError(f"`vllm.{key}` is no setting of vLLM{_suggestion(flag, parser)}")
        if value is None:
            raise BadInputError(f"`vllm.{key}` has no value; give it one or remove the line")
        if isinstance(value, bool) and action.nargs == 0:
            arguments.append(_switch(str(key), flag, is_on=value, action=action))
        elif isinstance(value, list) and action.nargs in {"*", "+"}:
            arguments += [flag, *(_text(str(key), item) for item in value)]
        elif action.nargs == 0 and not dot:
            raise BadInputError(f"`vllm.{key}` is a switch; write true or false, not {value!r}")
        else:
            arguments.append(f"{flag}={_text(str(key), value)}")
    return arguments


def _switch(key: str, flag: str, *, is_on: bool, action: argparse.Action) -> str:
    if is_on:
        return flag
    opposite = "--no-" + flag.removeprefix("--")
    if opposite in action.option_strings:
        return opposite
    raise BadInputError(f"`vllm.{key}` can only be switched on; remove the line to leave it off")


def _text(key: str, value: object) -> str:
    """Return a value as one word of a command line; what is no plain text becomes JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"`vllm.{key}` holds {value!r}; put it in quotes") from error


def _suggestion(flag: str, parser: argparse.ArgumentParser) -> str:
    known = [name for name in parser._option_string_actions if name.startswith("--")]  # noqa: SLF001
    near = difflib.get_close_matches(flag, known, n=1)
    return f"; did you mean `{near[0].removeprefix('--')}`?" if near else "; remove the line"


# --- 4. Adapters ----------------------------------------------------------------------------------


def adapter_arguments(folder: Path, arguments: Sequence[str]) -> list[str]:
    """Return flags that load every adapter under the folder, unless flags name adapters already."""
    if _has(arguments, "--lora-modules") or not folder.is_dir():
        return []
    modules, ranks = [], []
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        config = path / "adapter_config.json"
        try:
            ranks.append(int(json.loads(config.read_text())["r"]))
        except FileNotFoundError as error:
            raise BadInputError(
                f"adapter `{path.name}`: no file {config}; its image needs /data/{config.name}"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise BadInputError(
                f"adapter `{path.name}`: {config} names no LoRA rank `r`"
            ) from error
        modules.append(f"{path.name}={path}")
    if not modules:
        return []
    flags = ["--enable-lora", "--lora-modules", *modules]
    rank = next((rank for rank in LORA_RANKS if rank >= max(ranks)), None)
    if rank is None:
        raise BadInputError(f"an adapter has rank {max(ranks)}; vLLM serves up to {LORA_RANKS[-1]}")
    if rank > DEFAULT_LORA_RANK and not _has(arguments, "--max-lora-rank"):
        flags.append(f"--max-lora-rank={rank}")
    return flags


def _has(arguments: Sequence[str], flag: str) -> bool:
    spellings = {argument.partition("=")[0].replace("_", "-") for argument in arguments}
    return flag in spellings


# --- 5. Draining ----------------------------------------------------------------------------------

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]


class CloseWhileDraining:
    """ASGI middleware: while the pod is on its way out, each answer closes its connection.

    A stream says at its beginning what becomes of its connection, and may end at the very end of a
    drain. Then the client's next request would meet a server that stops (seen under load, 2026-11).
    So each stream closes its own; a new connection is cheap beside it.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        """Wrap the server's application."""
        self._app = app

    async def __call__(self, scope: Message, receive: Callable[..., Any], send: Send) -> None:
        """Pass everything on, with one header more where the connection is to be closed."""

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if is_stream(headers) or os.path.exists(DRAINING_FILE):  # noqa: ASYNC240, PTH110 - one look at a file in memory
                    message = {**message, "headers": [*headers, (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, closing)


def is_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether an answer is sent word by word."""
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in headers
    )


# --- 6. The whole command line --------------------------------------------------------------------


def command_line(
    options: Options,
    arguments: Sequence[str],
    settings: Mapping[Any, Any],
    parser: argparse.ArgumentParser,
) -> list[str]:
    """Return the flags for vLLM: defaults, then the command line, then adapters, then the file."""
    from_file = to_arguments(settings, parser)
    given = [*arguments, *from_file]
    defaults = {
        "--model": DEFAULT_MODEL,
        "--port": DEFAULT_PORT + int(os.environ.get("LOCAL_RANK", "0")),
        "--shutdown-timeout": SHUTDOWN_SECONDS,
        # Probes ask several times a minute; they would bury the requests of people in the log.
        "--disable-access-log-for-endpoints": "/health,/metrics",
    }
    known = parser._option_string_actions  # noqa: SLF001 - older vLLM lacks some of these flags
    missing = [f"{k}={v}" for k, v in defaults.items() if k in known and not _has(given, k)]
    if "--middleware" in known:  # vLLM takes several: the user's own stay
        missing.append(f"--middleware={Path(__file__).stem}.{CloseWhileDraining.__name__}")
    return [*missing, *arguments, *adapter_arguments(options.adapters, given), *from_file]


def model_of(arguments: Sequence[str], settings: Mapping[Any, Any]) -> str:
    """Return the model that will be served, without vLLM's parser, which takes seconds to load."""
    if "model" in settings:
        return str(settings["model"])
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    return str(parser.parse_known_args(arguments)[0].model)


def check_model(model: str) -> None:
    """Refuse a model folder that is not there or not complete, before anything slow starts."""
    path = Path(model)
    if not path.is_absolute():
        return  # a name on a model hub
    if not path.is_dir():
        raise BadInputError(f"no model folder {path}; mount the weights there or correct --model")
    if not any((path / name).is_file() for name in ("config.json", "params.json")):
        raise BadInputError(
            f"{path} holds no config.json; see why the weights did not arrive: "
            "kubectl logs POD -c weights"
        )


# --- 7. Serve -------------------------------------------------------------------------------------


def serve(  # noqa: C901 - read it from top to bottom, with an answer to each way to fail
    options: Options, arguments: Sequence[str], settings: Mapping[Any, Any]
) -> int:
    """Run vLLM's server until it is told to stop; return the exit code."""
    import uvloop
    from vllm.entrypoints.launchers.api_server.entry import run_server
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.entrypoints.serve.utils.api_utils import cli_env_setup
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    class Parser(FlexibleArgumentParser):  # type: ignore[misc]
        """vLLM's parser, with an error of one line."""

        def error(self, message: str) -> NoReturn:
            raise BadInputError(f"{message}; see flags and {options.config}")

    class Loop(uvloop.Loop):  # type: ignore[misc]
        """Remembers whether a signal came: vLLM's server also returns when its engine has died."""

        was_told_to_stop = False

        def add_signal_handler(
            self, number: int, callback: Callable[..., Any], *given: Any
        ) -> None:
            def told() -> None:
                self.was_told_to_stop = True
                patience_seconds = getattr(parsed, "shutdown_timeout", 0) + ENGINE_END_SECONDS
                self.call_later(patience_seconds, os._exit, EXIT_TERMINATED)
                callback(*given)

            super().add_signal_handler(number, told)

    cli_env_setup()
    parser = make_arg_parser(Parser(prog="inference_api.py"))
    flags = command_line(options, arguments, settings, parser)
    log.info("vllm %s", " ".join(flags))
    parsed = parser.parse_args(flags)
    try:
        validate_parsed_serve_args(parsed)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"{error}; see flags and {options.config}") from error
    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(run_server(parsed))
            if runner.get_loop().was_told_to_stop:  # type: ignore[attr-defined]
                return 0
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise BadInputError(f"port {parsed.port} is taken; name a free one by --port") from error
    except ValueError as error:
        # vLLM checks flags against the model when it sets the engine up.
        log.debug("refused", exc_info=True)
        raise BadInputError(f"{' '.join(str(error).split())}; see {options.config}") from error
    except RuntimeError as error:
        if ENGINE_FAILED not in str(error):
            raise
        # The engine is a process of its own. Our traceback would push its words out of the few
        # lines that Kubernetes keeps, and says nothing itself.
        print("inference_api: the engine did not start; see its words above", file=sys.stderr)
        return EXIT_ENGINE_DIED
    print("inference_api: the engine has died; its last words are above", file=sys.stderr)
    return EXIT_ENGINE_DIED


def terminate(*_: object) -> NoReturn:
    """End at once. As a container's first process we would ignore SIGTERM while still importing."""
    raise SystemExit(EXIT_TERMINATED)


def main(arguments: Sequence[str]) -> int:
    """Take the steps in order; return the exit code."""
    # Only our own logger: vLLM sets up its own, and a handler on the root would say things twice.
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(levelname)s %(asctime)s [%(name)s] %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.DEBUG if os.environ.get("DEBUG_MODE") == "true" else logging.INFO)
    signal.signal(signal.SIGTERM, terminate)
    # A container that is started anew in the same pod finds the file of its predecessor.
    DRAINING_FILE.unlink(missing_ok=True)
    os.environ.setdefault(IDLE_CONNECTION_VARIABLE, str(IDLE_CONNECTION_SECONDS))
    try:
        options, rest = parse_options(arguments)
        settings = read_config(options.config)
        check_model(model_of(rest, settings))
        return serve(options, rest, settings)
    except BadInputError as error:
        print(f"inference_api: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
