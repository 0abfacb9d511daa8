"""docs/plan.md: how to read a preview, with previews that were really printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from api.workspace import Workspace
from planner.preview import Subject, preview
from planner.preview_parts import Preview
from planner.world import PlatformSettings
from presets.loader import load_catalogue
from worker.preview.inputs import ANY_PROVISIONER
from worker.preview.text import lines_of, written

EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "inference"

FIRST: Final = "workspace-multiple-nodes.yaml"
EDITED: Final = "workspace-phi-4.yaml"
EDIT: Final = ("24ads_A100_v4", "40ads_H100_v5")

_PAGE: Final = """\
# Reading a plan

<!-- Written by `make generate` from scripts/pages/plan.py. -->

`python -m worker plan` says what a Workspace would become, before anything is applied. It needs no
cluster, and touches none.

```
$ python -m worker plan -f examples/inference/{first}
{first_output}
```

- **weights**: what the nodes download, and from where.
- **server**: *tensor* cuts every layer into parts, one a GPU; *pipeline* deals layers out to groups
  of GPUs; *data* is whole copies side by side. One that is 1 is not told.
- **nodes**: how many, with what; *new* ones are bought, *existing* ones are there.
- **price**: list price of the new nodes. Spot prices are not known.
- **effect**: what happens to pods that run: they *start*; *nothing restarts*; they are replaced *in
  place*, so nobody answers for a while; or new ones *surge* beside them.
- **GPU memory**: of each GPU, `gpu-memory-utilization` is usable. Of that go off the weights, the
  cache that one request of the planned length needs, and what the server itself takes
  ([how it is counted](estimator.md)). What is free holds the cache of more and longer requests.
- **Command**: what the server's container runs, flag by flag.

*Warnings* say what works otherwise than one may think. *Problems* say what is in the way, which
field it is, and what to do; [reasons.md](reasons.md) lists their first words. Where an instance
type is too small, the smallest that would do are named.

## An edit

```
$ sed s/{old}/{new}/ examples/inference/{edited} > new.yaml
$ python -m worker plan -f new.yaml --against examples/inference/{edited} | grep -e effect -e ' -> '
{edit_output}
```

`--cluster` compares with the live Workspace instead, and counts the nodes that are really there
(`KUBECONFIG`; read only).

## The rest

- `-f` takes files, folders and `-`, with several documents. A ConfigMap among them counts as the
  one that `inference.config` names; `--config FILE` gives its content alone.
- A model that the catalogue lacks is looked up at Hugging Face, or described by a folder with its
  `config.json` and `model.safetensors.index.json` (`--model-config DIR`).
- `--provisioner byo` plans with nodes that exist; without a cluster they are assumed.
- `-o json` gives the same for programs, with sizes in bytes: `.workspaces[].nodes`, `.budget`,
  `.candidates`, `.problems`, ….
- Exit codes: 0 it can be carried out, 1 it can't, 2 a file or the usage is wrong.
"""


def plan_page() -> str:
    """Return docs/plan.md."""
    manifest = (EXAMPLES / EDITED).read_text(encoding="utf-8")
    before = _subject(manifest)
    edited = list(_output(_preview(_subject(manifest.replace(*EDIT)), before)))
    return _PAGE.format(
        first=FIRST,
        first_output="\n".join(
            _output(_preview(_subject((EXAMPLES / FIRST).read_text(encoding="utf-8"))))
        ),
        edited=EDITED,
        old=EDIT[0],
        new=EDIT[1],
        edit_output="\n".join(line for line in edited if "effect" in line or " -> " in line),
    )


def _subject(manifest: str) -> Subject:
    obj: dict[str, Any] = yaml.safe_load(manifest)
    workspace = Workspace.from_object(obj)
    return Subject(workspace, load_catalogue().get(workspace.preset_name))


def _preview(subject: Subject, before: Subject | None = None) -> Preview:
    settings = PlatformSettings(provisioner=ANY_PROVISIONER)
    return preview(subject, settings, load_catalogue(), before)


def _output(found: Preview) -> Iterator[str]:
    return (written(line) for line in lines_of(found))
