"""Writes the pages of docs/ that are made from code.

python -m scripts.generate_docs --write     write them anew
python -m scripts.generate_docs --check     exit 1 when one is stale
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from scripts.pages.api_reference import api_page
from scripts.pages.models import instance_types_page, models_page
from scripts.pages.plan import plan_page
from scripts.pages.reasons import reasons_page
from scripts.pages.validation import validation_page

FOLDER: Final = Path(__file__).parent.parent / "docs"

PAGES: Final[dict[str, Callable[[], str]]] = {
    "reasons.md": reasons_page,
    "api.md": api_page,
    "models.md": models_page,
    "instance_types.md": instance_types_page,
    "plan.md": plan_page,
    "validation.md": validation_page,
}


def main(arguments: list[str], folder: Path = FOLDER) -> int:
    """Write or check the pages; return the exit code."""
    if arguments == ["--write"]:
        folder.mkdir(parents=True, exist_ok=True)
        for name, render in PAGES.items():
            (folder / name).write_text(render(), encoding="utf-8")
        return 0
    if arguments == ["--check"]:
        stale = [name for name, render in PAGES.items() if _content(folder / name) != render()]
        for name in stale:
            sys.stderr.write(f"{folder / name} is stale; run: make generate\n")
        return 1 if stale else 0
    sys.stderr.write("usage: python -m scripts.generate_docs --write | --check\n")
    return 2


def _content(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
