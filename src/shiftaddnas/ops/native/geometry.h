/* How outputs, taps and inputs meet, along one axis and then on maps.
 *
 * Tap r of output o reads padded position stride * o + dilation * r. With dilation * r = stride * shift + phase this is
 * entry o + shift of the sub-grid of that phase (padded positions phase, phase + stride, ...): on sub-grids every
 * layer has stride 1. The input gradient is the reverse: entry j of a phase gathers outputs j - shift of its taps. */

typedef struct {
    int64_t size, outputs, taps, stride, padding, dilation;
} Axis;

typedef struct {
    int64_t batch, channels, filters, groups;
    Axis rows, cols;
} Geometry;

INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

INLINE int64_t shift(const Axis *axis, int64_t tap) { return tap * axis->dilation / axis->stride; }
INLINE int64_t phase(const Axis *axis, int64_t tap) { return tap * axis->dilation % axis->stride; }
INLINE int64_t reach(const Axis *axis) { return shift(axis, axis->taps - 1); }
INLINE int64_t phases(const Axis *axis) { return smaller(axis->stride, (axis->taps - 1) * axis->dilation + 1); }
INLINE int64_t span(const Axis *axis) { return axis->outputs + reach(axis); }

/* The entries [first, last) of a sub-grid that are positions of the map, not padding. The sub-grid's entry 0 is the
 * position `origin` = phase - padding. */
INLINE int64_t first_inside(const Axis *axis, int64_t origin) { return ceil_div(larger(-origin, 0), axis->stride); }
INLINE int64_t last_inside(const Axis *axis, int64_t origin) {
    return larger(0, smaller(span(axis), ceil_div(axis->size - origin, axis->stride)));
}

/* A map that is read entry by entry, with zeros around it. */
INLINE Axis plain_axis(int64_t size, int64_t padding) { return (Axis){size, size + 2 * padding, 1, 1, padding, 1}; }

INLINE int64_t area(const Axis *rows, const Axis *cols) { return rows->size * cols->size; }

/* n floats, in overlapping pieces of fixed sizes: rows are short, and a call of memcpy for each would cost more. */
INLINE void copy_row(float *to, const float *from, int64_t n) {
    if (n >= 8) {
        for (int64_t i = 0; i < n - 8; i += 8) memcpy(to + i, from + i, 8 * sizeof(float));
        memcpy(to + n - 8, from + n - 8, 8 * sizeof(float));
    } else if (n >= 4) {
        memcpy(to, from, 4 * sizeof(float));
        memcpy(to + n - 4, from + n - 4, 4 * sizeof(float));
    } else if (n > 0) {
        to[0] = from[0];
        to[n / 2] = from[n / 2];
        to[n - 1] = from[n - 1];
    }
}

/* Copies the rows [first, first + height) of every sub-grid, zeros for padding, of `planes` planes of each image to
 * [image][plane][phase of rows][phase of columns][height][pitch]. */
static void copy_sub_grids(const float *from, int64_t images, int64_t image_stride, int64_t planes, const Axis *rows,
                           const Axis *cols, int64_t first, int64_t height, int64_t pitch, float *to) {
    int64_t num_phases = phases(rows) * phases(cols), plane_stride = area(rows, cols);
    memset(to, 0, images * planes * num_phases * height * pitch * sizeof(float));
    for (int64_t phase = 0; phase < num_phases; phase++) {
        int64_t p = phase / phases(cols) - rows->padding, q = phase % phases(cols) - cols->padding;
        int64_t top = larger(first, first_inside(rows, p)), bottom = smaller(first + height, last_inside(rows, p));
        int64_t left = first_inside(cols, q), right = last_inside(cols, q);
        for (int64_t n = 0; n < images; n++)
            for (int64_t plane = 0; plane < planes; plane++) {
                const float *map = from + n * image_stride + plane * plane_stride;
                float *grid = to + ((n * planes + plane) * num_phases + phase) * height * pitch;
                for (int64_t j = top; j < bottom; j++) {
                    const float *values = map + (rows->stride * j + p) * cols->size + q;
                    float *line = grid + (j - first) * pitch;
                    if (cols->stride == 1) copy_row(line + left, values + left, right - left);
                    else
                        for (int64_t i = left; i < right; i++) line[i] = values[cols->stride * i];
                }
            }
    }
}
