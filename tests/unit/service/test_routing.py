"""Routes: an exact path first, patterns that match one segment, and two that collide are a mistake."""

import pytest

from service.exchange import Operation, Request, Response, Route, native_error
from service.routing import Routes


async def handle(_: Request) -> Response:
    return Response(b"")


def route(path: str, protocol: str = "native", *, takes_body: bool = True) -> Route:
    method, accepts = ("POST", frozenset({"application/json"})) if takes_body else ("GET", frozenset[str]())
    return Route(method, path, handle, protocol, "open", Operation("Something."), native_error, accepts)  # type: ignore[arg-type]  # one of two literals


def test_a_route_is_found_by_method_and_path() -> None:
    both = [route("/a"), route("/a", takes_body=False)]
    routes = Routes(both)
    assert routes.find("POST", "/a") == (both[0], {})
    assert routes.find("GET", "/a") == (both[1], {})
    assert routes.find("PUT", "/a") is None
    assert routes.find("GET", "/b") is None


@pytest.mark.parametrize(
    ("path", "asked", "arguments"),
    [
        ("/v2/models/{model}/infer", "/v2/models/houses/infer", {"model": "houses"}),
        ("/v2/models/{model}/infer", "/v2/models/a/b/infer", None),
        ("/v2/models/{model}/infer", "/v2/models//infer", None),
        ("/v2/models/{model}/infer", "/v2/models/houses/infer/", None),
        ("/v1/models/{model}:predict", "/v1/models/houses:predict", {"model": "houses"}),
        ("/v1/models/{model}:predict", "/v1/models/houses", None),
        ("/m/{model}/{version}", "/m/houses/3", {"model": "houses", "version": "3"}),
        ("/m/{model}.json", "/m/houses_json", None),
    ],
)
def test_a_variable_part_is_one_segment(path: str, asked: str, arguments: dict[str, str] | None) -> None:
    found = Routes([route(path)]).find("POST", asked)
    assert (found and found[1]) == arguments


def test_an_exact_path_goes_before_a_pattern() -> None:
    exact = route("/m/health")
    assert Routes([route("/m/{model}"), exact]).find("POST", "/m/health") == (exact, {})


def test_the_methods_of_a_path_are_told() -> None:
    routes = Routes([route("/a"), route("/a", takes_body=False), route("/m/{model}")])
    assert [routes.methods(path) for path in ("/a", "/m/x", "/b")] == [["GET", "POST"], ["POST"], []]


def test_two_protocols_on_one_path_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="POST /a is both of v2 and of another"):
        Routes([route("/a"), route("/a", "v2")])
