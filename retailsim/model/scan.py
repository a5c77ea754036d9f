"""The state-space scan of the encoder, in both directions at once, as masked matrix products.

Legend: B baskets · L places · H heads · P head width · G groups of heads · N state size · K chunks · Q places in a chunk.
State-space duality (Dao & Gu 2024, "Transformers are SSMs", §3 and §6): with a scalar decay per head, the recurrence
    h_i = a_i h_{i−1} + dt_i x_i b_iᵀ,    y_i = h_i c_i
is y = M x with M_ij = (c_i · b_j) dt_j a_{j+1} ⋯ a_i for i ≥ j. The second direction, with its own decays and steps,
fills the strict upper triangle: M is quasi-separable (Hwang et al. 2024, "Hydra", §3). Decays are exponentials of
differences of cumulative sums that are never above zero, so nothing overflows.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

CHUNK = 64  # Q: longest stretch of places mixed by one matrix

Inputs = Float[Tensor, "B L H P"]
Steps = Float[Tensor, "B L H 2"]
Keys = Float[Tensor, "B L G N"]


def scan(x: Inputs, dt: Steps, log_a: Steps, b: Keys, c: Keys, chunk: int = CHUNK) -> Inputs:
    """Both directions of the recurrence, y [B, L, H, P]; cost linear in L beyond `chunk` places.

    `dt` ≥ 0 is how much of a place enters the state and `log_a` ≤ 0 the log-decay at that place, each with the forward
    direction first; a place with dt = log_a = 0 lets the state pass. The forward direction includes the place itself,
    the backward direction does not. Head h reads b and c of group h // (H / G).
    """
    length = x.shape[1]
    if length <= chunk:
        down, up = _log_decays(log_a)
        return _mix(x, dt, down, up, b, c)
    fill = -length % chunk
    x, dt, log_a, b, c = (_fold(functional.pad(t, (0, 0, 0, 0, 0, fill)), chunk) for t in (x, dt, log_a, b, c))
    down, up = _log_decays(log_a)
    y = _mix(x, dt, down, up, b, c) + _between_chunks(x, dt, log_a, down, up, b, c, (length + fill) // chunk)
    return y.unflatten(0, (-1, (length + fill) // chunk)).flatten(1, 2)[:, :length]


def scan_reference(x: Inputs, dt: Steps, log_a: Steps, b: Keys, c: Keys) -> Inputs:
    """The recurrence of `scan` place by place: slow, and what `scan` is tested against."""
    heads_per_group = x.shape[2] // b.shape[2]
    b, c = b.repeat_interleave(heads_per_group, 2), c.repeat_interleave(heads_per_group, 2)  # [B, L, H, N]
    length = x.shape[1]
    state = torch.zeros_like(x[:, 0, :, :, None] * b[:, 0, :, None])  # [B, H, P, N]
    forward, backward = [], []
    for i in range(length):
        entering = (dt[:, i, :, 0, None] * x[:, i])[..., None] * b[:, i, :, None]
        state = log_a[:, i, :, 0, None, None].exp() * state + entering
        forward.append((state @ c[:, i, :, :, None]).squeeze(-1))
    state = torch.zeros_like(state)
    for i in reversed(range(length)):
        state = log_a[:, i, :, 1, None, None].exp() * state
        backward.append((state @ c[:, i, :, :, None]).squeeze(-1))
        state = state + (dt[:, i, :, 1, None] * x[:, i])[..., None] * b[:, i, :, None]
    return torch.stack(forward, 1) + torch.stack(backward[::-1], 1)


def _log_decays(log_a: Steps) -> tuple[Float[Tensor, "B H L"], Float[Tensor, "B H L"]]:
    """Cumulative log-decays: forward up to and with place i, backward from the first place to before place i."""
    forward, backward = log_a.permute(3, 0, 2, 1)
    return forward.cumsum(-1), functional.pad(backward[..., :-1], (1, 0)).cumsum(-1)


def _mix(x: Inputs, dt: Steps, down: Float[Tensor, "B H L"], up: Float[Tensor, "B H L"], b: Keys, c: Keys) -> Inputs:
    """One L×L matrix per head: lower triangle with diagonal forward, strict upper triangle backward."""
    batch, length, heads, _ = x.shape
    groups = b.shape[2]
    is_forward = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
    # dt enters as its log, which saves a pass over [B, H, L, L]; dt = 0 becomes −inf and thus weight 0, gradient 0
    log_dt = dt.clamp_min(torch.finfo(dt.dtype).tiny).log().masked_fill(dt == 0, -torch.inf)
    log_forward, log_backward = log_dt.permute(3, 0, 2, 1)
    weights = torch.where(
        is_forward,
        down[..., :, None] - (down - log_forward)[..., None, :],
        (up + log_backward)[..., None, :] - up[..., :, None],
    ).exp()  # [B, H, L, L]
    scores = c.transpose(1, 2) @ b.permute(0, 2, 3, 1)  # [B, G, L, L]
    mixing = (weights.unflatten(1, (groups, heads // groups)) * scores[:, :, None]).flatten(1, 2)
    return (mixing.to(x.dtype) @ x.transpose(1, 2)).transpose(1, 2)


def _between_chunks(
    x: Inputs,
    dt: Steps,
    log_a: Steps,
    down: Float[Tensor, "B H L"],
    up: Float[Tensor, "B H L"],
    b: Keys,
    c: Keys,
    chunks: int,
) -> Inputs:
    """What each chunk receives from all others; the first axis holds the chunks of each basket in order."""
    groups, shape = b.shape[2], x.shape[2:]
    down, up = down.transpose(1, 2), up.transpose(1, 2)  # [BK, Q, H]
    down_end, up_end = down[:, -1:], up[:, -1:] + log_a[:, -1:, :, 1]  # log-decay over the whole chunk, [BK, 1, H]
    to_right_end = (down_end - down).exp() * dt[..., 0]
    to_left_end = up.exp() * dt[..., 1]
    keys = b.transpose(1, 2)  # [BK, G, Q, N]
    rightward, leftward = (  # what each chunk adds to the state, [BK, G, HP/G, N]
        _by_group(x * w[..., None].to(x.dtype), groups).transpose(2, 3) @ keys for w in (to_right_end, to_left_end)
    )
    arriving_left = _carry(rightward, down_end.exp().view(-1, chunks, shape[0]))
    arriving_right = _carry(leftward, up_end.exp().view(-1, chunks, shape[0]), reverse=True)
    from_left, from_right = (
        (c.transpose(1, 2) @ state.to(c.dtype).transpose(2, 3)).transpose(1, 2).flatten(2).unflatten(2, shape)
        for state in (arriving_left, arriving_right)
    )
    y = from_left * down.exp()[..., None] + from_right * (up_end - up).exp()[..., None]
    return y.to(x.dtype)


def _carry(states: Float[Tensor, "BK G W N"], decay: Float[Tensor, "B K H"], reverse: bool = False) -> Tensor:
    """The state that arrives at each chunk, from what each chunk adds and by what it decays: K steps."""
    baskets, chunks, heads = decay.shape
    added = states.reshape(baskets, chunks, heads, -1).unbind(1)
    factors = decay[..., None].unbind(1)
    state = torch.zeros_like(added[0])
    arriving = []
    for k in reversed(range(chunks)) if reverse else range(chunks):
        arriving.append(state)
        state = factors[k] * state + added[k]
    return torch.stack(arriving[::-1] if reverse else arriving, 1).view(states.shape)


def _by_group(x: Inputs, groups: int) -> Float[Tensor, "B G L W"]:
    """Heads of one group side by side: W = P·H/G."""
    return x.flatten(2).unflatten(2, (groups, -1)).transpose(1, 2)


def _fold(x: Any, chunk: int) -> Any:
    """[B, K·Q, …] → [BK, Q, …]."""
    return x.unflatten(1, (-1, chunk)).flatten(0, 1)
