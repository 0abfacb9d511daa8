"""What a program said, without the secrets that it may have said with it.

A log is read by those who may read logs; a condition of a Workspace by many more.
"""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "[hidden]"

_NAMED: Final = r"[\w-]*(?:token|password|passwd|secret|api[-_]?key)[\"']?\s*[=:]\s*[\"']?"
"""A key's name in front: HF_TOKEN=..., "password": "..."."""

_ROWS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Tokens that show what they are: of Hugging Face, GitHub, OpenAI; JSON web tokens.
        r"(?P<kept>)\b(?:hf_|gh[pousr]_|sk-)[\w-]{8,}",
        r"(?P<kept>)\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*",
        r"(?P<kept>\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}",
        rf"(?P<kept>{_NAMED})(?!\[hidden\])[^\s\"',;&]{{6,}}",
        r"(?P<kept>--api-key\s+)\S+",
        # A password in an address.
        r"(?P<kept>://[^\s:/@]+:)[^\s@/]+(?=@)",
    )
)


def redact(text: str) -> str:
    """Return the text with everything that looks like a secret hidden.

    What looks like one and is none is hidden too: nobody needs the value to see the cause.
    """
    for row in _ROWS:
        text = row.sub(lambda found: f"{found['kept']}{HIDDEN}", text)
    return text
