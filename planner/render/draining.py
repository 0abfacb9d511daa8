"""How a model server stops without losing a request.

    pod deleted      Services forget the pod, and at the same time the kubelet runs `preStop`
    preStop          the server goes on answering for a moment, because some node's rules, or a
                     client's open connection, may lead to it still; our own server closes each
                     connection after its answer, so that the next request goes elsewhere
    SIGTERM          vLLM refuses new requests (status 500), finishes the others, and ends
    grace is over    the kubelet kills what is left

An image of the user's own may hold a vLLM before 0.18, which aborts what runs at SIGTERM. There
`preStop` itself waits until the server says that nothing runs.
"""

from __future__ import annotations

import shlex
from typing import Any, Final

from api import names
from api.preset import RuntimeName
from planner.render.serving import Serving

ENDPOINTS_SECONDS: Final = 5
"""5 s between "the pod is going" and "no request comes here any more": kube-proxy writes its rules
at most once a second, and a busy client with an open connection has sent its next request by then
(a guess)."""

LONGEST_GENERATION_SECONDS: Final = 60
"""60 s: about 2,000 tokens at 31 tokens a second, which is what the smallest model does on two CPU
cores (measured 2026-11). What takes longer is cut off: a stop must not wait for ever, and under
InPlace nobody is served while it waits."""

ENGINE_END_SECONDS: Final = 10
"""10 s for the engine's own processes to end; 3 s measured on CPU (2026-11), more with many GPUs
(a guess)."""

TERMINATION_GRACE_SECONDS: Final = (
    ENDPOINTS_SECONDS + LONGEST_GENERATION_SECONDS + ENGINE_END_SECONDS
)

DRAINING_FILE: Final = "/tmp/draining"  # noqa: S108 - a volume that is private to the pod
"""While it is there, our program closes each connection after its answer."""

METRICS_URL: Final = f"http://127.0.0.1:{names.PORT_SERVING}/metrics"

AWAIT_IDLE: Final = """\
import re, sys, time, urllib.request
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    try:
        text = urllib.request.urlopen(sys.argv[1], timeout=5).read().decode()
    except OSError:
        break
    counts = re.findall(r"^vllm:num_requests_(?:running|waiting)(?:{.*})? (\\S+)$", text, re.M)
    if not any(map(float, counts)):
        break
    time.sleep(1)
"""
"""Python that every vLLM image can run: returns when no request runs, or after so many seconds."""


def lifecycle(serving: Serving) -> dict[str, Any]:
    """Return the hook that runs before a model server gets its SIGTERM.

    A program instead of the hook `sleep`: that one needs Kubernetes 1.30, and we promise 1.28.
    """
    line = f"sleep {ENDPOINTS_SECONDS}"
    if serving.runtime.name is RuntimeName.VLLM:
        if serving.has_private_image:
            script = shlex.quote(AWAIT_IDLE)
            line += f"; exec python3 -c {script} {METRICS_URL} {LONGEST_GENERATION_SECONDS}"
        else:
            line = f"touch {DRAINING_FILE}; exec {line}"
    return {"preStop": {"exec": {"command": ["/bin/sh", "-c", line]}}}
