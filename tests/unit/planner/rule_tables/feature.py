"""Cases of the rules on what to do, and with which model."""

from __future__ import annotations

from tests.unit.planner.rule_tables.table import Refused, Table

_INPUT_OUTPUT = "input: {image: 'a/b:1'}, output: {image: 'a/c:1', imagePushSecret: s}"
_PODS = "{spec: {containers: [{name: a, image: 'b:1'}]}}"
_DIGEST = f"sha256:{'0a' * 32}"
_PRIVATE = "accessMode: private, presetOptions"

TABLES = {
    "one-feature": Table(
        refused={
            "neither": "inference: null",
            "both": Refused(
                f"tuning: {{preset: {{name: phi-4}}, method: lora, {_INPUT_OUTPUT}}}",
                also="model-is-tunable",
            ),
        },
        accepted={"inference": "{}"},
    ),
    "preset-or-template": Table(
        refused={
            "neither": "inference: {preset: null}",
            "neither, but settings": "inference: {preset: null, config: settings}",
            "both": f"inference: {{template: {_PODS}}}",
        },
        accepted={
            "a preset": "inference: {preset: {name: smollm2-135m-instruct}}",
            "a template": f"inference: {{preset: null, template: {_PODS}}}",
        },
    ),
    "config-is-a-name": Table(
        refused={
            "blanks and upper case": "inference: {config: My Config}",
            "a path": "inference: {config: a/b}",
            "with its namespace": "inference: {config: 'default:settings'}",
            "a line's end": 'inference: {config: "settings\\n"}',
        },
        accepted={
            "a name": "inference: {config: my-config}",
            "with dots": "inference: {config: my.config.v2}",
            "left out": "inference: {config: ''}",
        },
    ),
    "preset-is-known": Table(
        refused={
            "misspelt": "inference: {preset: {name: smollm2-135m-instuct}}",
            "empty": "inference: {preset: {name: ''}}",
            "with a revision": "inference: {preset: {name: phi-4@main}}",
            "upstream's that never was": "inference: {preset: {name: phi-5}}",
        },
        accepted={
            "another case": "inference: {preset: {name: SmolLM2-135M-Instruct}}",
            "an id that the catalogue lacks": "inference: {preset: {name: Qwen/Qwen3-0.6B}}",
        },
    ),
    "model-id-is-sound": Table(
        base="phi-4",
        refused={
            "no organisation": "inference: {preset: {name: /model}}",
            "no name": "inference: {preset: {name: org/}}",
            "three parts": "inference: {preset: {name: org/sub/model}}",
            "an address": "inference: {preset: {name: 'https://huggingface.co/org/model'}}",
            "a way out": "inference: {preset: {name: ../model}}",
            "a way out further on": "inference: {preset: {name: org/..}}",
            "a blank": "inference: {preset: {name: org/my model}}",
            "a query": "inference: {preset: {name: 'org/model?x=y'}}",
            "a line's end": 'inference: {preset: {name: "org/model\\n"}}',
            "an empty revision": "inference: {preset: {name: org/model@}}",
            "a revision that leads out": "inference: {preset: {name: org/model@../../x}}",
            "two revisions": "inference: {preset: {name: org/model@a@b}}",
            "a git address": "inference: {preset: {name: org/model.git}}",
            "far too long": f"inference: {{preset: {{name: org/{'x' * 200}}}}}",
        },
        accepted={
            "an id": "inference: {preset: {name: mistralai/Ministral-8B-Instruct-2410}}",
            "a branch": "inference: {preset: {name: org/model@main}}",
            "a commit": f"inference: {{preset: {{name: org/model@{'0a' * 20}}}}}",
            "a pull request": "inference: {preset: {name: org/model@refs/pr/7}}",
            "a tag with dots": "inference: {preset: {name: org/model_v1.5@v1.5.0}}",
            "an alias of the catalogue": "inference: {preset: {name: Microsoft/Phi-4}}",
        },
    ),
    "private-model-has-private-access": Table(
        base="phi-4",
        refused={
            "access left out": "inference: {preset: {name: llama-2-7b}}",
            "public access": "inference: {preset: {name: llama-2-7b, accessMode: public}}",
            "an image alone": (
                "inference: {preset: {name: llama-2-7b, presetOptions: {image: 'a/b:1'}}}"
            ),
            "to be tuned": Refused(
                "{inference: null, tuning: {preset: {name: llama-2-7b}, method: lora, "
                f"{_INPUT_OUTPUT}}}}}",
                field="tuning.preset.accessMode",
                also="model-is-tunable",
            ),
        },
        accepted={
            "private access": (
                f"inference: {{preset: {{name: llama-2-7b, {_PRIVATE}: {{image: 'a/b:1'}}}}}}"
            ),
            "a public model": "inference: {preset: {name: phi-4, accessMode: public}}",
        },
    ),
    "private-access-has-image": Table(
        base="phi-4",
        refused={
            "no options": "inference: {preset: {accessMode: private}}",
            "a secret alone": f"inference: {{preset: {{{_PRIVATE}: {{imagePullSecrets: [s]}}}}}}",
            "an empty image": f"inference: {{preset: {{{_PRIVATE}: {{image: ''}}}}}}",
            "to be tuned": Refused(
                "{inference: null, tuning: {preset: {name: phi-4, accessMode: private}, "
                f"method: lora, {_INPUT_OUTPUT}}}}}",
                field="tuning.preset.presetOptions.image",
            ),
        },
        accepted={
            "an image": f"inference: {{preset: {{{_PRIVATE}: {{image: 'acr.example/phi:1'}}}}}}",
            "public access": "inference: {preset: {accessMode: public}}",
        },
    ),
    "private-image-is-reference": Table(
        base="phi-4",
        extra="inference: {preset: {accessMode: private}}",
        refused={
            "an address": "inference: {preset: {presetOptions: {image: 'https://a.example/b:1'}}}",
            "upper case": "inference: {preset: {presetOptions: {image: a.example/Phi:1}}}",
            "a blank": "inference: {preset: {presetOptions: {image: 'a.example/b :1'}}}",
            "a short digest": "inference: {preset: {presetOptions: {image: 'a/b@sha256:abc'}}}",
            "an empty tag": "inference: {preset: {presetOptions: {image: 'a/b:'}}}",
            "no repository": "inference: {preset: {presetOptions: {image: 'a.example/'}}}",
            "public, and ignored": (
                "inference: {preset: {accessMode: public, presetOptions: {image: A B}}}"
            ),
        },
        accepted={
            "a tag": "inference: {preset: {presetOptions: {image: 'acr.azurecr.io/a/b:0.1'}}}",
            "a digest": (
                f"inference: {{preset: {{presetOptions: {{image: 'a.example/b@{_DIGEST}'}}}}}}"
            ),
            "a tag and a digest": (
                f"inference: {{preset: {{presetOptions: {{image: 'a/b:1@{_DIGEST}'}}}}}}"
            ),
            "a registry's port": "inference: {preset: {presetOptions: {image: 'local:5000/a:1'}}}",
            "no tag": "inference: {preset: {presetOptions: {image: library/llama}}}",
        },
    ),
    "secret-is-a-name": Table(
        base="phi-4",
        refused={
            "to pull with": "inference: {preset: {presetOptions: {imagePullSecrets: [My Secret]}}}",
            "an empty one": "inference: {preset: {presetOptions: {imagePullSecrets: ['']}}}",
            "to reach the model with": Refused(
                "inference: {preset: {presetOptions: {modelAccessSecret: hf_abcDEF}}}",
                field="inference.preset.presetOptions.modelAccessSecret",
            ),
            "to pull an adapter with": Refused(
                "inference: {adapters: [{source: {name: a, image: 'b:1', imagePullSecrets: [A]}}]}",
                field="inference.adapters.source.imagePullSecrets",
            ),
            "to pull data with": Refused(
                "{inference: null, tuning: {preset: {name: phi-4}, method: lora, input: "
                "{image: 'a:1', imagePullSecrets: [a/b]}, output: {volumeSource: {emptyDir: {}}}}}",
                field="tuning.input.imagePullSecrets",
            ),
            "to push with": Refused(
                "{inference: null, tuning: {preset: {name: phi-4}, method: lora, input: "
                "{image: 'a:1'}, output: {image: 'b:1', imagePushSecret: '-'}}}",
                field="tuning.output.imagePushSecret",
            ),
        },
        accepted={
            "names": (
                "inference: {preset: {presetOptions: "
                "{imagePullSecrets: [a, b.c], modelAccessSecret: hf-token}}}"
            ),
            "none": "inference: {preset: {presetOptions: {}}}",
        },
    ),
    "gated-model-has-secret": Table(
        base="phi-4",
        extra="inference: {preset: {name: llama-3.1-8b-instruct}}",
        refused={
            "no options": "{}",
            "another secret": "inference: {preset: {presetOptions: {imagePullSecrets: [s]}}}",
            "an empty name": "inference: {preset: {presetOptions: {modelAccessSecret: ''}}}",
        },
        accepted={
            "a secret": "inference: {preset: {presetOptions: {modelAccessSecret: hf-token}}}",
            "an image that holds the model": (
                f"inference: {{preset: {{{_PRIVATE}: {{image: 'a/llama:1'}}}}}}"
            ),
            "a model without a gate": "inference: {preset: {name: phi-4}}",
        },
    ),
}
