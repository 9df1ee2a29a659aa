"""What is left of a proxy before an API server when it has ended."""

from __future__ import annotations

import asyncio
import datetime
import gc
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from standalone.pki import Pki
from tests.support.apiproxy import ApiProxy


@contextmanager
def proxied(tmp_path: Path, server: socket.socket) -> Iterator[ApiProxy]:
    """A proxy before this server, which has no more than a port."""
    (tmp_path / "pki").mkdir()
    pki = Pki(tmp_path / "pki")
    pki.ensure(datetime.datetime.now(datetime.UTC))
    kubeconfig = tmp_path / "kubeconfig"
    url = f"https://127.0.0.1:{server.getsockname()[1]}"
    kubeconfig.write_text(json.dumps({"clusters": [{"name": "c", "cluster": {"server": url}}]}))
    with ApiProxy(kubeconfig, pki.directory / "apiserver.crt", pki.directory / "apiserver.key", tmp_path).running() as proxy:
        yield proxy


def asked(proxy: ApiProxy, authority: Path) -> socket.socket:
    """A connection to the proxy on which something is asked for."""
    server = json.loads(proxy.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    link = socket.create_connection(("127.0.0.1", int(server.rpartition(":")[2])), timeout=120)
    secure = ssl.create_default_context(cafile=str(authority)).wrap_socket(link, server_hostname="127.0.0.1")
    secure.sendall(b"DELETE /api/v1/namespaces/shop HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return secure


@pytest.mark.parametrize("stays", [True, False], ids=["who asked waits", "who asked has gone"])
def test_what_is_on_its_way_to_the_api_server_ends_with_it(tmp_path: Path, stays: bool) -> None:
    """The API server takes the connection and says nothing, as one does that is ending: a coroutine that was left in the middle
    would fail whichever test is running when it is collected."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with proxied(tmp_path, server) as proxy:
            link = asked(proxy, tmp_path / "pki" / "ca.crt")
            server.settimeout(120)
            carried, _ = server.accept()
            if not stays:
                link.close()
                time.sleep(0.1)  # for the proxy to see it; if it does not, it is as if it stayed
        with carried, link:
            assert [each.status for each in proxy.asked] == [0]
            del proxy
            gc.collect()


def test_what_takes_long_to_be_cancelled_ends_with_it_too(tmp_path: Path) -> None:
    """As a request may that the server has cancelled and does not wait for."""

    async def slow_to_stop() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(1000):
                await asyncio.sleep(0)
            ended.append(True)

    ended: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as server, proxied(tmp_path, server) as proxy:
        asyncio.run_coroutine_threadsafe(slow_to_stop(), proxy._loop)
    assert ended == [True]
