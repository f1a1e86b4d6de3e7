"""An application that reads a request and answers the same words to all: what HTTP alone costs."""

from typing import Any

ANSWER = b'{"predictions":[{"id":"0193a1b2-0000-7000-8000-000000000000","prediction":1}]}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})
