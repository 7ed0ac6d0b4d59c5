#ifndef REAL
#include "internal.h"
#include <stdlib.h>

enum { TILE = 64 };  // queries per tile of scores

#define REAL float
#define FN(name) name##_f32
#define MATH(name) name##f
#define GEMM(...) pg_gemm(PG_F32, __VA_ARGS__)
#include "attention.c"
#undef REAL
#undef FN
#undef MATH
#undef GEMM
#define REAL double
#define FN(name) name##_f64
#define MATH(name) name
#define GEMM(...) pg_gemm(PG_F64, __VA_ARGS__)
#include "attention.c"

void pg_attention_forward(pg_dtype t, const pg_attention *a, const void *q, const void *k, const void *v, void *o,
                          void *log_sum) {
  PG_DISPATCH(t, attention_forward, a, q, k, v, o, log_sum);
}
void pg_attention_backward(pg_dtype t, const pg_attention *a, const void *q, const void *k, const void *v,
                           const void *o, const void *d_o, const void *log_sum, void *dq, void *dk, void *dv) {
  PG_DISPATCH(t, attention_backward, a, q, k, v, o, d_o, log_sum, dq, dk, dv);
}

#else

struct FN(attention_args) {
  const pg_attention *a;
  const REAL *q, *k, *v, *o, *d_o, *log_sum_in;
  REAL *out, *log_sum, *dq, *dk, *dv;
};

// The mask of one row of probabilities: its draws start at a multiple of PG_MASK_BLOCK that no other row uses.
static inline __attribute__((always_inline)) void FN(mask_row)(const pg_attention *a, size_t head, size_t query_row,
                                                               size_t n, const REAL *x, REAL *y) {
  uint32_t threshold = pg_dropout_threshold(a->dropout);
  REAL scale = (REAL)(a->dropout < 1 ? 1 / (1 - a->dropout) : 0);
  uint16_t draws[PG_MASK_BLOCK];
  uint64_t block = ((uint64_t)query_row * a->heads + head) << 16;
  for (size_t i = 0; i < n; i += PG_MASK_BLOCK, block++) {
    pg_mask_block(a->random, block, threshold, draws);
    size_t count = PG_MIN(PG_MASK_BLOCK, n - i);
    for (size_t j = 0; j < count; j++) y[i + j] = draws[j] < threshold ? (REAL)0 : x[i + j] * scale;
  }
}

// Row of scores -> exp(score * scale - shift); returns their sum.
static inline __attribute__((always_inline)) REAL FN(exp_row)(size_t n, REAL scale, REAL shift, REAL *s) {
  PG_REASSOCIATE
  REAL sum = 0;
  for (size_t i = 0; i < n; i++) {
    REAL e = FN(pg_exp)(s[i] * scale - shift);
    s[i] = e;
    sum += e;
  }
  return sum;
}
static inline __attribute__((always_inline)) REAL FN(max_row)(size_t n, const REAL *s) {
  PG_REASSOCIATE
  REAL m = s[0];
  for (size_t i = 1; i < n; i++) m = s[i] > m ? s[i] : m;
  return m;
}

// Keys that query i of a sequence sees: with fewer queries than keys, the last query sees all keys.
static inline size_t FN(visible)(const pg_attention *a, size_t i, size_t queries, size_t keys) {
  if (!a->causal) return keys;
  return keys + i + 1 > queries ? PG_MIN(keys, keys + i + 1 - queries) : 0;
}

PG_CLONES static void FN(forward_softmax)(const pg_attention *a, size_t head, size_t row0, size_t first, size_t rows,
                                          size_t queries, size_t keys, REAL *s, REAL *log_sum) {
  for (size_t i = 0; i < rows; i++) {
    REAL *row = s + i * keys;
    size_t n = FN(visible)(a, first + i, queries, keys);
    REAL sum = 0, shift = 0;
    if (n > 0) {
      shift = FN(max_row)(n, row) * (REAL)a->scale;
      sum = FN(exp_row)(n, (REAL)a->scale, shift, row);
      REAL inverse = 1 / sum;
      for (size_t j = 0; j < n; j++) row[j] *= inverse;
    }
    for (size_t j = n; j < keys; j++) row[j] = 0;
    if (log_sum) log_sum[(row0 + i) * a->heads + head] = sum > 0 ? shift + MATH(log)(sum) : 0;
    if (a->dropout > 0) FN(mask_row)(a, head, row0 + i, n, row, row);
  }
}

static size_t FN(longest)(const pg_attention *a) {
  size_t longest = 0;
  for (size_t s = 0; s < a->sequences; s++) {
    size_t n = (size_t)(a->k_offsets[s + 1] - a->k_offsets[s]);
    longest = PG_MAX(longest, n);
  }
  return longest;
}

static void FN(forward_range)(void *context, size_t begin, size_t end) {
  const struct FN(attention_args) *x = context;
  const pg_attention *a = x->a;
  size_t bytes = TILE * FN(longest)(a) * sizeof(REAL), d = a->head_size;
  REAL *scores = pg_allocate(bytes);
  for (size_t item = begin; item < end; item++) {
    size_t sequence = item / a->heads, head = item % a->heads;
    size_t q0 = (size_t)a->q_offsets[sequence], queries = (size_t)a->q_offsets[sequence + 1] - q0;
    size_t k0 = (size_t)a->k_offsets[sequence], keys = (size_t)a->k_offsets[sequence + 1] - k0;
    const REAL *k = x->k + k0 * a->k_stride + head * d, *v = x->v + k0 * a->v_stride + head * d;
    for (size_t first = 0; first < queries; first += TILE) {
      size_t rows = PG_MIN(TILE, queries - first), row0 = q0 + first;
      const REAL *q = x->q + row0 * a->q_stride + head * d;
      GEMM(false, true, rows, keys, d, 1, q, a->q_stride, k, a->k_stride, 0, scores, keys);
      FN(forward_softmax)(a, head, row0, first, rows, queries, keys, scores, x->log_sum);
      GEMM(false, false, rows, d, keys, 1, scores, keys, v, a->v_stride, 0, x->out + row0 * a->o_stride + head * d,
           a->o_stride);
    }
  }
  pg_free(scores, bytes);
}

