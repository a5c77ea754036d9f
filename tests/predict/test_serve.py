"""C36 over HTTP: the service gives the predictor's own answers, and one structured sentence for what it refuses."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import httpx2
import pytest
import uvicorn
from starlette.testclient import TestClient

from retailsim.errors import UserError
from retailsim.predict import Predictor, Request
from retailsim.predict import serve as serve_module
from retailsim.predict.serve import main, model_card, refuse_taken
from retailsim.predict.service import Limits, make_app


@pytest.fixture(scope="module")
def service(predictor, trained):
    return make_app(predictor, model_card(predictor, trained / "best_model.pt"), Limits(body=20_000, batch=3))


@pytest.fixture
def client(service):
    with TestClient(service) as client:
        yield client


@pytest.fixture
def ask(predictor):
    """Somebody's basket in the last week of the data."""
    monday = predictor.calendar.first_monday + timedelta(weeks=predictor.calendar.last_week - 1)
    return {"when": f"{monday.isoformat()}T10:00:00", "basket": [predictor.vocabulary.ids[5]]}


def own(predictor, ask, top, trip=()):
    request = Request(datetime.fromisoformat(ask["when"]), basket=tuple(ask["basket"]), trip=dict(trip))
    return predictor.predict(request, top)


def same(answer, found):
    """But for rounding: a request alone is summed in another order than among others."""
    assert [s["product"] for s in answer["suggestions"]] == [s.product for s in found.suggestions]
    assert [s["probability"] for s in answer["suggestions"]] == pytest.approx(
        [s.probability for s in found.suggestions], rel=1e-5
    )
    assert answer["week"] == found.week and answer["measure"] == found.measure and answer["notes"] == list(found.notes)


def test_answers_are_the_predictors(client, predictor, ask):
    found = own(predictor, ask, 5)
    same(client.post("/predict", json={"request": ask, "top": 5}).json(), found)
    answers = client.post("/predict/batch", json={"requests": [ask, ask], "top": 5}).json()
    assert len(answers) == 2
    for answer in answers:
        same(answer, found)


@pytest.mark.parametrize(
    "change", [{"basket": ["\ud83d"]}, {"prices": {"\ud83d": 1}}, {"\ud83d": 1}, {"when": "\ud83d"}]
)
def test_half_a_character_is_refused_like_anything_else(client, ask, change):
    """JSON may hold half an emoji, as a value or as a name; the answer, which is UTF-8, cannot."""
    body = json.dumps({"request": ask | change})
    reply = client.post("/predict", content=body, headers={"content-type": "application/json"})
    problem = reply.json()
    assert (reply.status_code, problem["code"]) == (422, "invalid") and problem["field"].startswith("request")


def test_a_trip_told_in_part_is_the_predictors(client, predictor, ask):
    trip = {"mission_type": "Top Up"}
    told = client.post("/predict", json={"request": ask | {"trip": trip}, "top": 5}).json()
    same(told, own(predictor, ask, 5, trip))
    assert told["suggestions"] != client.post("/predict", json={"request": ask, "top": 5}).json()["suggestions"]


def test_it_says_what_it_serves(client, predictor):
    assert client.get("/health").json() == {"status": "alive"} and client.get("/ready").json() == {"status": "ready"}
    card = client.get("/model").json()
    assert card["parameters"] == predictor.parameter_count and card["measure"] == "score"
    assert {"/predict", "/predict/batch", "/model", "/health", "/ready"} == client.get("/openapi.json").json()[
        "paths"
    ].keys()


@pytest.mark.parametrize(
    "change, status, code, field, message",
    [
        ({"when": "soon"}, 422, "invalid", "request.when", "'soon' is no date and hour"),
        ({"when": "2008-03-15"}, 422, "invalid", "request.when", "write it like 2008-03-15T10:00"),
        ({"when": 1_205_575_200}, 422, "invalid", "request.when", "is no date and hour"),
        ({"path": "../../x"}, 422, "invalid", "request.path", "not permitted"),
        ({"store": "x" * 201}, 422, "invalid", "request.store", "200"),
        ({"customer": "nobody"}, 422, "refused", None, "nobody"),
        ({"basket": ["; DROP TABLE"]}, 422, "refused", None, "unknown product"),
        ({"trip": {"mission_type": "Picnic"}}, 422, "refused", None, "Picnic"),
        ({"when": "2008-03-15T10:00:00+02:00"}, 422, "refused", None, "time zone"),
        ({"lifestage": "x" * 30_000}, 413, "too_large", None, "20,000 bytes"),
    ],
)
def test_what_is_refused_is_said_in_a_sentence(client, ask, change, status, code, field, message):
    reply = client.post("/predict", json={"request": ask | change})
    problem = reply.json()
    assert (reply.status_code, problem["code"], problem["field"]) == (status, code, field)
    assert message in problem["message"] and "\n" not in problem["message"]


@pytest.mark.parametrize(
    "method, path, status", [("GET", "/nowhere", 404), ("GET", "/predict", 405), ("POST", "/predict/../../x", 404)]
)
def test_a_page_that_is_not_there_is_said_in_the_same_form(client, method, path, status):
    reply = client.request(method, path)
    assert (reply.status_code, reply.json()["code"]) == (status, "no_such_page")
    assert "/docs shows what can be asked" in reply.json()["message"]
    assert ("allow" in reply.headers) == (status == 405)


