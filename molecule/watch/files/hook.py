"""A receiver of alerts on loopback: each body that is posted becomes a line of a file, with the time of its arrival."""

import http.server
import json
import sys
import time


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted."""

    def do_POST(self) -> None:
        """Keep it."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(sys.argv[2], "a", encoding="utf-8") as kept:
            kept.write(json.dumps({"time": time.time(), "body": body}) + "\n")
        self.send_response(200)
        self.end_headers()


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Hook).serve_forever()
