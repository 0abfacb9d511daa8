"""Cases of the rules on tuning."""

from __future__ import annotations

from tests.unit.planner.rule_tables.table import Refused, Table

_DIGEST = f"sha256:{'0a' * 32}"


def _urls(*urls: str) -> str:
    listed = ", ".join(f'"{one}"' for one in urls)
    return f"tuning: {{input: {{urls: [{listed}]}}}}"


def _each(*urls: str) -> dict[str, str]:
    return {url: _urls(url) for url in urls}


def _training(*lines: str, method: str = "qlora") -> str:
    text = "".join(f"\n  {line}" for line in lines)
    return f"tuning: {{method: {method}, config: settings}}\ntraining: |{text}"


_QLORA = ("training_config:", "  QuantizationConfig: {load_in_4bit: true}")
_LORA = ("training_config:", "  LoraConfig: {r: 8}")

TABLES = {
    "tuning-has-model": Table(
        base="tuning",
        refused={"none": "tuning: {preset: null}"},
        accepted={"one": "tuning: {preset: {name: phi-4}}"},
    ),
    "model-is-tunable": Table(
        base="tuning",
        refused={
            # Upstream takes both, and its controller panics.
            "a model without the facts": "tuning: {preset: {name: falcon-7b}}",
            "a model of Hugging Face": "tuning: {preset: {name: org/model}}",
        },
        accepted={
            "one of the catalogue": "tuning: {preset: {name: phi-4}}",
            "by its other name": "tuning: {preset: {name: microsoft/phi-4}}",
        },
    ),
    "tuning-method-is-known": Table(
        base="tuning",
        refused={
            "another": "tuning: {method: full}",
            "none": "tuning: {method: null}",
            "empty": "tuning: {method: ''}",
            "a blank": "tuning: {method: ' lora'}",
        },
        accepted={
            "lora": "tuning: {method: lora}",
            "another case": "tuning: {method: QLoRA}",
        },
    ),
    "tuning-uses-one-node": Table(
        base="tuning",
        refused={"two": "resource: {count: 2}"},
        accepted={"one": "resource: {count: 1}"},
    ),
    "input-is-one": Table(
        base="tuning",
        refused={
            # Upstream's update lets it through, and its controller panics.
            "none": "tuning: {input: {urls: null}}",
            "none but a name": "tuning: {input: {urls: [], name: data}}",
            "addresses and an image": "tuning: {input: {image: 'a:1'}}",
            "all three": "tuning: {input: {image: 'a:1', volumeSource: {emptyDir: {}}}}",
        },
        accepted={
            "addresses": _urls("https://example.com/a", "https://example.com/b"),
            "an image": "tuning: {input: {urls: null, image: 'a:1'}}",
            "a volume": "tuning: {input: {urls: null, volumeSource: {nfs: {server: s, path: /}}}}",
        },
    ),
    "input-url-is-public": Table(
        base="tuning",
        refused={
            **_each(
                "ftp://example.com/a",
                "file:///etc/passwd",
                "example.com/a",
                "//example.com/a",
                "https://",
                "https:///a",
                "https://user:secret@example.com/a",
                "https://example.com:99999/a",
                "https://example.com:0/a",
                "https://example.com:port/a",
                "https://a b.example/",
                "https://exämple.com/",
                "https://example..com/a",
                "https://[::1",
                # the machine itself
                "http://localhost/a",
                "http://LOCALHOST:8080/a",
                "http://localhost./a",
                "http://db.localhost/a",
                "http://127.0.0.1/a",
                "http://127.1/a",
                "http://2130706433/a",
                "http://0x7f000001/a",
                "http://0177.0.0.1/a",
                "http://0.0.0.0/a",
                "http://[::1]/a",
                "http://[::]/a",
                "http://[::ffff:127.0.0.1]/a",
                "http://[::127.0.0.1]/a",
                "http://[64:ff9b::7f00:1]/a",
                "http://[2002:7f00:1::]/a",
                # its cloud
                "http://169.254.169.254/latest/meta-data",
                "http://[fd00:ec2::254]/latest",
                "http://metadata.google.internal/computeMetadata",
                "http://metadata.google.internal./",
                "http://metadata/",
                "http://instance-data.ec2.internal/",
                "http://168.63.129.16/machine",
                "http://100.100.100.200/latest",
                # its network
                "http://10.0.0.1/a",
                "http://172.16.3.4/a",
                "http://192.168.1.1/a",
                "http://[fe80::1]/a",
                "http://[fe80::1%25eth0]/a",
                "http://[fc00::1]/a",
                "http://224.0.0.1/a",
                "http://255.255.255.255/a",
            ),
            "one of two": _urls("https://example.com/a", "http://10.1.2.3/b"),
            "far too long": _urls(f"https://example.com/{'a' * 2100}"),
            "a control character": _urls("https://example.com/\\ta"),
        },
        accepted=_each(
            "https://huggingface.co/datasets/a/b/resolve/main/c.parquet?download=true",
            "http://example.com:8080/a",
            "HTTPS://Example.COM/a",
            "https://8.8.8.8/a",
            "https://[2606:4700:4700::1111]/a",
            "https://172.32.0.1/a",
            "https://127.0.0.1.example.com/a",
            "https://localhost.example.com/a",
            "https://xn--exmple-cua.com/a",
            # A service of the cluster's own: what it gives out is its own to decide.
            "http://minio.data.svc.cluster.local:9000/bucket/a.json",
        ),
    ),
    "data-image-is-reference": Table(
        base="tuning",
        refused={
            "of the data": "tuning: {input: {urls: null, image: 'https://example.com/a'}}",
            "of the result": Refused(
                "tuning: {output: {image: 'Example/A:1'}}", field="tuning.output.image"
            ),
        },
        accepted={
            "both": "tuning: {input: {urls: null, image: 'a.example/d:1'}, output: {image: 'b:2'}}",
        },
    ),
    "data-volume-is-sound": Table(
        base="tuning",
        refused={
            "of the data": "tuning: {input: {urls: null, volumeSource: {}}}",
            "of the result": Refused(
                "tuning: {output: {image: null, volumeSource: {pvc: {}}}}",
                field="tuning.output.volumeSource",
            ),
        },
        accepted={
            "a claim": (
                "tuning: {output: {image: null, volumeSource: "
                "{persistentVolumeClaim: {claimName: results}}}}"
            ),
        },
    ),
    "output-is-one": Table(
        base="tuning",
        refused={
            "neither": "tuning: {output: {image: null}}",
            "both": "tuning: {output: {volumeSource: {emptyDir: {}}}}",
        },
        accepted={
            "an image": "tuning: {output: {image: 'a:1'}}",
            "a volume": "tuning: {output: {image: null, volumeSource: {emptyDir: {}}}}",
        },
    ),
    "output-image-can-be-pushed": Table(
        base="tuning",
        refused={
            "no Secret": "tuning: {output: {imagePushSecret: null}}",
            "an empty one": "tuning: {output: {imagePushSecret: ''}}",
            "a digest": Refused(
                f"tuning: {{output: {{image: 'a.example/b@{_DIGEST}'}}}}",
                field="tuning.output.image",
            ),
        },
        accepted={
            "a Secret": "tuning: {output: {imagePushSecret: registry}}",
            "a volume needs none": (
                "tuning: {output: {image: null, imagePushSecret: null, volumeSource: {nfs: {}}}}"
            ),
        },
    ),
    "training-config-is-sound": Table(
        base="tuning",
        refused={
            "no YAML": _training("training_config: ["),
            "another key": _training("config: {}"),
            "an unknown part": _training(*_QLORA, "  LoraCfg: {r: 8}"),
            "quantised twice": _training(
                "training_config:",
                "  QuantizationConfig: {load_in_4bit: true, load_in_8bit: true}",
            ),
            "qlora that quantises nothing": _training(*_LORA),
            "QLoRA in another case, likewise": _training(*_LORA, method="QLoRA"),
            "lora that quantises": _training(*_QLORA, method="lora"),
            "a switch that is a text": _training(
                "training_config:",
                "  QuantizationConfig: {load_in_4bit: true, load_in_8bit: 'no'}",
            ),
            "results outside": _training(*_QLORA, "  TrainingArguments: {output_dir: ../etc}"),
        },
        accepted={
            "qlora": _training(*_QLORA),
            "lora": _training(*_LORA, method="lora"),
            "nobody looked": "tuning: {config: settings}",
        },
    ),
}
