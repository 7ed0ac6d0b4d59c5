#ifndef REAL
#include "attention.h"
#include <stdlib.h>

enum { TILE = 128 };  // queries per tile of scores

// Queries, keys, values and their gradients are of type t; scores, sums and gradients that are still summed are in REAL.
static pg_factor factor(pg_dtype t, const void *data, size_t at, size_t stride, bool transposed) {
  return (pg_factor){(const char *)data + at * pg_size(t), t, transposed, stride};
}

// Bytes for what `rows_seen` copies.
static size_t copied_bytes(pg_dtype t, const pg_attention *a) {
  return a->blocks > 1 || a->keys[0].places ? pg_most_keys(a) * a->head_size * pg_size(t) : 0;
}
// The keys (or values) of a head that a sequence sees: where they lie, or from several blocks or places side by side in `copy`.
static pg_factor rows_seen(pg_dtype t, const pg_attention *a, bool values, size_t sequence, size_t kv_head, void *copy) {
  size_t d = a->head_size;
  char *to = copy;
  for (size_t b = 0; b < a->blocks; b++) {
    const pg_keys *block = a->keys + b;
    size_t stride = values ? block->v_stride : block->k_stride;
    const char *from = (const char *)(values ? block->v : block->k) + kv_head * d * pg_size(t);
    if (a->blocks == 1 && !block->places) return factor(t, from, (size_t)block->start[sequence] * stride, stride, false);
    for (size_t r = 0; r < (size_t)block->count[sequence]; r++, to += d * pg_size(t)) {
      memcpy(to, from + pg_key_row(block, sequence, r) * stride * pg_size(t), d * pg_size(t));
    }
  }
  return factor(t, copy, 0, d, false);
}
static pg_factor transposed(pg_factor f) { return (pg_factor){f.data, f.type, true, f.stride}; }

// One query over the first n keys of a sequence, whose rows are read once where they lie: what a step of decoding computes for each
// text. Scores, probabilities and sums are fp32. room: n + 2 head_size floats.
static inline __attribute__((always_inline)) float key_score(pg_dtype t, size_t d, const float *q, const void *key) {
  PG_REASSOCIATE
  float sum = 0;
  if (t == PG_BF16) {
    for (size_t i = 0; i < d; i++) sum += q[i] * pg_from_bf16(((const uint16_t *)key)[i]);
  } else {
    for (size_t i = 0; i < d; i++) sum += q[i] * ((const float *)key)[i];
  }
  return sum;
}
// Adds up to four rows of values, each times its probability.
static inline __attribute__((always_inline)) void add_values(pg_dtype t, size_t d, size_t rows, const float *p, const char *at[4],
                                                             float *restrict sum) {
  float w[4] = {p[0], rows > 1 ? p[1] : 0, rows > 2 ? p[2] : 0, rows > 3 ? p[3] : 0};
  if (t == PG_BF16) {
    const uint16_t *a = (const void *)at[0], *b = (const void *)at[1], *c = (const void *)at[2], *e = (const void *)at[3];
    for (size_t i = 0; i < d; i++) {
      sum[i] += (w[0] * pg_from_bf16(a[i]) + w[1] * pg_from_bf16(b[i])) + (w[2] * pg_from_bf16(c[i]) + w[3] * pg_from_bf16(e[i]));
    }
  } else {
    const float *a = (const void *)at[0], *b = (const void *)at[1], *c = (const void *)at[2], *e = (const void *)at[3];
    for (size_t i = 0; i < d; i++) sum[i] += (w[0] * a[i] + w[1] * b[i]) + (w[2] * c[i] + w[3] * e[i]);
  }
}

PG_CLONES static void attend_one(pg_dtype t, const pg_attention *a, size_t sequence, size_t head, size_t n, ptrdiff_t at, const void *q, void *o,
                       float *room);

#define PG_TEMPLATE "attention.c"
#include "both_types.h"

