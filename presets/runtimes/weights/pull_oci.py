"""Pulls an OCI artifact from a registry into a folder. Standard library only.

    python3 pull_oci.py --reference REGISTRY/REPOSITORY:TAG --destination FOLDER [--plain-http]

Meant for an init container that puts a model's weights on a volume:

* a layer with a title becomes a file of that name; a tar without a title is unpacked, whole or
  one folder of it (--only), so that an image with a system around its files will do;
* every byte is checked against its digest; a file takes its name only when it is whole and right;
* what is already there is kept, and a file cut off in the middle goes on from there (HTTP Range);
* a registry that fails or is away is tried again, with growing pauses, until the deadline;
* progress is one line every few seconds, and a failure is one line with its own exit code.

Read it from top to bottom: constants and errors, the reference, credentials, the registry, one
layer, the whole pull, `main`.
"""

from __future__ import annotations

import argparse
import base64
import errno
import gzip
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import ssl
import sys
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn
from urllib.parse import urlencode, urlsplit

EXIT_BAD_INPUT = 2
EXIT_NOT_FOUND = 3
EXIT_UNAUTHORISED = 4
EXIT_NO_SPACE = 5
EXIT_DEADLINE = 6
EXIT_CORRUPT = 7
EXIT_TERMINATED = 128 + signal.SIGTERM

# 60 MB/s is what upstream assumes at worst: 30 min is room for 100 GB, and a pod waits no longer.
DEFAULT_DEADLINE_SECONDS = 1800
SOCKET_TIMEOUT_SECONDS = 30
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
PROGRESS_SECONDS = 5.0
MAX_CORRUPT_DOWNLOADS = 3
MAX_REDIRECTS = 5
PIECE_BYTES = 1 << 20
MAX_MANIFEST_BYTES = 4 << 20  # the limit that registries themselves put on manifests

STATE_FOLDER = ".pull"
"""Holds parts of files and a note for each finished layer: a restart goes on where it stopped."""

TITLE = "org.opencontainers.image.title"
UNPACK = "io.deis.oras.content.unpack"
"""An annotation by which ORAS marks a titled layer as a packed folder."""

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
PLATFORM = {"os": "linux", "architecture": "amd64"}

OK = 200
PARTIAL = 206
REDIRECTS = (301, 302, 303, 307, 308)
UNAUTHORISED = (401, 403)
NOT_FOUND = 404
RANGE_NOT_SATISFIABLE = 416
TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class PullError(Exception):
    """The pull can't succeed by trying again; the message names the thing and the remedy."""

    def __init__(self, exit_code: int, message: str) -> None:
        """Keep what the process exits with beside what it says."""
        super().__init__(message)
        self.exit_code = exit_code


class TransientError(Exception):
    """The registry or the network failed in a way that may pass."""

    def __init__(self, message: str, *, pause_seconds: float = 0.0) -> None:
        """Keep how long the registry asked us to wait, if it did."""
        super().__init__(message)
        self.pause_seconds = pause_seconds


# --- 1. The reference -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Reference:
    """`registry/repository:tag` or `registry/repository@sha256:…`, taken apart."""

    registry: str
    repository: str
    version: str

    def __str__(self) -> str:
        """Return it as a person writes it."""
        mark = "@" if self.version.startswith("sha256:") else ":"
        return f"{self.registry}/{self.repository}{mark}{self.version}"


def parse_reference(text: str) -> Reference:
    """Take a reference apart; the registry must be named, since there is no default one."""
    registry, _, rest = text.partition("/")
    repository, at, version = rest.partition("@")
    if not at:
        repository, _, version = rest.partition(":")
        version = version or "latest"
    parts_are_right = (
        re.fullmatch(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9a-fA-F:]+\](:\d+)?", registry)
        and re.fullmatch(r"[a-z0-9]+([._/-]+[a-z0-9]+)*", repository)
        and re.fullmatch(r"sha256:[0-9a-f]{64}" if at else r"\w[\w.-]{0,127}", version)
    )
    if not parts_are_right:
        raise PullError(EXIT_BAD_INPUT, f"{text!r} is no reference; write REGISTRY/REPOSITORY:TAG")
    return Reference(registry, repository, version)


# --- 2. Credentials -------------------------------------------------------------------------------


