"""The translation networks of the released ShiftAddNAS code, as its files and logs have them.

A row: name, widths of encoder and decoder; of the encoder's layers feed-forward widths, heads and operators; of the
decoder's feed-forward widths, heads, heads of cross attention, spans and operators; parameters and FLOPs.
"""

from dataclasses import dataclass

from tasks.translation.config import (
    DecoderLayerConfig,
    EncoderLayerConfig,
    Operator,
    SuperShape,
    TransformerConfig,
)

V3 = SuperShape(1024, 1024, 4096, 4096, 16, 16)
EN_FR = SuperShape(1024, 1024, 4096, 3072, 16, 16)
OPERATORS: dict[str, Operator] = {
    "LC": "lightweight_conv",
    "LA": "lightweight_add",
    "LS": "lightweight_shiftadd",
    "SA": "self_attention",
    "SA+LC": "self_attention+lightweight_conv",
    "SA+LA": "self_attention+lightweight_add",
    "SA+LS": "self_attention+lightweight_shiftadd",
}
SHAPES = {"wmt_en_de": V3, "wmt_en_fr": EN_FR}

SHIPPED = {
    "wmt_en_de": """
v3_100ms_update | 512 512 | 1024 1024 1024 4096 3072 4096 | 8 8 16 8 4 16 | SA+LA SA+LS SA SA+LA SA+LS SA | 4096 | 8 | 4 | 2 | SA | 25,876,768 | 1,631,385,768
v3_120ms_update | 512 512 | 1024 3072 1024 1024 2048 4096 | 8 8 4 8 8 8 | SA+LA SA+LC SA SA+LC SA+LS SA+LC | 4096 | 8 | 4 | 2 | SA | 23,318,940 | 1,478,031,528
v3_150ms_update | 512 512 | 2048 1024 3072 1024 1024 4096 | 4 16 8 16 8 4 | SA+LC SA SA+LC SA+LC SA SA | 4096 4096 | 4 16 | 4 4 | 2 2 | SA+LC SA | 29,949,136 | 1,945,620,660
v3_180ms_update | 512 512 | 4096 4096 4096 2048 1024 1024 | 8 8 4 4 8 8 | SA SA+LC SA+LS SA SA SA | 4096 4096 | 4 16 | 16 4 | 2 2 | SA+LC SA | 34,606,180 | 2,224,804,020
v3_200ms_update | 512 512 | 2048 4096 2048 1024 1024 3072 | 8 4 4 4 4 8 | SA SA+LS SA+LC SA+LC SA+LC SA | 4096 4096 4096 | 4 8 16 | 4 4 4 | 2 2 2 | SA+LC SA SA | 36,974,940 | 2,436,802,752
v3_250ms_update | 512 512 | 2048 2048 4096 4096 1024 4096 | 8 4 16 16 8 4 | SA+LC SA+LC SA+LA SA+LA SA SA | 4096 3072 3072 | 4 16 8 | 4 16 4 | 2 2 2 | SA+LC SA SA | 39,008,236 | 2,558,699,712
v3_300ms_update | 512 512 | 2048 1024 1024 1024 2048 4096 | 4 8 8 4 4 8 | SA+LC SA+LC SA SA+LA SA SA | 4096 3072 3072 | 4 16 8 | 4 16 16 | 2 2 -1 | SA+LC SA SA | 33,103,536 | 2,138,204,352
v3_350ms_update | 512 512 | 3072 2048 4096 2048 4096 4096 | 16 4 4 16 4 16 | SA+LA SA SA+LA SA+LA SA SA | 4096 4096 3072 | 4 16 8 | 4 4 4 | 2 2 2 | SA+LC SA SA | 42,549,968 | 2,771,036,352
v3_400ms_update | 512 512 | 3072 4096 4096 3072 3072 4096 | 16 16 8 8 16 16 | SA SA+LC SA SA SA+LA SA | 4096 4096 3072 | 4 16 4 | 4 4 4 | 2 2 2 | SA+LC SA SA+LA | 44,649,184 | 2,896,865,472
v3_200ms | 512 768 | 3072 2048 3072 1024 4096 3072 | 8 4 4 4 4 16 | SA+LC SA+LC SA+LC SA+LS SA+LS SA+LC | 4096 4096 4096 | 16 16 4 | 16 16 4 | 1 1 1 | SA+LC SA SA | 47,963,236 | 2,995,691,712
v3_200ms_jun29 | 512 768 | 3072 2048 3072 1024 4096 3072 | 8 4 4 4 4 16 | SA+LC SA+LC SA+LC SA+LS SA+LS SA | 3072 3072 3072 | 16 16 4 | 16 16 4 | 1 1 1 | SA+LC SA SA | 43,634,408 | 2,736,169,152
v3_250ms_jun29 | 512 768 | 2048 2048 4096 4096 2048 4096 | 16 16 16 4 16 16 | SA SA+LA SA+LC SA+LS SA SA+LA | 4096 4096 4096 | 4 8 4 | 4 4 4 | 2 1 2 | SA+LS SA+LS SA+LS | 50,243,764 | 3,198,935,232
v3_300ms_jun29 | 512 768 | 3072 4096 4096 4096 4096 4096 | 16 8 8 8 8 16 | SA+LC SA+LC SA+LC SA+LA SA+LA SA+LA | 4096 3072 4096 4096 | 16 4 4 8 | 8 4 4 4 | 2 1 2 1 | SA+LC SA+LS SA+LA SA+LA | 61,468,728 | 3,908,521,164
v3_300ms_jul12 | 512 768 | 3072 4096 4096 4096 4096 4096 | 16 8 8 8 8 16 | SA+LC SA+LC SA+LC SA+LA SA+LA SA | 4096 3072 4096 4096 | 16 4 4 8 | 8 4 4 4 | 2 1 2 1 | SA SA+LS SA+LA SA+LC | 62,352,688 | 3,961,605,324
v3_300ms_jul23 | 512 768 | 3072 3072 3072 3072 3072 3072 | 16 8 8 8 8 16 | SA+LC SA+LC SA+LC SA+LA SA+LA SA | 2048 2048 3072 3072 | 16 4 4 8 | 8 4 4 4 | 2 1 2 1 | SA SA+LS SA+LA SA+LC | 49,235,248 | 3,175,173,324
v3_350ms_jul13 | 512 768 | 3072 3072 2048 3072 4096 4096 | 16 16 4 16 16 8 | SA+LA SA+LS SA+LA SA+LA SA SA | 4096 4096 4096 4096 4096 | 16 8 4 4 16 | 4 4 4 8 8 | 2 -1 2 2 2 | SA+LC SA+LS SA+LA SA SA+LC | 68,884,800 | 4,423,342,296
v3_350ms_jul8 | 512 768 | 2048 3072 2048 3072 4096 4096 | 16 16 4 16 16 8 | SA+LA SA+LS SA+LA SA+LA SA SA+LS | 4096 4096 4096 4096 4096 | 16 8 4 4 16 | 4 4 4 8 8 | 2 -1 2 2 2 | SA+LC SA+LS SA+LA SA SA+LC | 67,508,156 | 4,340,766,936
v3_400ms_jul8 | 512 768 | 2048 4096 3072 4096 4096 4096 | 16 4 16 4 16 8 | SA+LC SA+LS SA+LA SA+LC SA+LA SA+LS | 4096 4096 4096 4096 4096 | 16 16 4 8 16 | 16 8 8 4 16 | 1 2 2 2 1 | SA+LS SA+LC SA+LS SA+LA SA+LS | 70,068,788 | 4,494,121,176
v3_250ms | 1024 768 | 4096 4096 3072 4096 2048 4096 | 4 8 8 8 4 4 | LC SA+LS SA SA LS LA | 4096 3072 4096 | 4 4 8 | 4 4 16 | 2 2 -1 | SA+LS SA+LS SA+LS | 84,009,104 | 5,311,303,854
v3_300ms | 1024 768 | 3072 4096 2048 3072 4096 4096 | 8 4 16 8 4 8 | LS SA SA+LS SA+LA LS SA+LC | 4096 4096 3072 4096 | 16 4 8 4 | 16 4 4 16 | 2 2 2 2 | SA+LC SA+LS SA+LA SA+LA | 90,842,036 | 5,985,039,552
v3_250ms_new | 1024 768 | 4096 4096 3072 4096 2048 4096 | 4 8 8 8 4 4 | SA+LC SA+LC SA+LC SA SA+LC LA | 4096 3072 4096 | 4 4 8 | 4 4 16 | 2 1 -1 | SA+LC SA SA | 81,668,956 | 5,109,719,226
v3_300ms_new | 1024 768 | 3072 4096 2048 3072 4096 4096 | 8 4 16 8 4 8 | SA+LC SA+LC SA+LC SA SA+LC LA | 4096 4096 3072 4096 | 16 4 8 4 | 16 4 4 16 | 2 1 -1 2 | SA+LC SA SA SA | 89,284,188 | 5,699,251,398
v3_500ms | 512 512 | 2048 4096 4096 1024 4096 4096 | 8 16 4 4 4 4 | LA SA+LA LA LA SA LA | 4096 4096 4096 | 8 16 8 | 4 4 16 | 2 -1 -1 | SA+LC SA SA | 42,281,256 | 2,614,610,088
v3_big | 1024 1024 | 4096 4096 4096 4096 4096 4096 | 16 16 16 16 16 16 | SA+LC SA+LC SA+LC SA SA+LC LA | 4096 4096 4096 4096 4096 4096 | 16 16 16 16 16 16 | 16 16 16 16 16 16 | 2 1 -1 2 1 -1 | SA+LC SA SA SA SA+LA SA | 135,436,632 | 8,538,347,742
""",  # noqa: E501
    "wmt_en_fr": """
v1_100ms | 512 512 | 1024 1024 1024 4096 1024 4096 | 8 8 8 16 8 8 | SA SA+LA SA+LS SA+LS SA LA | 3072 3072 | 8 8 | 4 4 | 2 2 | SA+LC SA | 27,455,696 | 1,794,324,654
v1_120ms | 512 512 | 1024 1024 1024 1024 1024 3072 | 8 4 8 8 16 16 | SA SA+LS SA+LC SA+LS SA SA | 3072 3072 3072 | 8 16 16 | 4 4 4 | -1 1 2 | SA+LC SA SA | 29,036,768 | 1,861,109,952
v1_150ms | 512 512 | 2048 1024 1024 3072 1024 4096 | 16 16 8 8 8 16 | SA+LS SA+LS SA SA+LC LS SA | 3072 3072 3072 | 8 16 16 | 4 4 4 | 2 2 2 | SA+LC SA SA | 32,971,936 | 2,195,067,066
v1_150ms_quant | 512 512 | 2048 1024 1024 3072 1024 4096 | 16 16 8 8 8 16 | SA+LS SA+LS SA SA+LC SA+LS SA | 3072 3072 3072 | 8 16 16 | 4 4 4 | 2 2 2 | SA+LC SA SA | 32,908,076 | 2,193,008,832
v1_160ms | 512 512 | 2048 1024 2048 1024 1024 4096 | 4 4 16 16 16 16 | SA+LC SA SA SA+LC LA SA | 3072 3072 3072 2048 | 8 16 16 4 | 4 4 4 8 | -1 1 2 2 | SA+LC SA SA SA | 36,125,060 | 2,354,350,278
v1_170ms | 512 512 | 1024 2048 4096 1024 2048 4096 | 8 4 4 16 4 8 | SA SA+LS LC SA+LA SA+LA SA | 3072 3072 3072 1024 | 8 16 16 4 | 4 4 4 8 | 2 2 2 -1 | SA+LC SA SA SA | 37,896,976 | 2,493,819,078
v1_180ms | 512 512 | 2048 3072 2048 3072 1024 4096 | 8 16 8 8 16 8 | SA+LC SA+LS SA+LC SA+LS SA SA | 3072 3072 3072 3072 | 8 16 16 4 | 4 4 4 8 | -1 2 2 2 | SA+LC SA SA SA | 41,244,652 | 2,696,233,164
v1_200ms | 512 512 | 2048 4096 2048 1024 4096 4096 | 4 16 4 16 8 16 | SA+LA SA+LA SA SA+LC SA+LC SA | 3072 3072 3072 2048 | 8 16 16 4 | 4 4 4 8 | 2 2 2 2 | SA+LC SA SA SA | 42,162,732 | 2,817,884,364
v1_250ms | 512 512 | 4096 1024 2048 3072 1024 4096 | 4 4 8 16 4 8 | SA LC SA+LS SA+LS SA SA | 3072 3072 3072 2048 2048 | 8 16 16 16 4 | 4 4 4 8 8 | 2 2 2 2 2 | SA+LC SA SA SA SA | 44,658,740 | 3,035,873,490
v1_300ms | 512 512 | 1024 2048 4096 1024 3072 4096 | 8 16 16 16 16 8 | LA SA+LC SA SA+LA SA SA | 3072 3072 3072 3072 2048 | 8 8 16 16 4 | 4 4 4 4 16 | -1 2 2 2 2 | SA+LC SA SA SA SA | 45,576,660 | 3,024,322,770
v1_350ms | 512 512 | 1024 2048 3072 3072 1024 3072 | 16 8 4 8 16 8 | SA+LC SA+LA SA+LC SA+LA SA SA | 3072 3072 3072 3072 2048 | 8 16 16 16 4 | 4 4 4 4 16 | 2 2 2 2 2 | SA+LC SA SA SA SA | 43,217,900 | 2,951,239,896
""",  # noqa: E501
}
# The best networks of the released searches, before they were edited by hand.
FOUND = """
80 | 512 512 | 1024 3072 1024 1024 2048 4096 | 8 8 4 8 8 8 | SA+LA SA+LC SA SA+LC SA+LS SA+LC | 4096 | 8 | 4 | 2 | SA | 23,318,940 | 1,478,031,528
100 | 512 512 | 1024 1024 1024 4096 3072 4096 | 8 8 16 8 4 16 | SA+LA SA+LS SA+LS SA+LA SA+LS SA+LC | 4096 | 8 | 4 | 2 | SA | 25,156,824 | 1,588,132,008
120 | 512 512 | 1024 2048 4096 1024 2048 3072 | 16 4 16 8 16 4 | SA+LC SA SA+LC SA+LC SA+LA LA | 4096 4096 | 8 8 | 16 4 | 2 2 | SA SA | 30,473,008 | 1,975,204,014
150 | 512 512 | 2048 1024 3072 1024 1024 4096 | 4 16 8 16 8 4 | SA+LC SA SA+LC SA+LC SA LA | 4096 4096 | 4 16 | 4 4 | 2 2 | SA+LC SA | 29,423,296 | 1,912,289,454
180 | 512 512 | 4096 4096 4096 2048 1024 1024 | 8 8 4 4 8 8 | SA SA+LC SA+LS SA SA SA+LA | 4096 4096 | 4 16 | 16 4 | 2 2 | SA+LC SA | 34,213,344 | 2,201,211,060
200 | 512 512 | 2048 4096 2048 1024 1024 3072 | 8 4 4 4 4 8 | SA SA+LS SA+LC SA+LC SA+LC LA | 4096 4096 4096 | 4 8 16 | 4 4 4 | 2 2 2 | SA+LC SA SA | 36,449,100 | 2,403,471,546
250 | 512 512 | 2048 2048 4096 4096 1024 4096 | 8 4 16 16 8 4 | SA+LC SA+LC SA+LA SA+LA SA LA | 4096 3072 3072 | 4 16 8 | 4 16 4 | 2 2 2 | SA+LC SA SA | 38,482,396 | 2,525,368,506
300 | 512 512 | 2048 1024 1024 1024 2048 4096 | 4 8 8 4 4 8 | SA+LC SA+LC SA SA+LA SA LA | 4096 3072 3072 | 4 16 8 | 4 16 16 | 2 2 -1 | SA+LC SA SA | 32,577,696 | 2,104,873,146
350 | 512 512 | 3072 1024 4096 1024 4096 4096 | 16 4 4 16 4 16 | SA+LA SA+LA SA+LA SA+LA SA LA | 4096 4096 3072 | 4 16 8 | 4 4 4 | 2 2 2 | SA+LC SA SA | 39,531,996 | 2,588,283,066
400 | 512 512 | 2048 4096 4096 3072 2048 4096 | 16 16 8 8 16 16 | SA SA+LC SA SA SA+LA LA | 4096 4096 3072 | 4 16 4 | 4 4 4 | 2 2 2 | SA+LC SA SA+LA | 42,024,144 | 2,737,705,146
"""  # noqa: E501