PG_CLONES static void attend_one(pg_dtype t, const pg_attention *a, size_t sequence, size_t head, size_t n, ptrdiff_t at, const void *q,
                                 void *o, float *room) {
  size_t d = a->head_size, kv_head = head / (a->heads / a->kv_heads), size = pg_size(t), done = 0;
  float *query = room, *sum = room + d, *p = room + 2 * d;
  pg_convert(d, t, q, PG_F32, query);
  for (size_t b = 0; b < a->blocks && done < n; b++) {
    const pg_keys *block = a->keys + b;
    size_t count = PG_MIN((size_t)block->count[sequence], n - done), stride = block->k_stride * size;
    const char *k = (const char *)block->k + kv_head * d * size;
    for (size_t r = 0; r < count; r++) p[done++] = key_score(t, d, query, k + pg_key_row(block, sequence, r) * stride);
  }
  float scale = a->bias ? 1 : (float)a->scale;
  if (a->bias) add_bias_f32(a, head, at, n, p);
  float inverse = n ? 1 / exp_row_f32(n, scale, max_row_f32(n, p) * scale, p) : 0;
  for (size_t j = 0; j < n; j++) p[j] *= inverse;
  for (size_t i = 0; i < d; i++) sum[i] = 0;
  for (size_t b = 0, first = 0; b < a->blocks && first < n; b++) {
    const pg_keys *block = a->keys + b;
    size_t count = PG_MIN((size_t)block->count[sequence], n - first), stride = block->v_stride * size;
    const char *v = (const char *)block->v + kv_head * d * size, *rows[4];
    for (size_t r = 0; r < count; r += 4) {
      for (size_t i = 0; i < 4; i++) rows[i] = v + pg_key_row(block, sequence, PG_MIN(r + i, count - 1)) * stride;
      add_values(t, d, PG_MIN((size_t)4, count - r), p + first + r, rows, sum);
    }
    first += count;
  }
  pg_convert(d, PG_F32, sum, t, o);
}

bool pg_attention_forward(pg_dtype t, const pg_attention *a, const void *q, void *o, void *log_sum) {
  PG_TIMED(PG_KIND_ATTENTION);
  if (pg_attends_in_tiles(t, a)) return pg_tiled_attention_forward(a, q, o, log_sum);
  return PG_DISPATCHED(t, attention_forward, t, a, q, o, log_sum);
}
bool pg_attention_backward(pg_dtype t, const pg_attention *a, const void *q, const void *d_o, const void *log_sum, void *dq,
                           void *d_bias) {
  PG_TIMED(PG_KIND_ATTENTION);
  if (pg_attends_in_tiles(t, a)) return pg_tiled_attention_backward(a, q, d_o, log_sum, dq, d_bias);
  return PG_DISPATCHED(t, attention_backward, t, a, q, d_o, log_sum, dq, d_bias);
}

#else