static void FN(attention_forward)(const pg_attention *a, const REAL *q, const REAL *k, const REAL *v, REAL *o,
                                  REAL *log_sum) {
  struct FN(attention_args) x = {.a = a, .q = q, .k = k, .v = v, .out = o, .log_sum = log_sum};
  pg_parallel_for(a->sequences * a->heads, 1, FN(forward_range), &x);
}

// p: scores -> probabilities, then masked probabilities; ds: d(masked p) -> d(scores).
PG_CLONES static void FN(backward_softmax)(const pg_attention *a, const struct FN(attention_args) *x, size_t head,
                                           size_t row0, size_t first, size_t rows, size_t queries, size_t keys,
                                           REAL *p, REAL *ds) {
  PG_REASSOCIATE
  size_t d = a->head_size;
  for (size_t i = 0; i < rows; i++) {
    REAL *pr = p + i * keys, *dr = ds + i * keys;
    size_t n = FN(visible)(a, first + i, queries, keys);
    const REAL *o = x->o + (row0 + i) * a->o_stride + head * d, *d_o = x->d_o + (row0 + i) * a->o_stride + head * d;
    REAL dot = 0;
    for (size_t j = 0; j < d; j++) dot += o[j] * d_o[j];  // = sum_j p_j dp_j, dropout included
    if (n) FN(exp_row)(n, (REAL)a->scale, x->log_sum_in[(row0 + i) * a->heads + head], pr);
    if (a->dropout > 0) FN(mask_row)(a, head, row0 + i, n, dr, dr);
    for (size_t j = 0; j < n; j++) dr[j] = pr[j] * (dr[j] - dot) * (REAL)a->scale;
    for (size_t j = n; j < keys; j++) pr[j] = 0, dr[j] = 0;
    if (a->dropout > 0) FN(mask_row)(a, head, row0 + i, n, pr, pr);
  }
}

static void FN(backward_range)(void *context, size_t begin, size_t end) {
  const struct FN(attention_args) *x = context;
  const pg_attention *a = x->a;
  size_t tile = TILE * FN(longest)(a), d = a->head_size, bytes = 2 * tile * sizeof(REAL);
  REAL *p = pg_allocate(bytes), *ds = p + tile;
  for (size_t item = begin; item < end; item++) {
    size_t sequence = item / a->heads, head = item % a->heads;
    size_t q0 = (size_t)a->q_offsets[sequence], queries = (size_t)a->q_offsets[sequence + 1] - q0;
    size_t k0 = (size_t)a->k_offsets[sequence], keys = (size_t)a->k_offsets[sequence + 1] - k0;
    const REAL *k = x->k + k0 * a->k_stride + head * d, *v = x->v + k0 * a->v_stride + head * d;
    REAL *dk = x->dk + k0 * a->k_stride + head * d, *dv = x->dv + k0 * a->v_stride + head * d;
    for (size_t r = 0; r < keys && queries == 0; r++) {
      memset(dk + r * a->k_stride, 0, d * sizeof(REAL));
      memset(dv + r * a->v_stride, 0, d * sizeof(REAL));
    }
    for (size_t first = 0; first < queries; first += TILE) {
      size_t rows = PG_MIN(TILE, queries - first), row0 = q0 + first;
      const REAL *q = x->q + row0 * a->q_stride + head * d, *d_o = x->d_o + row0 * a->o_stride + head * d;
      double keep = first ? 1 : 0;
      GEMM(false, true, rows, keys, d, 1, q, a->q_stride, k, a->k_stride, 0, p, keys);
      GEMM(false, true, rows, keys, d, 1, d_o, a->o_stride, v, a->v_stride, 0, ds, keys);
      FN(backward_softmax)(a, x, head, row0, first, rows, queries, keys, p, ds);
      GEMM(true, false, keys, d, rows, 1, p, keys, d_o, a->o_stride, keep, dv, a->v_stride);
      GEMM(true, false, keys, d, rows, 1, ds, keys, q, a->q_stride, keep, dk, a->k_stride);
      GEMM(false, false, rows, d, keys, 1, ds, keys, k, a->k_stride, 0, x->dq + row0 * a->q_stride + head * d, a->q_stride);
    }
  }
  pg_free(p, bytes);
}

static void FN(attention_backward)(const pg_attention *a, const REAL *q, const REAL *k, const REAL *v, const REAL *o,
                                   const REAL *d_o, const REAL *log_sum, REAL *dq, REAL *dk, REAL *dv) {
  struct FN(attention_args) x = {.a = a, .q = q, .k = k, .v = v, .o = o, .d_o = d_o, .log_sum_in = log_sum,
                                 .dq = dq, .dk = dk, .dv = dv};
  pg_parallel_for(a->sequences * a->heads, 1, FN(backward_range), &x);
}

#endif
