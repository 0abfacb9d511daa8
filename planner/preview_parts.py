"""What a preview says, part by part; its JSON is what `plan -o json` prints."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from api.payloads import InstanceCandidate, Parallelism


class _Part(BaseModel):
    """Base of all parts: frozen."""

    model_config = ConfigDict(frozen=True)


class PreviewProblem(_Part):
    """Why the Workspace can't be carried out."""

    reason: str
    """A class name of `api.errors`."""
    message: str
    field: str = ""
    remedy: str = ""


class PreviewModel(_Part):
    """The model, and where its weights come from."""

    name: str
    hugging_face_id: str
    revision: str = ""
    license: str
    weights_bytes: int
    weights_from: str
    max_model_length: int


class PreviewNodes(_Part):
    """Where it runs."""

    instance_type: str
    accelerator: str = ""
    """GPUs of each node that are used, such as "1 A100"."""
    count: int
    per_instance: int = 1
    """Nodes that one instance of the model spans."""
    new: list[str] = []
    """Names of claims that are yet to be made."""
    bought: list[str] = []
    """Names of claims that are there."""
    existing: list[str] = []
    """Nodes that no claim of the Workspace made."""
    released: list[str] = []
    """Claims that are not needed any more."""


class PreviewPod(_Part):
    """One pod of the workload; there is one a node."""

    devices: dict[str, str] = {}
    """GPUs, by the name of the resource that Kubernetes counts them as."""
    cpu: str = ""
    memory: str = ""
    image: str
    command: str
    """As a shell reads it."""


class PreviewBudget(_Part):
    """What the memory of one GPU is spent on."""

    total_bytes: int
    usable_bytes: int
    weights_bytes: int
    kv_cache_bytes: int
    """Cache that one sequence of `context_tokens` needs."""
    overhead_bytes: int
    free_bytes: int
    """What more sequences, and longer ones, can use; negative when the model does not fit."""
    context_tokens: int
    kv_cache_bytes_per_token: int
    """Over all GPUs of one instance of the model."""
    cache_tokens: int | None = None
    """Tokens, of all sequences at one time, that there is about room for; None for any number."""


class PreviewChange(_Part):
    """One field that an edit changes."""

    field: str
    before: str = ""
    after: str = ""
    note: str = ""


class PreviewEffect(_Part):
    """What applying the manifest causes."""

    kind: str
    summary: str
    changes: list[PreviewChange] = []
    nodes_added: int = 0
    nodes_released: int = 0
    downtime_seconds_at_most: int = 0


class Preview(_Part):
    """Everything that is known of a Workspace before it is applied."""

    namespace: str = ""
    name: str = ""
    problems: list[PreviewProblem] = []
    warnings: list[str] = []
    revision: str = ""
    model: PreviewModel | None = None
    runtime: str = ""
    nodes: PreviewNodes | None = None
    candidates: list[InstanceCandidate] = []
    """Instance types that the spec allows, in the order of trying."""
    suggestions: list[InstanceCandidate] = []
    """Instance types that would carry the model where the wanted one does not, smallest first."""
    parallelism: Parallelism | None = None
    budget: PreviewBudget | None = None
    images: list[str] = []
    pod: PreviewPod | None = None
    service: str = ""
    usd_per_hour: float | None = None
    effect: PreviewEffect | None = None

    @property
    def can_be_carried_out(self) -> bool:
        """Return whether nothing is in the way."""
        return not self.problems
