"""The runtime program as a process, over a stand-in for vLLM, which is too large for a test."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.runtimes.loading import RUNTIMES, load

inference_api = load("vllm/inference_api.py")
PROGRAM = RUNTIMES / "vllm" / "inference_api.py"

MODULES = {
    "uvloop.py": "from asyncio import SelectorEventLoop as Loop\n",
    "vllm/entrypoints/launchers/api_server/entry.py": """
import asyncio, json, os, signal, socket, sys
async def run_server(args):
    idle = os.environ["VLLM_HTTP_TIMEOUT_KEEP_ALIVE"]
    print(json.dumps({**vars(args), "idle": idle}), flush=True)
    if os.environ["ENGINE"] == "dies":
        return
    if os.environ["ENGINE"] == "can't start":
        print("(EngineCore pid=16) ValueError: No common block size for 7", file=sys.stderr)
        raise RuntimeError("Engine core initialization failed. See root cause above. {}")
    if os.environ["ENGINE"] == "is refused":
        raise ValueError("1 validation error\\n  max_model_len (100000) is greater")
    if os.environ["ENGINE"] == "has a bug":
        raise RuntimeError("list index out of range")
    if os.environ["ENGINE"] == "listens":
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", args.port))
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    os.kill(os.getpid(), signal.SIGTERM)
    await told.wait()
    if os.environ["ENGINE"] == "leaves a request":
        await asyncio.Event().wait()
""",
    "vllm/entrypoints/launchers/cli_args.py": """
import argparse
def make_arg_parser(parser):
    parser.add_argument("--model")
    parser.add_argument("--port", type=int)
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--enable-lora", action=argparse.BooleanOptionalAction)
    parser.add_argument("--tool-call-parser")
    parser.add_argument("--shutdown-timeout", type=int)
    return parser
def validate_parsed_serve_args(args):
    if args.tool_call_parser:
        raise TypeError("--tool-call-parser needs --enable-auto-tool-choice")
""",
    "vllm/entrypoints/serve/utils/api_utils.py": "def cli_env_setup(): pass\n",
    "vllm/utils/argparse_utils.py": """
