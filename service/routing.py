"""Finds the route of a request: by its exact path first, and by pattern where a path has variable parts."""

import re
from collections.abc import Iterable, Mapping

from service.exchange import Route

NO_ARGUMENTS: Mapping[str, str] = {}
_VARIABLE = re.compile(r"\{(\w+)\}")


class Routes:
    """All routes of the service. Two routes of one method and path are a mistake, and raise ValueError."""

    def __init__(self, routes: Iterable[Route]) -> None:
        found = list(routes)
        claimed = {(route.method, route.path) for route in found if route.claimed}
        self.all = tuple(route for route in found if route.claimed or (route.method, route.path) not in claimed)
        self._exact: dict[tuple[str, str], Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for route in self.all:
            if "{" in route.path:
                self._patterns.append((_pattern(route.path), route))
            elif self._exact.setdefault((route.method, route.path), route) is not route:
                raise ValueError(f"{route.method} {route.path} is both of {route.protocol} and of another protocol")

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """The route for `method` and `path`, and the variable parts of the path; None when there is none."""
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact, NO_ARGUMENTS
        for pattern, route in self._patterns:
            if route.method == method and (found := pattern.fullmatch(path)):
                return route, found.groupdict()
        return None

    def methods(self, path: str) -> list[str]:
        """The methods that `path` takes, sorted; empty when there is nothing at it."""
        found = {method for method, exact in self._exact if exact == path}
        found |= {route.method for pattern, route in self._patterns if pattern.fullmatch(path)}
        return sorted(found)


def _pattern(path: str) -> re.Pattern[str]:
    """A variable part is one segment, or what is left of one before a colon, as in `/v1/models/{model}:predict`."""
    parts = _VARIABLE.split(path)
    fixed, names = parts[::2], parts[1::2]
    text = re.escape(fixed[0])
    for name, after in zip(names, fixed[1:], strict=True):
        text += f"(?P<{name}>[^/:]+){re.escape(after)}"
    return re.compile(text)
