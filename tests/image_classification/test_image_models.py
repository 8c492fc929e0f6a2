"""Networks of timm in the image task: fitted to its images, and with two heads where they are distilled."""

import math

import pytest
import torch
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from tasks.image_classification import DigitsData, ImageClassification
from tasks.image_classification.data.transforms import Normalization
from tasks.image_classification.layers import ImageWorkload
from tasks.image_classification.models import other_normalization, timm_model


class TwoHeads(nn.Module):
    """Two classes: the first head sees odds of 3 to 1, the second even odds."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        first = torch.tensor([[math.log(3.0), 0.0]]).expand(len(images), 2)
        return first, torch.zeros(len(images), 2)


def test_the_loss_of_two_heads_is_the_mean_of_theirs() -> None:
    task = ImageClassification("digits", DigitsData(batch_size=8, seed=0))
    output = task.step(TwoHeads(), (torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=torch.long)))
    # -ln(3/4) and -ln(1/2)
    assert output.loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, rel=1e-6)
    assert output.logits[0].tolist() == pytest.approx([math.log(3) / 2, 0.0])


def test_a_network_has_the_channels_and_classes_of_the_task() -> None:
    network = timm_model("resnet10t", {}, ImageWorkload(32, 1, 7))
    assert network.eval()(torch.zeros(2, 1, 32, 32)).shape == (2, 7)


def test_the_searched_networks_are_known_by_name() -> None:
    with torch.device("meta"):
        network = timm_model("shiftaddnas_t0_v4_q_distilled", {}, ImageWorkload(224, 3, 1000))
    assert type(network).__name__ == "SearchedNet"


def test_an_unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(UserError, match=r"did you mean .*resnet10t"):
        timm_model("esnet10t", {}, ImageWorkload(32, 1, 7))


def test_a_network_must_classify() -> None:
    with pytest.raises(UserError, match="does not give 7 logits"):
        timm_model("resnet10t", {"features_only": True}, ImageWorkload(32, 1, 7))


def test_weights_want_the_normalization_that_they_were_trained_with() -> None:
    imagenet = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert other_normalization("resnet50.a1_in1k", imagenet) is None
    why = other_normalization("vit_base_patch16_224.augreg_in1k", imagenet)
    assert why is not None
    assert "mean: [0.5, 0.5, 0.5]" in why
