"""The address of the site: what is printed, what is asked for its health, which hosts it answers to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from app.settings import Settings
from tests.studio import Studio


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("fd00::7", "http://[fd00::7]:8000"),
        ("art.local", "http://art.local:8000"),
    ],
)
def test_without_a_url_the_address_is_one_that_can_be_opened_on_this_machine(host: str, address: str) -> None:
    settings = Settings(host=host)
    assert settings.address == settings.local_address == address


@pytest.mark.parametrize(
    ("url", "address", "host"),
    [
        ("https://art.example.org", "https://art.example.org", "art.example.org"),
        (" https://Art.Example.org/ ", "https://art.example.org", "art.example.org"),
        ("http://10.0.0.5:8443", "http://10.0.0.5:8443", "10.0.0.5"),
        ("http://[fd00::7]:8000/", "http://[fd00::7]:8000", "[fd00::7]"),
        ("https://中国.example", "https://xn--fiqs8s.example", "xn--fiqs8s.example"),
    ],
)
def test_the_url_is_the_address_and_its_host_is_answered_to(url: str, address: str, host: str) -> None:
    settings = Settings(url=url, host="0.0.0.0")
    assert settings.address == address and host in settings.hosts
    assert settings.local_address == "http://127.0.0.1:8000", "the studio asks itself, not its proxy"


@pytest.mark.parametrize(
    "url",
    [
        "art.example.org",
        "ftp://art.example.org",
        "https://",
        "https://*",
        "https://art.example.org/my studio",
        "https://art.example.org/?a=b",
        "https://art.example.org/#a",
        "https://me:secret@art.example.org",
        "https://art.example.org:port",
        "https://a b",
    ],
)
def test_a_url_that_is_no_address_of_a_site_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        Settings(url=url)


def test_an_ipv6_address_that_is_listened_on_is_answered_to_as_browsers_write_it() -> None:
    assert "[fd00::7]" in Settings(host="fd00::7").hosts
    assert not {"::", "[::]", "0.0.0.0"} & {*Settings(host="::").hosts, *Settings(host="0.0.0.0").hosts}


def test_a_link_leads_to_the_address_of_the_site(fresh_studio: Callable[..., Studio]) -> None:
    studio = fresh_studio(DANQING_HOST="::", DANQING_PORT="8123")
    studio.run("user", "add", "artist", text="correct horse\n")
    assert studio.run("user", "link", "artist").stdout.startswith("http://[::1]:8123/link/")
    studio.environment["DANQING_URL"] = "https://art.example.org/"
    assert studio.run("user", "link", "artist").stdout.startswith("https://art.example.org/link/")
