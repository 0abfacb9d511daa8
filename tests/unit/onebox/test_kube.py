"""The small API client and the question to a model, over real TLS and HTTP on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from onebox import ask
from onebox.errors import OneboxError
from onebox.kube import KubeClient, KubeError
from tests.unit.onebox.fake_api_server import FakeApiServer

SERVICE = "GET /api/v1/namespaces/default/services/chat"
WORKSPACES = "GET /apis/kaito.sh/v1beta1/namespaces/default/workspaces"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeApiServer]:
    with FakeApiServer(tmp_path).running() as running:
        yield running


@pytest.fixture
def kube(api: FakeApiServer) -> KubeClient:
    return KubeClient(api.kubeconfig)


def workspace(name: str, *, ready: bool) -> dict[str, Any]:
    condition = {
        "type": "WorkspaceSucceeded",
        "status": "True" if ready else "False",
        "observedGeneration": 1,
    }
    metadata = {"name": name, "generation": 1}
    return {"metadata": metadata, "status": {"conditions": [condition]}}


@contextmanager
def model(answers: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve answers by path; yield the address and what was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers.get(self.path)).encode()
            self.send_response(200 if self.path in answers else 500)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- the client -----------------------------------------------------------------------------------


def test_what_is_not_there_is_none_and_no_error(kube: KubeClient) -> None:
    assert kube.get("/api/v1/nodes/x") is None
    assert kube.delete("/api/v1/nodes/x") is False


def test_a_refusal_keeps_the_status_and_the_servers_words(
    api: FakeApiServer, kube: KubeClient
) -> None:
    api.answers["GET /api/v1/nodes"] = (403, {"kind": "Status", "message": "admin may not list"})
    with pytest.raises(KubeError, match=r"GET /api/v1/nodes: 403 admin may not list") as caught:
        kube.get("/api/v1/nodes")
    assert caught.value.status == 403


def test_a_server_that_is_away_has_status_0(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path).running() as gone:
        pass
    kube = KubeClient(gone.kubeconfig)
    assert not kube.is_ready()
    with pytest.raises(KubeError, match="can't be reached") as caught:
        kube.get("/api/v1/nodes")
    assert caught.value.status == 0


def test_ready_is_what_the_server_says_in_plain_text(api: FakeApiServer, kube: KubeClient) -> None:
    api.answers["GET /readyz"] = (500, b"[-]etcd failed")
    assert not kube.is_ready()
    api.answers["GET /readyz"] = (200, b"ok")
    assert kube.is_ready()


def test_apply_is_server_side_and_owns_its_fields(api: FakeApiServer, kube: KubeClient) -> None:
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}
    path = "/apis/apps/v1/namespaces/default/deployments/a"
    api.answers[f"PATCH {path}"] = (200, body)
    assert kube.apply(body) == body
    (request,) = api.requests
    assert request == (
        f"PATCH {path}?fieldManager=onebox&force=true",
        "application/apply-patch+yaml",
        body,
    )


def test_a_patch_carries_its_kind(api: FakeApiServer, kube: KubeClient) -> None:
    api.answers["PATCH /api/v1/nodes/a"] = (200, {})
    kube.patch("/api/v1/nodes/a", {"metadata": {}})
    assert api.requests[0][1:] == ("application/merge-patch+json", {"metadata": {}})


# --- a question -----------------------------------------------------------------------------------


def test_a_question_goes_to_the_model_that_the_service_serves(
    api: FakeApiServer, kube: KubeClient
) -> None:
    said = {"choices": [{"message": {"content": " Paris. \n"}}]}
    answers = {"/v1/models": {"data": [{"id": "smollm2"}]}, "/v1/chat/completions": said}
    with model(answers) as (address, asked):
        api.answers[SERVICE] = (200, {"spec": {"clusterIP": address}})
        answer = ask.ask(kube, "chat", "What is the capital of France?")
    assert (answer.text, answer.model) == ("Paris.", "smollm2")
    assert asked[0]["model"] == "smollm2"
    assert asked[0]["messages"] == [{"role": "user", "content": "What is the capital of France?"}]


def test_a_model_that_does_not_answer_is_named_with_where_to_look(
    api: FakeApiServer, kube: KubeClient
) -> None:
    with model({}) as (address, _):
        api.answers[SERVICE] = (200, {"spec": {"clusterIP": address}})
        with pytest.raises(OneboxError, match=f"http://{address}/v1/models does not answer"):
            ask.ask(kube, "chat", "hello")


def test_a_question_to_no_service_says_what_to_look_at(kube: KubeClient) -> None:
    with pytest.raises(OneboxError, match="no Service default/chat yet") as caught:
        ask.ask(kube, "chat", "hello")
    assert "kubectl -n default describe workspace chat" in caught.value.remedy


def test_without_a_name_the_first_ready_workspace_is_asked(
    api: FakeApiServer, kube: KubeClient
) -> None:
    items = [workspace("a", ready=False), workspace("b", ready=True), workspace("c", ready=True)]
    api.answers[WORKSPACES] = (200, {"items": items})
    assert ask.any_workspace(kube, "default") == "b"
    api.answers[WORKSPACES] = (200, {"items": items[:1]})
    with pytest.raises(OneboxError, match="no Workspace in the namespace default is ready"):
        ask.any_workspace(kube, "default")
