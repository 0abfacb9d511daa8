"""A small client of the Kubernetes API for what onebox itself must read and write."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

REQUEST_TIMEOUT_SECONDS: Final = 15
FIELD_MANAGER: Final = "onebox"

_NOT_FOUND: Final = 404
_FIRST_ERROR: Final = 400

MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"


class KubeError(Exception):
    """The API server refused a request or can't be reached (status 0)."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the HTTP status beside the server's own words."""
        super().__init__(message)
        self.status = status


class KubeClient:
    """Talks to the API server with the certificates of one kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        """Read the kubeconfig; nothing is sent yet."""
        config = json.loads(kubeconfig.read_text(encoding="utf-8"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        address = urlsplit(cluster["server"])
        self._host, self._port = str(address.hostname), address.port or 443
        self._context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        with tempfile.NamedTemporaryFile() as pair:  # ssl loads key pairs from files only
            pair.write(base64.b64decode(user["client-certificate-data"]))
            pair.write(base64.b64decode(user["client-key-data"]))
            pair.flush()
            self._context.load_cert_chain(pair.name)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Any:
        """Send one request and return the decoded answer (text when it is no JSON).

        Raises:
            KubeError: Refused, or not reachable.
        """
        content = None if body is None else json.dumps(body)
        connection = http.client.HTTPSConnection(
            self._host, self._port, context=self._context, timeout=REQUEST_TIMEOUT_SECONDS
        )
        try:
            connection.request(method, path, content, {"Content-Type": content_type})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise KubeError(0, f"the API server can't be reached: {error}") from error
        finally:
            connection.close()
        try:
            decoded = json.loads(text)
        except ValueError:
            decoded = text
        if answer.status >= _FIRST_ERROR:
            said = decoded.get("message", text) if isinstance(decoded, dict) else text
            raise KubeError(answer.status, f"{method} {path}: {answer.status} {said[:500]}")
        return decoded

    def get(self, path: str) -> Any:
        """Return an object or list, or None when it is not there."""
        try:
            return self.request("GET", path)
        except KubeError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def delete(self, path: str, options: Mapping[str, Any] | None = None) -> bool:
        """Delete an object; False when it was gone."""
        try:
            self.request("DELETE", path, options)
        except KubeError as error:
            if error.status == _NOT_FOUND:
                return False
            raise
        return True

    def patch(self, path: str, body: Any, content_type: str = MERGE_PATCH) -> Any:
        """Patch an object."""
        return self.request("PATCH", path, body, content_type)

    def apply(self, body: Mapping[str, Any]) -> Any:
        """Create or change an object by server-side apply."""
        path = f"{object_path(body)}?fieldManager={FIELD_MANAGER}&force=true"
        return self.request("PATCH", path, body, APPLY_PATCH)

    def is_ready(self) -> bool:
        """Say whether the API server calls itself ready."""
        try:
            self.request("GET", "/readyz")
        except KubeError:
            return False
        return True


PLURALS: Final[Mapping[str, str]] = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "ConfigMap": "configmaps",
    "CustomResourceDefinition": "customresourcedefinitions",
    "Deployment": "deployments",
    "Namespace": "namespaces",
    "Node": "nodes",
    "Pod": "pods",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "Workspace": "workspaces",
}
"""Kinds that onebox itself applies."""

CLUSTER_KINDS: Final = frozenset(
    {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace", "Node"}
)


def object_path(body: Mapping[str, Any]) -> str:
    """Return the URL path of an object."""
    version, kind, metadata = body["apiVersion"], body["kind"], body["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    if kind in CLUSTER_KINDS:
        return f"{root}/{PLURALS[kind]}/{quote(metadata['name'])}"
    namespace = quote(metadata.get("namespace", "default"))
    return f"{root}/namespaces/{namespace}/{PLURALS[kind]}/{quote(metadata['name'])}"
