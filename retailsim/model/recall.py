"""Single earlier purchases: what a hidden place recalls of them, and what each adds to its product's logit.

A compressed T1 cannot say "this very yoghurt, every second week". Here every product that the customer bought before is
an entry that each hidden place attends to, and a pointer (Vinyals et al. 2015, §2.3) whose score is added to the
product's logit instead of being mixed with the vocabulary's distribution: no gate has to be learned, and a basket
without history is the same computation without pointers.

Legend: B baskets · K entries, the trip itself in front · P hidden places of a basket · D width · H width of an entry ·
F habits · V vocabulary.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retailsim.config import ModelConfig
from retailsim.model.attention import attend
from retailsim.vocab import PAD


class Entries(nn.Module):
    """Earlier purchases as vectors: the product's embedding and how it was bought."""

    def __init__(self, config: ModelConfig, habits: int, embedding: int) -> None:
        super().__init__()
        width = config.history_width
        self.product = nn.Linear(embedding, width, bias=False)
        self.habit = nn.Sequential(nn.Linear(habits, width), nn.GELU(), nn.Linear(width, width))
        self.norm = nn.LayerNorm(width)

    def forward(
        self, products: Float[Tensor, "V _"], bought: Int[Tensor, "B K"], habits: Float[Tensor, "B K F"]
    ) -> tuple[Float[Tensor, "B K H"], Float[Tensor, "B K H"]]:
        """Each entry as a whole, and its habit alone."""
        habit = self.habit(habits)
        return self.norm(functional.embedding(bought, self.product(products)) + habit), habit


class Recall(nn.Module):
    """Attention of the hidden places to the entries, and the entries' scores at each place."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.attention_heads
        width = config.history_width
        self.query = nn.Linear(config.width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.point = nn.Linear(config.width, width)
        self.score = nn.Linear(width, 1)

    def forward(
        self,
        hidden: Float[Tensor, "B P D"],
        entries: Float[Tensor, "B K H"],
        habits: Float[Tensor, "B K H"],
        bought: Int[Tensor, "B K"],
    ) -> tuple[Float[Tensor, "B P D"], Float[Tensor, "B P K"]]:
        """The places with what they recall, and every entry's score: 0 for the trip and for padding."""
        is_product = bought != PAD
        is_entry = is_product.index_fill(1, torch.zeros(1, dtype=torch.long, device=bought.device), True)
        recalled = attend(
            self.query(hidden), self.key(entries), self.value(entries), is_entry[:, None, None], self.heads
        )
        hidden = self.norm(hidden + self.out_proj(recalled))
        in_context = self.point(hidden) @ entries.transpose(1, 2) / math.sqrt(entries.shape[-1])
        alone = self.score(functional.gelu(habits)).transpose(1, 2)
        return hidden, (in_context + alone) * is_product[:, None]
