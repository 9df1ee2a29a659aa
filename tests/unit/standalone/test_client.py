"""The administrator's client against a small TLS server."""

import datetime
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from standalone import rbac
from standalone.client import Client
from standalone.errors import StandaloneError
from standalone.pki import Pki

Request = tuple[str, str, dict[str, str], bytes]


class Server(ThreadingHTTPServer):
    """Answers every request with `answer` and remembers them."""

    def __init__(self, pki: Pki) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: tuple[int, bytes] = (200, b"ok")
        self.requests: list[Request] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki.certificate("apiserver"), pki.key("apiserver"))
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up over the certificate is no news."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        status, text = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_PATCH = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    made = Pki(tmp_path)
    made.ensure(datetime.datetime.now(datetime.UTC))
    return made


@pytest.fixture
def server(pki: Pki) -> Iterator[Server]:
    with Server(pki) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield running
        running.shutdown()


def client(server: Server, pki: Pki) -> Client:
    return Client(server.server_address[1], pki.authority, "secret-token")


@pytest.mark.parametrize(
    ("answer", "ready"),
    [((200, b"ok"), True), ((200, b"not quite"), False), ((500, b"ok"), False), ((401, b"ok"), False), ((403, b""), False)],
)
def test_ready(server: Server, pki: Pki, answer: tuple[int, bytes], ready: bool) -> None:
    server.answer = answer
    assert client(server, pki).ready() is ready
    method, path, headers, _ = server.requests[0]
    assert (method, path, headers["authorization"]) == ("GET", "/readyz", "Bearer secret-token")


def test_not_ready_when_nobody_listens(server: Server, pki: Pki) -> None:
    port = server.server_address[1]
    server.shutdown()
    server.server_close()
    assert Client(port, pki.authority, "x").ready() is False


def test_token_is_not_sent_to_an_impostor(server: Server, pki: Pki, tmp_path: Path) -> None:
    """Another program may have taken the port; it has no certificate of ours."""
    ours = Pki(tmp_path / "ours")
    ours.directory.mkdir()
    ours.ensure(datetime.datetime.now(datetime.UTC))
    assert Client(server.server_address[1], ours.authority, "secret-token").ready() is False
    assert server.requests == []


def test_proxies_of_the_environment_are_not_used(server: Server, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert client(server, pki).ready() is True


def test_apply(server: Server, pki: Pki) -> None:
    client(server, pki).apply("/apis/x/v1/things/a", {"kind": "Thing"})
    method, path, headers, body = server.requests[0]
    assert (method, path) == ("PATCH", "/apis/x/v1/things/a?fieldManager=vireo-standalone&force=true")
    assert headers["content-type"] == "application/apply-patch+yaml"
    assert json.loads(body) == {"kind": "Thing"}


def test_refused(server: Server, pki: Pki) -> None:
    server.answer = (422, b"spec is wrong " * 100)
    with pytest.raises(StandaloneError) as refused:
        client(server, pki).apply("/things/a", {})
    assert str(refused.value).startswith("the API server refused /things/a: 422 spec is wrong")
    assert len(str(refused.value)) < 400
    assert "secret-token" not in str(refused.value)


def test_no_answer(server: Server, pki: Pki) -> None:
    port = server.server_address[1]
    server.shutdown()
    server.server_close()
    with pytest.raises(StandaloneError, match=rf"https://127\.0\.0\.1:{port} doesn't answer: ConnectError"):
        Client(port, pki.authority, "x").apply("/things/a", {})


def test_rules_are_all_applied_where_they_belong(server: Server, pki: Pki) -> None:
    rbac.apply(client(server, pki))
    sent = {path.partition("?")[0]: json.loads(body) for _, path, _, body in server.requests}
    prefix = "/apis/rbac.authorization.k8s.io/v1"
    assert list(sent) == [f"{prefix}/clusterroles/vireo-controller", f"{prefix}/clusterrolebindings/vireo-controller"]
    assert list(sent.values()) == rbac.manifests()


def test_rules_hold_no_blanket_right() -> None:
    role = next(manifest for manifest in rbac.manifests() if manifest["kind"] == "ClusterRole")
    for rule in role["rules"]:
        assert "*" not in rule["verbs"]
        assert "*" not in rule["apiGroups"]
        assert "*" not in rule["resources"] or rule["apiGroups"] == ["vireo.dev"]
        if "secrets" in rule["resources"]:
            assert rule["verbs"] == ["get"]
