#ifndef REAL
#include "internal.h"
#include <stdlib.h>

enum { TILE = 128 };  // queries per tile of scores

// Queries, keys, values and their gradients are of type t; scores, sums and gradients that are still summed are in REAL.
static pg_factor factor(pg_dtype t, const void *data, size_t at, size_t stride, bool transposed) {
  return (pg_factor){(const char *)data + at * pg_size(t), t, transposed, stride};
}

#define PG_TEMPLATE "attention.c"
#include "both_types.h"

bool pg_attention_forward(pg_dtype t, const pg_attention *a, const void *q, const void *k, const void *v, void *o,
                          void *log_sum) {
  PG_TIMED(PG_KIND_ATTENTION);
  return PG_DISPATCHED(t, attention_forward, t, a, q, k, v, o, log_sum);
}
bool pg_attention_backward(pg_dtype t, const pg_attention *a, const void *q, const void *k, const void *v,
                           const void *d_o, const void *log_sum, void *dq, void *dk, void *dv) {
  PG_TIMED(PG_KIND_ATTENTION);
  return PG_DISPATCHED(t, attention_backward, t, a, q, k, v, d_o, log_sum, dq, dk, dv);
}

#else

struct FN(attention_args) {
  pg_dtype t;
  const pg_attention *a;
  const void *q, *k, *v, *d_o;
  const REAL *log_sum_in;
  void *out, *dq, *dk, *dv;
  REAL *log_sum;
  atomic_bool failed;  // a thread had no working memory
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
    PG_ALIGNED_LOOP for (size_t j = 0; j < count; j++) y[i + j] = draws[j] < threshold ? (REAL)0 : x[i + j] * scale;
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
  enum { LANES = 16 };
  REAL lanes[LANES], m = s[0];
  for (size_t l = 0; l < LANES; l++) lanes[l] = m;
  size_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (size_t l = 0; l < LANES; l++) lanes[l] = s[i + l] > lanes[l] ? s[i + l] : lanes[l];
  }
  for (; i < n; i++) m = s[i] > m ? s[i] : m;
  for (size_t l = 0; l < LANES; l++) m = lanes[l] > m ? lanes[l] : m;
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
  struct FN(attention_args) *x = context;
  const pg_attention *a = x->a;
  pg_dtype t = x->t, own = sizeof(REAL) == 4 ? PG_F32 : PG_F64;
  size_t bytes = TILE * FN(longest)(a) * sizeof(REAL), d = a->head_size;
  REAL *scores = pg_allocate(bytes);
  bool done = scores != NULL;
  for (size_t item = begin; item < end && done; item++) {
    size_t sequence = item / a->heads, head = item % a->heads;
    size_t q0 = (size_t)a->q_offsets[sequence], queries = (size_t)a->q_offsets[sequence + 1] - q0;
    size_t k0 = (size_t)a->k_offsets[sequence], keys = (size_t)a->k_offsets[sequence + 1] - k0;
    pg_factor k = factor(t, x->k, k0 * a->k_stride + head * d, a->k_stride, true);
    pg_factor v = factor(t, x->v, k0 * a->v_stride + head * d, a->v_stride, false);
    for (size_t first = 0; first < queries && done; first += TILE) {
      size_t rows = PG_MIN(TILE, queries - first), row0 = q0 + first;
      pg_factor q = factor(t, x->q, row0 * a->q_stride + head * d, a->q_stride, false);
      done = pg_multiply(t, rows, keys, d, 1, q, k, 0, own, scores, keys);
      if (!done) break;
      FN(forward_softmax)(a, head, row0, first, rows, queries, keys, scores, x->log_sum);
      done = pg_multiply(t, rows, d, keys, 1, (pg_factor){scores, own, false, keys}, v, 0, t,
                         (char *)x->out + (row0 * a->o_stride + head * d) * pg_size(t), a->o_stride);
    }
  }
  pg_free(scores, bytes);
  if (!done) x->failed = true;
}

static bool FN(attention_forward)(pg_dtype t, const pg_attention *a, const void *q, const void *k, const void *v, void *o,
                                  REAL *log_sum) {
  struct FN(attention_args) x = {.t = t, .a = a, .q = q, .k = k, .v = v, .out = o, .log_sum = log_sum};
  pg_parallel_for(a->sequences * a->heads, 1, FN(forward_range), &x);
  return !x.failed;
}

