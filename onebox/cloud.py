"""Where the nodes of an installation come from, chosen at its first `up` and kept until `down`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from onebox import places
from onebox.errors import OneboxError

ONEBOX: Final = "onebox"
"""The platform asks the node agent itself."""

AZURE_EMULATOR: Final = "azure-emulator"
"""The platform asks Azure by Azure's SDK; an emulator answers, and the node agent serves that."""

KINDS: Final = (ONEBOX, AZURE_EMULATOR)


@dataclass(frozen=True)
class Cloud:
    """One choice."""

    kind: str = ONEBOX
    quotas: tuple[str, ...] = ()
    """Of the emulated Azure: `FAMILY=VCPUS`; what is not named has no limit."""

    @property
    def is_azure(self) -> bool:
        """Whether an emulated Azure stands between the platform and the node agent."""
        return self.kind == AZURE_EMULATOR


def kept() -> Cloud | None:
    """Return the cloud of the installation that is here; None where none is."""
    if not (places.run() / "etcd").exists():
        # A choice of an `up` that came to nothing binds nobody.
        return None
    try:
        record = json.loads(_file().read_text(encoding="utf-8"))
        return Cloud(str(record["kind"]), tuple(str(quota) for quota in record["quotas"]))
    except (OSError, ValueError, KeyError, TypeError):
        # State without a choice is older than the choice, or lost its file: it began as onebox.
        return Cloud()


def settle(kind: str | None, quotas: tuple[str, ...]) -> Cloud:
    """Return the cloud to use, and keep it for later calls.

    Args:
        kind: What this call asks for; None: what is kept, else onebox.
        quotas: What this call asks for; none: what is kept.

    Raises:
        OneboxError: It is not what this installation began with, or has no meaning.
    """
    earlier = kept()
    default = earlier or Cloud()
    wanted = Cloud(kind or default.kind, quotas or (default.quotas if _same(kind, default) else ()))
    if wanted.quotas and not wanted.is_azure:
        raise OneboxError(
            "--azure-quota is for the emulated Azure", f"add `--cloud {AZURE_EMULATOR}`"
        )
    for quota in wanted.quotas:
        _check(quota)
    if earlier is not None and wanted != earlier:
        raise OneboxError(
            f"this installation began with {_words(earlier)}, and its nodes belong there; "
            f"asked for is {_words(wanted)}",
            "`make down` first, or leave out --cloud and --azure-quota",
        )
    _file().parent.mkdir(parents=True, exist_ok=True)
    _file().write_text(json.dumps({"kind": wanted.kind, "quotas": wanted.quotas}), encoding="utf-8")
    return wanted


def _same(kind: str | None, default: Cloud) -> bool:
    return kind is None or kind == default.kind


def _check(quota: str) -> None:
    family, _, vcpus = quota.partition("=")
    if not family or not (vcpus.isascii() and vcpus.isdigit()):
        raise OneboxError(
            f"--azure-quota {quota!r} is no quota",
            "write FAMILY=VCPUS, such as standardNCSv3Family=0",
        )


def _words(cloud: Cloud) -> str:
    limits = f" ({', '.join(cloud.quotas)})" if cloud.quotas else ""
    return f"--cloud {cloud.kind}{limits}"


def _file() -> Path:
    return places.run() / "cloud.json"
