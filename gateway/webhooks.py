"""Posts to the outside, and which places outside they may go to."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

import attrs
import httpx
import trio

from greenroom.actors import Invalid
from greenroom.actors.webhooks import Undelivered
from greenroom.storage.codec import to_json

from .decoding import shown
from .errors import for_clients

__all__ = ["URLPolicy", "WebhookPoster"]

TIMEOUT: Final = 10.0  # seconds for one attempt, with all that belongs to it,
CONNECT_TIMEOUT: Final = 4.0  # and for one of the addresses of a name
AGAIN: Final = (408, 425, 429)  # of the refusals, those that may not last

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_NAT64: Final = IPv6Network("64:ff9b::/96")


@attrs.frozen(kw_only=True)
class URLPolicy:
    """Where posts may go: by default to every public address.

    `require_https`: not by plain HTTP. `allowed_domains`: only to these hosts, `*.example.com` for
    all below one. `allowed_ports`: only to these. `max_url_length`: in characters.
    `disable_loopback`: not to this machine. `allowed_networks`: to these, though they are not
    public.
    """

    require_https: bool = False
    allowed_domains: Sequence[str] | None = None
    allowed_ports: Sequence[int] | None = None
    max_url_length: int = 65536
    disable_loopback: bool = True
    allowed_networks: Sequence[Network] = ()

    def check_url(self, text: str) -> httpx.URL:
        """Raises Invalid."""
        if len(text) > self.max_url_length:
            raise Invalid(f"webhook: longer than {self.max_url_length} characters: {shown(text)}")
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL as error:
            raise Invalid(f"webhook: {shown(text)} is no URL: {error}") from None
        if url.scheme not in ("http", "https") or not url.raw_host:
            raise Invalid(f"webhook: {shown(text)} is no http or https URL")
        if self.require_https and url.scheme != "https":
            raise Invalid(f"webhook: {shown(text)} is no https URL")
        if self.allowed_domains is not None and not any(
            _is_below(_host(url), domain) for domain in self.allowed_domains
        ):
            raise Invalid(f"webhook: {shown(_host(url))} is none of the hosts that are allowed")
        if self.allowed_ports is not None and _port(url) not in self.allowed_ports:
            raise Invalid(f"webhook: port {_port(url)} is none of those that are allowed")
        return url

    def check_address(self, address: Address) -> None:
        """Raises Invalid."""
        address = _unwrapped(address)
        allowed = [*self.allowed_networks, *(() if self.disable_loopback else _LOOPBACK)]
        if any(address in network for network in allowed):
            return
        is_odd = address.is_multicast or address.is_reserved
        if isinstance(address, IPv6Address):
            is_odd |= address.is_site_local
        if not address.is_global or is_odd:
            raise Invalid(f"webhook: {address} is not a public address")


@attrs.define(eq=False)
class WebhookPoster:
    """Posts JSON by HTTP to where a policy allows.

    The name is resolved once for each post, all its addresses must be allowed, and one of them is
    connected to, so that the name cannot mean another meanwhile. Redirects are not followed, and no
    proxy is used. `headers`: sent with each post, such as `Authorization`.
    """

    policy: URLPolicy = attrs.field(factory=URLPolicy)
    headers: Mapping[str, str] = attrs.field(factory=dict)

    async def check(self, url: str) -> None:
        """Raises Invalid for an address that nothing may be posted to."""
        await self._resolve(self.policy.check_url(url))

    async def post(self, url: str, body: dict[str, Any]) -> None:
        """Post JSON, once. Raises Undelivered, or Invalid where it is no use to try again."""
        target = self.policy.check_url(url)
        if "error" in body:
            body = {**body, "error": for_clients(body["error"])}
        with trio.move_on_after(TIMEOUT):
            try:
                status = await self._send(target, to_json(body))
            except (httpx.TransportError, OSError, ssl.SSLError) as error:
                raise Undelivered(f"{_host(target)}: {type(error).__name__}: {error}") from error
            if status >= 500 or status in AGAIN:
                raise Undelivered(f"{_host(target)} answered {status}")
            if not 200 <= status < 300:
                raise Invalid(f"webhook: {_host(target)} answered {status}")
            return
        raise Undelivered(f"{_host(target)} did not answer within {TIMEOUT:g} s")

    async def _send(self, target: httpx.URL, content: bytes) -> int:
        try:
            addresses = await self._resolve(target)
        except _NoName as error:  # it may be there again later
            raise Undelivered(str(error)) from error
        own = {"host": target.netloc.decode(), "content-type": "application/json"}
        headers = {**self.headers, **own}
        last: httpx.TransportError | None = None
        # A client for each post: a kept connection of another name's must not be used for this one.
        limits = httpx.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT)
        async with httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=limits) as http:
            for address in addresses:
                request = http.build_request(
                    "POST",
                    target.copy_with(host=str(address)),
                    content=content,
                    headers=headers,
                    extensions={"sni_hostname": _host(target)},
                )
                try:
                    answer = await http.send(request, stream=True, follow_redirects=False)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    last = error
                    continue
                await answer.aclose()  # what it says beside its status is not read
                return answer.status_code
        assert last is not None
        raise last

    async def _resolve(self, url: httpx.URL) -> list[Address]:
        """The addresses of a URL's host, all of them allowed. Raises Invalid."""
        host = _host(url)
        try:
            found = await trio.socket.getaddrinfo(host, _port(url), type=trio.socket.SOCK_STREAM)
            addresses = [ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
        except (OSError, UnicodeError) as error:
            raise _NoName(f"webhook: {shown(host)} cannot be resolved: {error}") from error
        for address in addresses:
            self.policy.check_address(address)
        return list(dict.fromkeys(addresses))

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()


class _NoName(Invalid):
    """A name that means no address now."""


def _host(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii")


def _port(url: httpx.URL) -> int:
    return url.port or {"http": 80, "https": 443}[url.scheme]


def _is_below(host: str, domain: str) -> bool:
    host, domain = host.lower().rstrip("."), domain.lower()
    return host.endswith(domain[1:]) if domain.startswith("*.") else host == domain


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address
