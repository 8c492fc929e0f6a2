# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""The adder layer's kernels in Triton, float32: each program computes a tile of BLOCK_L lanes x BLOCK_P positions.

Lanes are the filters of a group for outputs, and its channels for input gradients; `depth` counts the others, over
which a tile sums, tap after tap. Nothing is unfolded, and there are no atomics: the same bits on every run.
"""

import triton
import triton.language as tl

# P positions and L lanes of a tile; R x S taps, of which (r, s) is one. From `height` to `dilation_w`, the
# arguments are those of `Geometry.axes`. Positions are counted in the type INDEX; offsets into tensors are int64.
# `weight` is packed as (groups, taps, depth, lanes). A tensor that is read at every tap, `x` or `grad`, comes with the
# distances of its images and channels; the others are dense.


@triton.jit
def outputs(
    x, weight, y, image_stride, channel_stride, images, groups, depth, lanes,
    height, out_h, R: tl.constexpr, stride_h, padding_h, dilation_h,
    width, out_w, S: tl.constexpr, stride_w, padding_w, dilation_w,
    INDEX: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """y = -sum |x - w|."""
    lane_tiles = tl.cdiv(lanes, BLOCK_L)
    program = tl.program_id(0)
    lane_L = program % lane_tiles * BLOCK_L + tl.arange(0, BLOCK_L)
    group = (program // lane_tiles % groups).to(tl.int64)
    position_P = (program // lane_tiles // groups).to(INDEX) * BLOCK_P + tl.arange(0, BLOCK_P)
    row_P, column_P = position_P // out_w % out_h, position_P % out_w
    image_P = (position_P // out_w // out_h).to(tl.int64)
    is_lane_L, is_position_P = lane_L < lanes, image_P < images

    from_P = x + image_P * image_stride + group * depth * channel_stride
    weight_L = weight + group * (R * S) * depth * lanes + lane_L
    total_LP = tl.zeros((BLOCK_L, BLOCK_P), tl.float32)
    for r in range(R):
        h_P = row_P * stride_h - padding_h + r * dilation_h
        for s in range(S):
            w_P = column_P * stride_w - padding_w + s * dilation_w
            inside_P = is_position_P & (h_P >= 0) & (h_P < height) & (w_P >= 0) & (w_P < width)
            x_P = from_P + h_P * width + w_P
            for _ in range(depth):
                at_P = tl.load(x_P, inside_P, other=0.0)
                tap_L = tl.load(weight_L, is_lane_L, other=0.0)
                total_LP -= tl.abs(at_P[None, :] - tap_L[:, None])
                x_P += channel_stride
                weight_L += lanes
    first_P = (image_P * groups + group) * lanes * out_h * out_w + row_P * out_w + column_P
    y_LP = y + first_P[None, :] + (lane_L.to(tl.int64) * out_h * out_w)[:, None]
    tl.store(y_LP, total_LP, is_lane_L[:, None] & is_position_P[None, :])


@triton.jit
def input_gradients(
    x, weight, grad, grad_x, image_stride, channel_stride, images, groups, depth, lanes,
    height, out_h, R: tl.constexpr, stride_h, padding_h, dilation_h,
    width, out_w, S: tl.constexpr, stride_w, padding_w, dilation_w,
    INDEX: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """grad_x = sum of clamp(w - x, -1, 1) g.

    Positions of one phase, their coordinates modulo the stride, are read by the same taps; a tile holds one phase.
    """
    lane_tiles = tl.cdiv(lanes, BLOCK_L)
    program = tl.program_id(0)
    lane_L = program % lane_tiles * BLOCK_L + tl.arange(0, BLOCK_L)
    program //= lane_tiles
    group = (program % groups).to(tl.int64)
    program //= groups
    phase_h, phase_w = program // stride_w % stride_h, program % stride_w
    position_P = (program // stride_w // stride_h).to(INDEX) * BLOCK_P + tl.arange(0, BLOCK_P)
    rows, columns = tl.cdiv(height, stride_h), tl.cdiv(width, stride_w)
    row_P, column_P = position_P // columns % rows, position_P % columns
    image_P = (position_P // columns // rows).to(tl.int64)
    h_P, w_P = row_P * stride_h + phase_h, column_P * stride_w + phase_w
    is_lane_L, is_position_P = lane_L < lanes, (image_P < images) & (h_P < height) & (w_P < width)
    is_result_LP = is_lane_L[:, None] & is_position_P[None, :]

    first_P = (image_P * groups + group) * lanes * height * width + h_P * width + w_P
    result_LP = first_P[None, :] + (lane_L.to(tl.int64) * height * width)[:, None]
    at_LP = tl.load(x + result_LP, is_result_LP, other=0.0)
    from_P = grad + image_P * image_stride + group * depth * channel_stride
    weight_L = weight + group * (R * S) * depth * lanes + lane_L
    total_LP = tl.zeros((BLOCK_L, BLOCK_P), tl.float32)
    for r in range(R):
        shift_h = phase_h + padding_h - r * dilation_h
        out_h_P = row_P + shift_h // stride_h
        for s in range(S):
            shift_w = phase_w + padding_w - s * dilation_w
            if (shift_h % stride_h == 0) & (shift_w % stride_w == 0):
                out_w_P = column_P + shift_w // stride_w
                inside_P = is_position_P & (out_h_P >= 0) & (out_h_P < out_h) & (out_w_P >= 0) & (out_w_P < out_w)
                grad_P = from_P + out_h_P * out_w + out_w_P
                tap_L = weight_L + (r * S + s) * depth * lanes
                for _ in range(depth):
                    g_P = tl.load(grad_P, inside_P, other=0.0)
                    difference_LP = tl.load(tap_L, is_lane_L, other=0.0)[:, None] - at_LP
                    total_LP += tl.clamp(difference_LP, -1.0, 1.0, tl.PropagateNan.ALL) * g_P[None, :]
                    grad_P += channel_stride
                    tap_L += lanes
    tl.store(grad_x + result_LP, total_LP, is_result_LP)
