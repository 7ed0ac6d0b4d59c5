// What the two ways to compute attention share: attention.c (products through the seam) and attention_tiles.c (AVX-512 tiles).
#pragma once
#include "matmul.h"

// Keys that a sequence sees, in all blocks together.
static inline size_t pg_key_count(const pg_attention *a, size_t sequence) {
  size_t n = 0;
  for (size_t b = 0; b < a->blocks; b++) n += (size_t)a->keys[b].count[sequence];
  return n;
}
static inline size_t pg_most_keys(const pg_attention *a) {
  size_t most = 0;
  for (size_t s = 0; s < a->sequences; s++) most = PG_MAX(most, pg_key_count(a, s));
  return most;
}

// The row of a key that a sequence sees in a block.
static inline size_t pg_key_row(const pg_keys *block, size_t sequence, size_t i) {
  size_t at = (size_t)block->start[sequence] + i;
  return block->places ? (size_t)block->places[at] : at;
}

// The key at which a query stands: query i of a sequence, which is row `row` of all.
static inline ptrdiff_t pg_position(const pg_attention *a, size_t row, size_t i, size_t queries, size_t keys) {
  return a->q_positions ? a->q_positions[row] : (ptrdiff_t)keys + (ptrdiff_t)i - (ptrdiff_t)queries;
}
// Keys that a query at this position sees.
static inline size_t pg_visible(const pg_attention *a, ptrdiff_t position, size_t keys) {
  return !a->causal ? keys : position < 0 ? 0 : PG_MIN(keys, (size_t)position + 1);
}
// Keys that some of `rows` queries see; the scores of those behind are never computed.
static inline size_t pg_visible_to_rows(const pg_attention *a, size_t row0, size_t first, size_t rows, size_t queries, size_t keys) {
  size_t n = a->causal ? 0 : keys;
  for (size_t i = 0; i < rows && a->causal; i++) n = PG_MAX(n, pg_visible(a, pg_position(a, row0 + i, first + i, queries, keys), keys));
  return n;
}
// Column of the bias for the first key of a query at `position`.
static inline ptrdiff_t pg_bias_column(const pg_attention *a, size_t head, ptrdiff_t position) {
  return (ptrdiff_t)(head * a->bias_columns + a->bias_zero) - position;
}

// ---- units.c: a unit is a pair of bfloat16 along k
#if defined(__x86_64__)
#include <immintrin.h>
#define PG_TARGET_TILES __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define PG_INLINE_TILES PG_TARGET_TILES static inline __attribute__((always_inline))
#define PG_UNROLLED _Pragma("clang loop unroll(full)")
enum { PG_STRIP = 6, PG_LANES = 16, PG_UNIT = 4 };  // rows of a tile, units of a register, bytes of a unit

// Where a left operand's units lie, in bytes: from one row to the next, from an even row to the next even one, and along k.
typedef struct {
  size_t one, two, step;
} pg_layout;
static inline pg_layout pg_rows_apart(size_t bytes) { return (pg_layout){bytes, 2 * bytes, PG_UNIT}; }
static inline size_t pg_whole_lanes(size_t n) { return (n + PG_LANES - 1) / PG_LANES * PG_LANES; }
// out[rows, width] (+)= left[rows, k units] * panel. rows: 1 to 6; width: 16, 32, 48 or 64.
void pg_multiply_units(size_t rows, size_t width, size_t k, const char *left, pg_layout l, const char *panel, float *out, size_t stride,
                       bool accumulate);
// Panels whose columns are the rows, their d elements k: what scores are made with. `columns` are whole lanes, d is a multiple of 32.
void pg_lay_out_turned(const uint16_t *const *rows, size_t columns, size_t d, char *out);
// Panels whose columns are those of the rows, two of which are a unit: what probabilities and gradients of scores are multiplied with.
// `count` is even, d a multiple of 16.
void pg_lay_out_plain(const uint16_t *const *rows, size_t count, size_t d, char *out);
// Sixteen elements of one row, and of the next in the upper half -> sixteen units.
PG_INLINE_TILES __m512i pg_pairs_of(__m512i both) {
  static const uint16_t order[32] = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
                                     8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_loadu_si512(order), both);
}

// pg_exp_f32 of sixteen elements, down to 0.
PG_INLINE_TILES __m512 pg_exp_lanes(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-110.0f), x);
  __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504089f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-0.693359375f), x);
  r = _mm512_fmadd_ps(n, _mm512_set1_ps(2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.9841270e-4f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3888889e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3333333e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1666667e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666667e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
  p = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}
// pg_to_bf16 of sixteen elements. The instruction would flush the smallest numbers to 0.
PG_INLINE_TILES __m256i pg_narrow_lanes(__m512 x) {
  __m512i bits = _mm512_castps_si512(x), upper = _mm512_srli_epi32(bits, 16);
  __m512i half = _mm512_add_epi32(_mm512_set1_epi32(0x7FFF), _mm512_and_si512(upper, _mm512_set1_epi32(1)));
  __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
  return _mm512_cvtepi32_epi16(_mm512_mask_or_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), upper, _mm512_set1_epi32(0x40)));
}
#endif

// ---- attention_tiles.c: bfloat16 on CPUs with AVX512-BF16
// Whether it computes attention with these heads.
bool pg_attends_in_tiles(pg_dtype t, const pg_attention *a);
PG_CHECKED bool pg_tiled_attention_forward(const pg_attention *a, const uint16_t *q, uint16_t *o, float *log_sum);
PG_CHECKED bool pg_tiled_attention_backward(const pg_attention *a, const uint16_t *q, const uint16_t *d_o, const float *log_sum,
                                            uint16_t *dq, float *d_bias);

// ---- attention_one.c: the same for the sequences of a step of decoding that have one query
static inline bool pg_attends_one(const pg_attention *a, size_t sequence) {
  return a->decodes && a->q_offsets[sequence + 1] - a->q_offsets[sequence] == 1;
}
PG_CHECKED bool pg_attend_ones(const pg_attention *a, const uint16_t *q, uint16_t *o);
