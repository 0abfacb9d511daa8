"""Cases of the rules on adapters."""

from __future__ import annotations

from api.workspace import MAX_ADAPTERS
from tests.unit.planner.rule_tables.table import Table

_TRANSFORMERS = "metadata: {annotations: {kaito.sh/runtime: transformers}}"


def _adapters(*sources: str) -> str:
    return f"inference: {{adapters: [{', '.join(f'{{source: {one}}}' for one in sources)}]}}"


def _strength(text: str, name: str = "a") -> str:
    source = f"{{name: {name}, image: 'b:1'}}"
    return f"inference: {{adapters: [{{source: {source}, strength: {text}}}]}}"


_VLLM = "metadata: {annotations: {kaito.sh/runtime: vllm}}"
_HALF = _strength("'0.5'")
_HALF_4BIT = _strength("'0.5'", "4bit")
_TEN = [f"{{name: a{index}, image: 'b:1'}}" for index in range(MAX_ADAPTERS)]
_DIGEST = f"sha256:{'0a' * 32}"

TABLES = {
    "adapters-are-supported": Table(
        base="phi-4",
        extra=_adapters("{name: a, image: 'b:1'}"),
        refused={"a model without": "inference: {preset: {name: falcon-7b}}"},
        accepted={
            "a model with": "inference: {preset: {name: phi-4}}",
            "a model that nobody looked up yet": "inference: {preset: {name: org/model}}",
            "none for a model without": "inference: {preset: {name: falcon-7b}, adapters: []}",
        },
    ),
    "adapters-are-few": Table(
        base="phi-4",
        refused={"one too many": _adapters(*_TEN, "{name: more, image: 'b:1'}")},
        accepted={"as many as there may be": _adapters(*_TEN)},
    ),
    "adapter-has-source": Table(
        base="phi-4",
        refused={
            # Upstream panics here.
            "none": "inference: {adapters: [{}]}",
            "null": "inference: {adapters: [{source: null}]}",
            "none for one of two": (
                "inference: {adapters: [{source: {name: a, image: 'b:1'}}, {strength: null}]}"
            ),
        },
        accepted={"an image": _adapters("{name: a, image: 'b:1'}")},
    ),
    "adapter-name-is-a-name": Table(
        base="phi-4",
        refused={
            "none": _adapters("{image: 'b:1'}"),
            "empty": _adapters("{name: '', image: 'b:1'}"),
            "upper case": _adapters("{name: Style, image: 'b:1'}"),
            "a folder above": _adapters("{name: .., image: 'b:1'}"),
            "a path": _adapters("{name: a/b, image: 'b:1'}"),
            "a blank": _adapters("{name: a b, image: 'b:1'}"),
            "an underscore": _adapters("{name: a_b, image: 'b:1'}"),
            "a line's end": _adapters('{name: "a\\n", image: "b:1"}'),
            "too long": _adapters(f"{{name: {'a' * 64}, image: 'b:1'}}"),
        },
        accepted={
            "letters": _adapters("{name: style, image: 'b:1'}"),
            "dots": _adapters("{name: style.v1.2, image: 'b:1'}"),
            "a digit first": _adapters("{name: 4bit, image: 'b:1'}"),
            "as long as may be": _adapters(f"{{name: {'a' * 63}, image: 'b:1'}}"),
        },
    ),
    "adapter-names-differ": Table(
        base="phi-4",
        refused={
            "twice": _adapters("{name: a, image: 'b:1'}", "{name: a, image: 'c:1'}"),
            "the model's own": _adapters("{name: phi-4, image: 'b:1'}"),
        },
        accepted={
            "two names": _adapters("{name: a, image: 'b:1'}", "{name: b, image: 'b:1'}"),
            "like the model's": _adapters("{name: phi-4-style, image: 'b:1'}"),
        },
    ),
    "adapter-has-no-urls": Table(
        base="phi-4",
        refused={
            "addresses alone": _adapters("{name: a, urls: ['https://example.com/a']}"),
            "addresses and an image": _adapters(
                "{name: a, image: 'b:1', urls: ['https://example.com/a']}"
            ),
        },
        accepted={"no addresses": _adapters("{name: a, image: 'b:1', urls: []}")},
    ),
    "adapter-has-one-source": Table(
        base="phi-4",
        refused={
            "neither": _adapters("{name: a}"),
            "both": _adapters("{name: a, image: 'b:1', volumeSource: {emptyDir: {}}}"),
        },
        accepted={
            "an image": _adapters("{name: a, image: 'b:1'}"),
            "a volume": _adapters(
                "{name: a, volumeSource: {persistentVolumeClaim: {claimName: c}}}"
            ),
        },
    ),
    "adapter-image-is-reference": Table(
        base="phi-4",
        refused={
            "an address": _adapters("{name: a, image: 'https://example.com/b:1'}"),
            "upper case": _adapters("{name: a, image: 'example.com/B:1'}"),
            "a bad tag": _adapters("{name: a, image: 'b:-1'}"),
        },
        accepted={
            "a tag": _adapters("{name: a, image: 'ghcr.io/kaito/adapter:0.0.1'}"),
            "a digest": _adapters(f"{{name: a, image: 'ghcr.io/kaito/adapter@{_DIGEST}'}}"),
        },
    ),
    "adapter-volume-is-sound": Table(
        base="phi-4",
        refused={
            "no kind": _adapters("{name: a, volumeSource: {}}"),
            "two kinds": _adapters("{name: a, volumeSource: {emptyDir: {}, nfs: {}}}"),
            "a kind that is not": _adapters("{name: a, volumeSource: {pvc: {claimName: c}}}"),
            "no fields": _adapters("{name: a, volumeSource: {emptyDir: yes}}"),
            "no claim": _adapters("{name: a, volumeSource: {persistentVolumeClaim: {}}}"),
            "a claim that can't be": _adapters(
                "{name: a, volumeSource: {persistentVolumeClaim: {claimName: My Claim}}}"
            ),
        },
        accepted={
            "a claim": _adapters(
                "{name: a, volumeSource: {persistentVolumeClaim: {claimName: c, readOnly: true}}}"
            ),
            "a share": _adapters("{name: a, volumeSource: {nfs: {server: s, path: /a}}}"),
            "an empty second kind": _adapters("{name: a, volumeSource: {nfs: {}, csi: null}}"),
        },
    ),
    "adapter-strength-is-a-part": Table(
        base="phi-4",
        extra=_TRANSFORMERS,
        refused={
            "a word": _strength("half"),
            "above one": _strength("'1.01'"),
            "below zero": _strength("'-0.1'"),
            "not a number": _strength("nan"),
            "endless": _strength("inf"),
            "empty": _strength("''"),
            "a comma": _strength("'0,5'"),
            "a blank": _strength("' 0.5'"),
            "other digits": _strength(r'"\u0660.\u0665"'),
        },
        accepted={
            "a half": _strength("'0.5'"),
            "nothing": _strength("'0'"),
            "all": _strength("'1'"),
            "all, exactly": _strength("'1.0'"),
            "without its zero": _strength("'.5'"),
            "left out": _strength("null"),
        },
    ),
    "adapter-strength-is-applied": Table(
        base="phi-4",
        refused={
            "vllm by itself": _HALF,
            "vllm by name": f"{_HALF}\n{_VLLM}",
            "a name that no variable has": f"{_HALF_4BIT}\n{_TRANSFORMERS}",
        },
        accepted={
            "transformers": f"{_HALF}\n{_TRANSFORMERS}",
            "vllm without": _strength("null"),
            "a name that no variable has, without": f"{_strength('null', '4bit')}\n{_TRANSFORMERS}",
        },
    ),
}
