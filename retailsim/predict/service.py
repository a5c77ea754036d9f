"""The predictor behind HTTP: what may be asked, what is answered, and what is refused (SPEC C36).

Nothing that comes over the wire is a path, or is unpickled; a request names customers, stores and products, and gets a sentence
where the data does not know them.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import anyio
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest

from retailsim.errors import UserError
from retailsim.predict.predictor import Predictor
from retailsim.predict.request import Prediction, Request, moment

Code = Annotated[str, Field(max_length=200)]
T = TypeVar("T")
SHOWN = "/docs shows what can be asked"
SEND = (
    'send {"request": {"when": "2008-03-15T10:00"}}, for one, with the header content-type: application/json; ' + SHOWN
)


@dataclass(frozen=True)
class Limits:
    """What one caller may ask of the service."""

    body: int = 1 << 20  # bytes
    batch: int = 256  # requests at once
    seconds: float = 30.0  # until an answer is given up
    at_once: int = 2  # predictions that compute side by side


def _with_hour(value: object) -> datetime:
    try:
        return moment(
            str(value)
        )  # by itself Pydantic takes a date for its midnight, and a number for seconds since 1970
    except UserError as error:
        raise ValueError(str(error).removeprefix("--")) from error


class Ask(BaseModel):
    """One question: what goes into this basket next?"""

    model_config = ConfigDict(extra="forbid")

    when: Annotated[datetime, BeforeValidator(_with_hour)] = Field(
        description="local time of the shop, without a zone", examples=["2008-03-15T10:00"]
    )
    store: Code | None = Field(None, description="store code; left out: not known")
    customer: Code | None = Field(
        None, description="customer code; left out: anonymous, or new where a segment is given"
    )
    basket: list[Code] = Field(
        [], max_length=200, description="products that lie in the basket already; how many items of each says nothing"
    )
    prices: dict[Code, float] = Field({}, max_length=200, description="£ per item of products in the basket")
    trip: dict[Code, Code] = Field({}, max_length=8, description="label of the trip → class, where it is known")
    price_segment: Code | None = Field(None, description="of a new customer")
    lifestage: Code | None = Field(None, description="of a new customer")
    store_format: Code | None = Field(None, description="of an unknown store")
    store_region: Code | None = Field(None, description="of an unknown store")
    novel: bool = Field(False, description="leave out of the answer what the customer bought before")

    def request(self) -> Request:
        """The same question to a Predictor; a UserError says what is wrong with it."""
        return Request(**{**self.model_dump(), "basket": tuple(self.basket)})


class Options(BaseModel):
    """How the answer is given."""

    model_config = ConfigDict(extra="forbid")

    top: int = Field(20, ge=1, le=1000, description="products per answer")
    allow_unknown: bool = Field(
        False, description="take an unknown customer as anonymous and an unknown store as average, with a note"
    )


class One(Options):
    """One request."""

    request: Ask


class Many(Options):
    """Several requests."""

    requests: list[Ask] = Field(min_length=1)


class Product(BaseModel):
    """A product and its chance to be the next one put into the basket."""

    product: str
    name: str | None
    probability: float


class Answer(BaseModel):
    """The likeliest next products; `measure` says whether the numbers are calibrated probabilities or scores."""

    measure: str
    week: int
    suggestions: list[Product]
    notes: list[str]
    temperature: float | None


class Problem(BaseModel):
    """Why there is no answer."""

    code: str = Field(description="invalid, refused, too_large, busy, no_such_page, internal")
    message: str = Field(description="one sentence: what, where, how to mend it")
    field: str | None = Field(None, description="where in the body")


def make_app(predictor: Predictor, card: dict[str, Any], limits: Limits = Limits()) -> FastAPI:
    """The service of one predictor, which all threads share.

    Args:
        predictor: loaded.
        card: what GET /model tells of the model.
        limits: see Limits.
    """
    app = FastAPI(title="RetailSim", description="What goes into the basket next?", version=card["version"])
    workers = ThreadPoolExecutor(limits.at_once)
    problems: dict[int | str, dict[str, Any]] = {code: {"model": Problem} for code in (413, 422, 503)}

    async def compute(work: Callable[[], T]) -> T:
        with anyio.fail_after(limits.seconds):  # work that is given up keeps its worker to its end, if it has begun
            return await asyncio.wrap_future(workers.submit(work))

    @app.middleware("http")
    async def limit(http: HttpRequest, call_next: Callable[..., Any]) -> Any:
        length = http.headers.get("content-length", "0")
        if "transfer-encoding" in http.headers or not length.isdigit() or int(length) > limits.body:
            return problem(413, "too_large", f"the body must say its length and have at most {limits.body:,} bytes")
        return await call_next(http)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """The process lives."""
        return {"status": "alive"}

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        """The model is loaded: it is before the port is opened."""
        return {"status": "ready"}

    @app.get("/model")
    async def model() -> dict[str, Any]:
        """The model card: what was trained on what, and how its numbers are to be read."""
        return card

    @app.post("/predict", responses=problems)
    async def predict(body: One) -> Answer:
        """The likeliest next products of one request."""
        found = await compute(lambda: predictor.predict(body.request.request(), body.top, body.allow_unknown))
        return answer(found)

    @app.post("/predict/batch", responses=problems)
    async def predict_batch(body: Many) -> list[Answer]:
        """The likeliest next products of several requests, in their order; one that is refused refuses all."""
        if len(body.requests) > limits.batch:
            raise UserError(
                f"{len(body.requests)} requests at once: ask at most {limits.batch}, or use `retailsim predict --requests`"
            )
        found = await compute(
            lambda: predictor.predict_many([ask.request() for ask in body.requests], body.top, body.allow_unknown)
        )
        return [answer(one) for one in found]

    @app.exception_handler(UserError)
    async def refused(http: HttpRequest, error: UserError) -> JSONResponse:
        return problem(422, "refused", str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(http: HttpRequest, error: RequestValidationError) -> JSONResponse:
        message, field = what_to_send(error.errors()[0])
        return problem(422, "invalid", message, field)

    @app.exception_handler(TimeoutError)
    async def late(http: HttpRequest, error: TimeoutError) -> JSONResponse:
        return problem(503, "busy", f"no answer within {limits.seconds:g} s: ask again later, or fewer at once")

    @app.exception_handler(HTTPException)
    async def elsewhere(http: HttpRequest, error: HTTPException) -> JSONResponse:
        if error.status_code == HTTPStatus.BAD_REQUEST:  # FastAPI's answer to bytes that are no text
            return problem(422, "invalid", "the body cannot be read: send JSON, encoded as UTF-8")
        there = f"{http.method} {http.url.path}: {error.detail}; {SHOWN}"
        return problem(error.status_code, "no_such_page", there, headers=error.headers)

    @app.exception_handler(Exception)
    async def broken(http: HttpRequest, error: Exception) -> JSONResponse:
        return problem(
            500, "internal", "the service made a mistake, which its log shows: the request can be asked again"
        )

    return app


def what_to_send(first: Mapping[str, Any]) -> tuple[str, str | None]:
    """A sentence about the first thing that is wrong in a body, and where in the body it is; pydantic's error is `first`."""
    kind, where = first["type"], ".".join(map(str, first["loc"][1:]))
    if kind == "json_invalid":
        return f"the body is no JSON ({first['ctx']['error']}, character {where}): {SEND}", None
    if not where:
        return f"the body is no JSON object: {SEND}", None
    if kind == "missing":
        return f"{where} is missing: {SHOWN}", where
    if kind == "extra_forbidden":
        return f"{where} is not permitted: {SHOWN}", where
    return f"{where}: {first['msg']}; {SHOWN}", where


def answer(found: Prediction) -> Answer:
    """A prediction as it is sent."""
    return Answer(**found.to_json())


def problem(
    status: int, code: str, message: str, field: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A structured refusal."""
    return JSONResponse(Problem(code=code, message=message, field=field).model_dump(), status, headers)
