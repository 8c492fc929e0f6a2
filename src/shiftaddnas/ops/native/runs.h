/* The innermost loops over neighbouring positions, for layers of few filters or channels in a group (depthwise).
 *
 * Sums run over whole vectors: up to WIDEST - 1 entries beyond `length` are read and written. */

#define OUTPUT_RUN(vectors)                                                                                            \
    static void output_run##vectors(const float *x, const int32_t *offset, const float *weight, int64_t taps,         \
                                    float *sums) {                                                                    \
        WIDE(vec) sum[vectors] = {0};                                                                                  \
        for (int64_t k = 0; k < taps; k++)                                                                             \
            for (int v = 0; v < vectors; v++)                                                                          \
                sum[v] -= WIDE(magnitude)(WIDE(load)(x + offset[k] + v * WIDEST) - weight[k]);                         \
        for (int v = 0; v < vectors; v++) WIDE(store)(sums + v * WIDEST, sum[v]);                                      \
    }

#define GRADIENT_RUN(vectors)                                                                                          \
    static void gradient_run##vectors(const float *grad, const int32_t *offset, const float *weight, int64_t taps,    \
                                      const float *x, float *sums) {                                                  \
        WIDE(vec) sum[vectors] = {0}, at[vectors];                                                                     \
        for (int v = 0; v < vectors; v++) at[v] = WIDE(load)(x + v * WIDEST);                                          \
        for (int64_t k = 0; k < taps; k++)                                                                             \
            for (int v = 0; v < vectors; v++)                                                                          \
                sum[v] += WIDE(clamp)(weight[k] - at[v]) * WIDE(load)(grad + offset[k] + v * WIDEST);                  \
        for (int v = 0; v < vectors; v++) WIDE(store)(sums + v * WIDEST, sum[v]);                                      \
    }

OUTPUT_RUN(1) OUTPUT_RUN(2) OUTPUT_RUN(3) OUTPUT_RUN(4)
GRADIENT_RUN(1) GRADIENT_RUN(2) GRADIENT_RUN(3) GRADIENT_RUN(4)

static void output_run(const float *x, const int32_t *offset, const float *weight, int64_t taps, int64_t length,
                       float *sums) {
    for (; length > 3 * WIDEST; length -= 4 * WIDEST, x += 4 * WIDEST, sums += 4 * WIDEST)
        output_run4(x, offset, weight, taps, sums);
    if (length > 2 * WIDEST) output_run3(x, offset, weight, taps, sums);
    else if (length > WIDEST) output_run2(x, offset, weight, taps, sums);
    else if (length > 0) output_run1(x, offset, weight, taps, sums);
}

static void gradient_run(const float *grad, const int32_t *offset, const float *weight, int64_t taps, int64_t length,
                         const float *x, float *sums) {
    for (; length > 3 * WIDEST; length -= 4 * WIDEST, grad += 4 * WIDEST, x += 4 * WIDEST, sums += 4 * WIDEST)
        gradient_run4(grad, offset, weight, taps, x, sums);
    if (length > 2 * WIDEST) gradient_run3(grad, offset, weight, taps, x, sums);
    else if (length > WIDEST) gradient_run2(grad, offset, weight, taps, x, sums);
    else if (length > 0) gradient_run1(grad, offset, weight, taps, x, sums);
}
