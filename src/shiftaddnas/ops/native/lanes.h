/* The innermost loops on vectors of LANES floats; included once for every width, which ends every name.
 *
 * A sum takes its terms in the order of the taps, whatever the tiling: the same bits for every number of threads. */

typedef float NAME(vec) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t NAME(bits) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE NAME(vec) NAME(load)(const float *from) { return *(const NAME(vec) *)from; }
INLINE void NAME(store)(float *to, NAME(vec) value) { *(NAME(vec) *)to = value; }
INLINE NAME(vec) NAME(magnitude)(NAME(vec) d) { return (NAME(vec))((NAME(bits))d & 0x7fffffff); }

/* HardTanh. A NaN stays one: these instructions return their second argument where either is NaN. */
INLINE NAME(vec) NAME(clamp)(NAME(vec) d) {
#if LANES == 16
    return _mm512_min_ps(_mm512_set1_ps(1), _mm512_max_ps(_mm512_set1_ps(-1), d));
#elif defined(__AVX__)
    return _mm256_min_ps(_mm256_set1_ps(1), _mm256_max_ps(_mm256_set1_ps(-1), d));
#else
    NAME(vec) low = (NAME(vec)){0} - 1, high = (NAME(vec)){0} + 1;
    NAME(bits) below = d < low, above = d > high;
    return (NAME(vec))((below & (NAME(bits))low) | (above & (NAME(bits))high) | (~(below | above) & (NAME(bits))d));
#endif
}

/* BLOCK positions x LANES filters of outputs; a position's tap k is at source[position][offset[k]]. */
static void NAME(output_block)(const float *const *source, const int32_t *offset, const float *weight, int64_t taps,
                               float *sums) {
    NAME(vec) sum[BLOCK] = {0};
    const float *from[BLOCK];
    for (int j = 0; j < BLOCK; j++) from[j] = source[j];
    for (int64_t k = 0; k < taps; k++, weight += LANES) {
        NAME(vec) w = NAME(load)(weight);
        for (int j = 0; j < BLOCK; j++) sum[j] -= NAME(magnitude)(w - from[j][offset[k]]);
    }
    for (int j = 0; j < BLOCK; j++) NAME(store)(sums + j * LANES, sum[j]);
}

/* BLOCK positions x LANES channels of input gradients, of the inputs x; the output gradients are at source. */
static void NAME(gradient_block)(const float *const *source, const int32_t *offset, const float *weight, int64_t taps,
                                 const float *x, float *sums) {
    for (int start = 0; start < BLOCK; start += GRADIENT_BLOCK) {
        NAME(vec) sum[GRADIENT_BLOCK] = {0}, at[GRADIENT_BLOCK];
        const float *from[GRADIENT_BLOCK], *w_k = weight;
        for (int j = 0; j < GRADIENT_BLOCK; j++) {
            at[j] = NAME(load)(x + (start + j) * LANES);
            from[j] = source[start + j];
        }
        for (int64_t k = 0; k < taps; k++, w_k += LANES) {
            NAME(vec) w = NAME(load)(w_k);
            for (int j = 0; j < GRADIENT_BLOCK; j++) sum[j] += NAME(clamp)(w - at[j]) * from[j][offset[k]];
        }
        for (int j = 0; j < GRADIENT_BLOCK; j++) NAME(store)(sums + (start + j) * LANES, sum[j]);
    }
}
