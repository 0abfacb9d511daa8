"""The Workspace: one model to serve or to tune, on nodes that the platform brings up.

The object has no `spec`: `resource`, `inference`, `tuning` and `status` lie at its top, as upstream
laid them out. Here are its models only; `api.crd` makes the CRD of them (so every docstring below
is what `kubectl explain` prints), and what a field may hold is judged by `planner.validation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from api.conditions import Condition
from api.errors import InvalidWorkspace
from api.payloads import WorkspaceRef

DEFAULT_COUNT: Final = 1
MAX_ADAPTERS: Final = 10
MAX_FALLBACK_INSTANCE_TYPES: Final = 16

SCHEMA: Final = "crd"
"""Key in a field's `json_schema_extra` for what goes into its OpenAPI schema as it is."""
CEL: Final = "cel"
"""Key, likewise, for a list of (rule, message) pairs."""

REQUIRED: Final = "required"
"""Key, likewise: the CRD demands the field. Its model has a default all the same, so that an object
without it can be read, refused in plain words, and deleted."""


def _rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {CEL: list(pairs)}


class Node(BaseModel):
    """Base of everything in the object: frozen, camelCase outside, unknown fields ignored."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _read_null_as_absent(cls, data: object) -> object:
        # Kubernetes makes no difference between the two, and neither may a default.
        if isinstance(data, Mapping):
            return {key: value for key, value in data.items() if value is not None}
        return data


FreeForm = Annotated[dict[str, Any], Field(json_schema_extra={SCHEMA: {}})]
"""An object of Kubernetes' own that the CRD keeps whole without knowing its fields."""


# --- resource -----------------------------------------------------------------------------------


class LabelSelectorRequirement(Node):
    """One demand on a label."""

    key: str
    """Key of the label."""
    operator: str
    """How the label relates to `values`: In, NotIn, Exists or DoesNotExist."""
    values: tuple[str, ...] = ()
    """Values for In and NotIn; empty for Exists and DoesNotExist."""


class LabelSelector(Node):
    """Which nodes may be used; all demands must hold."""

    match_expressions: tuple[LabelSelectorRequirement, ...] = ()
    """Demands on labels, each with an operator."""
    match_labels: dict[str, str] = {}
    """Labels that a node must carry with exactly these values."""

    def as_labels(self) -> dict[str, str] | None:
        """Return the labels that a new node needs to be selected, or None when none would do.

        Only an In with a single value is as good as a label; two demands on one key may not differ.
        """
        labels = dict(self.match_labels)
        for one in self.match_expressions:
            if one.operator != "In" or len(one.values) != 1:
                return None
            if labels.setdefault(one.key, one.values[0]) != one.values[0]:
                return None
        return labels


class CapacityType(StrEnum):
    """How machines are paid for."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"
    SPOT_WITH_FALLBACK = "spot-with-fallback"


class PartitionMode(StrEnum):
    """How one GPU is shared."""

    MIG = "mig"
    ACCELERATOR = "accelerator"


class Partition(Node):
    """A part of a node's accelerators, for models that need no whole node (upstream v0.12)."""

    mode: PartitionMode
    """`mig` takes one MIG slice of `profile`, `accelerator` takes `count` whole GPUs."""
    profile: str = ""
    """MIG profile of the slice, such as 1g.10gb; only for mode mig."""
    count: Annotated[int | None, Field(json_schema_extra={SCHEMA: {"minimum": 1}})] = None
    """GPUs to take of each node; only for mode accelerator."""


class Resource(Node):
    """Which nodes the Workspace runs on, and how many."""

    model_config = ConfigDict(
        json_schema_extra=_rules(
            (
                (
                    "!has(self.partition) || self.partition.mode != 'mig' || "
                    "(has(self.partition.profile) && size(self.partition.profile) > 0)"
                ),
                "partition.mode mig needs partition.profile, such as 1g.10gb",
            ),
            (
                (
                    "!has(self.partition) || self.partition.mode != 'accelerator' || "
                    "has(self.partition.count)"
                ),
                "partition.mode accelerator needs partition.count, the GPUs to take of each node",
            ),
        )
    )

    count: Annotated[
        int,
        Field(
            json_schema_extra={
                SCHEMA: {"format": "int32"},
                **_rules(
                    ("self >= 1", "must be at least 1; delete the Workspace to free its nodes")
                ),
            }
        ),
    ] = DEFAULT_COUNT
    """Number of nodes. A model that fits on one node gets one replica on each of them."""
    instance_type: str = ""
    """Instance type of the nodes, in the provider's own spelling. Left out, new nodes are of the
    platform's default type, and existing nodes may be of any."""
    fallback_instance_types: Annotated[
        tuple[str, ...],
        Field(json_schema_extra={SCHEMA: {"maxItems": MAX_FALLBACK_INSTANCE_TYPES}}),
    ] = ()
    """Instance types to try, in this order, when there is no capacity of `instanceType`."""
    capacity_type: CapacityType | None = None
    """How new nodes are paid for: `on-demand` (when left out), `spot`, or `spot-with-fallback`:
    spot first, on-demand when there is none."""
    partition: Partition | None = None
    """A part of each node's accelerators instead of all of them; on existing nodes only."""
    label_selector: Annotated[
        LabelSelector,
        Field(json_schema_extra={SCHEMA: {"x-kubernetes-map-type": "atomic"}, REQUIRED: True}),
    ] = LabelSelector()
    """Labels that a node must carry to be used; nodes that the platform makes get them."""
    preferred_nodes: tuple[str, ...] = ()
    """Names of existing nodes to use first, whatever their instance type is. They must match
    `labelSelector` as well."""

    @property
    def has_label_selector(self) -> bool:
        """Return whether the field was given at all; an empty selector selects every node."""
        return "label_selector" in self.model_fields_set


