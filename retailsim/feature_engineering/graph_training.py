"""Training GraphSAGE on the product graph by link prediction, and measuring it on held-out edges.

Each epoch (a full batch) predicts a part of every type's training edges from messages along the rest, against as many
easy and hard negatives, with a binary cross-entropy per slice of the embedding (Hamilton et al. 2017, §3.2, with drawn
negatives in place of random walks). Held-out edges are neither messages nor targets, and what is taken for a negative
does not tell them either: in training, any pair that is no training edge can be one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from retailsim.feature_engineering.graphsage import GraphSage, MessageEdges, Neighbours
from retailsim.feature_engineering.link_prediction import Links, auc, corrupt

PREDICTED = 0.3  # share of a type's training edges that an epoch predicts
MOST_PREDICTED = 6_000  # edges of a type per epoch
NEGATIVES = 12_000  # of a type per epoch, of easy and of hard ones each: 2 to 16 per edge, most where edges are few
NEGATIVES_IN_TEST = 5
NEWCOMERS = 0.1  # share of products that an epoch shows as new
LEARNING_RATE = 0.01
PRICE_WEIGHT = 0.5  # of the readout's squared error beside the four cross-entropies


@dataclass(frozen=True)
class LearningGraph:
    """P fitted products and C codes, N = P + C nodes; then Q late products, which are embedded but not learned from."""

    attributes: Float[Tensor, "P F"]
    newcomer: Float[Tensor, "P F"]  # attributes that each product would have, were it new
    price: Float[Tensor, "P K"]  # standardised prices, which the brand slice is to tell
    links: dict[str, Links]  # by slice of the embedding; those of co_purchase, substitution, hierarchy carry messages
    n_nodes: int
    late: Float[Tensor, "Q F"]
    late_child: Int[Tensor, " L"]  # edges from late products …
    late_parent: Int[Tensor, " L"]  # … to codes

    def message_edges(self, with_late: bool = False) -> dict[str, MessageEdges]:
        """Edges by message type: both ways along co-purchases and substitutions; from parents and from children."""
        n = self.n_nodes + len(self.late) * with_late
        found = {}
        for name in ("co_purchase", "substitution"):
            a, b, strength = self.links[name].a, self.links[name].b, self.links[name].strength
            found[name] = MessageEdges(torch.cat([a, b]), torch.cat([b, a]), strength.repeat(2), n)
        child, parent, strength = self.links["hierarchy"].a, self.links["hierarchy"].b, self.links["hierarchy"].strength
        found["from_child"] = MessageEdges(parent, child, strength, n)
        if with_late:
            child, parent = torch.cat([child, self.late_child]), torch.cat([parent, self.late_parent])
            strength = torch.cat([strength, torch.ones(len(self.late_child))])
        found["from_parent"] = MessageEdges(child, parent, strength, n)
        return found

    def neighbours(
        self, edges: dict[str, MessageEdges], kept: dict[str, Bool[Tensor, " _"]], new: Bool[Tensor, " _"]
    ) -> dict[str, Neighbours]:
        """Messages along the `kept` edges of each type; `new` nodes hear their parents only, and nobody hears them."""
        heard = {name: ~(new[some.receiver] | new[some.sender]) for name, some in edges.items()}
        tree = kept["hierarchy"]
        n_late = len(edges["from_parent"].receiver) - len(tree)
        return {
            "co_purchase": edges["co_purchase"].neighbours(kept["co_purchase"].repeat(2) & heard["co_purchase"]),
            "substitution": edges["substitution"].neighbours(kept["substitution"].repeat(2) & heard["substitution"]),
            "from_parent": edges["from_parent"].neighbours(F.pad(tree, (0, n_late), value=True)),
            "from_child": edges["from_child"].neighbours(tree & heard["from_child"]),
        }


def train(
    model: GraphSage,
    graph: LearningGraph,
    epochs: int,
    generator: torch.Generator,
    on_epoch: Callable[[int, float], None],
) -> list[float]:
    """Fit `model` for `epochs` full batches; `on_epoch(epoch, loss)` is told of each. Returns the losses."""
    readout = nn.Linear(model.slices["brand"], graph.price.shape[1])
    nn.init.xavier_uniform_(readout.weight, generator=generator)
    nn.init.zeros_(readout.bias)
    parameters = [*model.parameters(), *readout.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(epochs, 1), eta_min=LEARNING_RATE / 20)
    edges = graph.message_edges()
    n_products = len(graph.attributes)
    losses = []
    for epoch in range(1, epochs + 1):
        predicted = {name: _choose(links, generator) for name, links in graph.links.items()}
        kept = {name: _without(links, predicted[name]) for name, links in graph.links.items()}
        new = torch.zeros(graph.n_nodes, dtype=torch.bool)
        new[:n_products] = torch.rand(n_products, generator=generator) < NEWCOMERS
        shown = torch.where(new[:n_products, None], graph.newcomer, graph.attributes)
        slices = model(shown, graph.neighbours(edges, kept, new))
        parts = [
            _link_loss(model, name, slices[name], links, predicted[name], generator)
            for name, links in graph.links.items()
            if len(predicted[name])
        ]
        told = ~new[:n_products]
        price_error = F.mse_loss(readout(slices["brand"][:n_products][told]), graph.price[told])
        loss = sum(parts, start=PRICE_WEIGHT * price_error)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        on_epoch(epoch, losses[-1])
    return losses


def _choose(links: Links, generator: torch.Generator) -> Tensor:
    training = torch.nonzero(~links.held_out).squeeze(1)
    n = min(round(PREDICTED * len(training)), MOST_PREDICTED)
    return training[torch.randperm(len(training), generator=generator)[:n]]


def _without(links: Links, predicted: Tensor) -> Tensor:
    kept = ~links.held_out
    kept[predicted] = False
    return kept


def _link_loss(
    model: GraphSage, name: str, z: Tensor, links: Links, edges: Tensor, generator: torch.Generator
) -> Tensor:
    weight = links.strength[edges].sqrt()  # the root: strengths have a long tail, and a few edges would be all
    weight = weight / weight.mean()
    positive = F.binary_cross_entropy_with_logits(
        model.score(name, z, links.a[edges], links.b[edges]), torch.ones_like(weight), weight
    )
    times = min(max(NEGATIVES // len(edges), 2), 16)
    drawn = [corrupt(links, edges, pool, times, "train", generator) for pool in (links.easy, links.hard)]
    a, b, is_negative = (torch.cat(x, dim=1) for x in zip(*drawn, strict=True))
    scores = model.score(name, z, a, b)
    negative = F.binary_cross_entropy_with_logits(scores, torch.zeros_like(scores), weight[:, None] * is_negative)
    return positive + negative


@torch.no_grad()
def held_out_auc(
    model: GraphSage, graph: LearningGraph, generator: torch.Generator
) -> dict[str, dict[str, float | int | None]]:
    """By slice: edges, held-out edges, and the AUC of the latter against easy and hard negatives.

    The messages are those along all training edges; a negative is no edge, held out or not. None where there is
    nothing to measure.
    """
    kept = {name: ~links.held_out for name, links in graph.links.items()}
    nobody = torch.zeros(graph.n_nodes, dtype=torch.bool)
    slices = model(graph.attributes, graph.neighbours(graph.message_edges(), kept, nobody))
    report: dict[str, dict[str, float | int | None]] = {}
    for name, links in graph.links.items():
        tested = torch.nonzero(links.held_out).squeeze(1)
        report[name] = {"edges": len(links.a), "held_out": len(tested)}
        for key, pool in (("auc", links.easy), ("auc_hard", links.hard)):
            report[name][key] = None
            if len(tested):
                a, b, valid = corrupt(links, tested, pool, NEGATIVES_IN_TEST, "all", generator)
                positive = model.score(name, slices[name], links.a[tested], links.b[tested])
                if valid.any():
                    report[name][key] = auc(positive, model.score(name, slices[name], a, b)[valid])
    return report
