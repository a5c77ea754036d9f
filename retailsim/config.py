"""Every number that shapes model and training, as frozen dataclasses; presets tiny, small, best, full (SPEC C18, C26)."""

import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the world model; the defaults are the founding document's (`full`)."""

    width: int = 512  # D, model width
    encoder_layers: int = 4
    encoder_expand: int = 2  # inner width E = expand × D
    encoder_head_width: int = 64  # width of one state-space head
    heads_per_group: int = 2  # state-space heads that share keys and queries
    state_size: int = 64  # N, state of one head
    convolution: int = 4  # taps of the short convolution in front of the scan, to each side with the place itself
    decoder_layers: int = 2
    attention_heads: int = 8
    feed_forward: int = 2048
    dropout: float = 0.1
    learned_products: bool = True  # T2 has a learned correction per product
    history: bool = False  # whether single earlier purchases reach the logits (docs/decisions/0009-purchase-history.md)
    history_width: int = 64  # of an earlier purchase
    trip_evidence: bool = False  # whether products and the trip's labels speak for each other directly (docs/decisions/0010-trip-evidence.md)

    def __post_init__(self) -> None:
        inner = self.width * self.encoder_expand
        if inner % self.encoder_head_width:
            raise ValueError(f"encoder_head_width {self.encoder_head_width} does not divide the inner width {inner}")
        if inner // self.encoder_head_width % self.heads_per_group:
            raise ValueError(
                f"heads_per_group {self.heads_per_group} does not divide the "
                f"{inner // self.encoder_head_width} state-space heads"
            )
        if self.width % self.attention_heads:
            raise ValueError(f"attention_heads {self.attention_heads} does not divide the width {self.width}")


@dataclass(frozen=True)
class TrainConfig:
    """How the model is trained; the defaults are the founding document's (section "Three Training Phases")."""

    epochs: int = 20
    batch_size: int = 256
    learning_rate: float = 5e-5  # main phase
    edge_learning_rate: float = 1e-5  # warm-up and fine-tuning
    warmup_epochs: int = 3
    finetune_epochs: int = 5
    mask_prob: float = 0.15
    finetune_mask_prob: float = 0.20
    mask_token_share: float = 0.8  # of the hidden places that show the mask token; half of the rest a random product
    open_share: float = 0.2  # of training baskets, half of them shown empty (docs/decisions/0016-open-baskets.md)
    hide_trip_prob: float = 0.5  # share of training baskets whose T6 is hidden (C22)
    part_trip_prob: float = 0.0  # share of the others that show a part of it (docs/decisions/0017)
    max_grad_norm: float = 1.0
    weight_decay: float = 0.01
    focal_gamma: float = 2.0  # 0: plain cross-entropy
    contrastive_share: float = 0.20  # of the loss of main phase and fine-tuning
    auxiliary_share: float = 0.20  # of the loss of main phase and fine-tuning: the trip's labels
    evidence_share: float = 0.0  # of the loss of main phase and fine-tuning: known trips, given the hidden product (docs/decisions/0015-kinds-of-products.md)
    cosine: bool = False  # one rate that falls step by step along a cosine over all epochs, instead of one per phase
    evidence_rate: float = 1.0  # at how many times the rate the trip evidence learns
    temperature: float = 0.1  # of the contrastive loss
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("mask_prob", "finetune_mask_prob", "open_share", "hide_trip_prob", "part_trip_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)} is no share from 0 to 1")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate {self.learning_rate} is no number above 0")
        if not self.max_grad_norm > 0:  # NaN, too
            raise ValueError(f"max_grad_norm {self.max_grad_norm} is no number above 0")
        if self.contrastive_share + self.auxiliary_share + self.evidence_share > 1:
            raise ValueError(
                f"contrastive_share {self.contrastive_share}, auxiliary_share {self.auxiliary_share} and "
                f"evidence_share {self.evidence_share} leave nothing to the products"
            )
        if self.warmup_epochs + self.finetune_epochs > self.epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs} and finetune_epochs {self.finetune_epochs} "
                f"do not fit into epochs {self.epochs}"
            )


@dataclass(frozen=True)
class Config:
    """A model and its training, as stored in every checkpoint."""

    preset: str = "full"
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, for checkpoints and manifests."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Config":
        """The inverse of `to_json`; a field that is missing or unknown raises."""
        return cls(record["preset"], ModelConfig(**record["model"]), TrainConfig(**record["train"]))

    def with_train(self, **changes: Any) -> "Config":
        """The same model, with the training fields that are not None replaced."""
        known = {f.name for f in fields(TrainConfig)}
        given = {name: value for name, value in changes.items() if value is not None}
        assert given.keys() <= known, given.keys() - known
        return replace(self, train=replace(self.train, **given))


# What won on real receipts (docs/experiments.md): purchases of earlier weeks reach the logits, every basket gives more
# lessons, plain cross-entropy, a rate fit for small models.
_HISTORY_MODEL = ModelConfig(
    width=128,
    encoder_layers=2,
    encoder_head_width=32,
    state_size=16,
    decoder_layers=1,
    attention_heads=4,
    feed_forward=256,
    history=True,
    trip_evidence=True,
)
_HISTORY_TRAINING = TrainConfig(
    epochs=8,
    learning_rate=2e-3,
    warmup_epochs=0,
    finetune_epochs=1,
    mask_prob=0.25,
    finetune_mask_prob=0.15,
    mask_token_share=1.0,
    part_trip_prob=0.25,
    focal_gamma=0.0,
    max_grad_norm=100.0,  # norms of 5 to 11 were measured: shortened to 1, a batch counts by its direction alone
    contrastive_share=0.0,
    auxiliary_share=0.1,
    evidence_share=0.1,
    cosine=True,
    evidence_rate=3.0,
)

PRESETS: dict[str, Config] = {
    "full": Config(),
    "small": Config("small", _HISTORY_MODEL, _HISTORY_TRAINING),
    "best": Config(
        "best",
        replace(_HISTORY_MODEL, width=256, feed_forward=512, dropout=0.2, history_width=128),
        replace(_HISTORY_TRAINING, learning_rate=1e-3, weight_decay=0.05),
    ),
    "tiny": Config(
        "tiny",
        replace(_HISTORY_MODEL, width=64, attention_heads=2, feed_forward=128, history_width=32),
        replace(_HISTORY_TRAINING, epochs=20, batch_size=64),
    ),
}