# --- inference ------------------------------------------------------------------------------------


class AccessMode(StrEnum):
    """Who may get a model's image."""

    PUBLIC = "public"
    PRIVATE = "private"


class PresetOptions(Node):
    """Where a private model's image is."""

    image: str = ""
    """Full reference of the image that holds the model."""
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets in the Workspace's namespace that allow the image to be pulled."""
    model_access_secret: str = ""
    """Name of a Secret in the Workspace's namespace whose key HF_TOKEN opens a gated model."""


class PresetSpec(Node):
    """A model by its name in the catalogue."""

    model_config = ConfigDict(
        json_schema_extra=_rules(
            (
                (
                    "!has(self.accessMode) || self.accessMode != 'private' || "
                    "(has(self.presetOptions) && has(self.presetOptions.image) && "
                    "size(self.presetOptions.image) > 0)"
                ),
                "accessMode private needs presetOptions.image: say where the model's image is",
            )
        )
    )

    name: str
    """Name of a model of the catalogue, or the id `org/name` of any model on Hugging Face, of which
    `org/name@revision` takes one revision. Upper and lower case are the same."""
    access_mode: AccessMode = AccessMode.PUBLIC
    """`public` takes the image that the catalogue names, `private` the one of `presetOptions`."""
    preset_options: PresetOptions | None = None
    """Options that `private` needs."""


class DataSource(Node):
    """Where data or an adapter comes from."""

    name: str = ""
    """Name of the source; an adapter is asked for under this name."""
    urls: tuple[str, ...] = ()
    """Addresses to download files from."""
    volume_source: FreeForm | None = None
    """A volume that holds the files, written as in a pod."""
    image: str = ""
    """Full reference of an image that holds the files."""
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets in the Workspace's namespace that allow the image to be pulled."""


class Adapter(Node):
    """A LoRA adapter that is served beside the model."""

    source: DataSource | None = None
    """Where the adapter comes from."""
    strength: str | None = None
    """Weight of the adapter, from "0" to "1"."""


class Inference(Node):
    """A model to serve: one of the catalogue, or pods of your own."""

    model_config = ConfigDict(
        json_schema_extra=_rules(
            (
                "has(self.preset) != has(self.template)",
                "set exactly one of preset (a model of the catalogue) and template (your own pods)",
            )
        )
    )

    preset: PresetSpec | None = None
    """The model, by its name in the catalogue."""
    template: FreeForm | None = None
    """Pods of your own, written as a pod template; they get the nodes and the scheduling."""
    config: str = ""
    """Name of a ConfigMap in the Workspace's namespace whose key `inference_config.yaml` holds
    settings of the model server."""
    adapters: Annotated[
        tuple[Adapter, ...], Field(json_schema_extra={SCHEMA: {"maxItems": MAX_ADAPTERS}})
    ] = ()
    """LoRA adapters to serve beside the model."""


# --- tuning ---------------------------------------------------------------------------------------


class DataDestination(Node):
    """Where the result of a tuning goes."""

    volume_source: FreeForm | None = None
    """A volume to write to, written as in a pod."""
    image: str = ""
    """Full reference under which the result is pushed."""
    image_push_secret: str = ""
    """Name of a Secret in the Workspace's namespace that allows the push."""