from argparse import ArgumentParser as FlexibleArgumentParser
""",
}
"""The modules of vLLM that the program imports, with what it uses of them."""


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    for name, text in MODULES.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "site"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return tmp_path / "model"


def start(
    stand_in: Path, *flags: str, engine: str = "is told to stop", **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), *flags],
        capture_output=True,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(stand_in),
            "ENGINE": engine,
            **variables,
        },
        timeout=60,
        check=False,
    )


def served(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("inference_api: ")
    return line


def test_flags_and_file_reach_the_server(stand_in: Path, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "inference_config.yaml"
    file.write_text("vllm: {max-model-len: 1024, enable-lora: false}\n")
    flags = (f"--model={model}", "--max-model-len=2048", f"--kaito-config-file={file}")
    assert served(start(stand_in, *flags)) == {
        "model": str(model),
        "port": 5000,
        "max_model_len": 1024,
        "enable_lora": False,
        "tool_call_parser": None,
        "shutdown_timeout": inference_api.SHUTDOWN_SECONDS,
        "idle": str(inference_api.IDLE_CONNECTION_SECONDS),
    }


def test_an_engine_that_died_is_no_success(stand_in: Path, model: Path) -> None:
    done = start(stand_in, f"--model={model}", engine="dies")
    assert done.returncode not in {0, 2}
    (line,) = done.stderr.splitlines()
    assert line.startswith("inference_api: the engine has died")


def test_an_engine_that_can_not_start_has_the_last_words(stand_in: Path, model: Path) -> None:
    done = start(stand_in, f"--model={model}", engine="can't start")
    assert done.returncode not in {0, 2}
    cause, ours = done.stderr.splitlines()
    assert cause.endswith("No common block size for 7")
    assert ours.startswith("inference_api: the engine did not start")


def test_what_vllm_refuses_while_starting_is_one_line(stand_in: Path, model: Path) -> None:
    said = refused(start(stand_in, f"--model={model}", engine="is refused"))
    assert "1 validation error max_model_len (100000) is greater" in said


def test_a_bug_keeps_its_traceback(stand_in: Path, model: Path) -> None:
    done = start(stand_in, f"--model={model}", engine="has a bug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_request_that_nobody_answers_does_not_keep_the_program(
    stand_in: Path, model: Path
) -> None:
    patience = f"--shutdown-timeout={-inference_api.ENGINE_END_SECONDS}"
    done = start(stand_in, f"--model={model}", patience, engine="leaves a request")
    assert done.returncode == 128 + signal.SIGTERM


def test_a_container_that_starts_anew_is_not_draining(stand_in: Path, model: Path) -> None:
    inference_api.DRAINING_FILE.touch()
    served(start(stand_in, f"--model={model}"))
    assert not inference_api.DRAINING_FILE.exists()


def test_idle_connections_end_early_unless_the_user_says_when(stand_in: Path, model: Path) -> None:
    ours = str(inference_api.IDLE_CONNECTION_SECONDS)
    assert served(start(stand_in, f"--model={model}"))["idle"] == ours
    chosen = start(stand_in, f"--model={model}", **{inference_api.IDLE_CONNECTION_VARIABLE: "9"})
    assert served(chosen)["idle"] == "9"


def test_a_taken_port_is_named(stand_in: Path, model: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = start(stand_in, f"--model={model}", f"--port={port}", engine="listens")
    assert f"port {port} is taken" in refused(done)


def test_a_value_that_vllm_refuses_is_named_with_where_to_look(
    stand_in: Path, model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "inference_config.yaml"
    file.write_text("vllm: {max-model-len: many}\n")
    said = refused(start(stand_in, f"--model={model}", f"--kaito-config-file={file}"))
    assert "--max-model-len" in said
    assert "many" in said
    assert str(file) in said


def test_flags_that_do_not_fit_together_are_no_traceback(stand_in: Path, model: Path) -> None:
    said = refused(start(stand_in, f"--model={model}", "--tool-call-parser=hermes"))
    assert "--enable-auto-tool-choice" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vlm: {}", "`vlm`"),
        ("vllm: {a: b", "no valid YAML"),
        ("vllm: {max-modl-len: 1}", "`vllm.max-modl-len`"),
    ],
)
def test_a_mistake_in_the_file_ends_the_start(
    stand_in: Path, model: Path, tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "inference_config.yaml"
    file.write_text(text)
    said = refused(start(stand_in, f"--model={model}", f"--kaito-config-file={file}"))
    assert words in said
    assert str(file) in said or "did you mean" in said


def test_a_file_that_is_not_there_is_named(stand_in: Path, model: Path, tmp_path: Path) -> None:
    missing = tmp_path / "other.yaml"
    said = refused(start(stand_in, f"--model={model}", f"--kaito-config-file={missing}"))
    assert str(missing) in said


def test_a_folder_in_place_of_the_file_is_named(stand_in: Path, model: Path) -> None:
    said = refused(start(stand_in, f"--model={model}", f"--kaito-config-file={model}"))
    assert f"{model} can't be read" in said


def test_a_model_that_did_not_arrive_is_said_before_vllm_is_loaded(tmp_path: Path) -> None:
    nothing_installed = tmp_path / "empty"
    missing = tmp_path / "weights"
    assert str(missing) in refused(start(nothing_installed, f"--model={missing}"))
    missing.mkdir()
    assert "logs POD -c weights" in refused(start(nothing_installed, f"--model={missing}"))


def test_adapters_are_served_beside_the_model(stand_in: Path, model: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapters" / "sql"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text("{}")
    flags = (f"--model={model}", f"--kaito-adapters-dir={adapter.parent}")
    assert "adapter `sql`" in refused(start(stand_in, *flags))
