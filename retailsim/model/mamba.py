"""The encoder's layer: Mamba-2 in both directions (SPEC C15; document: "Step 2: The Mamba Encoder").

Legend: B baskets · L places, the context in front · D width · E inner width · H heads · P head width · G groups · N state.
The block is Mamba-2's (Dao & Gu 2024, §7; official code: `mamba_ssm/modules/mamba2.py`): one projection to gate z, input
x, keys b, queries c and step dt, a short depthwise convolution, the scan, a skip D, a gated RMSNorm, a projection back.
Departures, because a basket is a shuffled set and not a text:
- the scan runs in both directions, each with its own dt and decay; b and c are shared, since how well two products
  go together does not depend on which of them stands first;
- the convolution is centred: `convolution` taps to each side, the place itself counted once;
- dt starts between 1e-3 and 1 instead of 1e-3 and 0.1: a basket has 7 places, not 2,000.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retailsim.config import ModelConfig
from retailsim.model.convolution import ShortConvolution
from retailsim.model.dropout import Dropout
from retailsim.model.scan import scan

STEP_RANGE = (1e-3, 1.0)  # of dt at the start, log-uniform over heads
DECAY_RANGE = (1.0, 16.0)  # of A at the start, uniform over heads


class Mixer(nn.Module):
    """Bidirectional Mamba-2 mixing: what stands at padding neither enters a state nor reaches a neighbour."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.inner = config.width * config.encoder_expand
        self.heads = self.inner // config.encoder_head_width
        self.groups = self.heads // config.heads_per_group
        self.state_size = config.state_size
        mixed = self.inner + 2 * self.groups * self.state_size  # x, b, c
        self.in_proj = nn.Linear(config.width, self.inner + mixed + 2 * self.heads, bias=False)
        self.convolution = ShortConvolution(mixed, config.convolution)
        self.dt_bias = nn.Parameter(torch.empty(self.heads, 2))
        self.A_log = nn.Parameter(torch.empty(self.heads, 2))
        self.D = nn.Parameter(torch.ones(self.heads))
        self.norm = nn.RMSNorm(self.inner, eps=1e-5)
        self.out_proj = nn.Linear(self.inner, config.width, bias=False)
        for parameter in (self.dt_bias, self.A_log, self.D):
            parameter._no_weight_decay = True  # type: ignore[attr-defined]
        self._initialise(config.encoder_layers)

    def _initialise(self, layers: int) -> None:
        with torch.no_grad():
            low, high = (math.log(x) for x in STEP_RANGE)
            dt = torch.empty_like(self.dt_bias).uniform_(low, high).exp()
            self.dt_bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # inverse of softplus
            self.A_log.uniform_(*DECAY_RANGE).log_()
            self.out_proj.weight.div_(math.sqrt(layers))  # the residual stream keeps its scale over the layers

    def forward(self, x: Float[Tensor, "B L D"], is_padding: Bool[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        """Each place's share of all real places, before and after it."""
        keys = self.groups * self.state_size
        gate, mixed, dt = self.in_proj(x).split([self.inner, self.inner + 2 * keys, 2 * self.heads], dim=-1)
        mixed = self.convolution(mixed.masked_fill(is_padding[..., None], 0.0))
        inputs, b, c = functional.silu(mixed).split([self.inner, keys, keys], dim=-1)
        inputs = inputs.unflatten(-1, (self.heads, -1))
        b, c = (t.unflatten(-1, (self.groups, -1)) for t in (b, c))
        # steps and decays stay in float32 under autocast: their logs are summed along the basket
        dt = functional.softplus(dt.unflatten(-1, (self.heads, 2)).to(self.dt_bias.dtype) + self.dt_bias)
        dt = dt.masked_fill(is_padding[..., None, None], 0.0)
        y = scan(inputs, dt, -dt * self.A_log.exp(), b, c)
        y = (y + self.D[:, None] * inputs).flatten(2)
        return self.out_proj(self.norm(y * functional.silu(gate)))


class MambaLayer(nn.Module):
    """Pre-norm residual block around `Mixer`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(config.width, eps=1e-5)
        self.mixer = Mixer(config)
        self.dropout = Dropout(config.dropout, config.width)

    def forward(
        self, x: Float[Tensor, "B L D"], is_padding: Bool[Tensor, "B L"], draws: Int[Tensor, "B L"] | None = None
    ) -> Float[Tensor, "B L D"]:
        """x plus its mixture."""
        return x + self.dropout(self.mixer(self.norm(x), is_padding), draws)
