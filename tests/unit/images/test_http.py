"""One GET: redirects, refusals, and nothing secret in any message or log."""

import logging
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest

from controller.images import ImageError, Limits, Reason, http_client
from controller.images.http import get
from tests.support.files import FileServer, Served
from tests.support.ports import reserved

BODY = b"content"


async def body(client: httpx.AsyncClient, url: str, limits: Limits) -> bytes:
    async with get(client, url, {}, limits) as response:
        return await response.aread()


async def failure(client: httpx.AsyncClient, url: str, limits: Limits) -> ImageError:
    with pytest.raises(ImageError) as caught:
        await body(client, url, limits)
    return caught.value


def hops(server: FileServer, count: int) -> str:
    """A chain of redirects that ends at the content."""
    server.serve("/hop0", Served(BODY))
    for number in range(count):
        server.serve(f"/hop{number + 1}", Served(location=f"/hop{number}"))
    return f"{server.url}/hop{count}"


async def test_a_plain_answer(server: FileServer, client: httpx.AsyncClient, limits: Limits) -> None:
    assert await body(client, server.serve("/x", Served(BODY)), limits) == BODY
    assert server.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("count", [1, 5])
async def test_redirects_are_followed(server: FileServer, client: httpx.AsyncClient, limits: Limits, count: int) -> None:
    assert await body(client, hops(server, count), limits) == BODY


async def test_not_too_many_redirects(server: FileServer, client: httpx.AsyncClient, limits: Limits) -> None:
    error = await failure(client, hops(server, 6), limits)
    assert error.reason is Reason.DOWNLOAD_REFUSED
    assert "more than 5 times" in error.message
    assert len(server.asked) == 6


async def test_a_loop_ends(server: FileServer, client: httpx.AsyncClient, limits: Limits) -> None:
    server.serve("/a", Served(location="/b"))
    error = await failure(client, server.serve("/b", Served(location="/a")), limits)
    assert error.reason is Reason.DOWNLOAD_REFUSED
    assert not error.terminal


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("file:///etc/shadow", "redirects to a file URL"),
        ("ftp://h/x", "redirects to a ftp URL"),
        ("gopher://h", "redirects to a gopher URL"),
        ("data:text/plain,x", "no URL of a server"),
    ],
)
async def test_redirects_lead_to_http_only(
    server: FileServer, client: httpx.AsyncClient, limits: Limits, location: str, text: str
) -> None:
    error = await failure(client, server.serve("/x", Served(location=location)), limits)
    assert error.reason is Reason.DOWNLOAD_REFUSED
    assert text in error.message
    assert error.retry_after == 300


async def test_a_redirect_to_no_url_is_an_error_of_the_server(
    server: FileServer, client: httpx.AsyncClient, limits: Limits
) -> None:
    error = await failure(client, server.serve("/x", Served(location="http://h:port/")), limits)
    assert error.reason is Reason.DOWNLOAD_FAILED
    assert not error.terminal


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 204, 304, 451])
async def test_a_refusal_is_asked_again_later(server: FileServer, client: httpx.AsyncClient, limits: Limits, status: int) -> None:
    error = await failure(client, server.serve("/x", Served(statuses=[status])), limits)
    assert error.reason is Reason.DOWNLOAD_REFUSED
    assert f"answers {status}" in error.message
    assert (error.terminal, error.retry_after) == (False, 300)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_server_in_trouble_is_asked_again_soon(
    server: FileServer, client: httpx.AsyncClient, limits: Limits, status: int
) -> None:
    error = await failure(client, server.serve("/x", Served(statuses=[status])), limits)
    assert error.reason is Reason.DOWNLOAD_FAILED
    assert (error.terminal, error.retry_after) == (False, None)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("999999", 3600),
        ("-5", None),
        ("soon", None),
        ("9" * 5000, None),
        ("Sat, 21 Nov 2026 10:01:30 GMT", 90),
        ("Sat, 21 Nov 2026 09:00:00 GMT", 0),
        ("Sat, 21 Nov 2099 10:00:00 GMT", 3600),
    ],
)
async def test_retry_after_is_heard_within_reason(
    client: httpx.AsyncClient, limits: Limits, value: str, seconds: float | None
) -> None:
    """With a transport of our own: the date has to be the server's."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(503, headers={"Retry-After": value, "Date": "Sat, 21 Nov 2026 10:00:00 GMT"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as scripted:
        assert (await failure(scripted, "http://h/x", limits)).retry_after == seconds


async def test_retry_after_as_a_date_without_a_date_is_not_heard(limits: Limits) -> None:
    answer = httpx.Response(503, headers={"Retry-After": "Sat, 21 Nov 2099 10:00:00 GMT"})
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda request: answer)) as scripted:
        assert (await failure(scripted, "http://h/x", limits)).retry_after is None


async def test_an_encoded_answer_is_refused(server: FileServer, client: httpx.AsyncClient, limits: Limits) -> None:
    error = await failure(client, server.serve("/x", Served(BODY, headers={"Content-Encoding": "gzip"})), limits)
    assert "content encoding 'gzip'" in error.message


async def test_nobody_there(client: httpx.AsyncClient, limits: Limits) -> None:
    with reserved() as silent:
        error = await failure(client, f"http://127.0.0.1:{silent.getsockname()[1]}/x", limits)
    assert error.reason is Reason.DOWNLOAD_FAILED
    assert "can't connect" in error.message


async def test_a_name_that_does_not_resolve(client: httpx.AsyncClient, limits: Limits) -> None:
    error = await failure(client, "http://no-such-host.invalid/x", limits)
    assert error.reason in (Reason.DOWNLOAD_FAILED, Reason.DOWNLOAD_TIMEOUT)
    assert not error.terminal


async def test_a_silent_server(server: FileServer, hasty: Limits) -> None:
    async with http_client(hasty) as client:
        error = await failure(client, server.serve("/x", Served(BODY, stalls=[3])), hasty)
    assert error.reason is Reason.DOWNLOAD_TIMEOUT
    assert not error.terminal


async def test_forbidden_networks(server: FileServer, client: httpx.AsyncClient, limits: Limits) -> None:
    url = server.serve("/x", Served(BODY))
    error = await failure(client, url, replace(limits, forbidden=(ip_network("127.0.0.0/8"),)))
    assert error.reason is Reason.DOWNLOAD_REFUSED
    assert "127.0.0.1, an address that images may not be fetched from" in error.message
    assert await body(client, url, replace(limits, forbidden=(ip_network("10.0.0.0/8"), ip_network("::1/128")))) == BODY


class Peer(httpx.AsyncByteStream):
    """Stands for a connection to some address."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get_extra_info(self, name: str) -> tuple[str, int]:
        assert name == "server_addr"
        return self.address, 80


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254"])
async def test_the_metadata_service_is_forbidden_in_any_notation(address: str) -> None:
    answer = httpx.Response(200, content=BODY, extensions={"network_stream": Peer(address)})
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda request: answer)) as scripted:
        assert (await failure(scripted, "http://innocent/x", Limits())).reason is Reason.DOWNLOAD_REFUSED


