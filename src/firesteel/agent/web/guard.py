"""Where a fetch may go, and the one door through which its connections leave.

- A name is resolved once, every address of the answer is checked, and the connection goes to a checked address. No
  second answer is ever asked for, so DNS rebinding finds nothing to rebind; TLS and Host keep the name.
- Allowed is ordinary global unicast, written out as the registries have it, since Python's `is_global` differs between
  versions and passes 6to4 and NAT64: IPv4 outside one list, IPv6 inside 2000::/3 and outside another. An IPv6 address
  that carries an IPv4 address (mapped, compatible, NAT64, 6to4, Teredo) is refused whatever it carries.
- A host that ends in a number must be a plain dotted quad (as WHATWG URL says), because resolvers disagree about the
  decimal, octal, hexadecimal and short forms.

Registries: https://www.iana.org/assignments/iana-ipv4-special-registry (and iana-ipv6-special-registry).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable

import httpcore
import httpx

Resolve = Callable[[str, int], Awaitable[list[str]]]

PORTS = {"http": 80, "https": 443}
SECONDS_TO_CONNECT = 3.0  # per address; a name may have a dead one before a live one
MOST_ADDRESSES = 4

_REFUSED = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host agent, at an address that looks public
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "2001::/23",  # protocol assignments with Teredo and ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
]
_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
_NAME = re.compile(r"[a-z0-9._-]{1,253}")
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?")


class Blocked(ValueError):
    """An address that is not fetched, whoever asks."""


def check_url(url: str, base: httpx.URL | None = None) -> httpx.URL:
    """The URL as it may be fetched, without its fragment; `base` is the page that pointed to it.

    Raises Blocked for other schemes and ports than http and https on 80 and 443, for credentials and odd hosts.
    """
    try:
        parsed = httpx.URL(url) if base is None else base.join(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise Blocked(f"{url[:100]!r} is not a valid URL.") from error
    if parsed.scheme not in PORTS:
        raise Blocked(f"Only http and https addresses can be opened, not {url[:100]!r}.")
    if parsed.userinfo:
        raise Blocked("An address with a user name or a password is not opened.")
    if parsed.port not in (None, *PORTS.values()):
        raise Blocked(f"Only the ports 80 and 443 can be opened, not {parsed.port}.")
    check_host(parsed.raw_host.decode("ascii"))
    return parsed.copy_with(fragment=None)


def check_host(host: str) -> bool:
    """Whether the host is an address (allowed) rather than a name (to be resolved). Raises Blocked."""
    if ":" in host or _ENDS_IN_NUMBER.fullmatch(host):
        check_address(host)
        return True
    if not _NAME.fullmatch(host):
        raise Blocked(f"{host[:100]!r} is not the name of a host.")
    return False


def check_address(text: str) -> None:
    """Raises Blocked for anything but a globally routable unicast address in its usual notation."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise Blocked(f"{text[:100]!r} is not an address in its usual notation.") from error
    if isinstance(address, ipaddress.IPv6Address) and (address.scope_id or address not in _GLOBAL_IPV6):
        raise Blocked(f"{text} is not a public address.")
    if any(address in network for network in _REFUSED):
        raise Blocked(f"{text} is not a public address.")


async def system_resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system resolves it. Raises ValueError for a name without any."""
    try:
        # As bytes: for a string Python would apply its own, older IDNA once more.
        found = await asyncio.get_running_loop().getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ValueError(f"The host {host} was not found.") from error
    return [str(entry[4][0]) for entry in found]


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections for httpcore to checked addresses only. `network` dials the address it is given."""

    def __init__(self, resolve: Resolve, network: httpcore.AsyncNetworkBackend) -> None:
        self._resolve, self._network = resolve, network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        if port not in PORTS.values():
            raise Blocked(f"Only the ports 80 and 443 can be opened, not {port}.")
        addresses = [host] if check_host(host) else await self._resolve(host, port)
        for address in addresses:
            check_address(address)
        failure: Exception = ValueError(f"The host {host} has no address.")
        for address in dict.fromkeys(addresses[:MOST_ADDRESSES]):
            try:
                return await self._network.connect_tcp(address, port, SECONDS_TO_CONNECT, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure
