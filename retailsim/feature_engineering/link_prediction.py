"""Link prediction: held-out edges, negatives drawn for them, and the area under the ROC curve.

N nodes, numbered · E edges of one type. An edge joins `a` and `b`; its direction does not matter here.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Pool:
    """Where negatives come from: for a node, a random member of the node's group.

    Args:
        members: nodes that can be drawn; one that stands there twice is drawn twice as often.
        groups: group of every node of the graph, ≥ 0. Every group that is asked for has a member.
    """

    def __init__(self, members: Int[Tensor, " M"], groups: Int[Tensor, " N"]) -> None:
        self.groups = groups
        self.members = members[torch.argsort(groups[members], stable=True)]
        self._size = torch.bincount(groups[members], minlength=int(groups.max()) + 1)
        self._start = torch.cumsum(self._size, 0) - self._size

    def draw(self, like: Int[Tensor, "*n"], generator: torch.Generator) -> Int[Tensor, "*n"]:
        """A member of the group of each node of `like`."""
        group = self.groups[like]
        share = torch.rand(like.shape, generator=generator, dtype=torch.float64)
        return self.members[self._start[group] + (share * self._size[group]).long()]


@dataclass(frozen=True)
class Links:
    """The edges of one type, a tenth of them held out.

    `easy` negatives are drawn from all nodes of the kind, `hard` ones from those that are easily mistaken for an end.
    """

    a: Int[Tensor, " E"]
    b: Int[Tensor, " E"]
    strength: Float[Tensor, " E"]  # > 0; how much the edge counts, in messages and in the loss
    held_out: Bool[Tensor, " E"]
    easy: Pool
    hard: Pool
    n_nodes: int
    _keys: dict[str, Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        keys = self._key(self.a, self.b)
        object.__setattr__(self, "_keys", {"all": keys.sort().values, "train": keys[~self.held_out].sort().values})

    def _key(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.minimum(a, b) * self.n_nodes + torch.maximum(a, b)

    def is_edge(self, a: Int[Tensor, "*n"], b: Int[Tensor, "*n"], among: str = "all") -> Bool[Tensor, "*n"]:
        """Whether `a`–`b` is an edge, among "all" or only the "train" edges."""
        known = self._keys[among]
        key = self._key(a, b)
        at = torch.searchsorted(known, key).clamp_max(len(known) - 1)
        return known[at] == key if len(known) else torch.zeros_like(key, dtype=torch.bool)


def hold_out(n: int, share: float, generator: torch.Generator) -> Bool[Tensor, " n"]:
    """A random `share` of `n` edges, at least one where there are two."""
    chosen = torch.zeros(n, dtype=torch.bool)
    chosen[torch.randperm(n, generator=generator)[: max(round(n * share), min(n - 1, 1))]] = True
    return chosen


def corrupt(
    links: Links, edges: Int[Tensor, " n"], pool: Pool, times: int, among: str, generator: torch.Generator
) -> tuple[Int[Tensor, "n times"], Int[Tensor, "n times"], Bool[Tensor, "n times"]]:
    """Pairs that differ from `edges` at one end, drawn from `pool`.

    Which end is replaced is drawn too, except where the other end's group would not fit the edge (hierarchy: the
    parent is replaced).

    Returns:
        a, b and whether the pair is a negative: not an edge `among` the known ones and not a node with itself.
    """
    a, b = links.a[edges], links.b[edges]
    swap = (torch.rand(len(edges), generator=generator) < 0.5) & (links.easy.groups[a] == links.easy.groups[b])
    kept = torch.where(swap, b, a)[:, None].expand(-1, times)
    drawn = pool.draw(torch.where(swap, a, b)[:, None].expand(-1, times), generator)
    return kept, drawn, (kept != drawn) & ~links.is_edge(kept, drawn, among)


def auc(positive: Float[Tensor, " n"], negative: Float[Tensor, " m"]) -> float:
    """Area under the ROC curve: the chance that an edge scores above a negative, ties counting half.

    >>> auc(torch.tensor([0.9, 0.4]), torch.tensor([0.4, 0.1]))
    0.875
    """
    ranked = negative.sort().values
    below = torch.searchsorted(ranked, positive) + torch.searchsorted(ranked, positive, right=True)
    return float(below.double().mean() / (2 * len(negative)))
