"""What the audit says of a rule: its state, the evidence, and a few examples of what broke it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["pass", "warning", "fail", "not run"]
MOST_EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """One rule of the audit. `clause` is the specification's; `examples` are ids, files or weeks."""

    rule: str
    clause: str
    state: State
    evidence: str
    examples: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON record."""
        return {**asdict(self), "examples": list(self.examples)}


def judged(rule: str, clause: str, broken: Iterable[str], shown: str, evidence: str) -> Finding:
    """Fails with what is `broken`; passes where nothing is and the check could have seen a breach.

    Args:
        rule: name of the rule.
        clause: of the specification.
        broken: what breaks the rule.
        shown: why the check would have seen a breach; empty where nothing says so, and then the rule was not run.
        evidence: what was compared.
    """
    found = list(broken)
    if found:
        text = f"{len(found):,} moved or differ: {', '.join(found[:MOST_EXAMPLES])} ({evidence})"
        return Finding(rule, clause, "fail", text, tuple(found[:MOST_EXAMPLES]))
    if not shown:
        return Finding(rule, clause, "not run", f"the data is too small: nothing there could have moved ({evidence})")
    return Finding(rule, clause, "pass", f"{evidence}: nothing moved; {shown}")
