"""Whatever JSON stands for a schema: the view is bounded, inert, and no exception. Excluded: its meaning."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bind_agent.backend.pages import schema_view
from bind_agent.backend.pages.schema_view import Field

pytestmark = pytest.mark.property

KEYS = st.sampled_from(
    ["properties", "items", "additionalProperties", "required", "type", "enum", "default", "description", "format",
     "minimum", "pattern", "x-kubernetes-validations", "oneOf", "nullable", "x-kubernetes-int-or-string", "spec"]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(), inner, max_size=5)
)


def walk(fields: tuple[Field, ...], depth: int = 1) -> list[tuple[int, Field]]:
    return [(depth, one) for one in fields] + [
        pair for one in fields for pair in walk(one.children, depth + 1)
    ]


@given(SCHEMAS)
def test_every_view_is_bounded_and_inert(schema: Any) -> None:
    found = walk(schema_view.view({"properties": {"spec": schema}}).children)
    assert len(found) <= schema_view.MAX_FIELDS
    for depth, field in found:
        assert depth <= schema_view.MAX_DEPTH
        for text in (field.name, field.type, field.description, field.default, *field.choices, *field.limits):
            assert text.isprintable()
            assert len(text) <= schema_view.MAX_TEXT
