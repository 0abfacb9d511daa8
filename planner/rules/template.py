"""Rules on pods of the user's own. What a pod may do is its namespace's policy to say, not ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from planner.fields import mapping_at, objects_at, text_at, value_at
from planner.rules.base import Case, Fault, Rule, quote, rule
from planner.syntax import is_container_name, is_label_key, is_label_value, parse_image

_FIELD: Final = "inference.template"
_SPEC: Final = f"{_FIELD}.spec"


@rule(_FIELD)
def template_has_containers(case: Case) -> Iterator[Fault]:
    """A template is written as a pod template, with at least one container."""
    template = _template(case)
    if template is None:
        return
    remedy = "write it as the template of a Deployment: metadata and spec, with spec.containers"
    if not isinstance(template.get("spec"), Mapping):
        yield Fault("it has no spec", remedy)
        return
    for name in ("containers", "initContainers"):
        given = value_at(template, "spec", name)
        if given is None and name == "initContainers":
            continue
        if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
            yield Fault("it is no list of containers", remedy, f"{_SPEC}.{name}")
        elif not given and name == "containers":
            yield Fault("there is no container", remedy, f"{_SPEC}.{name}")


@rule(f"{_SPEC}.containers.name")
def container_has_name(case: Case) -> Iterator[Fault]:
    """Every container of a template has a name of its own."""
    counts = Counter[str]()
    for field, container in _containers(case):
        name = text_at(container, "name")
        counts[name] += 1
        if not is_container_name(name):
            told = f"{quote(name)} can't be the name of a container" if name else "one has none"
            yield Fault(told, "name it in lower-case letters, digits and dashes", f"{field}.name")
        elif counts[name] == 2:  # noqa: PLR2004 - the second of a name is told of, once
            yield Fault(
                f"two containers are called {quote(name)}",
                "give each its own name, init containers too",
                f"{field}.name",
            )


@rule(f"{_SPEC}.containers.image")
def container_has_image(case: Case) -> Iterator[Fault]:
    """Every container of a template has an image that a registry can have."""
    for field, container in _containers(case):
        image = text_at(container, "image")
        if parse_image(image) is None:
            told = f"{quote(image)} can't be an image" if image else "one has none"
            yield Fault(
                f"container {quote(text_at(container, 'name'))}: {told}",
                "write it as registry.example/repository:tag or with @sha256:…",
                f"{field}.image",
            )


@rule(f"{_SPEC}.restartPolicy")
def template_restarts(case: Case) -> Iterator[Fault]:
    """Pods that serve are started anew whenever they end."""
    policy = value_at(_template(case), "spec", "restartPolicy")
    if policy is not None and policy != "Always":
        told = quote(policy) if isinstance(policy, str) else "this"
        yield Fault(f"{told} can't be kept up", "set it to Always, or remove it")


@rule(f"{_FIELD}.metadata.labels")
def template_labels_are_labels(case: Case) -> Iterator[Fault]:
    """Labels of a template are ones that a pod may have."""
    for key, value in mapping_at(_template(case), "metadata", "labels").items():
        is_text = isinstance(key, str) and isinstance(value, str)
        if not is_text or not is_label_key(key) or not is_label_value(value):
            yield Fault(
                f"no pod can have the label {quote(f'{key}={value}' if is_text else str(key))}",
                "see kubernetes.io/docs/concepts/overview/working-with-objects/labels for the "
                "syntax; values are texts",
            )


def _template(case: Case) -> Mapping[str, Any] | None:
    inference = case.workspace.inference
    return inference.template if inference is not None else None


def _containers(case: Case) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in ("containers", "initContainers"):
        for container in objects_at(_template(case), "spec", name):
            yield f"{_SPEC}.{name}", container


RULES: Final[tuple[Rule, ...]] = (
    template_has_containers,
    container_has_name,
    container_has_image,
    template_restarts,
    template_labels_are_labels,
)
