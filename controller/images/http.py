"""One GET over HTTP, redirects included, with every failure turned into an ImageError."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from email.utils import parsedate_to_datetime
from ipaddress import IPv6Address, ip_address
from typing import Final

import httpx

from controller.images.errors import ImageError, Reason
from controller.images.limits import Limits
from controller.images.source import show_url

__all__ = ["get", "http_client", "refused"]

_REDIRECTS: Final = 5
_CONNECT_TIMEOUT: Final = 10.0
_LATER: Final = 300.0
"""Seconds until a source that refused is asked again: someone has to change something there first."""

_LONGEST_WAIT: Final = 3600.0


def http_client(limits: Limits) -> httpx.AsyncClient:
    """A client for downloads; close it at the end. Proxies come from the environment as usual.

    Silences httpx's request log, which would show whole URLs with the secrets in them.
    """
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    timeout = httpx.Timeout(limits.stall, connect=min(_CONNECT_TIMEOUT, limits.stall), pool=None)
    return httpx.AsyncClient(timeout=timeout, headers={"User-Agent": "vireo", "Accept-Encoding": "identity"})


@contextlib.asynccontextmanager
async def get(client: httpx.AsyncClient, url: str, headers: Mapping[str, str], limits: Limits) -> AsyncIterator[httpx.Response]:
    """The answer to a GET after at most five redirects; its body is not read yet. Only 200, 206 and 416 come through.

    Redirects lead to http or https only, and from https to https only. Raises ImageError, also for what goes wrong while the body
    is read inside the block.
    """
    target = httpx.URL(url)
    for _ in range(_REDIRECTS + 1):
        with _explained(target):
            response = await client.send(client.build_request("GET", target, headers=headers), stream=True, follow_redirects=False)
            try:
                _check_peer(response, limits)
                if not response.has_redirect_location:
                    _check_answer(response)
                    yield response
                    return
                target = _redirected(response)
            finally:
                await response.aclose()
    raise refused(f"{show_url(httpx.URL(url))} redirects more than {_REDIRECTS} times")


def refused(message: str, retry_after: float = _LATER) -> ImageError:
    """The source does not give us the image; nothing changes until someone there acts."""
    return ImageError(Reason.DOWNLOAD_REFUSED, message, retry_after=retry_after)


def _redirected(response: httpx.Response) -> httpx.URL:
    shown = show_url(response.url)
    target = response.url.join(response.headers["location"])
    if target.scheme not in ("http", "https"):
        raise refused(f"{shown} redirects to a {target.scheme} URL; only http and https are followed")
    if response.url.scheme == "https" and target.scheme == "http":
        raise refused(f"{shown} redirects from https to http, which would make the download unsafe")
    return target


def _check_peer(response: httpx.Response, limits: Limits) -> None:
    """Refuse an answer from a forbidden network, whatever name led there."""
    stream = response.extensions.get("network_stream")
    peer = stream.get_extra_info("server_addr") if stream is not None else None
    if not peer:
        return
    address = ip_address(str(peer[0]).partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address in network for network in limits.forbidden):
        raise refused(f"{show_url(response.url)} is at {address}, an address that images may not be fetched from")


def _check_answer(response: httpx.Response) -> None:
    status, shown = response.status_code, show_url(response.url)
    if status in (200, 206, 416):
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise refused(f"{shown} answers with content encoding {encoding[:32]!r}, although none was accepted")
        return
    answer = f"{shown} answers {status} {response.reason_phrase}".rstrip()
    if status == 429 or status >= 500:
        raise ImageError(Reason.DOWNLOAD_FAILED, answer, retry_after=_retry_after(response))
    raise refused(answer)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds from a Retry-After header (RFC 9110, 10.2.3), bounded; None if there is none that makes sense."""
    text = response.headers.get("retry-after", "")
    if text.isdecimal() and len(text) < 10:
        return min(float(text), _LONGEST_WAIT)
    with contextlib.suppress(ValueError, TypeError):
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(response.headers.get("date", ""))
        return min(max(wait.total_seconds(), 0.0), _LONGEST_WAIT)
    return None


@contextlib.contextmanager
def _explained(url: httpx.URL) -> Iterator[None]:
    """Turn httpx's errors into ours; their own texts may hold the URL."""
    shown = show_url(url)
    try:
        yield
    except httpx.TimeoutException as error:
        raise ImageError(Reason.DOWNLOAD_TIMEOUT, f"{shown} does not answer in time ({type(error).__name__})") from error
    except httpx.ConnectError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise refused(f"the certificate of {shown} is not trusted") from error
        raise ImageError(Reason.DOWNLOAD_FAILED, f"can't connect to {shown}") from error
    except httpx.InvalidURL as error:
        # Raised while httpx reads a Location header, also when it is not to follow it.
        raise refused(f"{shown} redirects to something that is no URL of a server") from error
    except httpx.TransportError as error:
        raise ImageError(Reason.DOWNLOAD_FAILED, f"the connection to {shown} broke ({type(error).__name__})") from error
