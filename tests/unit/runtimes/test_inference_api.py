"""What the vLLM runtime program makes of flags, the configuration file and adapters."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.runtimes.loading import RUNTIMES, load

inference_api = load("vllm/inference_api.py")
BadInputError = inference_api.BadInputError


@pytest.fixture(autouse=True)
def _same_signal_handlers() -> Iterator[None]:
    """Undo what `main` does to its process."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    """Return a parser with each kind of flag that vLLM's own has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--port", type=int)
    parser.add_argument("--dtype")
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--gpu-memory-utilization", type=float)
    parser.add_argument("--shutdown-timeout", type=int)
    parser.add_argument("--enable-prefix-caching", action=argparse.BooleanOptionalAction)
    parser.add_argument("--enforce-eager", action=argparse.BooleanOptionalAction)
    parser.add_argument("--headless", action="store_true")
    parser.add_argument("--served-model-name", nargs="+")
    parser.add_argument("--allowed-origins", type=json.loads)
    parser.add_argument("--kv-transfer-config", type=json.loads)
    parser.add_argument("--compilation-config", type=json.loads)
    parser.add_argument("--enable-lora", action=argparse.BooleanOptionalAction)
    parser.add_argument("--lora-modules", nargs="*")
    parser.add_argument("--max-lora-rank", type=int)
    return parser


def config_of(folder: Path, text: str) -> Path:
    file = folder / "inference_config.yaml"
    file.write_text(text)
    return file


def adapter(folder: Path, name: str, rank: int) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "adapter_config.json").write_text(json.dumps({"r": rank}))


def whole(
    parser: argparse.ArgumentParser, tmp_path: Path, *flags: str, config: str = "{}"
) -> argparse.Namespace:
    """Return what vLLM would read from a command line and a file."""
    own = [
        f"--kaito-config-file={config_of(tmp_path, config)}",
        f"--kaito-adapters-dir={tmp_path / 'adapters'}",
    ]
    options, rest = inference_api.parse_options([*own, *flags])
    settings = inference_api.read_config(options.config)
    return parser.parse_args(inference_api.command_line(options, rest, settings, parser))


# --- flags ----------------------------------------------------------------------------------------


def test_flags_that_are_not_ours_go_to_vllm_untouched() -> None:
    options, rest = inference_api.parse_options(
        ["--model=/m", "--kaito-config-file=/c.yaml", "--kaito-max-probe-steps=6", "--tool", "x"]
    )
    assert options.config == Path("/c.yaml")
    assert options.adapters == Path("/mnt/adapter")
    assert rest == ["--model=/m", "--tool", "x"]


def test_a_misspelt_flag_of_ours_is_refused() -> None:
    with pytest.raises(BadInputError, match="--kaito-confg-file"):
        inference_api.parse_options(["--kaito-confg-file=/c.yaml"])


def test_port_and_model_have_the_platforms_defaults(
    parser: argparse.ArgumentParser, tmp_path: Path
) -> None:
    found = whole(parser, tmp_path)
    assert (found.port, found.model) == (5000, "/workspace/weights")


def test_a_stop_lets_requests_finish(parser: argparse.ArgumentParser, tmp_path: Path) -> None:
    # That the pod's grace is longer is a matter between two rooms: test_contract.py.
    assert whole(parser, tmp_path).shutdown_timeout == inference_api.SHUTDOWN_SECONDS


def test_the_users_own_middleware_stays_beside_ours(
    parser: argparse.ArgumentParser, tmp_path: Path
) -> None:
    parser.add_argument("--middleware", action="append")
    found = whole(parser, tmp_path, "--middleware=mine.Audit")
    assert sorted(found.middleware) == ["inference_api.CloseWhileDraining", "mine.Audit"]