@pytest.mark.parametrize(
    "body, kind, message, field",
    [
        ('{"request": ', "application/json", "the body is no JSON (Expecting value, character 12): send {", None),
        ('{"request": {}}', "text/plain", "the body is no JSON object: send {", None),
        ("", "application/json", "the body is no JSON object: send {", None),
        ('{"top": 5}', "application/json", "request is missing: /docs shows", "request"),
        ('{"request": {}}', "application/json", "request.when is missing: /docs shows", "request.when"),
        ('{"request": {"when": "2008-03-15T10:00", "colour": 1}}', "application/json", "request.colour is not permitted: /docs", "request.colour"),
        ('{"request": {"when": "2008-03-15T10:00"}, "top": 0}', "application/json", "top: Input should be greater", "top"),
    ],
)  # fmt: skip
def test_a_body_that_is_not_as_it_should_be_is_told_what_to_send(client, body, kind, message, field):
    reply = client.post("/predict", content=body, headers={"content-type": kind})
    problem = reply.json()
    assert reply.status_code == 422 and problem["code"] == "invalid" and problem["field"] == field
    assert problem["message"].startswith(message) and problem["message"].endswith("/docs shows what can be asked")


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '{"request": 1}', "\ud800"])
def test_malformed_json_is_one_sentence(client, body):
    reply = client.post(
        "/predict", content=body.encode(errors="surrogatepass"), headers={"content-type": "application/json"}
    )
    assert reply.status_code == 422 and reply.json()["code"] == "invalid" and reply.json()["message"]


def test_a_mistake_of_its_own_is_structured_too(service, ask, monkeypatch):
    def mistaken(*arguments):
        raise RuntimeError("secret")

    monkeypatch.setattr(Predictor, "predict", mistaken)
    with TestClient(service, raise_server_exceptions=False) as client:
        reply = client.post("/predict", json={"request": ask})
    assert (reply.status_code, reply.json()["code"]) == (500, "internal") and "secret" not in reply.text


def test_a_batch_has_a_limit(client, ask):
    reply = client.post("/predict/batch", json={"requests": [ask] * 4})
    assert reply.status_code == 422 and "at most 3" in reply.json()["message"]


def test_a_body_of_unknown_length_is_refused(client):
    reply = client.post("/predict", content=iter([b"{}"]), headers={"content-type": "application/json"})
    assert reply.status_code == 413


def test_an_answer_that_takes_too_long_is_given_up(predictor, trained, ask, monkeypatch):
    app = make_app(predictor, model_card(predictor, trained / "best_model.pt"), Limits(seconds=0.05))
    monkeypatch.setattr(type(predictor), "predict", lambda *arguments: time.sleep(0.5))
    with TestClient(app) as client:
        reply = client.post("/predict", json={"request": ask})
    assert reply.status_code == 503 and reply.json()["code"] == "busy"


def test_what_is_given_up_still_counts_among_those_that_compute(predictor, trained, ask, monkeypatch):
    """Callers who give up and ask again do not make the machine compute more side by side."""
    busy, most, lock = [0], [0], threading.Lock()

    def slow(*arguments):
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        time.sleep(0.3)
        with lock:
            busy[0] -= 1

    monkeypatch.setattr(type(predictor), "predict", slow)
    app = make_app(predictor, model_card(predictor, trained / "best_model.pt"), Limits(seconds=0.1, at_once=2))
    with TestClient(app) as client, ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda i: client.post("/predict", json={"request": ask}), range(18)))
    assert {reply.status_code for reply in replies} == {503} and most[0] == 2


@pytest.mark.parametrize("host", ["::1", "::"])
def test_an_address_of_six_is_listened_on(host, monkeypatch, capsys):
    try:
        with socket.create_server((host, 0), family=socket.AF_INET6) as other:
            taken = other.getsockname()[1]
            with pytest.raises(UserError, match=f"--host {host} --port {taken} cannot be listened on"):
                refuse_taken(host, taken)
    except OSError:
        pytest.skip("this machine has no IPv6")
    served = []
    monkeypatch.setattr(Predictor, "load", lambda *arguments: None)
    monkeypatch.setattr(serve_module, "model_card", lambda *arguments: {"version": "0"})
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: served.append((options["host"], options["port"])))
    assert main(["checkpoint.pt", "--host", host, "--port", str(taken)]) == 0
    assert served == [(host, taken)] and f"http://[{host}]:{taken}/docs" in capsys.readouterr().out


@pytest.mark.parametrize("host, port", [("127.0.0.1", None), ("nowhere.invalid", 8000), ("127.0.0.1", 70_000)])
def test_what_cannot_be_listened_on_is_a_sentence(host, port, capsys):  # C39
    with socket.create_server(("127.0.0.1", 0)) as other:
        flags = ["--host", host, "--port", str(port or other.getsockname()[1])]
        assert main(["checkpoint.pt", *flags]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {' '.join(flags)} cannot be listened on (") and said.count("\n") == 1


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--at-once", "0"], "--at-once 0: give at least 1"),
        (["--batch", "0"], "--batch 0: give at least 1"),
        (["--seconds", "0"], "--seconds 0.0 leaves no time to answer"),
    ],
)
def test_a_service_that_could_not_answer_is_not_started(flags, sentence, capsys):  # C39
    assert main(["checkpoint.pt", *flags]) == 2
    assert sentence in capsys.readouterr().err


def test_many_callers_of_a_real_server_get_the_right_answers(service, predictor, ask):
    """Eight at once over a socket."""
    server = uvicorn.Server(uvicorn.Config(service, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http, ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda top: http.post("/predict", json={"request": ask, "top": top}), range(1, 17)))
    finally:
        server.should_exit = True
        thread.join()
    for top, reply in enumerate(replies, start=1):
        same(reply.json(), own(predictor, ask, top))
