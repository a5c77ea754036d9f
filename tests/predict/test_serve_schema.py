"""C36: whatever a caller sends, the service answers as its own OpenAPI page says, and never breaks."""

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from retailsim.predict.serve import model_card
from retailsim.predict.service import make_app

OPERATIONS = [
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/model"),
    ("POST", "/predict"),
    ("POST", "/predict/batch"),
]


@pytest.fixture(scope="module")
def api(predictor, trained):
    app = make_app(predictor, model_card(predictor, trained / "best_model.pt"))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "forbidden"])
@pytest.mark.parametrize("method, path", OPERATIONS[3:])
def test_the_service_keeps_its_own_contract(api, method, path, mode):
    @hypothesis.settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @hypothesis.given(case=api[path][method].as_strategy(generation_mode=mode))
    def keeps_it(case):
        case.call_and_validate(excluded_checks=[positive_data_acceptance])  # the data decide who and what is known

    keeps_it()


def test_all_operations_are_known(api):
    assert [(found.ok().method.upper(), found.ok().path) for found in api.get_all_operations()] == OPERATIONS
