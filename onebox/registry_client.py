"""Pushes images and artifacts to an OCI registry over its HTTP API, without Docker.

Layers are files on disk: they are hashed and uploaded in pieces, never held in memory, and skipped
when the registry has them. A layer is an uncompressed or gzip-compressed tar; the hash of a
gzip-compressed one's content (its diff id) must be in the config that the caller passes.
"""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

MEDIA_TYPE_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
MEDIA_TYPE_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
MEDIA_TYPE_EMPTY: Final = "application/vnd.oci.empty.v1+json"
MEDIA_TYPE_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
MEDIA_TYPE_LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"

REQUEST_TIMEOUT_SECONDS: Final = 300
"""Committing a blob of gigabytes makes the registry hash it again; 300 s is a guess above that."""

_PIECE_BYTES: Final = 1024 * 1024
_GZIP_MAGIC: Final = b"\x1f\x8b"
_OK: Final = 200
_CREATED: Final = 201
_ACCEPTED: Final = 202
_NOT_FOUND: Final = 404


class RegistryError(Exception):
    """The registry refused a request or can't be reached; the message says which."""


@dataclass(frozen=True)
class Blob:
    """What a manifest says about one blob."""

    media_type: str
    digest: str
    size_bytes: int
    title: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the OCI descriptor."""
        descriptor: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size_bytes,
        }
        if self.title:
            descriptor["annotations"] = {"org.opencontainers.image.title": self.title}
        return descriptor


class RegistryClient:
    """Talks to one registry, such as `http://10.89.0.1:5000`."""

    def __init__(self, base_url: str) -> None:
        """Remember the registry's address; nothing is sent yet."""
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{base_url!r} is no registry address; write http://host:port")
        self.base_url = base_url.rstrip("/")
        self._is_https = parts.scheme == "https"
        self._netloc = parts.netloc

    def is_alive(self) -> bool:
        """Say whether the registry answers."""
        try:
            status, _, _ = self._request("GET", "/v2/")
        except RegistryError:
            return False
        return status == _OK

    def has_manifest(self, repository: str, tag: str) -> bool:
        """Say whether the repository has the tag (or digest)."""
        path = f"/v2/{repository}/manifests/{tag}"
        status, _, body = self._request("HEAD", path, headers={"Accept": MEDIA_TYPE_MANIFEST})
        if status not in {_OK, _NOT_FOUND}:
            raise _refused("HEAD", path, status, body)
        return status == _OK

    def has_blob(self, repository: str, digest: str) -> bool:
        """Say whether the repository has the blob."""
        status, _, _ = self._request("HEAD", f"/v2/{repository}/blobs/{digest}")
        return status == _OK

    def push_image(
        self,
        repository: str,
        tag: str,
        layers: Sequence[Path],
        config: dict[str, Any],
        annotations: Mapping[str, str] | None = None,
    ) -> str:
        """Push a runnable image and return the digest of its manifest.

        Args:
            repository: Such as `kaito/pause`.
            tag: Such as `1`.
            layers: Tar files, lowest first; uncompressed or gzip.
            config: The OCI image config. `architecture`, `os` and `rootfs` are filled in when they
                are missing (`rootfs` only for uncompressed layers).
            annotations: Annotations of the manifest.
        """
        blobs = [self.push_file(repository, layer, layer_media_type(layer)) for layer in layers]
        whole = complete_config(config, blobs)
        return self._push_manifest(
            repository,
            tag,
            config=whole,
            config_media_type=MEDIA_TYPE_CONFIG,
            layers=blobs,
            extra={"annotations": annotations},
        )

    def push_artifact(
        self,
        repository: str,
        tag: str,
        artifact_type: str,
        layers: Sequence[tuple[Path, str, str]],
    ) -> str:
        """Push files as an OCI artifact and return the digest of its manifest.

        Args:
            repository: Such as `kaito/weights/smollm2-135m-instruct`.
            tag: Such as `1`.
            artifact_type: Media type that says what the artifact is.
            layers: Each file's path, media type and title (the name under which it is pulled).
        """
        blobs = [self.push_file(repository, path, media, title) for path, media, title in layers]
        return self._push_manifest(
            repository,
            tag,
            config={},
            config_media_type=MEDIA_TYPE_EMPTY,
            layers=blobs,
            extra={"artifactType": artifact_type},
        )

    def push_file(self, repository: str, path: Path, media_type: str, title: str = "") -> Blob:
        """Upload one file as a blob, unless the registry has it."""
        blob = Blob(media_type, file_digest(path), path.stat().st_size, title)
        if not self.has_blob(repository, blob.digest):
            with path.open("rb") as source:
                self._upload(repository, blob, iter(lambda: source.read(_PIECE_BYTES), b""))
        return blob

    def _push_bytes(self, repository: str, content: bytes, media_type: str) -> Blob:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        blob = Blob(media_type, digest, len(content))
        if not self.has_blob(repository, digest):
            self._upload(repository, blob, iter([content]))
        return blob

    def _push_manifest(
        self,
        repository: str,
        tag: str,
        *,
        config: dict[str, Any],
        config_media_type: str,
        layers: Sequence[Blob],
        extra: Mapping[str, Any],
    ) -> str:
        content = json.dumps(config, sort_keys=True, separators=(",", ":")).encode()
        manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPE_MANIFEST,
            "config": self._push_bytes(repository, content, config_media_type).to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
        manifest |= {key: value for key, value in extra.items() if value}
        body = json.dumps(manifest, sort_keys=True).encode()
        path = f"/v2/{repository}/manifests/{tag}"
        status, _, answer = self._request(
            "PUT", path, body=body, headers={"Content-Type": MEDIA_TYPE_MANIFEST}
        )
        if status != _CREATED:
            raise _refused("PUT", path, status, answer)
        return "sha256:" + hashlib.sha256(body).hexdigest()

    def _upload(self, repository: str, blob: Blob, pieces: Iterator[bytes]) -> None:
        path = f"/v2/{repository}/blobs/uploads/"
        status, headers, answer = self._request("POST", path, body=b"")
        if status != _ACCEPTED:
            raise _refused("POST", path, status, answer)
        location = urlsplit(headers["location"])
        query = "&".join(filter(None, (location.query, urlencode({"digest": blob.digest}))))
        target = f"{location.path}?{query}"
        status, _, answer = self._request(
            "PUT",
            target,
            body=pieces,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(blob.size_bytes),
            },
        )
        if status != _CREATED:
            raise _refused("PUT", location.path, status, answer)

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        try:
            with self._connection() as connection:
                connection.request(method, path, body=body, headers=dict(headers or {}))
                answer = connection.getresponse()
                found = {key.lower(): value for key, value in answer.getheaders()}
                return answer.status, found, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise RegistryError(
                f"the registry {self.base_url} can't be reached ({method} {path}): {error}"
            ) from error

    @contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        kind = http.client.HTTPSConnection if self._is_https else http.client.HTTPConnection
        connection = kind(self._netloc, timeout=REQUEST_TIMEOUT_SECONDS)
        try:
            yield connection
        finally:
            connection.close()


