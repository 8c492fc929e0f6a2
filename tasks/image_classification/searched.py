"""The networks that ShiftAddNAS (ICML 2022) found and retrained on ImageNet, as timm models.

Importing this module registers them: `timm.create_model("shiftaddnas_t0_v4_q_distilled")`. They are the searched
networks at retraining width, with what the authors retrained them with: average-pooled shortcuts, SiLU,
squeeze-and-excitation. `released_checkpoint.py` reads the authors' weight files.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.layers.squeeze_excite import SEModule
from timm.models import register_model
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.ops import AdderConv2d, ShiftConv2d, ShiftForm
from tasks.image_classification.blocks import attention

Operator = Literal["attention", "conv", "add", "shift"]
Stages = Sequence[Sequence[Operator]]

CODES: tuple[Operator, ...] = ("attention", "conv", "add", "shift")
"""The released notation's digits, in order."""
PLANES = (64, 128, 256, 512)
EXPANSION = 4
HEAD_DIM = 64
ARCHS = {
    "v3": ((1, 1), (1, 1, 1, 1), (3, 1, 0, 2, 2), (0, 0, 1, 0, 0)),
    "v4": ((1, 1), (1, 3, 1, 1), (3, 1, 0, 3, 3), (0, 0, 1, 0, 0)),
}


class Attention(nn.Module):
    """Self-attention over the positions of a map, queries, keys and values from one 1x1 convolution.

    `product` is that of `attention`; the released networks have "released". (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, width: int, product: Literal["released", "standard"]) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.product = product

    def forward(self, x: Tensor) -> Tensor:
        return attention(self.qkv(x), HEAD_DIM, self.product)


class Block(nn.Module):
    """A residual bottleneck block: 1x1, depthwise 3x3 (the PEG, which carries the stride), mix, 1x1, plus shortcut.

    The mix is a 3x3 convolution of the block's operator, or attention. All but attention end with
    squeeze-and-excitation. (B, in_width, H, W) -> (B, 4 planes, H / stride, W / stride).

    An adder block projects with an adder, as the official operation counter has it; the released one had no projection,
    so that none could begin a stage.
    """

    def __init__(
        self,
        operator: Operator,
        in_width: int,
        planes: int,
        stride: int,
        *,
        shift_form: ShiftForm,
        product: Literal["released", "standard"],
        drop_path: float,
    ) -> None:
        super().__init__()
        width = EXPANSION * planes

        def conv(channels: int, filters: int, size: int = 1, **geometry: Any) -> nn.Module:
            geometry = {"padding": size // 2, "bias": False} | geometry
            match operator:
                case "add":
                    return AdderConv2d(channels, filters, size, **geometry)
                case "shift":
                    return ShiftConv2d(channels, filters, size, form=shift_form, **geometry)
                case _:
                    return nn.Conv2d(channels, filters, size, **geometry)

        self.shortcut = nn.Sequential()
        if stride > 1 or in_width != width:
            pool = nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, conv(in_width, width), nn.BatchNorm2d(width))
        self.conv1 = conv(in_width, planes)
        self.peg = conv(planes, planes, 3, stride=stride, groups=planes, bias=operator != "add")
        self.bn1 = nn.BatchNorm2d(planes)
        self.mix = Attention(planes, product) if operator == "attention" else conv(planes, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = conv(planes, width)
        self.bn3 = nn.BatchNorm2d(width)
        self.se = nn.Identity() if operator == "attention" else SEModule(width, rd_channels=max(width // 16, 8))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self.bn1(self.peg(self.conv1(x))))
        y = F.silu(self.bn2(self.mix(y)))
        y = self.drop_path(self.se(self.bn3(self.conv3(y))))
        return F.silu(self.shortcut(x) + y)


class SearchedNet(nn.Module):
    """A stem, four stages of blocks, and one linear head, or two of which the second learns from a teacher.

    (B, in_chans, H, W) -> (B, num_classes); a distilled network gives both heads' logits while training, else their
    mean.

    Args:
        stages: the operators of each stage's blocks.
        last_stride: 2 (T0), or 1 (T1) where the last stage keeps the map of the third.
        shift_form: "ps", or "q" as in the networks named so.
        distilled: whether there is a second head.
        product: see `Attention`.
    """

    def __init__(
        self,
        stages: Stages,
        *,
        last_stride: Literal[1, 2] = 2,
        shift_form: ShiftForm = "ps",
        distilled: bool = False,
        product: Literal["released", "standard"] = "released",
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if len(stages) != len(PLANES) or not all(stages):
            raise UserError(f"a searched network has {len(PLANES)} stages of at least one block, not {stages}")
        self.num_classes = num_classes
        self.num_features = EXPANSION * PLANES[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(in_chans, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.SiLU(), nn.MaxPool2d(3, 2, 1)
        )
        num_blocks = sum(map(len, stages))
        width, index = 64, 0
        blocks: list[nn.Sequential] = []
        for operators, planes, first_stride in zip(stages, PLANES, (1, 2, 2, last_stride), strict=True):
            stage = nn.Sequential()
            for number, operator in enumerate(operators):
                stage.append(
                    Block(
                        operator,
                        width,
                        planes,
                        first_stride if number == 0 else 1,
                        shift_form=shift_form,
                        product=product,
                        drop_path=drop_path_rate * index / (num_blocks - 1),
                    )
                )
                width, index = EXPANSION * planes, index + 1
            blocks.append(stage)
        self.stages = nn.Sequential(*blocks)
        self.head: nn.Module = nn.Linear(self.num_features, num_classes)
        self.head_distilled: nn.Module | None = nn.Linear(self.num_features, num_classes) if distilled else None
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, Block):
                nn.init.zeros_(module.bn3.weight)

    def reset_classifier(self, num_classes: int) -> None:
        """Give the network fresh heads for so many classes, as timm's models do."""
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes)
        if self.head_distilled is not None:
            self.head_distilled = nn.Linear(self.num_features, num_classes)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """The stem and the blocks, or with `coarse` the stages, by parameter names, as timm's models give them."""
        blocks = r"^stages\.(\d+)" if coarse else r"^stages\.(\d+)\.(\d+)"
        return {"stem": r"^stem", "blocks": [(blocks, None)]}

    def forward_features(self, x: Tensor) -> Tensor:
        """The last stage's map."""
        features: Tensor = self.stages(self.stem(x))
        return features

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        pooled = self.forward_features(x).mean((2, 3))
        logits: Tensor = self.head(pooled)
        if self.head_distilled is None:
            return logits
        distilled: Tensor = self.head_distilled(pooled)
        return (logits, distilled) if self.training else (logits + distilled) / 2


