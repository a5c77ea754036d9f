"""Model and training as frozen numbers: presets, derived phases, contradictions."""

import dataclasses
import json

import pytest

from retailsim.config import PRESETS, Config, ModelConfig, TrainConfig


def test_full_is_the_founding_documents_model():  # C14-C16
    model = PRESETS["full"].model
    assert (model.width, model.encoder_layers, model.decoder_layers, model.feed_forward) == (512, 4, 2, 2048)
    assert PRESETS["full"] == Config()


def test_full_trains_as_the_founding_document_does():  # C25, C26
    train = PRESETS["full"].train
    assert (train.epochs, train.batch_size, train.warmup_epochs, train.finetune_epochs) == (20, 256, 3, 5)
    assert (train.learning_rate, train.edge_learning_rate) == (5e-5, 1e-5)
    assert (train.mask_prob, train.finetune_mask_prob, train.max_grad_norm) == (0.15, 0.20, 1.0)


def test_presets_shrink_every_dimension_in_order():  # C18
    for field in dataclasses.fields(ModelConfig):
        if field.name in ("history", "trip_evidence"):  # the document's model has neither
            continue
        tiny, small, full = (getattr(PRESETS[name].model, field.name) for name in ("tiny", "small", "full"))
        assert tiny <= small <= full, field.name
    assert PRESETS["tiny"].model.width < PRESETS["small"].model.width < PRESETS["full"].model.width


@pytest.mark.parametrize("name", PRESETS)
def test_json_gives_the_same_configuration_back(name):
    config = PRESETS[name]
    assert config.preset == name
    assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_configuration_with_a_missing_or_unknown_field_is_refused():  # C28
    record = PRESETS["tiny"].to_json()
    with pytest.raises(TypeError, match="depth"):
        Config.from_json({**record, "model": {**record["model"], "depth": 3}})
    with pytest.raises(KeyError, match="train"):
        Config.from_json({"preset": "tiny", "model": record["model"]})


def test_flags_that_are_left_out_keep_the_presets_numbers():
    changed = PRESETS["small"].with_train(epochs=9, learning_rate=None, seed=0)
    assert changed.train == dataclasses.replace(PRESETS["small"].train, epochs=9)
    assert PRESETS["small"].train.epochs != 9  # frozen: the preset itself stays


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ModelConfig(width=100, encoder_head_width=64), "encoder_head_width 64 .* 200"),
        (lambda: ModelConfig(width=128, attention_heads=9), "attention_heads 9 .* 128"),
        (lambda: TrainConfig(epochs=7), "warmup_epochs 3 and finetune_epochs 5 do not fit into epochs 7"),
        (lambda: PRESETS["full"].with_train(epochs=2), "do not fit into epochs 2"),
        (lambda: TrainConfig(mask_prob=7.0), "mask_prob 7.0 is no share from 0 to 1"),
        (lambda: TrainConfig(open_share=-0.1), "open_share -0.1 is no share from 0 to 1"),
        (
            lambda: TrainConfig(contrastive_share=0.7, auxiliary_share=0.4),
            "contrastive_share 0.7, auxiliary_share 0.4 and evidence_share 0.0",
        ),
    ],
)
def test_contradictions_are_refused_with_both_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()
