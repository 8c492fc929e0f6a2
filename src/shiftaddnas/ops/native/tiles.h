/* The results of one tile, in either of two ways: by vectors of lanes, or by vectors of neighbouring positions. */

typedef struct {
    int64_t group, image, images, row, height;
    const float *read; /* of its first image, group and row */
} Tile;

/* A thread's own memory. */
typedef struct {
    float *read, *inputs, *sums;
    int64_t *source, *target;
} Scratch;

/* The entries of one phase in a tile that are positions of the map, and where entry (0, 0) would lie in it. */
typedef struct {
    int64_t top, bottom, left, right, origin;
} Inside;

INLINE Inside inside(const Job *job, const Tile *tile, int64_t phase) {
    const Axis *rows = &job->rows, *cols = &job->cols;
    int64_t p = phase / phases(cols) - rows->padding, q = phase % phases(cols) - cols->padding;
    return (Inside){larger(tile->row, first_inside(rows, p)),
                    smaller(tile->row + tile->height, last_inside(rows, p)), first_inside(cols, q),
                    last_inside(cols, q), p * cols->size + q};
}

INLINE int64_t first_result(const Job *job, const Tile *tile, int64_t image) {
    return ((tile->image + image) * job->geometry->groups + tile->group) * job->lanes * area(&job->rows, &job->cols);
}

/* `width` lanes at each of BLOCK positions, [position][lane]; those beyond `valid` are zero. */
static void gather(const float *map, const int64_t *position, int64_t plane, int64_t width, int64_t valid, float *to) {
    for (int64_t lane = 0; lane < valid; lane++)
        for (int64_t j = 0; j < BLOCK; j++) to[j * width + lane] = map[position[j] + lane * plane];
    for (int64_t lane = valid; lane < width; lane++)
        for (int64_t j = 0; j < BLOCK; j++) to[j * width + lane] = 0;
}

static void scatter(const float *from, int64_t count, int64_t plane, int64_t width, int64_t valid,
                    const int64_t *position, float *map) {
    for (int64_t lane = 0; lane < valid; lane++)
        for (int64_t j = 0; j < count; j++) map[position[j] + lane * plane] = from[j * width + lane];
}

static void block_of_lanes(int64_t width, const float *const *source, const int32_t *offset,
                           const float *weights, int64_t taps, const float *inputs, float *sums) {
    if (inputs && width == WIDEST) WIDE(gradient_block)(source, offset, weights, taps, inputs, sums);
    else if (inputs) gradient_block8(source, offset, weights, taps, inputs, sums);
    else if (width == WIDEST) WIDE(output_block)(source, offset, weights, taps, sums);
    else output_block8(source, offset, weights, taps, sums);
}

static void tile_by_lanes(const Job *job, const Tile *tile, const Scratch *scratch) {
    int64_t plane = area(&job->rows, &job->cols);
    for (int64_t phase = 0; phase < num_phases(job); phase++) {
        Taps taps = job->taps[phase];
        Inside in = inside(job, tile, phase);
        int64_t count = 0;
        for (int64_t n = 0; n < tile->images; n++)
            for (int64_t j = in.top; j < in.bottom; j++) {
                int64_t source = n * job->image + (j - tile->row) * job->pitch;
                int64_t target = first_result(job, tile, n) + in.origin + job->rows.stride * j * job->cols.size;
                for (int64_t i = in.left; i < in.right; i++) {
                    scratch->source[count] = source + i;
                    scratch->target[count++] = target + job->cols.stride * i;
                }
            }
        const float *weights = job->weights + job->padded_lanes * (tile->group * job->num_taps + taps.start);
        for (int64_t lane = 0, width; lane < job->padded_lanes; weights += width * taps.count, lane += width) {
            width = lane_width(job, lane);
            int64_t valid = smaller(width, job->lanes - lane);
            for (int64_t i = 0; i < count; i += BLOCK) {
                const float *source[BLOCK];
                float inputs[BLOCK * WIDEST], sums[BLOCK * WIDEST];
                int64_t target[BLOCK], held = smaller(BLOCK, count - i);
                for (int64_t j = 0; j < BLOCK; j++) {
                    int64_t position = i + smaller(j, held - 1);
                    source[j] = tile->read + scratch->source[position];
                    target[j] = scratch->target[position] + lane * plane;
                }
                if (job->inputs) gather(job->inputs, target, plane, width, valid, inputs);
                block_of_lanes(width, source, job->offset + taps.start, weights, taps.count,
                               job->inputs ? inputs : NULL, sums);
                scatter(sums, held, plane, width, valid, target, job->results);
            }
        }
    }
}

static void tile_by_runs(const Job *job, const Tile *tile, const Scratch *scratch) {
    int64_t plane = area(&job->rows, &job->cols), grid = tile->height * job->pitch, results = first_result(job, tile, 0);
    int64_t image = job->geometry->groups * job->lanes * plane, line = job->rows.stride * job->cols.size;
    if (job->inputs)
        copy_sub_grids(job->inputs + results, tile->images, image, job->lanes, &job->rows, &job->cols, tile->row,
                       tile->height, job->pitch, scratch->inputs);
    for (int64_t phase = 0, count = num_phases(job); phase < count; phase++) {
        Taps taps = job->taps[phase];
        const int32_t *offset = job->offset + taps.start;
        Inside in = inside(job, tile, phase);
        int64_t length = (tile->height - 1) * job->pitch + in.right;
        for (int64_t n = 0; n < tile->images; n++) {
            const float *weights = job->weights + job->lanes * (tile->group * job->num_taps + taps.start);
            const float *read = tile->read + n * job->image;
            for (int64_t lane = 0; lane < job->lanes; lane++, weights += taps.count) {
                const float *inputs = scratch->inputs + ((n * job->lanes + lane) * count + phase) * grid;
                if (job->inputs) gradient_run(read, offset, weights, taps.count, length, inputs, scratch->sums);
                else output_run(read, offset, weights, taps.count, length, scratch->sums);
                float *map = job->results + results + n * image + lane * plane + in.origin;
                for (int64_t j = in.top; j < in.bottom; j++) {
                    const float *sums = scratch->sums + (j - tile->row) * job->pitch;
                    if (job->cols.stride == 1) copy_row(map + j * line + in.left, sums + in.left, in.right - in.left);
                    else
                        for (int64_t i = in.left; i < in.right; i++) map[j * line + job->cols.stride * i] = sums[i];
                }
            }
        }
    }
}
