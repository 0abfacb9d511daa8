"""The catalogue's nouns: a preset is a model that is known well enough to be served by its name.

Files of `presets/` hold them, checked against these models; unknown keys are refused, so that a
misspelt one can't be ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

DEFAULT_READY_DEADLINE_SECONDS: Final = 1800
"""30 min: what upstream gives nearly every preset until it must answer."""

_T = TypeVar("_T")

_BINARY_SUFFIXES: Final = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_QUANTITY: Final = re.compile(r"([0-9]{1,15})(Ki|Mi|Gi|Ti)?")
_CPU: Final = re.compile(r"[0-9]{1,4}|[0-9]{1,6}m")


def parse_bytes(quantity: str) -> int:
    """Read a quantity of bytes as Kubernetes writes it: "512Mi", "8Gi", "1024".

    Raises:
        ValueError: another unit, a fraction or a sign.
    """
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is no quantity of bytes; write it like 512Mi or 8Gi")
    return int(match[1]) * _BINARY_SUFFIXES[match[2] or ""]


def _read_bytes(value: object) -> object:
    return parse_bytes(value) if isinstance(value, str) else value


def _check_bytes(value: str) -> str:
    parse_bytes(value)
    return value


def _check_cpu(value: str) -> str:
    if _CPU.fullmatch(value) is None:
        raise ValueError(f"{value!r} is no quantity of CPUs; write it like 2 or 500m")
    return value


Bytes = Annotated[int, BeforeValidator(_read_bytes), Field(gt=0)]
"""A number of bytes; files may write 8Gi."""
MemoryQuantity = Annotated[str, AfterValidator(_check_bytes)]
"""A number of bytes as Kubernetes writes it, kept as it is for a manifest."""
CpuQuantity = Annotated[str, AfterValidator(_check_cpu)]

ArgumentValue = str | int | float | bool | None
"""Value of a flag: True is a flag without value, None takes a flag of ours away."""


class CatalogueModel(BaseModel):
    """Base of what stands in the catalogue's files: frozen, camelCase, no unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        protected_namespaces=(),
    )


class AcceleratorVendor(StrEnum):
    """Whose accelerators a node has."""

    NVIDIA = "nvidia"
    AMD = "amd"
    EMULATED = "emulated"
    """None: the node shows the GPU resource, and the model runs on its CPUs (onebox)."""


class RuntimeName(StrEnum):
    """Model servers; the values are those of the annotation `kaito.sh/runtime`."""

    VLLM = "vllm"
    TRANSFORMERS = "transformers"


class WeightsKind(StrEnum):
    """How the weights reach the node."""

    OCI = "oci"
    """An OCI artifact, fetched by an init container."""
    IMAGE = "image"
    """They are in the runtime's image."""
    HUGGING_FACE = "huggingface"
    """The model server downloads them."""


class Weights(CatalogueModel):
    """Where the weights come from."""

    kind: WeightsKind
    reference: str = ""
    """For `oci`: the artifact, relative to the installation's registry."""

    @model_validator(mode="after")
    def _require_reference(self) -> Weights:
        if (self.kind is WeightsKind.OCI) != bool(self.reference):
            raise ValueError("weights.reference is for kind oci, and kind oci needs it")
        return self


class ModelFacts(CatalogueModel):
    """What is known of the model itself."""

    hugging_face_id: str
    revision: str = ""
    """Commit of the model's repository that the weights are of; empty when `source` is set."""
    source: str = ""
    """Where the weights come from, when it is not the model's repository."""
    license: str
    architecture: str
    """Class name in the model's own config.json."""
    parameters: Annotated[int, Field(gt=0)]
    weights_bytes: Bytes
    dtype: str
    """Type of the stored weights: bfloat16, float16, …"""
    layers: Annotated[int, Field(gt=0)]
    hidden_size: Annotated[int, Field(gt=0)]
    attention_heads: Annotated[int, Field(gt=0)]
    key_value_heads: Annotated[int, Field(gt=0)]
    head_dimension: Annotated[int, Field(gt=0)]
    vocabulary_size: Annotated[int, Field(gt=0)]
    max_model_length: Annotated[int, Field(gt=0)]
    """Tokens of context that the model was made for."""