class Tuning(Node):
    """A model to tune with data of your own."""

    model_config = ConfigDict(
        json_schema_extra=_rules(
            ("has(self.preset)", "preset must name the model to tune"),
        )
    )

    preset: PresetSpec | None = None
    """The model to tune, by its name in the catalogue."""
    method: Annotated[
        str,
        Field(
            json_schema_extra=_rules(
                ("self.lowerAscii() in ['', 'lora', 'qlora']", "must be lora or qlora")
            )
        ),
    ] = ""
    """`lora`, or `qlora` for 4-bit base weights."""
    config: str = ""
    """Name of a ConfigMap in the Workspace's namespace whose key `training_config.yaml` holds
    settings of the training."""
    input: Annotated[
        DataSource,
        Field(
            json_schema_extra=_rules(
                (
                    (
                        "[has(self.urls) && size(self.urls) > 0, has(self.volumeSource), "
                        "has(self.image) && size(self.image) > 0].exists_one(given, given)"
                    ),
                    "set exactly one of urls, volumeSource and image",
                )
            )
        ),
    ]
    """The data to train with."""
    output: Annotated[
        DataDestination,
        Field(
            json_schema_extra=_rules(
                (
                    "has(self.volumeSource) || (has(self.image) && size(self.image) > 0)",
                    "say where the result goes: image or volumeSource",
                ),
                (
                    (
                        "!has(self.image) || size(self.image) == 0 || "
                        "(has(self.imagePushSecret) && size(self.imagePushSecret) > 0)"
                    ),
                    "image needs imagePushSecret, a Secret that allows the push",
                ),
            )
        ),
    ]
    """Where the adapter goes that the training makes."""


# --- rollout --------------------------------------------------------------------------------------


class RolloutStrategy(StrEnum):
    """How a new revision takes the place of the one that serves."""

    IN_PLACE = "InPlace"
    SURGE = "Surge"


class FailedResources(StrEnum):
    """What becomes of what a failed revision holds."""

    KEEP = "Keep"
    FREE = "Free"


class Rollout(Node):
    """How edits are carried out, and what happens when one goes wrong."""

    strategy: RolloutStrategy | None = None
    """`InPlace` (when left out) stops the old revision before the new one starts, and needs no
    second set of GPUs; `Surge` starts the new one beside it and loses no request."""
    progress_deadline_seconds: Annotated[
        int | None, Field(json_schema_extra={SCHEMA: {"format": "int32", "minimum": 1}})
    ] = None
    """Seconds that a new revision may take until it answers. Left out, it is what the model's
    catalogue entry says."""
    auto_rollback: bool | None = None
    """Bring the last good revision back when a new one fails; true when left out."""
    revision_history_limit: Annotated[
        int | None, Field(json_schema_extra={SCHEMA: {"format": "int32", "minimum": 1}})
    ] = None
    """Revisions that are kept to roll back to; 10 when left out."""
    require_approval: bool | None = None
    """An edit of a Workspace that serves waits until an operator sends the signal `approve`; false
    when left out."""
    failed_resources: FailedResources | None = None
    """What becomes of nodes and pods when a revision fails and there is none to go back to: `Keep`
    (when left out) for a look at them, or `Free`."""


# --- status ---------------------------------------------------------------------------------------
# Words of the platform are plain strings here: a CRD that is older than its worker must not refuse
# a status because of a new word in it.


class TimelineEntry(Node):
    """One step of the current operation."""

    step: str
    """Which step: nodes, images, workload, endpoint, traffic or retire."""
    state: str = ""
    """Where the step is: pending, running, done, waiting or blocked."""
    seconds: float = 0.0
    """How long it took, or has taken so far."""
    reason: str = ""
    """Why it waits, in one word."""
    message: str = ""
    """What it does or waits for."""
    attempts: Annotated[int, Field(json_schema_extra={SCHEMA: {"format": "int32"}})] = 0
    """How often it was begun."""


class HistoryEntry(Node):
    """One operation that ended."""

    revision: str = ""
    """The revision that it was to bring up."""
    generation: Annotated[int, Field(json_schema_extra={SCHEMA: {"format": "int64"}})] = 0
    """Generation of the Workspace that asked for it."""
    outcome: str
    """How it ended: Succeeded, Failed, Superseded, GivenUp (it failed, and the last good revision
    is brought back) or Restored (that one serves again); FellBack: an offer could not be had, and
    the next was tried."""
    reason: str = ""
    """Why, in one word, when it did not succeed."""
    message: str = ""
    """Why, in a sentence."""
    seconds: float = 0.0
    """How long it took."""
    finished_at: datetime | None = None
    """When it ended."""


def _read_status(value: object, read: ValidatorFunctionWrapHandler) -> WorkspaceStatus:
    # The status is ours to write: what anybody else left there may not stop the Workspace.
    try:
        status: WorkspaceStatus = read(value)
    except ValidationError:
        return WorkspaceStatus()
    return status


