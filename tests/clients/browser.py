"""A person at a browser, without the browser: follows redirects, keeps cookies, fills in the forms
that are really on the pages, and stops at the client's redirect URI."""

from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx2


class _FirstForm(HTMLParser):
    """Where the first form of a page goes, its named inputs and its buttons."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.inputs: list[tuple[str, str]] = []
        self.buttons: list[tuple[str, str]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action, self._inside = values.get("action", ""), True
        elif self._inside and tag == "input" and "name" in values:
            self.inputs.append((values["name"], values.get("value", "")))
        elif self._inside and tag == "button" and "name" in values:
            self.buttons.append((values["name"], values.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


async def authorize(
    authorization_url: str, redirect_uri: str, username: str = "demo", password: str = "demo"
) -> str:
    """Signs in and approves; the URL the browser is sent to in the end, which is not fetched."""
    parts = urlsplit(authorization_url)
    origin = f"{parts.scheme}://{parts.netloc}"
    fields = {"username": username, "password": password}
    headers = {"accept": "text/html", "sec-fetch-site": "same-origin"}
    async with httpx2.AsyncClient(follow_redirects=False, headers=headers) as browser:
        response = await browser.get(authorization_url)
        for _ in range(12):
            url = str(response.request.url)
            location = response.headers.get("location")
            if location is not None:
                target = urljoin(url, location)
                if target.startswith(redirect_uri):
                    return target
                if not target.startswith(f"{origin}/"):
                    raise RuntimeError(f"left {origin} for {target}")
                response = await browser.get(target)
                continue
            if response.status_code != 200:
                raise RuntimeError(f"HTTP {response.status_code} at {url}: {response.text[:600]}")
            form = _FirstForm()
            form.feed(response.text)
            if form.action is None:
                raise RuntimeError(f"no form at {url}: {response.text[:300]}")
            data = {name: fields.get(name, value) for name, value in form.inputs}
            if ("decision", "approve") in form.buttons:
                data["decision"] = "approve"
            response = await browser.post(urljoin(url, form.action), data=data, headers={"origin": origin})
    raise RuntimeError(f"never came back to {redirect_uri}")