class RuntimeResources(CatalogueModel):
    """What a pod asks of its node beside GPUs."""

    cpu: CpuQuantity
    memory: MemoryQuantity
    shared_memory: MemoryQuantity
    """Size of /dev/shm; what is used of it counts as the pod's memory."""


class Runtime(CatalogueModel):
    """One way to serve the model."""

    name: RuntimeName
    accelerators: Annotated[tuple[AcceleratorVendor, ...], Field(min_length=1)]
    """Vendors whose nodes the image can run on."""
    image: str
    """Image of the model server, relative to the installation's registry."""
    arguments: dict[str, ArgumentValue] = {}
    """Flags without their dashes; they win over those that the renderer sets."""
    environment: dict[str, str] = {}
    resources: RuntimeResources


class Preset(CatalogueModel):
    """One model of the catalogue."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9./_]*[a-z0-9])?$")]
    aliases: tuple[str, ...] = ()
    """Other names under which people ask for it."""
    description: str
    model: ModelFacts
    weights: Weights
    runtimes: Annotated[tuple[Runtime, ...], Field(min_length=1)]
    """Ways to serve it; the first is the default."""
    disk: MemoryQuantity
    """Space that a node needs for images and weights."""
    ready_deadline_seconds: Annotated[int, Field(gt=0)] = DEFAULT_READY_DEADLINE_SECONDS
    """Longest that the model server may take until it answers."""
    trust_remote_code: bool = False
    """The model brings Python code of its own, which its server must run."""

    def runtime(self, name: str = "") -> Runtime | None:
        """Return the runtime of this name, or the default one."""
        return next((one for one in self.runtimes if not name or one.name == name), None)


class Accelerator(CatalogueModel):
    """The accelerators of an instance type."""

    vendor: AcceleratorVendor
    model: str
    count: Annotated[int, Field(gt=0)]
    memory: Bytes
    """Of one accelerator."""


class InstanceType(CatalogueModel):
    """One kind of machine that a provider offers."""

    name: str
    provider: str
    """Catalogue file that it is in: azure, onebox, …"""
    accelerator: Accelerator
    note: str = ""
    """For maintainers: where the entry differs from its source, and why."""

    @property
    def gpu_count(self) -> int:
        """Return how many GPUs a node of this type has."""
        return self.accelerator.count

    @property
    def gpu_memory_bytes(self) -> int:
        """Return the memory of one GPU."""
        return self.accelerator.memory


@dataclass(frozen=True)
class Catalogue:
    """Every preset and instance type that is known; names are looked up in any case."""

    presets: Mapping[str, Preset]
    """By lower-case name and alias."""
    instance_types: Mapping[str, InstanceType]
    """By lower-case name."""

    @classmethod
    def of(cls, presets: tuple[Preset, ...], instance_types: tuple[InstanceType, ...]) -> Catalogue:
        """Index them.

        Raises:
            ValueError: two entries with one name.
        """
        by_name = [(name, one) for one in presets for name in (one.name, *one.aliases)]
        return cls(
            presets=_index(by_name),
            instance_types=_index([(one.name, one) for one in instance_types]),
        )

    def get(self, name: str) -> Preset | None:
        """Return the preset of this name or alias."""
        return self.presets.get(name.casefold())

    def instance_type(self, name: str) -> InstanceType | None:
        """Return the instance type of this name."""
        return self.instance_types.get(name.casefold())

    def names(self) -> list[str]:
        """Return the names of all presets, sorted, without aliases."""
        return sorted({one.name for one in self.presets.values()})

    def instance_type_names(self) -> list[str]:
        """Return the names of all instance types, sorted."""
        return sorted(one.name for one in self.instance_types.values())


def _index(entries: list[tuple[str, _T]]) -> Mapping[str, _T]:
    index: dict[str, _T] = {}
    for name, entry in entries:
        if index.setdefault(name.casefold(), entry) is not entry:
            raise ValueError(f"two entries are called {name!r}")
    return MappingProxyType(index)