def read_credentials(config: Path | None, registry: str) -> str:
    """Return the base64 of `user:password` for a registry from a Docker configuration, or ""."""
    if config is None:
        folder = os.environ.get("DOCKER_CONFIG", "")
        config = Path(folder) / "config.json" if folder else None
        if config is None or not config.exists():
            return ""
    try:
        entries = json.loads(config.read_text()).get("auths", {})
        for address, entry in entries.items():
            host = urlsplit(address if "//" in address else f"//{address}").netloc
            if host == registry:
                if entry.get("auth"):
                    return str(entry["auth"])
                pair = f"{entry['username']}:{entry['password']}"
                return base64.b64encode(pair.encode()).decode()
    except FileNotFoundError as error:
        raise PullError(EXIT_BAD_INPUT, f"no file {config}; mount the Secret there") from error
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise PullError(
            EXIT_BAD_INPUT, f"{config} is no Docker configuration ({error!r}); correct the Secret"
        ) from error
    return ""


# --- 3. The registry ------------------------------------------------------------------------------


@dataclass
class Registry:
    """Speaks the distribution API of one registry, with whatever authorisation it asks for."""

    reference: Reference
    is_plain_http: bool
    credentials: str = ""
    authorisation: str = field(default="", repr=False)

    @contextmanager
    def get(self, path: str, headers: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
        """Open a path below the repository; the caller reads the answer.

        Raises:
            PullError: The registry answered that this can never work.
            TransientError: The registry or the network failed.
        """
        scheme = "http" if self.is_plain_http else "https"
        url = f"{scheme}://{self.reference.registry}/v2/{self.reference.repository}/{path}"
        with _translated(self.reference.registry):
            connection, answer = self._open(url, headers, self.authorisation)
            if answer.status == UNAUTHORISED[0]:
                challenge = answer.headers.get("WWW-Authenticate", "")
                connection.close()
                self.authorisation = self._authorise(challenge)
                connection, answer = self._open(url, headers, self.authorisation)
            try:
                self._check(answer, path)
                yield answer
            finally:
                connection.close()

    def _open(
        self, url: str, headers: Mapping[str, str], authorisation: str
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a GET and follow redirects, which carry no authorisation to another host."""
        first_host = urlsplit(url).netloc
        for _ in range(MAX_REDIRECTS):
            parts = urlsplit(url)
            if parts.scheme == "https":
                connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                    parts.netloc,
                    timeout=SOCKET_TIMEOUT_SECONDS,
                    context=ssl.create_default_context(),
                )
            else:
                connection = http.client.HTTPConnection(
                    parts.netloc, timeout=SOCKET_TIMEOUT_SECONDS
                )
            sent = dict(headers)
            if authorisation and parts.netloc == first_host:
                sent["Authorization"] = authorisation
            connection.request(
                "GET", f"{parts.path or '/'}?{parts.query}".rstrip("?"), headers=sent
            )
            answer = connection.getresponse()
            if answer.status not in REDIRECTS:
                return connection, answer
            location = answer.headers.get("Location", "")
            connection.close()
            url = location if "//" in location else f"{parts.scheme}://{parts.netloc}{location}"
        raise TransientError(f"more than {MAX_REDIRECTS} redirects, the last to {url}")

    def _authorise(self, challenge: str) -> str:
        """Return the Authorization header that answers a challenge."""
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic" and self.credentials:
            return f"Basic {self.credentials}"
        fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if kind.lower() != "bearer" or "realm" not in fields:
            return ""
        query = {
            "service": fields.get("service", ""),
            "scope": fields.get("scope", f"repository:{self.reference.repository}:pull"),
        }
        url = f"{fields['realm']}?{urlencode(query)}"
        own = f"Basic {self.credentials}" if self.credentials else ""
        connection, answer = self._open(url, {}, own)
        try:
            self._check(answer, fields["realm"])
            token = json.loads(answer.read(MAX_MANIFEST_BYTES))
            return f"Bearer {token.get('token') or token['access_token']}"
        except (ValueError, KeyError, AttributeError) as error:
            raise TransientError(f"{fields['realm']} gave no token") from error
        finally:
            connection.close()

    def _check(self, answer: http.client.HTTPResponse, path: str) -> None:
        if answer.status in {OK, PARTIAL, RANGE_NOT_SATISFIABLE}:
            return
        if answer.status in UNAUTHORISED:
            raise PullError(
                EXIT_UNAUTHORISED,
                f"{self.reference.registry} refuses to give {self.reference}: "
                + ("the credentials don't allow it" if self.credentials else "no credentials given")
                + "; name a pull secret that allows it",
            )
        if answer.status == NOT_FOUND:
            what = "no such reference" if path.startswith("manifests/") else f"{path} is missing in"
            raise PullError(EXIT_NOT_FOUND, f"{what} {self.reference}; push it or correct the name")
        message = f"{self.reference.registry} answered {answer.status} to {path}"
        if answer.status not in TRY_AGAIN:
            raise PullError(EXIT_BAD_INPUT, f"{message}; is this an OCI registry?")
        wait = answer.headers.get("Retry-After", "")
        raise TransientError(message, pause_seconds=float(wait) if wait.isdigit() else 0.0)


@contextmanager
def _translated(registry: str) -> Iterator[None]:
    """Turn what the network throws into our two errors."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise PullError(
            EXIT_BAD_INPUT,
            f"the certificate of {registry} is not trusted ({error.verify_message}); "
            "give its CA by SSL_CERT_FILE",
        ) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise
        hint = "; does it speak plain HTTP?" if isinstance(error, ssl.SSLError) else ""
        raise TransientError(f"{registry}: {error}{hint}") from error
    except http.client.HTTPException as error:
        raise TransientError(f"{registry}: {error!r}") from error


# --- 4. One layer ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """What the manifest says about one blob, and where its content belongs."""

    digest: str
    size_bytes: int
    title: str
    is_packed: bool


def read_layers(manifest: Mapping[str, Any]) -> list[Layer]:
    """Return the layers of a manifest, refusing names that lead out of the destination."""
    layers = []
    try:
        for entry in manifest["layers"]:
            annotations = entry.get("annotations") or {}
            title, media_type = str(annotations.get(TITLE, "")), str(entry["mediaType"])
            if media_type == EMPTY_TYPE:
                continue
            is_packed = annotations.get(UNPACK) == "true" or (not title and "tar" in media_type)
            if not re.fullmatch(r"sha256:[0-9a-f]{64}", str(entry["digest"])):
                raise PullError(
                    EXIT_CORRUPT, f"digest {entry['digest']!r} is not sha256; push anew"
                )
            if not is_packed:
                safe_path(title)
            layers.append(Layer(entry["digest"], int(entry["size"]), title, is_packed))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PullError(
            EXIT_CORRUPT, f"the manifest has no layers ({error!r}); push anew"
        ) from error
    return layers


def safe_path(name: str) -> PurePosixPath:
    """Return a relative path that stays below the destination."""
    path = PurePosixPath(name)
    is_safe = not path.is_absolute() and ".." not in path.parts and not {"\\", "\0"} & set(name)
    if not is_safe or not path.parts or path.parts[0] == STATE_FOLDER:
        raise PullError(
            EXIT_CORRUPT, f"the artifact holds a file {name!r}, a name to refuse; push anew"
        )
    return path


def unpack(archive: Path, destination: Path, only: str = "") -> None:
    """Unpack a tar of plain files and folders; all else, and names that lead out, are refused.

    With `only`, everything outside the folder of that name is passed over.
    """
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.name in {".", "./"}:
                    continue
                path = safe_path(member.name)
                if only and path.parts[0] != only:
                    continue
                target = destination / path
                if not target.resolve().is_relative_to(destination.resolve()):
                    raise PullError(EXIT_CORRUPT, f"{member.name!r} leads out of the destination")
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                content = tar.extractfile(member) if member.isreg() else None
                if content is None:
                    raise PullError(
                        EXIT_CORRUPT,
                        f"{member.name!r} is no plain file; push files and folders only",
                    )
                target.parent.mkdir(parents=True, exist_ok=True)
                with content, target.open("wb") as file:
                    shutil.copyfileobj(content, file, PIECE_BYTES)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise PullError(EXIT_CORRUPT, f"a layer is no readable tar ({error}); push anew") from error


# --- 5. The whole pull ----------------------------------------------------------------------------


@dataclass
class Pull:
    """One pull; time and output come in as arguments, so that a test needs neither."""

    registry: Registry
    destination: Path
    deadline_seconds: float = DEFAULT_DEADLINE_SECONDS
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    say: Callable[[str], None] = print
    only: str = ""
    total_bytes: int = 0
    done_bytes: int = 0
    last_line: float = 0.0

    def run(self) -> None:
        """Bring every layer of the artifact into the destination."""
        start = self.last_line = self.clock()
        self.stop_at = start + self.deadline_seconds
        state = self.destination / STATE_FOLDER
        try:
            state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PullError(
                EXIT_BAD_INPUT, f"can't write {self.destination} ({error.strerror}); see fsGroup"
            ) from error
        layers = read_layers(self.retried(self.read_manifest))
        missing = [layer for layer in layers if not self.is_complete(layer)]
        self.total_bytes = sum(layer.size_bytes for layer in layers)
        self.done_bytes = self.total_bytes - sum(layer.size_bytes for layer in missing)
        self.say(
            f"{self.registry.reference}: {len(layers)} files, {_megabytes(self.total_bytes)} MB, "
            f"{_megabytes(self.done_bytes)} MB already here"
        )
        self.check_space(missing)
        for layer in missing:
            self.pull_layer(layer)
        if self.only and not (self.destination / self.only).is_dir():
            raise PullError(
                EXIT_NOT_FOUND,
                f"{self.registry.reference} has no folder /{self.only}; put the files there",
            )
        seconds = self.clock() - start
        self.say(f"complete: {_megabytes(self.total_bytes)} MB in {seconds:.1f} s")

    def read_manifest(self, version: str = "") -> dict[str, Any]:
        """Return the manifest, of an index the one for this platform."""
        version = version or self.registry.reference.version
        accept = {"Accept": ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))}
        with self.registry.get(f"manifests/{version}", accept) as answer:
            body = answer.read(MAX_MANIFEST_BYTES)
        if (
            version.startswith("sha256:")
            and f"sha256:{hashlib.sha256(body).hexdigest()}" != version
        ):
            raise TransientError(f"the manifest of {self.registry.reference} is not {version}")
        try:
            manifest = json.loads(body)
        except ValueError as error:
            raise TransientError(f"{self.registry.reference}: the manifest is no JSON") from error
        if not isinstance(manifest, dict):
            raise PullError(
                EXIT_CORRUPT, f"{self.registry.reference} has no manifest; push it anew"
            )
        entries = manifest.get("manifests")
        if not entries:
            return manifest
        for entry in entries:
            if PLATFORM.items() <= (entry.get("platform") or PLATFORM).items():
                return self.read_manifest(str(entry["digest"]))
        raise PullError(
            EXIT_NOT_FOUND, f"{self.registry.reference} has nothing for linux/amd64; push one"
        )

    def is_complete(self, layer: Layer) -> bool:
        """Say whether the note of a layer is there, and its file still has the right size."""
        if not self.note(layer).exists():
            return False
        if layer.is_packed:
            return True
        target = self.destination / layer.title
        return target.is_file() and target.stat().st_size == layer.size_bytes

    def note(self, layer: Layer) -> Path:
        """Return the note that says a layer is complete.

        Its name holds title and digest: two files of equal content are two layers.
        """
        key = hashlib.sha256(f"{layer.digest} {layer.title}".encode()).hexdigest()[:32]
        return self.destination / STATE_FOLDER / f"{key}.done"

    def check_space(self, missing: Sequence[Layer]) -> None:
        """Refuse to start what can't fit; a packed layer needs its room twice."""
        parts = self.destination / STATE_FOLDER
        here = sum(part.stat().st_size for part in parts.glob("*.part"))
        needed = sum(layer.size_bytes * (2 if layer.is_packed else 1) for layer in missing) - here
        free = shutil.disk_usage(self.destination).free
        if needed > free:
            raise PullError(
                EXIT_NO_SPACE,
                f"{self.destination} has {_megabytes(free)} MB free and {self.registry.reference} "
                f"needs {_megabytes(needed)} MB more; give the volume more room",
            )

    def pull_layer(self, layer: Layer) -> None:
        """Download, check, and put in its place."""
        part = self.destination / STATE_FOLDER / f"{layer.digest.removeprefix('sha256:')}.part"
        for _ in range(MAX_CORRUPT_DOWNLOADS):
            done_before = self.done_bytes
            self.retried(lambda: self.download(layer, part))
            if _digest(part) == layer.digest:
                break
            self.say(f"{layer.title or layer.digest}: content is not its digest, loading it again")
            part.unlink()
            self.done_bytes = done_before
        else:
            raise PullError(
                EXIT_CORRUPT,
                f"{layer.title or 'a layer'} of {self.registry.reference} is not {layer.digest} "
                f"after {MAX_CORRUPT_DOWNLOADS} downloads; push it anew",
            )
        if layer.is_packed:
            unpack(part, self.destination, self.only)
            part.unlink()
        else:
            target = self.destination / layer.title
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
        self.note(layer).write_text(f"{layer.digest} {layer.title}\n")

    def download(self, layer: Layer, part: Path) -> None:
        """Append what is missing of a layer to its part file."""
        have = part.stat().st_size if part.exists() else 0
        if have > layer.size_bytes:
            part.unlink()
            have = 0
        self.progress(layer, have)
        if have == layer.size_bytes and part.exists():
            self.done_bytes += have
            return
        headers = {"Range": f"bytes={have}-"} if have else {}
        with self.registry.get(f"blobs/{layer.digest}", headers) as answer:
            if answer.status == RANGE_NOT_SATISFIABLE:
                part.unlink()
                raise TransientError(f"{layer.title or layer.digest}: can't go on in the middle")
            if have and answer.status != PARTIAL:
                have = 0  # this registry starts from the beginning
            with part.open("ab" if have else "wb") as file:
                while have < layer.size_bytes:
                    piece = answer.read(min(PIECE_BYTES, layer.size_bytes - have))
                    if not piece:
                        raise TransientError(
                            f"{layer.title or layer.digest}: cut off at {have} bytes"
                        )
                    have += file.write(piece)
                    self.progress(layer, have)
                    self.check_deadline("the download is too slow")
        self.done_bytes += have

    def progress(self, layer: Layer, have: int) -> None:
        """Say how far the pull is, every few seconds and at the end of each large file."""
        is_done = have == layer.size_bytes >= PIECE_BYTES
        if self.clock() - self.last_line >= PROGRESS_SECONDS or is_done:
            self.last_line = self.clock()
            done = self.done_bytes + have
            share = 100 * done // max(self.total_bytes, 1)
            self.say(
                f"pulling {layer.title or layer.digest[:19]}: {_megabytes(done)} of "
                f"{_megabytes(self.total_bytes)} MB ({share} %)"
            )

    def retried(self, step: Callable[[], Any]) -> Any:
        """Take a step until it works or the deadline is over; pauses double and vary a little."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return step()
            except TransientError as error:
                self.check_deadline(str(error))
                # Pods of one StatefulSet start together; they must not come back together too.
                wait = max(error.pause_seconds, pause * random.uniform(0.75, 1.25))  # noqa: S311
                self.say(f"{error}; trying again in {wait:.0f} s")
                self.sleep(min(wait, max(self.stop_at - self.clock(), 0.0)))
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def check_deadline(self, cause: str) -> None:
        """Stop when the time is over, and say what took it."""
        if self.clock() >= self.stop_at:
            raise PullError(
                EXIT_DEADLINE,
                f"{self.registry.reference} is not here after {self.deadline_seconds:.0f} s "
                f"(--deadline-seconds): {cause}; see that this node reaches the registry",
            )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f}"


def terminate(*_: object) -> NoReturn:
    """End at once; as a container's first process we would ignore SIGTERM otherwise."""
    raise SystemExit(EXIT_TERMINATED)


