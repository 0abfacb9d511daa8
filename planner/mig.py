"""Slices of NVIDIA GPUs (MIG): the profile `2g.20gb` has 2 parts of compute and 20 GB of memory."""

from __future__ import annotations

import re
from typing import Final

GIBIBYTE: Final = 2**30

FORMAT: Final = re.compile(r"[1-9]g\.[1-9][0-9]{0,3}gb")
"""As device plugins name what a node offers. Variants with media engines (1g.10gb+me) are left out:
a model server has no use for them."""

PROFILES: Final[frozenset[str]] = frozenset(
    profile
    for line in (
        "1g.6gb 2g.12gb 4g.24gb",  # A30
        "1g.5gb 1g.10gb 2g.10gb 3g.20gb 4g.20gb 7g.40gb",  # A100 of 40 GB
        "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb",  # A100 and H100 of 80 GB
        "1g.12gb 1g.24gb 2g.24gb 3g.47gb 4g.47gb 7g.94gb",  # H100 of 94 GB
        "1g.12gb 1g.24gb 2g.24gb 3g.48gb 4g.48gb 7g.96gb",  # GH200 of 96 GB, H20
        "1g.18gb 1g.35gb 2g.35gb 3g.71gb 4g.71gb 7g.141gb",  # H200
        "1g.18gb 1g.36gb 2g.36gb 3g.72gb 4g.72gb 7g.144gb",  # GH200 of 144 GB
        "1g.23gb 1g.45gb 2g.45gb 3g.90gb 4g.90gb 7g.180gb",  # B200
        "1g.23gb 1g.47gb 2g.47gb 3g.93gb 4g.93gb 7g.186gb",  # GB200
        "1g.34gb 1g.67gb 2g.67gb 3g.135gb 4g.135gb 7g.269gb",  # B300
        "1g.24gb 2g.48gb 4g.96gb",  # RTX PRO 6000
        "1g.12gb 2g.24gb 4g.48gb",  # RTX PRO 5000
    )
    for profile in line.split()
)
"""NVIDIA's MIG user guide, "Supported MIG profiles" (read 2026-11), and for B300 the GPU operator's
own list."""


def memory_bytes(profile: str) -> int | None:
    """Return the memory of a slice by its profile's name; None when it is no profile."""
    if FORMAT.fullmatch(profile) is None:
        return None
    # The name says GB and means GiB, less the little that the GPU keeps for itself.
    return int(profile.partition(".")[2].removesuffix("gb")) * GIBIBYTE
