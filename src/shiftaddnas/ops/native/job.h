/* A whole call: what is read, by which taps, and how the results are cut into tiles.
 *
 * Results are `lanes` planes in each group, computed from `planes` planes that the taps read. For outputs the taps read
 * the input, and the results have one phase; for input gradients the taps read the output's gradient, and each phase of
 * the input has taps of its own. */

/* Positions of a tile: enough to use a kernel many times once it is in the cache, few enough to stay there too. */
enum { TILE_POSITIONS = 256, TILE_FLOATS = 1 << 16 };

typedef struct {
    int64_t start, count; /* of one phase, in the tables of the job */
} Taps;

typedef struct {
    const Geometry *geometry;
    Axis rows, cols;           /* of the results */
    Axis read_rows, read_cols; /* of what the taps read */
    const float *read, *inputs /* of gradients */;
    float *results;
    int64_t planes, lanes, padded_lanes;
    int runs;   /* vectors are of neighbouring positions, not of lanes */
    int direct; /* taps read in place: there is neither padding nor stride */

    int64_t images, height, bands, num_tiles; /* images and rows of a tile; tiles of an image's rows; all tiles */
    int64_t pitch, grid, image;               /* floats from row to row, sub-grid to sub-grid, image to image as read */

    Taps *taps; /* of each phase */
    int64_t num_taps;
    int32_t *offset; /* of each tap, in what is read */
    int32_t *index;  /* of each tap, in the weights of a group */
    float *weights;  /* [group][phase][block of lanes][tap][lane] */

    atomic_llong next_tile;
    atomic_int failed;
} Job;

INLINE int64_t num_phases(const Job *job) { return phases(&job->rows) * phases(&job->cols); }

INLINE int64_t lane_width(const Job *job, int64_t lane) {
    return job->runs ? 1 : job->padded_lanes - lane >= WIDEST ? WIDEST : 8;
}

static void add_tap(Job *job, int64_t offset, int64_t index) {
    job->offset[job->num_taps] = (int32_t)offset;
    job->index[job->num_taps++] = (int32_t)index;
}

static void list_output_taps(Job *job) {
    const Axis *rows = &job->read_rows, *cols = &job->read_cols;
    for (int64_t c = 0; c < job->planes; c++)
        for (int64_t r = 0; r < rows->taps; r++)
            for (int64_t s = 0; s < cols->taps; s++) {
                int64_t grid = (c * phases(rows) + phase(rows, r)) * phases(cols) + phase(cols, s);
                add_tap(job, grid * job->grid + shift(rows, r) * job->pitch + shift(cols, s), job->num_taps);
            }
    job->taps[0] = (Taps){0, job->num_taps};
}

static void list_gradient_taps(Job *job) {
    const Axis *rows = &job->rows, *cols = &job->cols;
    for (int64_t p = 0; p < phases(rows); p++)
        for (int64_t q = 0; q < phases(cols); q++) {
            int64_t start = job->num_taps;
            for (int64_t f = 0; f < job->planes; f++)
                for (int64_t r = 0; r < rows->taps; r++)
                    for (int64_t s = 0; s < cols->taps; s++)
                        if (phase(rows, r) == p && phase(cols, s) == q) {
                            int64_t row = reach(rows) - shift(rows, r), col = reach(cols) - shift(cols, s);
                            add_tap(job, f * job->grid + row * job->pitch + col,
                                    (f * job->lanes * rows->taps + r) * cols->taps + s);
                        }
            job->taps[p * phases(cols) + q] = (Taps){start, job->num_taps - start};
        }
}

/* The weights in the order of their use, zeros for the lanes that fill up the last vector. */
static void pack(const Job *job, const float *weight) {
    int64_t lane_stride = job->inputs ? job->rows.taps * job->cols.taps : job->num_taps;
    float *to = job->weights;
    for (int64_t g = 0; g < job->geometry->groups; g++, weight += job->num_taps * job->lanes)
        for (const Taps *taps = job->taps; taps < job->taps + num_phases(job); taps++)
            for (int64_t lane = 0, width; lane < job->padded_lanes; lane += width) {
                width = lane_width(job, lane);
                for (int64_t k = taps->start; k < taps->start + taps->count; k++)
                    for (int64_t l = lane; l < lane + width; l++)
                        *to++ = l < job->lanes ? weight[job->index[k] + l * lane_stride] : 0;
            }
}

static void cut_into_tiles(Job *job, int64_t threads) {
    const Geometry *geometry = job->geometry;
    int64_t rows = span(&job->rows), cols = span(&job->cols), around = span(&job->read_rows) - rows;
    job->direct = !job->runs && job->read_rows.padding + job->read_cols.padding == 0 &&
                  job->read_rows.stride * job->read_cols.stride == 1;
    job->pitch = job->direct ? job->read_cols.size : span(&job->read_cols);
    int64_t grids = job->planes * phases(&job->read_rows) * phases(&job->read_cols);

    int64_t positions = geometry->batch * geometry->groups * rows * cols / (4 * threads);
    positions = larger(BLOCK, smaller(TILE_POSITIONS, positions));
    int64_t height = larger(1, smaller(positions / cols, TILE_FLOATS / (grids * job->pitch) - around));
    job->bands = ceil_div(rows, smaller(height, rows));
    job->height = ceil_div(rows, job->bands);
    job->grid = job->direct ? area(&job->read_rows, &job->read_cols) : (job->height + around) * job->pitch;
    job->image = job->grid * grids * (job->direct ? geometry->groups : 1);
    int64_t images = smaller(positions / (rows * cols), TILE_FLOATS / (job->grid * grids));
    job->images = job->bands > 1 ? 1 : larger(1, smaller(images, geometry->batch));
    job->num_tiles = geometry->groups * job->bands * ceil_div(geometry->batch, job->images);
}
