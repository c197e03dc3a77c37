"""Answers whatever reaches it, whatever it asks for, and so proves that the proxy let it through."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request

app = Flask(__name__)


@app.before_request
def answer() -> Response:
    """Return what arrived: `headers`, and what was made of them; the header Witness is on every answer."""
    request.get_data()
    seen = {
        "headers": dict(request.headers),
        "remote_addr": request.remote_addr,
        "script_name": request.environ["SCRIPT_NAME"],
        "url": request.url,
    }
    # As one piece: those of two threads could mix, and a line would not be counted.
    print(f"witness: {request.method} {request.url}\n", end="", flush=True)
    response = jsonify(seen)
    response.headers["Witness"] = "seen"
    return response
