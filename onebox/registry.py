"""The local image registry: plain HTTP on the bridge, storage in the cache."""

from __future__ import annotations

import json
from typing import Any

from onebox import binaries, places
from onebox.processes import Program


def registry() -> Program:
    """Return the registry; write its configuration with `write_config` first."""
    return Program(
        name="registry",
        command=[str(binaries.path("registry")), "serve", str(places.run() / "registry.json")],
        listens=((places.HOST_ADDRESS, places.PORT_REGISTRY),),
        environment={"OTEL_TRACES_EXPORTER": "none"},
    )


def config() -> dict[str, Any]:
    """Render the registry's configuration.

    The storage outlives `down`, so that a second first start pushes nothing again.
    """
    return {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(places.cache() / "registry")},
            "delete": {"enabled": True},
        },
        "http": {"addr": places.REGISTRY},
    }


def write_config() -> None:
    """Write the configuration; JSON is YAML."""
    (places.cache() / "registry").mkdir(parents=True, exist_ok=True)
    places.run().mkdir(parents=True, exist_ok=True)
    (places.run() / "registry.json").write_text(json.dumps(config()), encoding="utf-8")
