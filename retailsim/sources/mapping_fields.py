"""A YAML file as fields that know where they stand, so that a mistake in it is one sentence with file and line.

Every scalar is text: `0800`, `no` and `2016-03-23` are what was written, not a number, a boolean or a day.
"""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import yaml

from retailsim.errors import UserError


@dataclass(frozen=True)
class Field:
    """A value of a YAML file: text, a list of fields, or fields by name; `where` is file, line and key."""

    value: "str | list[Field] | dict[str, Field]"
    where: str

    def wrong(self, what: str) -> UserError:
        """The error for this field: `what` says what is wrong and how to mend it."""
        return UserError(f"{self.where}: {what}")

    def text(self) -> str:
        """The text of a scalar that is not empty; a UserError otherwise."""
        if not isinstance(self.value, str) or not self.value.strip():
            raise self.wrong("expected one value: write it behind the colon")
        return self.value.strip()

    def texts(self) -> tuple[str, ...]:
        """A scalar, or a list of scalars, as a tuple of at least one text."""
        if not isinstance(self.value, list):
            return (self.text(),)
        if not self.value:
            raise self.wrong("the list is empty: name at least one value, or take the key out")
        return tuple(item.text() for item in self.value)

    def section(self, keys: Collection[str] | None = None, needed: Collection[str] = ()) -> "Mapping[str, Field]":
        """The fields of a section, of which `keys` are known (None: any); the nearest key is named for another."""
        if not isinstance(self.value, dict):
            raise self.wrong("expected keys with values: write them on indented lines, as key: value")
        for name, field in self.value.items():
            if keys is not None and name not in keys:
                near = difflib.get_close_matches(name, keys, n=1, cutoff=0.0)
                raise field.wrong(f"there is no key {name!r}; did you mean {near[0]!r}? Known are {', '.join(keys)}")
        for name in needed:
            if name not in self.value:
                raise self.wrong(f"the key {name!r} is missing: add it")
        return self.value


def read_fields(text: str, origin: str) -> Field:
    """The fields of YAML `text`; `origin` names the file in messages. A UserError where the text is no YAML section."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it holds a character that YAML does not allow"
        raise UserError(f"{origin}{line}: not YAML ({problem}): mend that line") from error
    if root is None:
        raise UserError(f"{origin}: the file is empty: see docs/mapping.md for what a mapping holds")
    return _field(root, origin, "", set())


def _field(node: yaml.Node, origin: str, key: str, seen: set[int]) -> Field:
    where = f"{origin}, line {node.start_mark.line + 1}" + (f", {key}" if key else "")
    if isinstance(node, yaml.ScalarNode):
        return Field(node.value, where)
    if id(node) in seen:
        raise UserError(f"{where}: an alias (*name) stands here: write the values out")
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        return Field([_field(item, origin, f"{key}[{i}]", seen) for i, item in enumerate(node.value, 1)], where)
    found: dict[str, Field] = {}
    for name_node, value in node.value:
        name = name_node.value
        if not isinstance(name, str) or name in found:
            line = name_node.start_mark.line + 1
            raise UserError(f"{origin}, line {line}: the key {name!r} stands twice or is no word: keep one plain word")
        found[name] = _field(value, origin, f"{key}.{name}" if key else name, seen)
    return Field(found, where)
