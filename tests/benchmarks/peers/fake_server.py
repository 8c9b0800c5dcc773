"""A peer in a few lines: python -m tests.benchmarks.peers.fake_server PORT right|wrong MARK.

It answers with the embedding of the artifact of PEER_MODEL, and leaves a process in another
session, whose id it writes to the file MARK.
"""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from runtime import load

FACTORS = {"right": 1.0, "wrong": -1.0}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = load(Path(os.environ["PEER_MODEL"]).parents[1])

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        photo = data.split(b"\r\n\r\n", 1)[1].rpartition(b"\r\n--")[0]
        (embedding,) = self.model.run(self.model.prepare(photo).feeds).values()
        values = FACTORS[sys.argv[2]] * embedding[0]
        body = json.dumps({"embedding": values.tolist()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""


if __name__ == "__main__":
    left = subprocess.Popen(["sleep", "600"], start_new_session=True)
    Path(sys.argv[3]).write_text(str(left.pid), encoding="ascii")
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
