"""Web servers on loopback with certificates of a CA of the test's, for what looks at sites from outside."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.now(datetime.UTC)
Handler = Callable[[socket.socket], None]


def name_of(common: str, organisation: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


@dataclass
class Authority:
    """A CA, with its certificate in a file."""

    directory: Path

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name_of("CA of the test", "Tests & <Sons>")
        self.bundle = self.directory / "ca.pem"
        self.bundle.write_bytes(self.certificate(self.name, self.key, (), 900, 800, is_ca=True))

    def certificate(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: Sequence[str],
        lifetime: float,
        left: float,
        is_ca: bool = False,
        self_signed: bool = False,
    ) -> bytes:
        """A certificate in PEM; lifetime and what is left of it in days."""
        ends = NOW + datetime.timedelta(days=left)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if self_signed else self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(ends - datetime.timedelta(days=lifetime))
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key((key if self_signed else self.key).public_key()),
                critical=False,
            )
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([general_name(name) for name in names]), critical=False
            )
        made = builder.sign(key if self_signed else self.key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)

    def context(
        self,
        *names: str,
        lifetime: float = 90,
        left: float = 60.5,
        self_signed: bool = False,
        organisation: str = "Shop",
    ) -> ssl.SSLContext:
        """TLS with a certificate for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = name_of(names[0], organisation)
        made = self.certificate(subject, key, names, lifetime, left, self_signed=self_signed)
        file = self.directory / f"{names[0]}-{left}-{self_signed}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(made + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def answering(text: str) -> Handler:
    """A handler that reads a request and sends a text."""

    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(text.replace("\n", "\r\n").encode())

    return handle


@contextlib.contextmanager
def serving(handle: Handler, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server on 127.0.0.1 for the time of the block; returns its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _peer = listener.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        def one(plain: socket.socket) -> None:
            connection: Any = plain
            with contextlib.suppress(OSError):
                if context:
                    connection = context.wrap_socket(plain, server_side=True)
                handle(connection)
            with contextlib.suppress(OSError):
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield int(listener.getsockname()[1])
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