def main(arguments: Sequence[str]) -> int:
    """Pull what the command line names; return the exit code."""
    parser = argparse.ArgumentParser(prog="pull_oci.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--reference", required=True, help="REGISTRY/REPOSITORY:TAG or @sha256:…")
    parser.add_argument("--destination", required=True, type=Path, help="folder for the files")
    parser.add_argument("--plain-http", action="store_true", help="the registry has no TLS")
    parser.add_argument(
        "--docker-config",
        type=Path,
        action="append",
        help="config.json with credentials; of several, the first that knows the registry counts",
    )
    parser.add_argument("--only", default="", help="folder of an image to take, and nothing else")
    parser.add_argument("--deadline-seconds", type=float, default=DEFAULT_DEADLINE_SECONDS)
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, terminate)
    try:
        reference = parse_reference(given.reference)
        found = (
            read_credentials(config, reference.registry) for config in given.docker_config or [None]
        )
        registry = Registry(reference, given.plain_http, next(filter(None, found), ""))
        Pull(
            registry, given.destination, given.deadline_seconds, say=_print_line, only=given.only
        ).run()
    except PullError as error:
        print(f"pull_oci: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    except OSError as error:
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        cause = "is full; give it more room" if is_full else f"takes no such file: {error}"
        print(f"pull_oci: volume {given.destination} {cause}", file=sys.stderr, flush=True)
        return EXIT_NO_SPACE if is_full else EXIT_BAD_INPUT
    return 0


def _print_line(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
