import asyncio
import ipaddress
import random
import socket

import pytest

from firesteel.agent.web import Blocked, Fetcher
from firesteel.agent.web.guard import check_address, check_url, system_resolve
from tests.agent.web.internet import PUBLIC, Canned, Names, answer, fetch, redirect

# What the names below resolve to.
BOOK = {
    "localhost": ["127.0.0.1", "::1"],
    "localhost.": ["127.0.0.1"],
    "localtest.example": ["127.0.0.1"],
    "intranet.example": ["10.1.2.3"],
    "router.example": ["192.168.1.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "ula.example": ["fd00:ec2::254"],
    "linklocal.example": ["fe80::1%2"],
    "mapped.example": ["::ffff:10.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "sixtofour.example": ["2002:7f00:1::1"],
    "mixed.example": [PUBLIC, "127.0.0.1"],
    "mixed6.example": [PUBLIC, "2606:2800:220:1::1", "::1"],
    "docker": ["172.17.0.2"],
    "xn--fiq228c.example": ["127.0.0.1"],
    "nothing.example": ["0.0.0.0"],
    "garbage.example": ["not an address"],
    "decimal.example": ["2130706433"],
}

HOSTILE = [
    # loopback and this network
    "http://127.0.0.1/", "http://127.0.0.1:80/", "https://127.0.0.1:443/", "http://127.255.255.254/", "http://0.0.0.0/",
    "http://0.1.2.3/", "http://[::1]/", "http://[::]/", "http://[0:0:0:0:0:0:0:1]/", "http://127.0.0.1./",
    # private, shared, link-local, metadata services
    "http://10.0.0.1/", "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.0.1/", "http://100.64.0.1/",
    "http://100.100.100.200/latest/meta-data/", "http://169.254.169.254/latest/meta-data/", "http://169.254.170.2/",
    "http://168.63.129.16/machine?comp=goalstate", "http://192.0.0.192/", "http://[fd00:ec2::254]/", "http://[fc00::1]/",
    "http://[fe80::1]/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[fec0::1]/",
    "http://[2606:4700::1111%25eth0]/",
    # documentation, benchmarks, multicast, reserved
    "http://192.0.2.1/", "http://198.51.100.7/", "http://203.0.113.9/", "http://198.18.0.1/", "http://224.0.0.1/",
    "http://239.255.255.250/", "http://240.0.0.1/", "http://255.255.255.255/", "http://192.88.99.1/",
    "http://[2001:db8::1]/", "http://[3fff::1]/", "http://[ff02::1]/", "http://[ff0e::1]/", "http://[100::1]/",
    "http://[5f00::1]/", "http://[4000::1]/",
    # an IPv4 address inside an IPv6 address
    "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[::ffff:8.8.8.8]/", "http://[::127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b:1::a00:1]/", "http://[2002:7f00:1::]/", "http://[2002:a00:1::1]/", "http://[2001::1]/",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    # decimal, octal, hexadecimal and short forms
    "http://2130706433/", "http://017700000001/", "http://0x7f000001/", "http://0x7F.0x0.0x0.0x1/", "http://127.1/",
    "http://127.0.1/", "http://0177.0.0.1/", "http://0x7f.1/", "http://0/", "http://0x0/", "http://00000177.0.0.1/",
    "http://127.0.0.01/", "http://256.256.256.256/", "http://134744072/", "http://0xa9fea9fe/", "http://2852039166/",
    "http://1.2.3.4.5/", "http://127.0.0.0x1/", "http://example.0x7f/",
    # unicode digits, dots and letters, percent signs
    "http://①②⑦.⓪.⓪.①/", "http://１２７.0.0.1/", "http://127。0。0。1/", "http://127．0．0．1/", "http://١٢٧.0.0.1/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "http://ｌocalhost/", "http://loc%61lhost/", "http://%31%32%37.0.0.1/",
    "http://localhost%00.site.example/", "http://127.0.0.1%2f.site.example/", "http://中文.example/",
    "http://site.example\u200b@127.0.0.1/",
    # user names, passwords, back slashes and other confusions
    "http://user@127.0.0.1/", "http://user:pw@site.example/", "http://site.example@127.0.0.1/",
    "http://127.0.0.1@site.example/", "http://127.0.0.1\\@site.example/", "http://site.example:80@127.0.0.1/",
    "http://:@127.0.0.1/", "http://@127.0.0.1/", "http://127.0.0.1#@site.example/", "http://127.0.0.1?@site.example/",
    "http:\\\\127.0.0.1\\", "http:127.0.0.1", "http:///127.0.0.1", "http://", "http://127.0.0.1:80:80/", "//127.0.0.1/",
    "http://site.example /", "http://site.example\r\nHost: 127.0.0.1/", "http://site.example\t/", "http://[127.0.0.1]/",
    "http://[::1/", "http://[v1.::1]/", " http://127.0.0.1/",
    # other schemes and ports
    "file:///etc/passwd", "file://localhost/etc/passwd", "gopher://site.example:70/_x", "ftp://site.example/",
    "data:text/html,hi", "javascript:alert(1)", "ws://site.example/", "unix:///var/run/docker.sock", "site.example", "",
    "http://site.example:22/", "http://site.example:6379/", "http://site.example:8080/", "https://site.example:0/",
    "http://site.example:65536/", "http://site.example:-80/", "http://127.0.0.1:11434/api/tags", "about:blank",
    # names that resolve to such addresses, some of them beside a public one
    *(f"http://{name}/" for name in BOOK), "http://LOCALHOST/", "https://intranet.example/", "http://docker:80/",
]  # fmt: skip


async def lax(host: str, port: int) -> list[str]:
    """The book of names; what is not in it, the way that C libraries read numbers."""
    if host in BOOK:
        return BOOK[host]
    if host == "site.example":
        return [PUBLIC]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [str(entry[4][0]) for entry in found]


def test_the_table_is_long_enough():
    assert len(set(HOSTILE)) == len(HOSTILE) > 65


@pytest.mark.parametrize("url", HOSTILE)
def test_hostile_address_is_never_dialled(url):
    wire = Canned()
    with pytest.raises(Blocked):
        fetch(url, names=lax, wire=wire)
    assert wire.dialled == []


# Without a host the last two are paths of the site itself; the rest cannot stand in a header, or are relative, too.
AS_REDIRECTS = [
    url
    for url in HOSTILE
    if url.isascii() and "\r" not in url and "://" in url and url not in ("http://", "http:///127.0.0.1")
]


@pytest.mark.parametrize("url", AS_REDIRECTS)
def test_redirect_to_a_hostile_address_is_not_followed(url):
    wire = Canned(redirect(url), answer("secret"))
    with pytest.raises(Blocked):
        fetch("http://site.example/", names=lax, wire=wire)
    assert wire.dialled == [(PUBLIC, 80)]


def test_a_redirect_without_scheme_or_host_stays_guarded():
    wire = Canned(redirect("//127.0.0.1/x"))
    with pytest.raises(Blocked):
        fetch("http://site.example/", wire=wire)
    assert wire.dialled == [(PUBLIC, 80)]


def test_rebinding_finds_the_first_address_pinned():
    names = Names(rebind_example=[[PUBLIC], ["127.0.0.1"]])
    wire = Canned(answer("<p>public"), answer("<p>private"))
    fetcher = Fetcher(resolve=names, network=wire)
    assert asyncio.run(fetcher.fetch("http://rebind.example/")).data == b"<p>public"
    assert names.asked == ["rebind.example"]
    with pytest.raises(Blocked):
        asyncio.run(fetcher.fetch("http://rebind.example/"))
    assert wire.dialled == [(PUBLIC, 80)]


def test_rebinding_between_redirects_is_refused():
    names = Names(rebind_example=[[PUBLIC], ["192.168.0.1"]])
    wire = Canned(redirect("/again"), answer("private"))
    with pytest.raises(Blocked):
        fetch("http://rebind.example/", names=names, wire=wire)
    assert wire.dialled == [(PUBLIC, 80)]


def test_tls_and_host_keep_the_name_while_the_address_is_dialled():
    wire = Canned(answer("<p>hi"))
    fetch("https://site.example/a?b=1", wire=wire)
    assert wire.dialled == [(PUBLIC, 443)]
    assert wire.tls == [("site.example", True)]
    assert wire.sent.startswith(b"GET /a?b=1 HTTP/1.1\r\nHost: site.example\r\n")


def test_a_dead_address_makes_way_for_the_next():
    wire = Canned(answer("<p>hi"), dead=("2606:2800:220:1::1",))
    assert fetch("http://two.example/", names=Names(two_example=["2606:2800:220:1::1", PUBLIC]), wire=wire).data
    assert wire.dialled == [("2606:2800:220:1::1", 80), (PUBLIC, 80)]


PUBLIC_ADDRESSES = """
8.8.8.8 1.1.1.1 11.0.0.1 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 172.15.255.255 172.32.0.0 191.255.0.1
192.0.1.1 192.167.255.255 198.17.0.1 198.20.0.0 223.255.255.254 2606:4700:4700::1111 2001:4860:4860::8888 2a00::1
2003::1 2620:fe::fe
"""


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES.split())
def test_public_addresses_pass(address):
    check_address(address)


def test_nothing_passes_that_python_calls_special():
    dice = random.Random(7)
    numbers = [dice.getrandbits(32) for _ in range(3000)]
    addresses = [ipaddress.IPv4Address(number) for number in numbers]
    addresses += [ipaddress.IPv6Address((dice.getrandbits(16) << 112) | dice.getrandbits(100)) for _ in range(3000)]
    for address in addresses:
        if not address.is_global or address.is_multicast:
            with pytest.raises(Blocked):
                check_address(str(address))


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("HTTP://Site.Example:80/a b#part", "http://site.example/a%20b"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://site.example:443?q=ü", "https://site.example?q=%C3%BC"),
        ("http://8.8.8.8/", "http://8.8.8.8/"),
    ],
)
def test_ordinary_addresses_are_kept(url, same):
    assert str(check_url(url)) == same


def test_the_systems_resolver_answers_with_addresses():
    assert "127.0.0.1" in asyncio.run(system_resolve("127.0.0.1", 80))