@pytest.mark.parametrize(
    ("is_draining", "kind", "closes"),
    [
        (False, b"application/json", False),
        (True, b"application/json", True),
        # When a stream begins, nobody knows whether it will end in a drain, or after it.
        (False, b"text/event-stream; charset=utf-8", True),
        (True, b"text/event-stream; charset=utf-8", True),
    ],
)
def test_an_answer_closes_its_connection_while_the_pod_drains_and_a_stream_always(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_draining: bool, kind: bytes, closes: bool
) -> None:
    header = (b"content-type", kind)
    monkeypatch.setattr(inference_api, "DRAINING_FILE", tmp_path / "draining")
    if is_draining:
        (tmp_path / "draining").touch()
    sent: list[dict[str, Any]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [header]})
        await send({"type": "http.response.body", "body": b"x"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(inference_api.CloseWhileDraining(app)({"type": "http"}, None, send))
    assert sent[0]["headers"] == [header, *([(b"connection", b"close")] if closes else [])]
    assert sent[1] == {"type": "http.response.body", "body": b"x"}


def test_each_local_rank_has_a_port_of_its_own(
    parser: argparse.ArgumentParser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert whole(parser, tmp_path).port == 5002


def test_flags_win_over_defaults_in_either_spelling(
    parser: argparse.ArgumentParser, tmp_path: Path
) -> None:
    found = whole(parser, tmp_path, "--model", "/m", "--port=8000")
    assert (found.port, found.model) == (8000, "/m")


# --- the file -------------------------------------------------------------------------------------


def test_the_file_wins_over_flags(parser: argparse.ArgumentParser, tmp_path: Path) -> None:
    config = "vllm:\n  max-model-len: 1024\n"
    assert whole(parser, tmp_path, "--max-model-len=2048", config=config).max_model_len == 1024


@pytest.mark.parametrize(
    ("line", "attribute", "value"),
    [
        ("enable-prefix-caching: true", "enable_prefix_caching", True),
        ("enable-prefix-caching: false", "enable_prefix_caching", False),
        ("enable_prefix_caching: no", "enable_prefix_caching", False),
        ("headless: true", "headless", True),
        ("gpu-memory-utilization: 0.8", "gpu_memory_utilization", 0.8),
        ("max_model_len: 512", "max_model_len", 512),
        ("dtype: -odd", "dtype", "-odd"),
        ("served-model-name: [a, b]", "served_model_name", ["a", "b"]),
        ("allowed-origins: [a, b]", "allowed_origins", ["a", "b"]),
        (
            "kv-transfer-config: {kv_role: kv_both, n: 1}",
            "kv_transfer_config",
            {"kv_role": "kv_both", "n": 1},
        ),
        (
            """kv-transfer-config: '{"kv_role": "kv_both"}'""",
            "kv_transfer_config",
            {"kv_role": "kv_both"},
        ),
    ],
)
def test_each_kind_of_value_reaches_vllm_as_it_was_meant(
    parser: argparse.ArgumentParser, tmp_path: Path, line: str, attribute: str, value: Any
) -> None:
    assert getattr(whole(parser, tmp_path, config=f"vllm:\n  {line}\n"), attribute) == value


def test_a_setting_inside_a_setting_keeps_its_dots(parser: argparse.ArgumentParser) -> None:
    settings = {"compilation_config.pass_config.fuse": False}
    flags = ["--compilation-config.pass_config.fuse=false"]
    assert inference_api.to_arguments(settings, parser) == flags


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vllm: [1, 2]", "`vllm` holds a list"),
        ("- vllm", "holds a list"),
        ("vlm: {}", "unknown section `vlm`"),
        ("vllm: {a: b", "no valid YAML"),
        ("vllm:\n  max-modl-len: 5", "did you mean `max-model-len`"),
        ("vllm:\n  qqqq: 5", "`vllm.qqqq` is no setting"),
        ("vllm:\n  max-model-len:", "`vllm.max-model-len` has no value"),
        ("vllm:\n  headless: false", "`vllm.headless` can only be switched on"),
        ("vllm:\n  enforce-eager: maybe", "`vllm.enforce-eager` is a switch"),
        ("vllm:\n  dtype: 2026-01-01", "`vllm.dtype` holds"),
    ],
)
def test_a_mistake_in_the_file_is_named(
    parser: argparse.ArgumentParser, tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(BadInputError) as caught:
        whole(parser, tmp_path, config=text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_of_upstream_that_have_no_effect_are_accepted(
    parser: argparse.ArgumentParser, tmp_path: Path
) -> None:
    config = "max_probe_steps: 6\nkv_cache_cpu_memory_utilization: 0.5\nvllm:\n"
    assert whole(parser, tmp_path, config=config).port == 5000


def test_an_empty_file_changes_nothing(parser: argparse.ArgumentParser, tmp_path: Path) -> None:
    assert whole(parser, tmp_path, config="").port == 5000


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no file"):
        inference_api.read_config(tmp_path / "other.yaml")


def test_a_pod_without_a_config_map_needs_no_file() -> None:
    if Path(inference_api.DEFAULT_CONFIG).parent.exists():
        pytest.skip("this machine has a folder of that name")
    assert inference_api.read_config(Path(inference_api.DEFAULT_CONFIG)) == {}


# --- adapters -------------------------------------------------------------------------------------


def test_each_folder_is_an_adapter_of_that_name(
    parser: argparse.ArgumentParser, tmp_path: Path
) -> None:
    adapter(tmp_path / "adapters", "sql", 8)
    adapter(tmp_path / "adapters", "chat", 16)
    found = whole(parser, tmp_path)
    folder = tmp_path / "adapters"
    assert found.enable_lora
    assert found.lora_modules == [f"chat={folder / 'chat'}", f"sql={folder / 'sql'}"]
    assert found.max_lora_rank is None


@pytest.mark.parametrize(("rank", "needed"), [(17, 32), (64, 64), (300, 320)])
def test_a_larger_adapter_raises_vllms_limit(
    parser: argparse.ArgumentParser, tmp_path: Path, rank: int, needed: int
) -> None:
    adapter(tmp_path / "adapters", "big", rank)
    assert whole(parser, tmp_path).max_lora_rank == needed


def test_a_limit_that_was_given_is_kept(parser: argparse.ArgumentParser, tmp_path: Path) -> None:
    adapter(tmp_path / "adapters", "big", 17)
    assert whole(parser, tmp_path, config="vllm: {max_lora_rank: 128}").max_lora_rank == 128


def test_named_modules_replace_the_folders(parser: argparse.ArgumentParser, tmp_path: Path) -> None:
    adapter(tmp_path / "adapters", "sql", 8)
    assert whole(parser, tmp_path, "--lora-modules", "x=/x").lora_modules == ["x=/x"]


def test_no_adapter_leaves_lora_off(parser: argparse.ArgumentParser, tmp_path: Path) -> None:
    (tmp_path / "adapters").mkdir()
    assert whole(parser, tmp_path).enable_lora is None


@pytest.mark.parametrize("content", [None, "{}", "no json", '{"r": null}'])
def test_an_incomplete_adapter_is_named(
    parser: argparse.ArgumentParser, tmp_path: Path, content: str | None
) -> None:
    (tmp_path / "adapters/broken").mkdir(parents=True)
    if content is not None:
        (tmp_path / "adapters/broken/adapter_config.json").write_text(content)
    with pytest.raises(BadInputError, match="adapter `broken`"):
        whole(parser, tmp_path)


# --- the model and the program --------------------------------------------------------------------


def test_a_missing_model_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no model folder"):
        inference_api.check_model(str(tmp_path / "weights"))


def test_an_empty_model_folder_points_at_the_weights(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="-c weights"):
        inference_api.check_model(str(tmp_path))


def test_a_whole_folder_and_a_name_on_a_hub_pass(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    inference_api.check_model(str(tmp_path))
    inference_api.check_model("HuggingFaceTB/SmolLM2-135M-Instruct")


@pytest.mark.parametrize(
    ("flags", "settings", "model"),
    [
        ([], {}, "/workspace/weights"),
        (["--dtype", "x", "--model=/m"], {}, "/m"),
        (["--model", "/m"], {"model": "/n"}, "/n"),
    ],
)
def test_the_model_is_known_before_vllm_is_loaded(
    flags: list[str], settings: dict[str, str], model: str
) -> None:
    assert inference_api.model_of(flags, settings) == model


def test_bad_input_ends_with_one_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert inference_api.main(["--kaito-oops"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors == ["inference_api: unknown flag --kaito-oops; remove it, or correct its name"]


def test_reading_flags_needs_no_vllm() -> None:
    program = RUNTIMES / "vllm" / "inference_api.py"
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='x'); "
        "assert not {'vllm', 'torch', 'uvloop'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(program)], check=True, timeout=30)
