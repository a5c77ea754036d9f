"""What all tests share.

Shapes in the annotations of `retailsim.model` and `retailsim.training` are checked while testing: pyproject hands
`--jaxtyping-packages` to pytest, which hooks the imports before any module is loaded (tests/test_shapes.py shows that it does).
"""

import ibis


def pytest_unconfigure() -> None:
    """Close the engine on which small tables were executed: left open, DuckDB complains behind pytest's summary line."""
    ibis.options.default_backend = None
