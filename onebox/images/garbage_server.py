"""Stands where a model server should: healthy, and wrong. Runs inside a pod; takes any flags."""

from __future__ import annotations

import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

PORT: Final = 5000
GARBAGE: Final = b"<html>I am no model</html>"


class Server(BaseHTTPRequestHandler):
    """Says 200 to everything."""

    def do_GET(self) -> None:
        """Answer `/health` as it should be, and all else with garbage."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"" if self.path == "/health" else GARBAGE)

    do_POST = do_GET  # noqa: N815 - the name that http.server looks for


def main(port: int = PORT) -> None:
    """Serve until told to stop; a container's first process must ask for that signal."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("", port), Server).serve_forever()


if __name__ == "__main__":
    main()