def file_digest(path: Path) -> str:
    """Return `sha256:…` of a file without reading it into memory."""
    with path.open("rb") as source:
        return "sha256:" + hashlib.file_digest(source, "sha256").hexdigest()


def layer_media_type(path: Path) -> str:
    """Tell a gzip-compressed layer from an uncompressed one by its first bytes."""
    with path.open("rb") as source:
        is_gzip = source.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    return MEDIA_TYPE_LAYER_GZIP if is_gzip else MEDIA_TYPE_LAYER


def complete_config(config: Mapping[str, Any], layers: Sequence[Blob]) -> dict[str, Any]:
    """Return the image config with what a runtime needs filled in."""
    whole: dict[str, Any] = {"architecture": "amd64", "os": "linux", **config}
    if "rootfs" not in whole:
        packed = [layer for layer in layers if layer.media_type != MEDIA_TYPE_LAYER]
        if packed:
            raise ValueError("a config for compressed layers must name its own rootfs.diff_ids")
        whole["rootfs"] = {"type": "layers", "diff_ids": [layer.digest for layer in layers]}
    return whole


def _refused(method: str, path: str, status: int, body: bytes) -> RegistryError:
    return RegistryError(
        f"the registry refused {method} {path}: {status} {body[:300].decode(errors='replace')}"
    )
