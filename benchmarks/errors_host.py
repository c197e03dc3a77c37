"""Asks apps one after another, again and again, then stops them: what benchmarks/errors runs on its host.

`errors_host.py REQUESTS STOPS APP=CURRENT…`, with the directory of the live release of each app, prints, as JSON, the
requests of each in milliseconds and its stops in seconds.
"""

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time

FAILS_EACH = 20  # requests between two that fail, so that there is something to send all the time
BAD_GATEWAY, HANGS, TAKES = 9601, 9602, 9603
current: dict[str, str] = {}  # the directory of the live release, by app


def ask(app: str, path: str) -> float:
    """The milliseconds of a request to the socket of an app."""
    with socket.socket(socket.AF_UNIX) as connection:
        began = time.perf_counter()
        connection.settimeout(30)
        connection.connect(f"{current[app]}/app.sock")
        client = http.client.HTTPConnection(f"{app}.test")
        client.sock = connection
        client.request("GET", path)
        answer = client.getresponse()
        answer.read()
        took = (time.perf_counter() - began) * 1000
    if answer.status != (500 if path == "/fail" else 200):
        sys.exit(f"{app}{path} answered {answer.status}")
    return took


def stop(app: str) -> float:
    """The seconds in which an app stops while errors wait to be sent; it is started again."""
    for _number in range(FAILS_EACH):
        ask(app, "/fail")
    unit = f"{app}@{os.path.basename(os.readlink(current[app]))}.service"
    began = time.perf_counter()
    # It warns that its socket listens on.
    subprocess.run(("systemctl", "stop", unit), check=True, stderr=subprocess.DEVNULL)
    took = time.perf_counter() - began
    subprocess.run(("systemctl", "start", unit), check=True)
    return took


def tracker(port: int, answer: bytes) -> None:
    """An error tracker that gives this answer to all; with none, it lets all wait."""
    server = socket.create_server(("127.0.0.1", port), backlog=200)

    def serve() -> None:
        kept = []
        while True:
            connection = server.accept()[0]
            if not answer:
                kept.append(connection)
                continue
            with connection:
                connection.settimeout(2)
                try:
                    while connection.recv(2**16):
                        connection.sendall(answer)
                except OSError:
                    pass

    threading.Thread(target=serve, daemon=True).start()


def main() -> None:
    """Measure."""
    requests, stops = int(sys.argv[1]), int(sys.argv[2])
    for one in sys.argv[3:]:
        name, _equals, value = one.partition("=")
        current[name] = value
    apps = list(current)
    tracker(BAD_GATEWAY, b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    tracker(TAKES, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    tracker(HANGS, b"")
    took: dict[str, list[float]] = {app: [] for app in apps}
    for number in range(requests):
        for app in random.sample(apps, len(apps)):
            if number % FAILS_EACH == 0:
                ask(app, "/fail")
            took[app].append(ask(app, "/"))
    stopped: dict[str, list[float]] = {app: [] for app in apps}
    for _number in range(stops):
        for app in random.sample(apps, len(apps)):
            stopped[app].append(stop(app))
    print(json.dumps({"requests": took, "stops": stopped}))


if __name__ == "__main__":
    main()