def stages_of(codes: Sequence[Sequence[int]]) -> list[list[Operator]]:
    """The operators that the released notation, such as [[1, 1], [1, 3, 1, 1], ...], stands for.

    Raises:
        UserError: a digit stands for no operator.
    """
    unknown = sorted({code for stage in codes for code in stage} - set(range(len(CODES))))
    if unknown:
        known = ", ".join(f"{code} {operator}" for code, operator in enumerate(CODES))
        raise UserError(f"{unknown[0]} stands for no operator; there are {known}")
    return [[CODES[code] for code in stage] for stage in codes]


def _register(size: str, arch: str, form: ShiftForm, distilled: bool) -> str:
    name = f"shiftaddnas_{size}_{arch}" + ("_q" if form == "q" else "") + ("_distilled" if distilled else "")

    def create(pretrained: bool = False, **settings: Any) -> SearchedNet:
        if pretrained:
            raise UserError(f"{name} has no weights to download; read a released file with load_released_checkpoint")
        settings.pop("pretrained_cfg", None)
        settings.pop("pretrained_cfg_overlay", None)
        settings.pop("cache_dir", None)
        return SearchedNet(
            stages_of(ARCHS[arch]),
            last_stride=2 if size == "t0" else 1,
            shift_form=form,
            distilled=distilled,
            **settings,
        )

    create.__name__ = name
    create.__module__ = __name__
    globals()[name] = create
    register_model(create)
    return name


_FORMS: tuple[ShiftForm, ...] = ("ps", "q")
NAMES = tuple(
    _register(size, arch, form, distilled)
    for size in ("t0", "t1")
    for arch in ARCHS
    for form in _FORMS
    for distilled in (False, True)
)
"""The registered models."""
