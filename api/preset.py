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
    NEURON = "neuron"
    """AWS Trainium and Inferentia."""
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


class ImageAccess(StrEnum):
    """Who may get the image or the weights."""

    PUBLIC = "public"
    PRIVATE = "private"


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


class LatentAttention(CatalogueModel):
    """Multi-head latent attention: the cache holds one compressed vector a token and layer."""

    rank: Annotated[int, Field(gt=0)]
    """`kv_lora_rank` of config.json."""
    rope_dimension: Annotated[int, Field(ge=0)]
    """`qk_rope_head_dim` of config.json."""


class SlidingWindow(CatalogueModel):
    """Layers that look back a fixed number of tokens, and cache no more than those."""

    layers: Annotated[int, Field(gt=0)]
    tokens: Annotated[int, Field(gt=0)]


class RecurrentLayers(CatalogueModel):
    """Layers (Mamba, gated delta net, …) that keep a state of fixed size instead of a cache."""

    layers: Annotated[int, Field(gt=0)]
    state_bytes: Annotated[int, Field(ge=0)] = 0
    """Of one sequence, over all of them; 0 when it is not known."""


class Attention(CatalogueModel):
    """What the size of a model's KV cache follows from."""

    layers: Annotated[int, Field(gt=0)]
    """Layers with attention of any kind, sliding ones included and recurrent ones not; 0 cached
    tokens are no attention."""
    heads: Annotated[int, Field(gt=0)]
    """Query heads: tensor parallelism splits them."""
    key_value_heads: Annotated[int, Field(gt=0)]
    head_dimension: Annotated[int, Field(gt=0)]
    latent: LatentAttention | None = None
    sliding: SlidingWindow | None = None
    recurrent: RecurrentLayers | None = None

    @model_validator(mode="after")
    def _check_layers(self) -> Attention:
        if self.sliding is not None and self.sliding.layers > self.layers:
            raise ValueError("attention.sliding.layers can't be more than attention.layers")
        return self


class ModelFacts(CatalogueModel):
    """What is known of the model itself."""

    hugging_face_id: str
    revision: str = ""
    """Commit of the model's repository that the weights are of. Empty when `source` is set, and
    where no commit is known: it is then looked up once and recorded in the Workspace's revision."""
    source: str = ""
    """Where the weights come from, when it is not the model's repository."""
    license: str
    gated: bool = False
    """Its repository needs a token: `presetOptions.modelAccessSecret`."""
    architecture: str
    """Class name in the model's own config.json."""
    parameters: Annotated[int, Field(gt=0)] | None = None
    weights_bytes: Bytes
    dtype: str
    """Type of the stored weights, or what they are computed in when quantised: bfloat16, …"""
    quantization: str = ""
    """`quant_method` of config.json: fp8, awq, gptq, mxfp4, …; empty when there is none."""
    hidden_size: Annotated[int, Field(gt=0)]
    attention: Attention
    vocabulary_size: Annotated[int, Field(gt=0)] | None = None
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
    accelerators: Annotated[tuple[AcceleratorVendor, ...], Field(min_length=1)] = (
        AcceleratorVendor.NVIDIA,
    )
    """Vendors whose nodes the image can run on."""
    image: str = ""
    """Image of the model server, relative to the installation's registry; empty takes the
    platform's own image of the runtime."""
    arguments: dict[str, ArgumentValue] = {}
    """Flags without their dashes; they win over those that the renderer sets."""
    environment: dict[str, str] = {}
    resources: RuntimeResources | None = None
    """None: the planner derives them from the size of the weights."""
    tensor_parallel: bool = True
    """The server can split the model over several GPUs by its attention heads."""
    adapters: bool = True
    """The server can load LoRA adapters for this model."""


class TuningFacts(CatalogueModel):
    """What tuning the model takes."""

    gpu_memory: Bytes
    """Over all GPUs of the node."""
    gpu_memory_each: Bytes | None = None
    """Of each GPU, where one must hold a whole copy."""
    disk: MemoryQuantity
    target_modules: tuple[str, ...] = ()
    """Names of layers that get an adapter; empty leaves it to the tuning program."""


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
    image_access: ImageAccess = ImageAccess.PUBLIC
    """`private`: only an image that the user names (`presetOptions.image`) holds the weights."""
    tuning: TuningFacts | None = None
    """None: it can't be tuned."""
    deprecated: str = ""
    """Why nobody should begin with it, and what to take instead; empty for most."""
    note: str = ""
    """For maintainers: where the entry differs from its source, and why."""

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


class Price(CatalogueModel):
    """What one hour costs on demand, before taxes and discounts."""

    usd_per_hour: Annotated[float, Field(gt=0)]
    region: str
    """The provider's name of the region that the price holds in."""
    as_of: Annotated[str, Field(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")]
    """Month in which it was so: 2025-04."""


class InstanceType(CatalogueModel):
    """One kind of machine that a provider offers."""

    name: str
    provider: str
    """Catalogue file that it is in: azure, onebox, …"""
    accelerator: Accelerator
    cpus: Annotated[int, Field(gt=0)] | None = None
    memory: Bytes | None = None
    """Main memory of the machine."""
    local_disk: Bytes | None = None
    """Local NVMe disks together; None when there are none or none are known of."""
    zones: tuple[str, ...] = ()
    """Availability zones by number or letter, where known."""
    price: Price | None = None
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