async def test_credentials_reach_the_server_but_no_log_and_no_message(
    server: FileServer, limits: Limits, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.serve("/y", Served(statuses=[404] * 3))
    server.serve("/x", Served(location="/y?token=hunter3"))
    url = f"http://user:hunter2@{server.url.removeprefix('http://')}/x?token=hunter3#hunter4"
    async with http_client(limits) as client:
        error = await failure(client, url, limits)
    assert [each.authorization for each in server.asked] == ["Basic dXNlcjpodW50ZXIy"] * 2, "same host: the redirect has them too"
    assert "token=hunter3" in server.asked[0].path
    assert "hunter" not in error.message
    assert f"{server.url}/y answers 404" in error.message
    assert "hunter" not in caplog.text
    assert "dXNlcjpodW50ZXIy" not in caplog.text


async def test_credentials_do_not_follow_to_another_host(server: FileServer, client: httpx.AsyncClient, limits: Limits) -> None:
    server.serve("/y", Served(BODY))
    other = server.url.replace("127.0.0.1", "localhost")
    server.serve("/x", Served(location=f"{other}/y"))
    assert await body(client, f"http://user:hunter2@{server.url.removeprefix('http://')}/x", limits) == BODY
    assert [bool(each.authorization) for each in server.asked] == [True, False]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that nobody trusts by itself, with its key."""
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", directory / "key.pem", "-out", directory / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return directory


@pytest.fixture
def secure(authority: Path, server: FileServer) -> Iterator[str]:
    """An HTTPS server that redirects everything to plain HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"{server.url}/x")
            self.send_header("Content-Length", "0")
            self.end_headers()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "cert.pem", authority / "key.pem")
    http = HTTPServer(("127.0.0.1", 0), Handler)
    http.socket = context.wrap_socket(http.socket, server_side=True)
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"https://localhost:{http.server_port}/x"
    http.shutdown()
    http.server_close()
    thread.join()


async def test_https_is_not_left_for_http(secure: str, authority: Path, server: FileServer, limits: Limits) -> None:
    server.serve("/x", Served(BODY))
    context = ssl.create_default_context(cafile=str(authority / "cert.pem"))
    async with httpx.AsyncClient(verify=context) as trusting:
        error = await failure(trusting, secure, limits)
    assert error.reason is Reason.DOWNLOAD_REFUSED
    assert "from https to http" in error.message
    assert server.asked == []


async def test_an_untrusted_certificate_is_refused(secure: str, client: httpx.AsyncClient, limits: Limits) -> None:
    error = await failure(client, secure, limits)
    assert error.reason is Reason.DOWNLOAD_REFUSED
    assert "is not trusted" in error.message