struct FN(attention_args) {
  pg_dtype t;
  const pg_attention *a;
  const void *q, *d_o;
  const REAL *log_sum_in;
  void *out, *dq;
  REAL *log_sum, *d_bias;
  bool is_serial;  // the gradients of several sequences add up in one place
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
    pg_mask_block(a->random, block, draws);
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
// Row of scores -> score * scale + bias.
static inline __attribute__((always_inline)) void FN(add_bias)(const pg_attention *a, size_t head, ptrdiff_t position,
                                                               size_t n, REAL *s) {
  const REAL *bias = a->bias;
  ptrdiff_t first = pg_bias_column(a, head, position);
  PG_ALIGNED_LOOP for (size_t j = 0; j < n; j++) s[j] = s[j] * (REAL)a->scale + bias[first + (ptrdiff_t)j];
}

PG_CLONES static void FN(forward_softmax)(const pg_attention *a, size_t head, size_t row0, size_t first, size_t rows,
                                          size_t queries, size_t keys, size_t columns, REAL *s, REAL *log_sum) {
  REAL scale = a->bias ? 1 : (REAL)a->scale;
  for (size_t i = 0; i < rows; i++) {
    REAL *row = s + i * columns;
    ptrdiff_t at = pg_position(a, row0 + i, first + i, queries, keys);
    size_t n = pg_visible(a, at, keys);
    REAL sum = 0, shift = 0;
    if (n > 0) {
      if (a->bias) FN(add_bias)(a, head, at, n, row);
      shift = FN(max_row)(n, row) * scale;
      sum = FN(exp_row)(n, scale, shift, row);
      REAL inverse = 1 / sum;
      for (size_t j = 0; j < n; j++) row[j] *= inverse;
    }
    for (size_t j = n; j < columns; j++) row[j] = 0;
    if (log_sum) log_sum[(row0 + i) * a->heads + head] = sum > 0 ? shift + MATH(log)(sum) : 0;
    if (a->dropout > 0) FN(mask_row)(a, head, row0 + i, n, row, row);
  }
}

static void FN(forward_range)(void *context, size_t begin, size_t end) {
  struct FN(attention_args) *x = context;
  const pg_attention *a = x->a;
  pg_dtype t = x->t, own = sizeof(REAL) == 4 ? PG_F32 : PG_F64;
  size_t d = a->head_size;
  size_t copied = copied_bytes(t, a), scores_bytes = (TILE * pg_most_keys(a) + 2 * d) * sizeof(REAL), bytes = scores_bytes + 2 * copied;
  REAL *scores = pg_take_scratch(bytes);
  bool done = scores != NULL;
  char *copy = (char *)scores + scores_bytes;
  for (size_t item = begin; item < end && done; item++) {
    size_t sequence = item / a->heads, head = item % a->heads, kv_head = head / (a->heads / a->kv_heads);
    size_t q0 = (size_t)a->q_offsets[sequence], queries = (size_t)a->q_offsets[sequence + 1] - q0;
    size_t keys = pg_key_count(a, sequence);
    if (pg_attends_one(a, sequence) && t != PG_F64 && !x->log_sum && a->dropout == 0) {
      ptrdiff_t at = pg_position(a, q0, 0, 1, keys);
      attend_one(t, a, sequence, head, pg_visible(a, at, keys), at, (const char *)x->q + (q0 * a->q_stride + head * d) * pg_size(t),
                 (char *)x->out + (q0 * a->o_stride + head * d) * pg_size(t), (void *)scores);
      continue;
    }
    pg_factor k = transposed(rows_seen(t, a, false, sequence, kv_head, copy));
    pg_factor v = rows_seen(t, a, true, sequence, kv_head, copy + copied);
    for (size_t first = 0; first < queries && done; first += TILE) {
      size_t rows = PG_MIN(TILE, queries - first), row0 = q0 + first;
      size_t columns = pg_visible_to_rows(a, row0, first, rows, queries, keys);
      pg_factor q = factor(t, x->q, row0 * a->q_stride + head * d, a->q_stride, false);
      done = pg_multiply(t, rows, columns, d, 1, q, k, 0, own, scores, columns);
      if (!done) break;
      FN(forward_softmax)(a, head, row0, first, rows, queries, keys, columns, scores, x->log_sum);
      done = pg_multiply(t, rows, d, columns, 1, (pg_factor){scores, own, false, columns}, v, 0, t,
                         (char *)x->out + (row0 * a->o_stride + head * d) * pg_size(t), a->o_stride);
    }
  }
  if (scores) pg_give_scratch(scores, bytes);
  if (!done) x->failed = true;
}

static bool FN(attention_forward)(pg_dtype t, const pg_attention *a, const void *q, void *o, REAL *log_sum) {
  struct FN(attention_args) x = {.t = t, .a = a, .q = q, .out = o, .log_sum = log_sum};
  size_t items = a->sequences * a->heads;
  // Those of decoding are short.
  pg_parallel_for(items, a->decodes ? (items + 63) / 64 : 1, FN(forward_range), &x);
  return !x.failed;
}

// p: scores -> probabilities, then masked probabilities; ds: d(masked p) -> d(scores).
PG_CLONES static void FN(backward_softmax)(const pg_attention *a, const REAL *log_sum, size_t head, size_t row0, size_t first,
                                           size_t rows, size_t queries, size_t keys, size_t columns, REAL *p, REAL *ds,
                                           REAL *d_bias) {
  PG_REASSOCIATE
  REAL scale = a->bias ? 1 : (REAL)a->scale;
  for (size_t i = 0; i < rows; i++) {
    REAL *pr = p + i * columns, *dr = ds + i * columns;
    ptrdiff_t at = pg_position(a, row0 + i, first + i, queries, keys);
    size_t n = pg_visible(a, at, keys);
    if (a->bias) FN(add_bias)(a, head, at, n, pr);
    if (n) FN(exp_row)(n, scale, log_sum[(row0 + i) * a->heads + head], pr);
    if (a->dropout > 0) FN(mask_row)(a, head, row0 + i, n, dr, dr);
    // The row's output times its gradient says the same; this way nobody has to keep the output.
    REAL dot = 0;
    for (size_t j = 0; j < n; j++) dot += pr[j] * dr[j];
    if (d_bias) {
      ptrdiff_t column = pg_bias_column(a, head, at);
      PG_ALIGNED_LOOP for (size_t j = 0; j < n; j++) d_bias[column + (ptrdiff_t)j] += pr[j] * (dr[j] - dot);
    }
    PG_ALIGNED_LOOP for (size_t j = 0; j < n; j++) dr[j] = pr[j] * (dr[j] - dot) * (REAL)a->scale;
    for (size_t j = n; j < columns; j++) pr[j] = 0, dr[j] = 0;
    if (a->dropout > 0) FN(mask_row)(a, head, row0 + i, n, pr, pr);
  }
}

// The sums of a head's gradient [n, d] to their places, `stride` apart: written in the type t, or added in REAL.
static void FN(write_head)(pg_dtype t, bool adds, size_t n, size_t d, const REAL *from, void *to, size_t at, size_t stride) {
  for (size_t r = 0; r < n; r++, at += stride, from += d) {
    if (adds) {
      for (size_t i = 0; i < d; i++) ((REAL *)to)[at + i] += from[i];
    } else if (t == PG_BF16) {
      pg_narrow(d, (const float *)(const void *)from, (uint16_t *)to + at);
    } else {
      memcpy((REAL *)to + at, from, d * sizeof(REAL));
    }
  }
}

// One thread's working memory: probabilities and their gradients, sums of a head's gradients, copies of keys and values.
struct FN(room) {
  REAL *p, *ds, *dk, *dv;
  char *k, *v;
};

// The gradients that the queries of one sequence give, through the heads that share a head of keys and values.
static bool FN(backward_head)(struct FN(attention_args) *x, size_t sequence, size_t kv_head, const struct FN(room) *m) {
  const pg_attention *a = x->a;
  pg_dtype t = x->t, own = sizeof(REAL) == 4 ? PG_F32 : PG_F64;
  size_t d = a->head_size, group = a->heads / a->kv_heads, keys = pg_key_count(a, sequence);
  size_t q0 = (size_t)a->q_offsets[sequence], queries = (size_t)a->q_offsets[sequence + 1] - q0;
  pg_factor k = rows_seen(t, a, false, sequence, kv_head, m->k), v = rows_seen(t, a, true, sequence, kv_head, m->v);
  // The first tile of a causal square does not reach all keys.
  bool adds = a->causal || queries == 0, done = true;
  if (adds) memset(m->dk, 0, keys * d * sizeof(REAL)), memset(m->dv, 0, keys * d * sizeof(REAL));
  for (size_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
    for (size_t first = 0; first < queries && done; first += TILE, adds = true) {
      size_t rows = PG_MIN(TILE, queries - first), row0 = q0 + first, q_at = row0 * a->q_stride + head * d;
      size_t n = pg_visible_to_rows(a, row0, first, rows, queries, keys);
      pg_factor q = factor(t, x->q, q_at, a->q_stride, false);
      pg_factor d_o = factor(t, x->d_o, row0 * a->o_stride + head * d, a->o_stride, false);
      double keep = adds ? 1 : 0;
      done = pg_multiply(t, rows, n, d, 1, q, transposed(k), 0, own, m->p, n)
             && pg_multiply(t, rows, n, d, 1, d_o, transposed(v), 0, own, m->ds, n);
      if (!done) return false;
      FN(backward_softmax)(a, x->log_sum_in, head, row0, first, rows, queries, keys, n, m->p, m->ds, x->d_bias);
      pg_factor p_transposed = {m->p, own, true, n}, ds_transposed = {m->ds, own, true, n};
      done = pg_multiply(t, n, d, rows, 1, p_transposed, d_o, keep, own, m->dv, d)
             && pg_multiply(t, n, d, rows, 1, ds_transposed, q, keep, own, m->dk, d)
             && pg_multiply(t, rows, d, n, 1, (pg_factor){m->ds, own, false, n}, k, 0, t,
                            (char *)x->dq + q_at * pg_size(t), a->q_stride);
    }
  }
  if (!done) return false;
  size_t before = 0;
  for (size_t b = 0; b < a->blocks; b++) {
    const pg_keys *block = a->keys + b;
    size_t start = (size_t)block->start[sequence], n = (size_t)block->count[sequence];
    FN(write_head)(t, block->adds, n, d, m->dk + before * d, block->dk, start * block->k_stride + kv_head * d, block->k_stride);
    FN(write_head)(t, block->adds, n, d, m->dv + before * d, block->dv, start * block->v_stride + kv_head * d, block->v_stride);
    before += n;
  }
  return true;
}

static void FN(backward_range)(void *context, size_t begin, size_t end) {
  struct FN(attention_args) *x = context;
  const pg_attention *a = x->a;
  size_t copied = copied_bytes(x->t, a), most = pg_most_keys(a), tile = TILE * most, sums = most * a->head_size;
  size_t bytes = 2 * (tile + sums) * sizeof(REAL) + 2 * copied;
  REAL *p = pg_take_scratch(bytes);
  if (!p) {
    x->failed = true;
    return;
  }
  char *copies = (char *)(p + 2 * (tile + sums));
  struct FN(room) room = {p, p + tile, p + 2 * tile, p + 2 * tile + sums, copies, copies + copied};
  bool done = true;
  for (size_t item = begin; item < end && done; item++) {
    size_t kv_head = item % a->kv_heads, sequence = x->is_serial ? 0 : item / a->kv_heads;
    size_t last = x->is_serial ? a->sequences : sequence + 1;
    for (; sequence < last && done; sequence++) done = FN(backward_head)(x, sequence, kv_head, &room);
  }
  pg_give_scratch(p, bytes);
  if (!done) x->failed = true;
}

static bool FN(attention_backward)(pg_dtype t, const pg_attention *a, const void *q, const void *d_o, const REAL *log_sum,
                                   void *dq, REAL *d_bias) {
  struct FN(attention_args) x = {.t = t, .a = a, .q = q, .d_o = d_o, .log_sum_in = log_sum, .dq = dq, .d_bias = d_bias};
  x.is_serial = d_bias != NULL;
  for (size_t b = 0; b < a->blocks; b++) x.is_serial |= a->keys[b].adds;
  pg_parallel_for(x.is_serial ? a->kv_heads : a->sequences * a->kv_heads, 1, FN(backward_range), &x);
  return !x.failed;
}

#endif
