"""A model server's pod stops without losing a request, and within its grace."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from api import names
from planner.render import draining
from tests import gen
from tests.unit.planner.rendering import gpu_workload, pod_of, server_of, workload

PRIVATE = {
    "preset": {
        "name": "phi-4",
        "accessMode": "private",
        "presetOptions": {"image": "mine.test/phi:1"},
    }
}


def hook(stateful_set: dict[str, Any]) -> str:
    shell, option, line = server_of(stateful_set)["lifecycle"]["preStop"]["exec"]["command"]
    assert (shell, option) == ("/bin/sh", "-c")
    assert isinstance(line, str)
    return line


def test_our_server_goes_on_answering_and_closes_connections() -> None:
    assert hook(gpu_workload()) == "touch /tmp/draining; exec sleep 5"


def test_an_image_of_the_users_own_is_left_running_until_it_is_idle() -> None:
    line = hook(gpu_workload(gen.workspace(inference=PRIVATE)))
    assert line.startswith("sleep 5; exec python3 -c ")
    assert line.endswith(" http://127.0.0.1:5000/metrics 60")


def test_the_hook_is_a_program_as_kubernetes_1_28_has_no_other() -> None:
    assert set(server_of(workload())["lifecycle"]["preStop"]) == {"exec"}


def test_the_grace_is_the_sum_of_its_parts() -> None:
    assert pod_of(workload())["terminationGracePeriodSeconds"] == 75


def test_every_container_of_ours_leaves_its_last_words_in_its_status() -> None:
    adapter = {"source": {"name": "tone", "image": "mine.test/tone:1"}}
    pod = pod_of(gpu_workload(gen.workspace(inference={"adapters": [adapter]})))
    containers = [*pod["initContainers"], *pod["containers"]]
    assert len(containers) >= 2
    assert {one["terminationMessagePolicy"] for one in containers} == {"FallbackToLogsOnError"}


def test_pods_of_the_users_own_stop_as_their_author_says() -> None:
    template = {"spec": {"containers": [{"name": "x", "image": "y"}]}}
    pod = pod_of(workload(gen.workspace(inference={"preset": None, "template": template})))
    assert "terminationGracePeriodSeconds" not in pod  # Kubernetes' own 30 s
    assert "lifecycle" not in pod["containers"][0]


class Metrics(BaseHTTPRequestHandler):
    """A server that is busy for the first answers."""

    counts: list[tuple[float, float]]
    asked = 0

    def do_GET(self) -> None:
        running, waiting = self.counts[min(type(self).asked, len(self.counts) - 1)]
        type(self).asked += 1
        text = (
            "# HELP vllm:num_requests_running Number of requests.\n"
            f'vllm:num_requests_running{{engine="0",model_name="m"}} {running}\n'
            f'vllm:num_requests_waiting{{engine="0",model_name="m"}} {waiting}\n'
            "vllm:num_requests_swapped 7.0\n"
        )
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Metrics.asked = 0
    server = HTTPServer(("127.0.0.1", 0), Metrics)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    thread.join()
    server.server_close()


def await_idle(url: str, seconds: float) -> float:
    started = time.monotonic()
    script = draining.AWAIT_IDLE.replace("time.sleep(1)", "time.sleep(0.01)")
    subprocess.run([sys.executable, "-I", "-c", script, url, str(seconds)], check=True, timeout=60)
    return time.monotonic() - started


@pytest.mark.timeout(20)
def test_the_wait_ends_when_nothing_runs_and_nothing_waits(url: str) -> None:
    Metrics.counts = [(2.0, 0.0), (0.0, 1.0), (0.0, 0.0)]
    await_idle(url, 60)
    assert Metrics.asked == 3


@pytest.mark.timeout(20)
def test_the_wait_has_an_end_for_a_server_that_never_rests(url: str) -> None:
    Metrics.counts = [(1.0, 0.0)]
    await_idle(url, 0.3)
    assert Metrics.asked > 1


@pytest.mark.timeout(20)
def test_a_server_that_is_gone_is_waited_for_no_longer() -> None:
    await_idle("http://127.0.0.1:1/metrics", 60)


def test_the_server_asks_itself() -> None:
    assert f":{names.PORT_SERVING}/metrics" in draining.METRICS_URL
