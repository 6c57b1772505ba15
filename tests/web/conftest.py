"""A browser on the real server: Debian's Chromium through Playwright. Where Chromium is missing, these tests say so."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")  # Playwright keeps a loop running in this thread; no other file should meet it
def browser():
    if CHROMIUM is None:
        pytest.skip("the app's tests need a chromium on the path (Debian: apt-get install chromium)")
    from playwright import sync_api as api  # who asks for a browser has skipped already where it is missing

    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(browser, request):
    """A fresh profile, in a language by indirect parameter. Whatever leaves this machine, and every error on a page,
    fails the test."""
    language = getattr(request, "param", "en-US")
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale=language)
    context.set_default_timeout(30_000)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    foreign, errors = [], []
    local = ("http://127.0.0.1:", "data:", "blob:http://127.0.0.1:")
    context.on("request", lambda request: request.url.startswith(local) or foreign.append(request.url))
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context
    context.close()
    assert not foreign, f"requested elsewhere: {foreign}"
    assert not errors, errors


@pytest.fixture
def page(context):
    return context.new_page()
