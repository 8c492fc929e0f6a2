"""The 94 features of HAT and ShiftAddNAS, and their predictors, against the released check vector and by hand."""

from dataclasses import replace

import numpy as np
import pytest
from released_networks import FOUND_NETWORKS, SHIPPED_NETWORKS, V3

from composed import built
from shiftaddnas.errors import UserError
from shiftaddnas.latency import features_of
from tasks.translation import TranslationSpace
from tasks.translation.features import columns, transformer_features
from tasks.translation.released_predictor import FEATURE_NORMS, released_predictor

NUM_FEATURES = 94


def test_check_vector_of_the_released_search_at_200_ms() -> None:
    features = transformer_features(FOUND_NETWORKS["200"].config, V3)
    assert len(features) == len(columns(V3)) == NUM_FEATURES
    sizes = [512, 6, 2218.6667, 5.3333, 512, 3, 4096, 9.3333, 4, 3]
    assert features[:10] == pytest.approx(sizes, abs=5e-5)
    assert np.flatnonzero(features[10:]).tolist() == [3, 13, 18, 25, 32, 36, 46, 52, 59]
    assert set(features[10:]) == {0.0, 1.0}


def test_memories_of_cross_attention_count() -> None:
    config = SHIPPED_NETWORKS["wmt_en_de/v3_350ms_jul13"].config  # spans 2 -1 2 2 2
    assert transformer_features(config, V3)[9] == pytest.approx((3 + 1 + 3 + 3 + 3) / 5)
    seen = replace(config, decoder=tuple(replace(layer, cross_span=1) for layer in config.decoder))
    assert transformer_features(seen, V3)[9] == 2


def test_the_predictor_finds_them_by_name() -> None:
    space: TranslationSpace = built("space", "space=gettext")
    features = features_of("transformer", space, "predictor.features")
    assert features.columns == columns(space.shape)
    assert len(features.columns) == 10 + 2 * 3 * 7
    arch = space.sample(np.random.default_rng(0))
    assert np.array_equal(features(arch), transformer_features(space.config(arch), space.shape))


def test_other_spaces_have_no_such_features() -> None:
    with pytest.raises(UserError, match="features=transformer describe translation networks; space digits has none"):
        features_of("transformer", built("space", "space=digits"), "predictor.features")


def test_released_predictor_is_the_network_of_its_weights() -> None:
    """One hidden unit that adds the encoder's relative width and depth, then is halved, twice."""
    first = np.zeros((1, NUM_FEATURES))
    first[0, :2] = 1, 1
    state = {
        "first_layer.weight": first,
        "first_layer.bias": [0.0],
        "layers.0.weight": [[0.5]],
        "layers.0.bias": [0.25],
        "predict.weight": [[0.5]],
        "predict.bias": [0.1],
    }
    config = SHIPPED_NETWORKS["wmt_en_de/v3_100ms_update"].config
    predictor = released_predictor(state, space="v3", machine="gpu")
    hidden = 0.5 * (512 / 1024 + 6 / 6) + 0.25
    assert predictor(transformer_features(config, V3)) == pytest.approx(200 * (0.5 * hidden + 0.1))
    predictor = released_predictor(state, space="v2", machine="xeon")
    hidden = 0.5 * (512 / 640 + 6 / 6) + 0.25
    assert predictor(transformer_features(config, V3)) == pytest.approx(300 * (0.5 * hidden + 0.1))


def test_norms_of_the_spaces() -> None:
    assert FEATURE_NORMS["v2"] == (640, 6, 2048, 6, 640, 6, 2048, 6, 6, 2)
    assert FEATURE_NORMS["v3"] == (1024, 6, 4096, 6, 1024, 6, 4096, 6, 6, 2)
    assert FEATURE_NORMS["en_fr"] == (1024, 6, 4096, 6, 1024, 6, 3072, 6, 6, 2)


def test_a_checkpoint_of_something_else_is_refused() -> None:
    with pytest.raises(UserError, match=r"lacks first_layer.weight; it is no released latency predictor"):
        released_predictor({"weight": [0.0]}, space="v3", machine="gpu")
    with pytest.raises(UserError, match="space=v9 is unknown; allowed: v2, v3, en_fr"):
        released_predictor({}, space="v9", machine="gpu")
