/* Outputs and input gradients of adder layers (AdderNet, CVPR 2020) on contiguous float32 maps (B, C, H, W).
 *
 * Nothing is unfolded: the taps of a position are read through a table of offsets, from a copy of a tile's input where
 * there is padding or a stride. Vectors are made of filters (for input gradients: of channels) or, where a group has
 * too few of them, of neighbouring positions. Each sum takes its terms in one order, whatever the tile or thread. */

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define JOIN_EXPANDED(a, b) a##b
#define JOIN(a, b) JOIN_EXPANDED(a, b)
#define NAME(name) JOIN(name, LANES)
#define WIDE(name) JOIN(name, WIDEST)

/* BLOCK positions are summed at once; gradients keep their inputs in registers too, so fewer where there are 16. */
#if defined(__AVX512F__)
#define WIDEST 16
enum { BLOCK = 8, GRADIENT_BLOCK = 8 };
#else
#define WIDEST 8
enum { BLOCK = 8, GRADIENT_BLOCK = 4 };
#endif

#define LANES 8
#include "lanes.h"
#undef LANES
#if WIDEST > 8
#define LANES WIDEST
#include "lanes.h"
#undef LANES
#endif

#include "runs.h"
#include "geometry.h"
#include "job.h"
#include "tiles.h"

/* How an OpenMP runtime runs a function on each of a number of threads (GOMP_parallel). */
typedef void (*Parallel)(void (*)(void *), void *, unsigned, unsigned);

static int allocate(const Job *job, Scratch *scratch) {
    int64_t positions = job->images * job->height * span(&job->cols), slack = 4 * WIDEST;
    int64_t read = job->direct ? 0 : job->images * job->image;
    int64_t inputs = job->runs && job->inputs ? job->images * job->lanes * num_phases(job) * job->height * job->pitch : 0;
    int64_t sums = job->runs ? job->height * job->pitch : 0;
    scratch->source = malloc(2 * positions * sizeof(int64_t) + (read + inputs + sums + 3 * slack) * sizeof(float));
    if (!scratch->source) return 0;
    scratch->target = scratch->source + positions;
    scratch->read = (float *)(scratch->target + positions);
    scratch->inputs = scratch->read + read + slack;
    scratch->sums = scratch->inputs + inputs + slack;
    return 1;
}

static void work(void *argument) {
    Job *job = argument;
    const Geometry *geometry = job->geometry;
    Scratch scratch;
    if (!allocate(job, &scratch)) {
        job->failed = 1;
        return;
    }
    int64_t around = span(&job->read_rows) - span(&job->rows), area_read = area(&job->read_rows, &job->read_cols);
    for (int64_t i; (i = job->next_tile++) < job->num_tiles;) {
        Tile tile = {.group = i % geometry->groups,
                     .row = i / geometry->groups % job->bands * job->height,
                     .image = i / geometry->groups / job->bands * job->images};
        tile.height = smaller(job->height, span(&job->rows) - tile.row);
        tile.images = smaller(job->images, geometry->batch - tile.image);
        const float *read = job->read + (tile.image * geometry->groups + tile.group) * job->planes * area_read;
        tile.read = job->direct ? read + tile.row * job->pitch : scratch.read;
        if (!job->direct)
            copy_sub_grids(read, tile.images, geometry->groups * job->planes * area_read, job->planes, &job->read_rows,
                           &job->read_cols, tile.row, job->height + around, job->pitch, scratch.read);
        (job->runs ? tile_by_runs : tile_by_lanes)(job, &tile, &scratch);
    }
    free(scratch.source);
}

/* Taps that keep a thread busy for longer than it takes to wake it. A tap of a run, which reads and writes more for each
 * of its few taps, counts as several. */
enum { TAPS_OF_A_THREAD = 1 << 18, TAPS_PER_TAP_OF_A_RUN = 4 };

static int run(Job *job, const float *weight, int64_t threads, Parallel parallel) {
    const Geometry *geometry = job->geometry;
    int64_t taps = job->planes * geometry->rows.taps * geometry->cols.taps;
    int64_t positions = geometry->batch * geometry->rows.outputs * geometry->cols.outputs;
    job->runs = job->lanes < 8;
    int64_t all_taps = positions * geometry->filters * (geometry->channels / geometry->groups) * geometry->rows.taps *
                       geometry->cols.taps * (job->runs ? TAPS_PER_TAP_OF_A_RUN : 1);
    threads = parallel ? larger(1, smaller(threads, all_taps / TAPS_OF_A_THREAD)) : 1;
    job->padded_lanes = job->runs ? job->lanes : ceil_div(job->lanes, 8) * 8;
    cut_into_tiles(job, threads);
    threads = smaller(threads, job->num_tiles);

    int64_t num_weights = geometry->groups * job->padded_lanes * taps;
    job->taps = malloc(num_phases(job) * sizeof(Taps) + 2 * taps * sizeof(int32_t) + num_weights * sizeof(float));
    if (!job->taps) return -1;
    job->offset = (int32_t *)(job->taps + num_phases(job));
    job->index = job->offset + taps;
    job->weights = (float *)(job->index + taps);
    if (job->inputs) list_gradient_taps(job);
    else list_output_taps(job);
    pack(job, weight);
    if (threads > 1) parallel(work, job, (unsigned)threads, 0);
    else work(job);
    free(job->taps);
    return job->failed ? -1 : 0;
}

/* All return 0, or -1 where memory ran out. `parallel` may be NULL: one thread. */
int adder_outputs(const Geometry *geometry, const float *x, const float *weight, float *y, int64_t threads,
                  Parallel parallel) {
    Job job = {.geometry = geometry, .read = x, .results = y};
    job.read_rows = geometry->rows, job.read_cols = geometry->cols;
    job.rows = plain_axis(geometry->rows.outputs, 0), job.cols = plain_axis(geometry->cols.outputs, 0);
    job.planes = geometry->channels / geometry->groups, job.lanes = geometry->filters / geometry->groups;
    return run(&job, weight, threads, parallel);
}

/* Entries that no tap reads are left alone. */
int adder_input_gradients(const Geometry *geometry, const float *x, const float *weight, const float *grad_y,
                          float *grad_x, int64_t threads, Parallel parallel) {
    Job job = {.geometry = geometry, .read = grad_y, .inputs = x, .results = grad_x};
    job.rows = geometry->rows, job.cols = geometry->cols;
    job.read_rows = plain_axis(geometry->rows.outputs, reach(&geometry->rows));
    job.read_cols = plain_axis(geometry->cols.outputs, reach(&geometry->cols));
    job.planes = geometry->filters / geometry->groups, job.lanes = geometry->channels / geometry->groups;
    return run(&job, weight, threads, parallel);
}
