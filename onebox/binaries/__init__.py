"""The programs that onebox runs: built from Go modules, cached by version.

`path("etcd")` is where a program lies; `ensure([...], print)` builds what is missing.
"""

from onebox.binaries.builder import ensure, missing, path

__all__ = ["ensure", "missing", "path"]
