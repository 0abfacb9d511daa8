"""Asks a served model a question through its Service's cluster IP, from the host."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Final

from onebox import places
from onebox.errors import OneboxError
from onebox.follow import is_ready
from onebox.kube import KubeClient, KubeError

ANSWER_DEADLINE_SECONDS: Final = 120
"""The small model writes about 20 tokens a second on two busy cores; a guess above that."""

ANSWER_TOKENS: Final = 64
DEFAULT_QUESTION: Final = "What is the capital of France?"


@dataclass(frozen=True)
class Answer:
    """What the model said."""

    text: str
    model: str
    url: str
    seconds: float


def ask(kube: KubeClient, workspace: str, question: str, namespace: str = "default") -> Answer:
    """Ask one question.

    Raises:
        OneboxError: There is no such Service, or nothing answers behind it.
    """
    url = f"http://{service_address(kube, workspace, namespace)}"
    started = time.monotonic()
    models = _call(f"{url}/v1/models")
    model = str(models["data"][0]["id"])
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": ANSWER_TOKENS,
        "temperature": 0,
    }
    said = _call(f"{url}/v1/chat/completions", body)
    text = str(said["choices"][0]["message"]["content"]).strip()
    return Answer(text, model, url, time.monotonic() - started)


def any_workspace(kube: KubeClient, namespace: str) -> str:
    """Return the first Workspace of a namespace that is ready.

    Raises:
        OneboxError: None is.
    """
    try:
        found = kube.get(f"/apis/kaito.sh/v1beta1/namespaces/{namespace}/workspaces") or {}
    except KubeError as error:
        raise OneboxError(str(error), "`python -m onebox status` says what runs") from error
    ready = [item["metadata"]["name"] for item in found.get("items", []) if is_ready(item)]
    if not ready:
        raise OneboxError(
            f"no Workspace in the namespace {namespace} is ready",
            f"see what they wait for: kubectl -n {namespace} get workspace",
        )
    return str(ready[0])


def service_address(kube: KubeClient, workspace: str, namespace: str) -> str:
    """Return the cluster IP of a Workspace's Service."""
    remedy = f"see what it waits for: kubectl -n {namespace} describe workspace {workspace}"
    try:
        service = kube.get(f"/api/v1/namespaces/{namespace}/services/{workspace}")
    except KubeError as error:
        raise OneboxError(str(error), "`python -m onebox status` says what runs") from error
    if service is None:
        raise OneboxError(f"there is no Service {namespace}/{workspace} yet", remedy)
    return str(service["spec"]["clusterIP"])


def connect() -> KubeClient:
    """Return a client of this machine's cluster.

    Raises:
        OneboxError: Nothing was started yet.
    """
    if not places.kubeconfig().exists():
        raise OneboxError("onebox does not run", "start it: make up")
    return KubeClient(places.kubeconfig())


def _call(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - our own http URLs
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_DEADLINE_SECONDS) as answer:  # noqa: S310
            decoded: dict[str, Any] = json.load(answer)
            return decoded
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise OneboxError(
            f"{url} does not answer: {error}",
            "`kubectl get pods -o wide` and `kubectl get workspace` say why",
        ) from error
