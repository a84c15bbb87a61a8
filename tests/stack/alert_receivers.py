"""Receivers of alerts in tests: a web hook that takes any JSON, and a mail server that takes any mail."""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import threading
from contextlib import ExitStack
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class AlertReceivers:
    """Listens on two free ports of 127.0.0.1 and keeps what comes."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, Any]] = []  # path, body
        self.mails: list[EmailMessage] = []
        self._hook = ThreadingHTTPServer(("127.0.0.1", 0), _hook(self.posts))
        self._mail = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _mail(self.mails))
        self._mail.daemon_threads = True

    def __enter__(self) -> AlertReceivers:
        self._stack = ExitStack()
        for server in (self._hook, self._mail):
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self._stack.callback(server.server_close)
            self._stack.callback(server.shutdown)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._hook.server_port}"

    @property
    def smarthost(self) -> str:
        return f"127.0.0.1:{self._mail.server_address[1]}"


def _hook(posts: list[tuple[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: Any) -> None:
            return

    return Handler


def _mail(mails: list[EmailMessage]) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:  # SMTP, as much of it as one mail takes (RFC 5321, 4.1)
            self._say("220 test")
            while line := self.rfile.readline():
                verb = line[:4].upper()
                if verb == b"DATA":
                    self._say("354 go on")
                    body = b"".join(iter(self.rfile.readline, b".\r\n"))
                    mails.append(email.message_from_bytes(body, policy=email.policy.default))  # type: ignore[arg-type]
                self._say("221 bye" if verb == b"QUIT" else "250 ok")
                if verb == b"QUIT":
                    return

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    return Handler
