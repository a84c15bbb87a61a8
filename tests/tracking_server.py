"""Small servers in place of MLflow's: each answers as a test says, over TLS with a certificate made for it."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

EXPERIMENTS = json.dumps({"experiments": []})
Answer = tuple[int, dict[str, str], str]


@dataclass
class Asked:
    """What a server was asked: paths, and the Authorization header and body of each."""

    uri: str
    paths: list[str] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


def answering(*answers: Answer) -> Callable[[Asked], Answer]:
    """One answer after another; the last one again and again."""
    return lambda asked: answers[min(len(asked.paths), len(answers)) - 1]


@contextmanager
def server(answer: Callable[[Asked], Answer], tls: ssl.SSLContext | None = None) -> Iterator[Asked]:
    """Serve on a free port of 127.0.0.1."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.paths.append(self.path)
            asked.authorizations.append(self.headers.get("Authorization"))
            asked.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            status, headers, text = answer(asked)
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(text)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_):
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *_):  # a client that does not trust the certificate hangs up
            pass

    with Quiet(("127.0.0.1", 0), Handler) as served:
        if tls:
            served.socket = tls.wrap_socket(served.socket, server_side=True, do_handshake_on_connect=False)
        asked = Asked(f"http{'s' if tls else ''}://127.0.0.1:{served.server_port}")
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield asked
        finally:
            served.shutdown()
            thread.join()


def certificate(folder: Path, name: str = "server") -> Path:
    """A self-made certificate of 127.0.0.1 with its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    called = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder(called, called, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def tls(file: Path, clients: Path | None = None) -> ssl.SSLContext:
    """TLS with this certificate; with `clients`, only for those who show that one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    if clients:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
