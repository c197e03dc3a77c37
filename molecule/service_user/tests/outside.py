"""What lies beyond the host, in a network namespace: public servers, and a cloud's metadata service."""

from __future__ import annotations

import shlex

import testing
from testinfra.host import Host

NAMESPACE = "outside"
METADATA = "169.254.169.254"
ADDRESSES = ("192.0.2.10/24", "192.0.2.20/24", f"{METADATA}/32", "2001:db8:77::10/64", "2001:db8:77::20/64")
# Greets each TCP connection and keeps it open; answers each packet and all that comes later with the same greeting.
SERVER = """
import socket, socketserver, sys, threading
class Connection(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"hello")
        while self.request.recv(99):
            self.request.sendall(b"hello")
class Packet(socketserver.BaseRequestHandler):
    def handle(self):
        self.request[1].sendto(b"hello", self.client_address)
for address in sys.argv[1:]:
    for port in (53, 80, 8000, 8001, 8002):
        for kind, handler in ((socketserver.ThreadingTCPServer, Connection), (socketserver.ThreadingUDPServer, Packet)):
            kind.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
            kind.daemon_threads = True
            threading.Thread(target=kind((address, port), handler).serve_forever).start()
"""
# Prints what became of each "protocol address port": what was answered, or the error and whether it came at once.
# A rule that refuses late does so each time, because a packet has to be sent anew; a busy machine is late now and then.
CLIENT = """
import socket, sys, time
def ask(protocol, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    number = 262 if protocol == "mptcp" else 0
    began = time.monotonic()
    try:
        with socket.socket(family, kind, number) as client:
            client.settimeout(30)
            client.connect((address, int(port)))
            if protocol == "udp":
                client.send(b"x")
            return client.recv(9).decode(), ""
    except OSError as error:
        return type(error).__name__, " late" if time.monotonic() - began >= 0.5 else ""
for one in sys.argv[1:]:
    for _turn in range(5):
        answer, late = ask(*one.split())
        if not late or answer == "TimeoutError":
            break
    print(answer + late)
"""
# The part of an app's sandbox that has to do with sockets and accounts.
SANDBOX = [
    "CapabilityBoundingSet=",
    "NoNewPrivileges=yes",
    "PrivateUsers=yes",
    "RestrictNamespaces=yes",
    "PrivateTmp=yes",
    "ProtectSystem=strict",
    "RestrictSUIDSGID=yes",
]


def build(host: Host) -> None:
    """Make the namespace, with a link to it and servers in it."""
    server = ("/usr/bin/python3", "-c", SERVER, *(one.partition("/")[0] for one in ADDRESSES))
    lines = (
        f"ip netns add {NAMESPACE}",
        f"ip link add link0 type veth peer name link1 netns {NAMESPACE}",
        "ip address add 192.0.2.1/24 dev link0; ip -6 address add 2001:db8:77::1/64 dev link0 nodad",
        "ip link set link0 up",
        f"ip netns exec {NAMESPACE} sh -c '{inside()}'",
        f"ip route add {METADATA} dev link0",
        f"systemd-run --quiet --unit=outside ip netns exec {NAMESPACE} {shlex.join(server)}",
    )
    host.check_output(f"ip netns del {NAMESPACE} 2>/dev/null; set -e; " + "; ".join(lines))
    assert testing.poll(lambda: ask(host, "root", "udp 2001:db8:77::20 8002") == ["hello"], 120)


def inside() -> str:
    """The addresses in the namespace, as commands."""
    added = [f"ip address add {one} dev link1{' nodad' if ':' in one else ''}" for one in ADDRESSES]
    return "; ".join(["ip link set lo up", *added, "ip link set link1 up"])


def ask(host: Host, account: str, *addresses: str, group: str = "") -> list[str]:
    """What an account gets from each "protocol address port", in a sandbox as apps have it."""
    properties = [f"User={account}", f"Group={group or account}", *SANDBOX]
    unit = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", *(f"--property={one}" for one in properties)]
    return host.check_output(shlex.join([*unit, "/usr/bin/python3", "-c", CLIENT, *addresses])).splitlines()
