"""The client waits out what a restart can cause, gives up in a sentence, and never retries what was refused."""

import threading

import httpx
import pytest

from evenkeel.client import ServiceUnreachable
from lifecycle.errors import InputRejected, ModelUnavailable
from tests.builders import numeric_contract
from tests.unit.evenkeel.making import MemoryService

ROW = {"a": 1.0, "b": 2.0}


def service(*problems: int | httpx.TransportError) -> MemoryService:
    return MemoryService(numeric_contract("regression"), *problems)


@pytest.mark.parametrize("problem", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), 500, 503])
def test_what_a_restart_causes_is_tried_again_and_counted(problem: int | httpx.TransportError) -> None:
    client = service(problem).client()
    assert client.predict([ROW])["predictions"][0]["prediction"] == 3.0
    assert (client.counts.sent, client.counts.failed) == (1, 1)


def test_a_service_that_has_just_started_gets_time_to_load_its_model() -> None:
    assert service(503).client().model()["version"] == 1


def test_without_a_model_until_the_end_the_service_s_own_sentence_is_told() -> None:
    with pytest.raises(ModelUnavailable, match="a sentence of 503"):
        service(*[503] * 9).client(patience_seconds=0).model()


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_what_was_refused_is_not_sent_again(status: int) -> None:
    there = service(status)
    with pytest.raises(InputRejected, match=rf"/predict answered {status}: a sentence of {status}"):
        there.client().predict([ROW])
    assert there.requests == ["POST /predict"]


def test_a_refusal_that_is_not_json_is_told_too() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(404, text="<html>no such page</html>"))
    from evenkeel.client import ServiceClient

    with pytest.raises(InputRejected, match="no such page"):
        ServiceClient("http://elsewhere", transport=transport).feedback([])


def test_patience_has_an_end() -> None:
    client = service(*[httpx.ConnectError("refused")] * 9).client(patience_seconds=0)
    with pytest.raises(ServiceUnreachable, match=r"POST /predict at http://service was not answered \(ConnectError\)"):
        client.predict([ROW])
    assert (client.counts.sent, client.counts.failed) == (0, 1)


def test_a_stop_ends_the_waiting() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(ServiceUnreachable, match="status 502"):
        service(502).client(stop).feedback([{"id": "x", "label": 1.0}])


def test_readiness_is_one_look() -> None:
    client = service(httpx.ConnectError("refused"), 503).client()
    assert [client.ready() for _ in range(3)] == [False, False, True]
    assert client.counts.failed == 0
    client.close()