class PerformanceMetric(Node):
    """One measured figure."""

    description: str
    """What was measured."""
    value: str
    """The figure."""
    unit: str = ""
    """Its unit."""
    config: dict[str, str] = {}
    """How it was measured."""


class Performance(Node):
    """What the model server was measured to do (upstream v0.12)."""

    metrics: dict[str, PerformanceMetric] = {}
    """Figures by name."""


class WorkspaceStatus(Node):
    """What the platform observed and does."""

    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            json_schema_extra={
                SCHEMA: {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
            }
        ),
    ] = ()
    """What holds of the Workspace now, one entry per condition type."""
    worker_nodes: tuple[str, ...] = ()
    """Names of the nodes that the Workspace runs on."""
    phase: str = ""
    """Where the Workspace is, in one word for people."""
    state: str = ""
    """The same in upstream's words: Pending, Ready or NotReady for inference, Pending, Running,
    Succeeded or Failed for tuning."""
    instance_type: str = ""
    """Instance type of the nodes that the plan wants."""
    target_node_count: Annotated[int, Field(json_schema_extra={SCHEMA: {"format": "int32"}})] = 0
    """How many nodes the plan wants."""
    performance: Performance | None = None
    """What the model server was measured to do."""
    revision: str = ""
    """The revision that the Workspace asks for now."""
    active_revision: str = ""
    """The revision that gets the traffic."""
    preset: str = ""
    """Name of the model in the catalogue."""
    observed_generation: Annotated[int, Field(json_schema_extra={SCHEMA: {"format": "int64"}})] = 0
    """The newest generation that this status tells of."""
    warnings: tuple[str, ...] = ()
    """What of the spec works otherwise than one may think; nothing is refused because of it."""
    timeline: tuple[TimelineEntry, ...] = ()
    """Steps of the current operation, in order."""
    history: tuple[HistoryEntry, ...] = ()
    """The last operations, newest first."""


# --- the object -----------------------------------------------------------------------------------


class Metadata(Node):
    """The part of an object's metadata that the platform looks at."""

    name: Annotated[str, Field(min_length=1)]
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    deletion_timestamp: str = ""


class Workspace(Node):
    """A language model to serve or to tune, on GPU nodes that the platform brings up."""

    metadata: Metadata
    resource: Resource = Resource()
    """Which nodes the Workspace runs on, and how many."""
    inference: Inference | None = None
    """The model to serve. Set either this or `tuning`."""
    tuning: Tuning | None = None
    """The model to tune. Set either this or `inference`."""
    rollout: Rollout | None = None
    """How edits are carried out, and what happens when one goes wrong."""
    status: Annotated[WorkspaceStatus, WrapValidator(_read_status)] = WorkspaceStatus()
    """What the platform observed and does; only the platform writes it."""

    @classmethod
    def from_object(cls, obj: Mapping[str, Any]) -> Self:
        """Read an object as the API server gives it; fields that this version lacks are ignored.

        Raises:
            InvalidWorkspace: naming the first field of a wrong type; the user fixes it.
        """
        try:
            return cls.model_validate(obj)
        except ValidationError as error:
            raise _refusal(error) from error
        except (TypeError, RecursionError) as error:
            raise InvalidWorkspace("the object is no Workspace; write it anew") from error

    @property
    def name(self) -> str:
        """Return the object's name."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """Return the object's namespace."""
        return self.metadata.namespace

    @property
    def uid(self) -> str:
        """Return the object's uid: another one under the same name is another Workspace."""
        return self.metadata.uid

    @property
    def generation(self) -> int:
        """Return the number of the newest spec."""
        return self.metadata.generation

    @property
    def annotations(self) -> Mapping[str, str]:
        """Return the object's annotations."""
        return self.metadata.annotations

    @property
    def is_deleting(self) -> bool:
        """Return whether somebody deleted the object; finalizers may still hold it."""
        return bool(self.metadata.deletion_timestamp)

    @property
    def preset_name(self) -> str:
        """Return the catalogue name that the spec asks for, or an empty string."""
        for feature in (self.inference, self.tuning):
            if feature is not None and feature.preset is not None:
                return feature.preset.name
        return ""

    def has_finalizer(self, finalizer: str) -> bool:
        """Return whether the object carries this finalizer."""
        return finalizer in self.metadata.finalizers

    def ref(self) -> WorkspaceRef:
        """Return what other rooms call this very object by."""
        return WorkspaceRef(namespace=self.namespace, name=self.name, uid=self.uid)


def _refusal(error: ValidationError) -> InvalidWorkspace:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    others = error.error_count() - 1
    more = f" (and {others} more)" if others else ""
    return InvalidWorkspace(f"{first['msg']}{more}; see kubectl explain workspace", field=field)
