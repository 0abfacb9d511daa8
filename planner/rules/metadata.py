"""Rules on the name and the annotations."""

from __future__ import annotations

from collections.abc import Iterator

from api import names
from api.preset import RuntimeName
from planner.rules.base import Case, Violation, not_available, quote
from planner.syntax import is_service_name


def check_name(case: Case) -> Iterator[Violation]:
    """The Service and the pods get names that are made of the Workspace's."""
    name = case.workspace.name
    if not is_service_name(name):
        yield Violation(
            "name-is-service-name",
            "metadata.name",
            f"{quote(name)} can't be the name of a Service",
            "create the Workspace anew under a name of lower-case letters, digits and dashes that "
            "begins with a letter",
        )
    if len(name) > names.MAX_WORKSPACE_NAME_CHARACTERS:
        yield Violation(
            "name-is-short",
            "metadata.name",
            f"{len(name)} characters are too many; names of pods are made of it",
            "create the Workspace anew under a name of at most "
            f"{names.MAX_WORKSPACE_NAME_CHARACTERS} characters",
        )


def check_runtime_annotation(case: Case) -> Iterator[Violation]:
    """The model server that the annotation chooses must be there."""
    wanted = case.workspace.annotations.get(names.ANNOTATION_RUNTIME)
    where = f"metadata.annotations[{names.ANNOTATION_RUNTIME}]"
    if wanted is None or wanted == RuntimeName.VLLM:
        return
    if wanted == RuntimeName.TRANSFORMERS:
        yield not_available("runtime", where, "the runtime transformers", "use vllm")
        return
    yield Violation(
        "runtime-is-known",
        where,
        f"there is no runtime {quote(wanted)}",
        "set it to vllm, or remove it",
    )


def check_load_balancer_annotation(case: Case) -> Iterator[Violation]:
    """An address outside the cluster is not given out yet."""
    if (
        case.workspace.annotations.get(names.ANNOTATION_ENABLE_LOAD_BALANCER, "").casefold()
        == "true"
    ):
        yield not_available(
            "load-balancer",
            f"metadata.annotations[{names.ANNOTATION_ENABLE_LOAD_BALANCER}]",
            "a Service of type LoadBalancer",
            f"make one of your own that selects {names.LABEL_WORKSPACE}={case.workspace.name}",
        )