// p: scores -> probabilities, then masked probabilities; ds: d(masked p) -> d(scores).
PG_CLONES static void FN(backward_softmax)(const pg_attention *a, const REAL *log_sum, size_t head, size_t row0,
                                           size_t first, size_t rows, size_t queries, size_t keys, REAL *p, REAL *ds) {
  PG_REASSOCIATE
  for (size_t i = 0; i < rows; i++) {
    REAL *pr = p + i * keys, *dr = ds + i * keys;
    size_t n = FN(visible)(a, first + i, queries, keys);
    if (n) FN(exp_row)(n, (REAL)a->scale, log_sum[(row0 + i) * a->heads + head], pr);
    if (a->dropout > 0) FN(mask_row)(a, head, row0 + i, n, dr, dr);
    // The row's output times its gradient says the same; this way nobody has to keep the output.
    REAL dot = 0;
    for (size_t j = 0; j < n; j++) dot += pr[j] * dr[j];
    PG_ALIGNED_LOOP for (size_t j = 0; j < n; j++) dr[j] = pr[j] * (dr[j] - dot) * (REAL)a->scale;
    for (size_t j = n; j < keys; j++) pr[j] = 0, dr[j] = 0;
    if (a->dropout > 0) FN(mask_row)(a, head, row0 + i, n, pr, pr);
  }
}

// Copies the sums of a head's gradient [n, d] to their places, `stride` apart.
static void FN(write_head)(pg_dtype t, size_t n, size_t d, const REAL *from, void *to, size_t stride) {
  for (size_t r = 0; r < n; r++) {
    if (t == PG_BF16) pg_narrow(d, (const float *)(const void *)(from + r * d), (uint16_t *)to + r * stride);
    else memcpy((REAL *)to + r * stride, from + r * d, d * sizeof(REAL));
  }
}

static void FN(backward_range)(void *context, size_t begin, size_t end) {
  struct FN(attention_args) *x = context;
  const pg_attention *a = x->a;
  pg_dtype t = x->t, own = sizeof(REAL) == 4 ? PG_F32 : PG_F64;
  size_t longest = FN(longest)(a), tile = TILE * longest, d = a->head_size;
  size_t bytes = 2 * (tile + longest * d) * sizeof(REAL);
  REAL *p = pg_allocate(bytes);
  if (!p) {
    x->failed = true;
    return;
  }
  REAL *ds = p + tile, *dk = ds + tile, *dv = dk + longest * d;
  bool done = true;
  for (size_t item = begin; item < end && done; item++) {
    size_t sequence = item / a->heads, head = item % a->heads;
    size_t q0 = (size_t)a->q_offsets[sequence], queries = (size_t)a->q_offsets[sequence + 1] - q0;
    size_t k0 = (size_t)a->k_offsets[sequence], keys = (size_t)a->k_offsets[sequence + 1] - k0;
    size_t k_at = k0 * a->k_stride + head * d, v_at = k0 * a->v_stride + head * d;
    pg_factor k = factor(t, x->k, k_at, a->k_stride, false), v = factor(t, x->v, v_at, a->v_stride, true);
    pg_factor k_transposed = factor(t, x->k, k_at, a->k_stride, true);
    if (queries == 0) memset(dk, 0, 2 * longest * d * sizeof(REAL));
    for (size_t first = 0; first < queries && done; first += TILE) {
      size_t rows = PG_MIN(TILE, queries - first), row0 = q0 + first, q_at = row0 * a->q_stride + head * d;
      pg_factor q = factor(t, x->q, q_at, a->q_stride, false);
      pg_factor d_o = factor(t, x->d_o, row0 * a->o_stride + head * d, a->o_stride, false);
      double keep = first ? 1 : 0;
      done = pg_multiply(t, rows, keys, d, 1, q, k_transposed, 0, own, p, keys)
             && pg_multiply(t, rows, keys, d, 1, d_o, v, 0, own, ds, keys);
      if (!done) break;
      FN(backward_softmax)(a, x->log_sum_in, head, row0, first, rows, queries, keys, p, ds);
      pg_factor p_transposed = {p, own, true, keys}, ds_transposed = {ds, own, true, keys};
      done = pg_multiply(t, keys, d, rows, 1, p_transposed, d_o, keep, own, dv, d)
             && pg_multiply(t, keys, d, rows, 1, ds_transposed, q, keep, own, dk, d)
             && pg_multiply(t, rows, d, keys, 1, (pg_factor){ds, own, false, keys}, k, 0, t,
                            (char *)x->dq + q_at * pg_size(t), a->q_stride);
    }
    if (!done) break;
    FN(write_head)(t, keys, d, dk, (char *)x->dk + k_at * pg_size(t), a->k_stride);
    FN(write_head)(t, keys, d, dv, (char *)x->dv + v_at * pg_size(t), a->v_stride);
  }
  pg_free(p, bytes);
  if (!done) x->failed = true;
}

static bool FN(attention_backward)(pg_dtype t, const pg_attention *a, const void *q, const void *k, const void *v,
                                   const void *d_o, const REAL *log_sum, void *dq, void *dk, void *dv) {
  struct FN(attention_args) x = {.t = t, .a = a, .q = q, .k = k, .v = v, .d_o = d_o, .log_sum_in = log_sum,
                                 .dq = dq, .dk = dk, .dv = dv};
  pg_parallel_for(a->sequences * a->heads, 1, FN(backward_range), &x);
  return !x.failed;
}

#endif
