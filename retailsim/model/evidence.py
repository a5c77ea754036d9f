"""What products say about the kind of trip, and a known trip about the products (docs/decisions/0015-kinds-of-products.md).

A trip's labels are read off its whole basket. So, by Bayes' rule, a hidden product's odds are those without the labels times
P(labels | visible products and it). That probability is a small network of how many products, items and £ of each kind a
basket has, and of how many groups of products. Kinds are few, so one more product is tried by trying each kind.

Legend: B baskets · S places · V vocabulary · G groups · K kinds · C classes of all labels · N baskets with one more product.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retailsim import layout
from retailsim.labels import TRIP_LABELS
from retailsim.model.precision import without_autocast
from retailsim.vocab import PAD

CLASSES = [len(classes) for classes in TRIP_LABELS.values()]
KINDS = 12  # K, learned
HIDDEN = 32  # width of each label's network
TOTALS = 6  # numbers about the basket as a whole
MOST_ITEMS = 63  # baskets of more items are alike
# Of graph embeddings: as they are, of norm √256, a step would move every product to another kind.
GRAPH_SHARE = layout.T2.width**-0.5
SHARPNESS = 8.0  # of kinds, so that weights of a usual size make a product be of one kind
SHARE_SCALE = 4.0  # shares of a basket are smaller than its other numbers
DOUBT = 1e-3  # probability that a label follows no rule
LEAST = 1e-30  # of what is divided by, or made a logarithm of


class Shown(NamedTuple):
    """What the evidence sees of B baskets. Every hidden product counts as one item, at a price that nobody knows."""

    visible: Int[Tensor, "B S"]  # products, PAD elsewhere
    weights: Float[Tensor, "3 B S"]  # of each visible product: 1, its items, £ spent on it; 0 elsewhere
    sums: Float[Tensor, "3 B"]
    n_hidden: Int[Tensor, " B"]

    def select(self, rows: Int[Tensor, " n"]) -> "Shown":
        """The baskets `rows`."""
        return Shown(self.visible[rows], self.weights[:, rows], self.sums[:, rows], self.n_hidden[rows])

    def totals(self, more: int = 0) -> Float[Tensor, "B 6"]:
        """log(1 + ·) of all products, all items, items shown, £ shown, products hidden, products shown.

        `more` of the hidden products are shown, too, as one item each.
        """
        n, items, spent = self.sums
        hidden = self.n_hidden
        counts = [n + hidden, items + hidden, items + more, spent, (hidden - more).clamp(min=0), n + more]
        return torch.stack([count.float() for count in counts], dim=1).log1p()

    def all_items(self) -> Int[Tensor, " B"]:
        """Items of each basket with its hidden products, MOST_ITEMS at most."""
        return (self.sums[1] + self.n_hidden).round().long().clamp(max=MOST_ITEMS)


def shown_of(
    visible: Int[Tensor, "B S"],
    quantity: Float[Tensor, "B S"],
    paid: Float[Tensor, "B S"],
    n_hidden: Int[Tensor, " B"],
) -> Shown:
    """What the evidence sees.

    Args:
        visible: products shown, PAD elsewhere.
        quantity: items of each; unknown (NaN): 1.
        paid: £ per item; unknown (NaN): 1.
        n_hidden: how many products of each basket are hidden.
    """
    is_shown = (visible != PAD).float()
    items = quantity.float().nan_to_num(1.0) * is_shown
    weights = torch.stack([is_shown, items, paid.float().nan_to_num(1.0) * items])
    return Shown(visible, weights, weights.sum(2), n_hidden)


class TripEvidence(nn.Module):
    """P(labels | a basket), and what known labels say about each product that may be hidden: nothing before training.

    A product belongs to its group, a code of the retailer's hierarchy, and to kinds, which are learned from its graph embedding
    and from weights of its own.

    Args:
        group: group of each product of the vocabulary, 0: none known.
    """

    group: Tensor

    def __init__(self, group: Int[Tensor, " V"]) -> None:
        super().__init__()
        self.register_buffer("group", group, persistent=False)
        self.groups = int(group.max()) + 1
        width = len(CLASSES) * HIDDEN
        self.own = nn.Embedding(len(group), KINDS)
        self.of_graph = nn.Linear(layout.T2.width, KINDS, bias=False)
        self.of_shares = nn.ModuleList(nn.Linear(self.groups + KINDS, width, bias=False) for _ in range(3))
        self.of_totals = nn.Linear(TOTALS, width)
        self.of_items = nn.Embedding(MOST_ITEMS + 1, width)
        self.of_distinct = nn.Embedding(self.groups + 1, width)
        self.labels = nn.ModuleList(_label_net(n) for n in CLASSES)
        self.gain = nn.Linear(TOTALS, 1)  # log of the gain of all that is known
        nn.init.normal_(self.of_graph.weight, std=1 / SHARPNESS)
        for numbered in (self.of_items, self.of_distinct):
            nn.init.normal_(numbered.weight, std=0.3)
        for zero in (self.own.weight, self.gain.weight, self.gain.bias):
            nn.init.zeros_(zero)
        for parameter in self.parameters():
            parameter._is_evidence = True  # type: ignore[attr-defined]

    def forward(
        self, shown: Shown, trip: Int[Tensor, "B 4"], graph: Float[Tensor, "V _"]
    ) -> tuple[Float[Tensor, "B V"], dict[str, Float[Tensor, "B _"]]]:
        """Offsets of the product logits, 0 where no label is known, and logits of the labels.

        The products' loss moves the gain alone: probabilities are learned from the labels, see `log_likelihood`.

        Args:
            shown: the baskets.
            trip: codes of the labels that are known, −1 for the others.
            graph: graph embeddings of the vocabulary.
        """
        with without_autocast(graph):
            kinds = self.kinds(graph)
            logits = self._logits(self._at_first_layer(shown, kinds) + self.of_distinct(self._present(shown).sum(1)))
            gain = self.gain(shown.totals()).exp() * (trip >= 0).any(1, keepdim=True)
            with torch.no_grad():
                said = self._of_known(shown, trip, kinds)
            return gain * said, dict(zip(TRIP_LABELS, logits, strict=True))

    def log_likelihood(
        self,
        shown: Shown,
        trip: Int[Tensor, "B 4"],
        graph: Float[Tensor, "V _"],
        basket: Int[Tensor, " N"],
        product: Int[Tensor, " N"],
    ) -> Float[Tensor, " N"]:
        """log P(known labels | visible products and one hidden one), 0 where no label is known.

        Args:
            shown: the baskets.
            trip: codes of the labels that are known, −1 for the others.
            graph: graph embeddings of the vocabulary.
            basket: of each hidden product.
            product: the hidden products.
        """
        with without_autocast(graph):
            kinds = self.kinds(graph)
            by_kind = self._with_one_more(shown, trip, kinds, basket, self.group[product])
            return (by_kind + kinds[product].clamp(min=LEAST).log()).logsumexp(1) * (trip >= 0).any(1)[basket]

    def kinds(self, graph: Float[Tensor, "V _"]) -> Float[Tensor, "V K"]:
        """How far each product is of each kind; adds up to 1."""
        return (SHARPNESS * (self.own.weight + self.of_graph(GRAPH_SHARE * graph))).softmax(1)

    def _of_known(self, shown: Shown, trip: Int[Tensor, "B 4"], kinds: Float[Tensor, "V K"]) -> Float[Tensor, "B V"]:
        """`_of_products`; on a CPU baskets without known labels are left out: 0."""
        if not trip.is_cpu or torch.compiler.is_compiling():  # neither waits to be told how many there are
            return self._of_products(shown, trip, kinds)
        rows = (trip >= 0).any(1).nonzero()[:, 0]
        said = torch.zeros(trip.shape[0], kinds.shape[0])
        return said.index_copy(0, rows, self._of_products(shown.select(rows), trip[rows], kinds))

    def _of_products(self, shown: Shown, trip: Int[Tensor, "B 4"], kinds: Float[Tensor, "V K"]) -> Float[Tensor, "B V"]:
        """log P(known labels | visible products and each product): all groups and kinds are tried, products mix them."""
        baskets, size = trip.shape[0], kinds.shape[0]
        every = torch.arange(baskets * self.groups, device=trip.device)
        basket, group = torch.div(every, self.groups, rounding_mode="floor"), every % self.groups
        by_kind = self._with_one_more(shown, trip, kinds, basket, group).exp().view(baskets, self.groups * KINDS)
        columns = self.group[:, None] * KINDS + torch.arange(KINDS, device=trip.device)
        mixture = torch.zeros(size, self.groups * KINDS, device=kinds.device).scatter(1, columns, kinds)
        return (by_kind @ mixture.T).clamp(min=LEAST).log()

    def _with_one_more(
        self, shown: Shown, trip: Tensor, kinds: Tensor, basket: Int[Tensor, " N"], group: Int[Tensor, " N"]
    ) -> Float[Tensor, "N K"]:
        """log P(known labels | visible products of `basket` and one more of `group` and of each kind)."""
        present = self._present(shown)
        distinct = present.sum(1)[basket] + ~present[basket, group]
        x = self._at_first_layer(shown, kinds, more=1)[basket] + self.of_distinct(distinct)
        of_kinds = x.new_zeros(1)
        for weight, total in zip(self._share_weights()[:2], shown.sums[:2], strict=True):  # its price is not known
            one = SHARE_SCALE / (total + 1)
            x = x + one[basket, None] * weight[group]
            of_kinds = of_kinds + one[:, None, None] * weight[self.groups :]
        x = x[:, None] + of_kinds[basket]
        known = trip[basket]
        said = torch.zeros(x.shape[:2], device=x.device)
        for logits, code in zip(self._logits(x), known.T, strict=True):
            of_code = code.clamp(min=0)[:, None, None].expand(-1, KINDS, 1)
            p = logits.softmax(-1).gather(2, of_code)[..., 0]
            said = said + (p * (1 - DOUBT) + DOUBT).log() * (code >= 0)[:, None]
        return said

    def _at_first_layer(self, shown: Shown, kinds: Float[Tensor, "V K"], more: int = 0) -> Float[Tensor, "B _"]:
        """The first layer but for the number of groups; with `more` products that are not counted in the shares yet."""
        x = self.of_totals(shown.totals(more)) + self.of_items(shown.all_items())
        of_kind, of_group = functional.embedding(shown.visible, kinds), self.group[shown.visible]
        for weight, amount, total, extra in zip(
            self._share_weights(), shown.weights, shown.sums, (more, more, 0), strict=True
        ):
            by_group = torch.zeros(x.shape[0], self.groups, device=x.device).scatter_add(1, of_group, amount)
            amounts = torch.cat([by_group, (of_kind * amount[..., None]).sum(1)], dim=1)
            x = x + SHARE_SCALE * (amounts @ weight) / (total + extra).clamp(min=LEAST)[:, None]
        return x

    def _share_weights(self) -> list[Float[Tensor, "_ _"]]:
        """[G + K, first layer] each, of shares among products, items and £."""
        return [of_share.get_parameter("weight").T for of_share in self.of_shares]

    def _present(self, shown: Shown) -> Tensor:
        """Which groups are shown, bool [B, G]."""
        counts = torch.zeros(shown.visible.shape[0], self.groups, device=shown.visible.device)
        return counts.scatter_add(1, self.group[shown.visible], shown.weights[0]) > 0

    def _logits(self, x: Float[Tensor, "*N _"]) -> list[Float[Tensor, "*N _"]]:
        """The labels' logits from the first layer."""
        by_label = x.unflatten(-1, (len(CLASSES), HIDDEN)).unbind(-2)
        return [net(own) for net, own in zip(self.labels, by_label, strict=True)]


def _label_net(classes: int) -> nn.Sequential:
    """From a label's part of the first layer to its logits, 0 before training."""
    net = nn.Sequential(nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), last := nn.Linear(HIDDEN, classes))
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return net