@dataclass(frozen=True)
class ReleasedNetwork:
    name: str
    config: TransformerConfig
    shape: SuperShape
    num_params: int
    flops: int


def rows(table: str, shape: SuperShape) -> list[ReleasedNetwork]:
    return [_row(line, shape) for line in table.strip().splitlines()]


def _row(line: str, shape: SuperShape) -> ReleasedNetwork:
    name, widths, *cells, params, flops = (cell.strip() for cell in line.split("|"))
    ffn, heads, operators, dec_ffn, dec_heads, cross_heads, spans, dec_operators = (cell.split() for cell in cells)
    encoder = tuple(
        EncoderLayerConfig(OPERATORS[operator], int(head), int(width))
        for operator, head, width in zip(operators, heads, ffn, strict=True)
    )
    decoder = tuple(
        DecoderLayerConfig(OPERATORS[operator], int(head), int(width), int(cross), int(span))
        for operator, head, width, cross, span in zip(
            dec_operators, dec_heads, dec_ffn, cross_heads, spans, strict=True
        )
    )
    encoder_width, decoder_width = map(int, widths.split())
    config = TransformerConfig(encoder_width, decoder_width, encoder, decoder)
    return ReleasedNetwork(name, config, shape, _number(params), _number(flops))


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def transformer(width: int, ffn_dim: int, heads: int) -> TransformerConfig:
    """The Transformer (NeurIPS 2017) in these sizes."""
    return TransformerConfig(
        width,
        width,
        (EncoderLayerConfig("self_attention", heads, ffn_dim),) * 6,
        (DecoderLayerConfig("self_attention", heads, ffn_dim, heads, -1),) * 6,
    )


SHIPPED_NETWORKS = {
    f"{folder}/{network.name}": network for folder, table in SHIPPED.items() for network in rows(table, SHAPES[folder])
}
FOUND_NETWORKS = {network.name: network for network in rows(FOUND, V3)}
