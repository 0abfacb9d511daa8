"""What a rule is, what it looks at and what it says, and the words that rules share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Final

from api import names
from api.errors import InvalidWorkspace
from api.preset import Catalogue, InstanceType, Preset, Runtime, RuntimeName
from api.workspace import PresetSpec, Workspace
from planner.hardware import wanted_instance_type
from planner.serving_config import ServingConfig, read_serving_config
from planner.world import PlatformSettings

MAX_QUOTED_CHARACTERS: Final = 80
"""Longest part of a user's value that a message repeats."""

MAX_CHOICES: Final = 8
"""Names in one remedy; a whole catalogue would bury the sentence."""

MAX_SHOWN_NUMBER: Final = 10**9
"""Larger ones are a slip; Python refuses to write out the largest."""


MIN_LIKENESS_OF_BEGINNINGS: Final = 0.8
"""Of difflib's measure from 0 to 1; its own 0.6 finds too much in a few letters (a guess)."""


@dataclass(frozen=True)
class Violation:
    """One rule that the spec breaks."""

    rule: str
    """Name of the rule; it stays the same for ever."""
    field: str
    """Path of the field at fault, as `kubectl explain` writes it."""
    message: str
    """What is wrong with it."""
    remedy: str
    """What the user can do."""
    error: type[InvalidWorkspace] = InvalidWorkspace
    """Its name becomes the condition's reason."""

    @property
    def advice(self) -> str:
        """Return what is wrong and what to do, for where the field is told already."""
        return f"{self.message}; {self.remedy}"

    @property
    def sentence(self) -> str:
        """Return all of it for a person."""
        return f"{self.field}: {self.advice}"


@dataclass(frozen=True)
class Case:
    """What the rules look at."""

    workspace: Workspace
    preset: Preset | None
    """Catalogue entry of its model; None when there is none of that name."""
    settings: PlatformSettings
    catalogue: Catalogue | None
    """Knows instance types, and names to suggest."""
    old: Workspace | None = None
    """The object before an update; None when it is created, or judged as it stands."""
    config_text: str | None = None
    """Content of `inference.config`; None when there is none, or nobody looked."""
    training_text: str | None = None
    """Content of `tuning.config`, likewise."""

    @cached_property
    def wanted_type(self) -> str:
        """Return the instance type of new nodes; empty where any existing one will do."""
        return wanted_instance_type(self.workspace, self.settings)

    @cached_property
    def instance_type(self) -> InstanceType | None:
        """Return what is known of the wanted instance type."""
        return self.catalogue.instance_type(self.wanted_type) if self.catalogue else None

    @cached_property
    def serving_config(self) -> ServingConfig:
        """Return what the user asks of the model server."""
        return read_serving_config(self.config_text)

    @property
    def wanted_runtime(self) -> str:
        """Return the runtime that the annotation names, or an empty string."""
        return self.workspace.annotations.get(names.ANNOTATION_RUNTIME, "")

    @property
    def serves_preset(self) -> bool:
        """Return whether a model is to be served, and not pods of the user's own."""
        inference = self.workspace.inference
        return inference is not None and inference.preset is not None

    @property
    def has_own_pods(self) -> bool:
        """Return whether pods of the user's own are to serve."""
        inference = self.workspace.inference
        return inference is not None and inference.template is not None

    @property
    def runtime(self) -> Runtime | None:
        """Return the way to serve the model; None where the model or the runtime is not known."""
        if self.preset is None or not self.serves_preset:
            return None
        return self.preset.runtime(self.wanted_runtime)

    @property
    def runtime_name(self) -> str:
        """Return the model server that it comes to, also for a model that nobody looked up yet."""
        if self.runtime is not None:
            return self.runtime.name
        return self.wanted_runtime or RuntimeName.VLLM

    @property
    def wanted_preset(self) -> tuple[str, PresetSpec] | None:
        """Return the path of the field that names the model, and the field."""
        for path, feature in (
            ("inference.preset", self.workspace.inference),
            ("tuning.preset", self.workspace.tuning),
        ):
            if feature is not None and feature.preset is not None:
                return path, feature.preset
        return None

    @property
    def bypasses_checks(self) -> bool:
        """Return whether the user turned the checks of sizes off; the value does not matter."""
        return names.ANNOTATION_BYPASS_RESOURCE_CHECKS in self.workspace.annotations


@dataclass(frozen=True)
class Fault:
    """What a rule found."""

    message: str
    remedy: str
    field: str = ""
    """Where the rule's own field is not the place."""


Check = Callable[[Case], Iterator[Fault]]


@dataclass(frozen=True)
class Rule:
    """One promise on what every accepted Workspace is."""

    id: str
    """Name of the rule; it stays the same for ever."""
    field: str
    promise: str
    """What holds of every Workspace that passes, in one sentence."""
    error: type[InvalidWorkspace]
    check: Check

    def judge(self, case: Case) -> Iterator[Violation]:
        """Yield where the Workspace breaks the rule; nothing that a user wrote raises."""
        for fault in self.check(case):
            yield Violation(
                self.id, fault.field or self.field, fault.message, fault.remedy, self.error
            )


def rule(field: str, error: type[InvalidWorkspace] = InvalidWorkspace) -> Callable[[Check], Rule]:
    """Make a rule of a function: its name is the id, its docstring the promise."""

    def make(check: Check) -> Rule:
        name = check.__name__.replace("_", "-")
        promise = (check.__doc__ or "").partition("\n")[0]
        return Rule(name, field, promise, error, check)

    return make


def annotation(name: str) -> str:
    """Return the path of an annotation."""
    return f"metadata.annotations[{name}]"


def quote(text: str) -> str:
    """Return a user's value as a message may repeat it: short, and of printable ASCII."""
    is_long = len(text) > MAX_QUOTED_CHARACTERS
    return ascii(text[: MAX_QUOTED_CHARACTERS - 1]) + "…" if is_long else ascii(text)


def number(value: int) -> str:
    """Return a user's number as a message may repeat it."""
    return str(value) if abs(value) < MAX_SHOWN_NUMBER else "this many"


def suggest(wanted: str, known: list[str]) -> str:
    """Return a remedy with the known names that look most like the wanted one."""
    # Cut, because comparing takes time that grows with the product of the lengths.
    start = wanted[:MAX_QUOTED_CHARACTERS].casefold()
    by_lower_case = {name.casefold(): name for name in known}
    close = get_close_matches(start, by_lower_case, n=3)
    if not close:
        # Names of models are long, and people write how they begin.
        by_lower_case = {name.casefold()[: len(start)]: name for name in reversed(known)}
        close = get_close_matches(start, by_lower_case, n=3, cutoff=MIN_LIKENESS_OF_BEGINNINGS)
    if close:
        return f"did you mean {' or '.join(by_lower_case[name] for name in close)}?"
    return choose(known)


def choose(known: list[str]) -> str:
    """Return a remedy with the first known names."""
    if not known:
        return "ask the operator of the platform what it knows"
    more = len(known) - MAX_CHOICES
    listed = ", ".join(known[:MAX_CHOICES])
    return f"choose one of {listed}" + (f" and {more} more" if more > 0 else "")
