"""Names, labels and image references as Kubernetes and registries accept them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_DNS_1035_LABEL: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DNS_1123_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_SUBDOMAIN: Final = re.compile(
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
)
_QUALIFIED: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")

MAX_SUBDOMAIN_CHARACTERS: Final = 253
MAX_LABEL_CHARACTERS: Final = 63

MAX_REPOSITORY_CHARACTERS: Final = 255
"""Registry and repository together; the limit of every container runtime."""

# The grammar of github.com/distribution/reference, which container runtimes read references by.
_HOST: Final = re.compile(
    r"([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?"
    r"(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]{2,39}\])(:[0-9]{1,5})?"
)
_PATH_PART: Final = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}")
_DIGEST: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}")
_SHA256: Final = re.compile(r"sha256:[0-9a-f]{64}")
_IMAGE_ID: Final = re.compile(r"[0-9a-f]{64}")


def is_service_name(name: str) -> bool:
    """Return whether a Service may have the name (RFC 1035); its length is not judged."""
    return _DNS_1035_LABEL.fullmatch(name) is not None


def is_container_name(name: str) -> bool:
    """Return whether a container or a volume may have the name (RFC 1123 label)."""
    return len(name) <= MAX_LABEL_CHARACTERS and _DNS_1123_LABEL.fullmatch(name) is not None


def is_object_name(name: str) -> bool:
    """Return whether most objects may have the name (RFC 1123 subdomain): nodes, ConfigMaps."""
    is_short = len(name) <= MAX_SUBDOMAIN_CHARACTERS
    return is_short and _DNS_SUBDOMAIN.fullmatch(name) is not None


def is_label_value(value: str) -> bool:
    """Return whether a label may have the value; it may be empty."""
    return not value or _is_qualified(value)


def is_label_key(key: str) -> bool:
    """Return whether a label may have the key: `name` or `prefix.example/name`."""
    prefix, slash, name = key.rpartition("/")
    return _is_qualified(name) and (not slash or is_object_name(prefix))


def _is_qualified(text: str) -> bool:
    return len(text) <= MAX_LABEL_CHARACTERS and _QUALIFIED.fullmatch(text) is not None


@dataclass(frozen=True)
class ImageReference:
    """Parts of an image's reference, as they are written."""

    registry: str
    """Host and port; empty where the node's container runtime chooses."""
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def is_pinned(self) -> bool:
        """Return whether it means the same image for ever."""
        return bool(self.digest)

    @property
    def is_moving(self) -> bool:
        """Return whether nobody even meant it to stay the same: no tag, or `latest`."""
        return not self.digest and self.tag in {"", "latest"}


def parse_image(reference: str) -> ImageReference | None:
    """Return the parts of `registry/repository:tag@digest`, or None when it is no reference."""
    rest, at, digest = reference.partition("@")
    if at and not _is_digest(digest):
        return None
    before, colon, tag = rest.rpartition(":")
    # A colon before the last slash is the port of a registry.
    if not colon or "/" in tag:
        before, colon, tag = rest, "", ""
    if colon and _TAG.fullmatch(tag) is None:
        return None
    registry, repository = _split_registry(before)
    is_sound = (
        len(before) <= MAX_REPOSITORY_CHARACTERS
        and (not registry or _HOST.fullmatch(registry) is not None)
        and all(_PATH_PART.fullmatch(part) for part in repository.split("/"))
        # Runtimes take this for the id of an image that is there already.
        and not (not registry and _IMAGE_ID.fullmatch(repository))
    )
    return ImageReference(registry, repository, tag, digest) if is_sound else None


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    # `kaito/phi-4` is a repository, `kaito.example/phi-4` one of a registry.
    is_host = bool({".", ":"} & set(first)) or first == "localhost" or first != first.lower()
    return (first, rest) if slash and is_host else ("", name)


def _is_digest(digest: str) -> bool:
    if digest.startswith("sha256:"):
        return _SHA256.fullmatch(digest) is not None
    return _DIGEST.fullmatch(digest) is not None
