// Attention in bfloat16 on AVX-512 tiles, in one pass over blocks of queries: scores, softmax, dropout and the product with the values,
// while the scores stay in the second-level cache. Keys and values of a head are laid out once, for all queries and all heads that share
// them. Products and layouts are those of units.c.
//
// Every sum runs over its keys, or queries, in order: neither blocks nor threads change a bit.
#include "attention.h"

#if defined(__x86_64__)
enum { WIDEST_HEAD = 256, MOST_ROWS = 48 };

bool pg_attends_in_tiles(pg_dtype t, const pg_attention *a) {
  return t == PG_BF16 && a->head_size % 32 == 0 && a->head_size <= WIDEST_HEAD && pg_cpu_has(PG_AVX512_BF16)
         && pg_provider_of(PG_PLAIN_BF16) == &pg_avx512;
}

static const uint16_t zeros[WIDEST_HEAD];

// Where the keys (or values) of a head lie that a sequence sees, and zeros up to `whole`.
static void find_rows(const pg_attention *a, bool values, size_t sequence, size_t kv_head, size_t whole, const uint16_t **rows) {
  size_t n = 0;
  for (size_t b = 0; b < a->blocks; b++) {
    const pg_keys *block = a->keys + b;
    size_t stride = values ? block->v_stride : block->k_stride;
    const uint16_t *from = (const uint16_t *)(values ? block->v : block->k) + kv_head * a->head_size;
    for (size_t r = 0; r < (size_t)block->count[sequence]; r++) rows[n++] = from + pg_key_row(block, sequence, r) * stride;
  }
  while (n < whole) rows[n++] = zeros;
}

// ---- rows of scores --------------------------------------------------------------------------------------

// Which elements of a row of n are kept: its draws start at a multiple of PG_MASK_BLOCK that no other row uses.
PG_INLINE_TILES void keep_row(const pg_attention *a, size_t head, size_t row, size_t n, uint16_t *keep) {
  uint64_t block = ((uint64_t)row * a->heads + head) << 16;
  uint32_t threshold = pg_dropout_threshold(a->dropout);
  uint16_t draws[PG_MASK_BLOCK];
  for (size_t j = 0; j < n; j += PG_MASK_BLOCK, block++) {
    pg_mask_block(a->random, block, draws);
    PG_UNROLLED for (size_t i = 0; i < PG_MASK_BLOCK; i += 32) {
      __mmask32 kept = threshold > 0xFFFF ? 0 : _mm512_cmpge_epu16_mask(_mm512_loadu_si512(draws + i), _mm512_set1_epi16((short)threshold));
      memcpy(keep + (j + i) / PG_LANES, &kept, sizeof kept);
    }
  }
}
// Lanes of n elements from j on.
static inline uint16_t lanes_from(size_t n, size_t j) { return n >= j + PG_LANES ? 0xFFFF : n <= j ? 0 : (uint16_t)((1u << (n - j)) - 1); }

// What all rows of a block of queries share.
typedef struct {
  const pg_attention *a;
  size_t head, row0, first, rows, queries, keys;
  size_t columns;  // those that some row sees, in whole panels
  size_t seen[MOST_ROWS / PG_STRIP];  // the same for each strip, in whole lanes
} block;

static ptrdiff_t position_of(const block *b, size_t i) { return pg_position(b->a, b->row0 + i, b->first + i, b->queries, b->keys); }

static block block_of(const pg_attention *a, size_t head, size_t q0, size_t first, size_t rows, size_t queries, size_t keys) {
  block b = {.a = a, .head = head, .row0 = q0 + first, .first = first, .rows = rows, .queries = queries, .keys = keys};
  for (size_t i = 0; i < rows; i += PG_STRIP) {
    size_t n = pg_visible_to_rows(a, b.row0 + i, first + i, PG_MIN((size_t)PG_STRIP, rows - i), queries, keys);
    b.seen[i / PG_STRIP] = pg_whole_lanes(n);
    b.columns = PG_MAX(b.columns, b.seen[i / PG_STRIP]);
  }
  b.columns = PG_MIN((b.columns + PG_PANEL - 1) / PG_PANEL * PG_PANEL, pg_whole_lanes(keys));
  return b;
}

// out[i] = rows of `left` times the turned panels, as far as each strip sees.
static void make_scores(const block *b, const uint16_t *left, size_t left_stride, const char *panels, float *out, size_t stride) {
  size_t d = b->a->head_size;
  pg_layout l = pg_rows_apart(left_stride * sizeof *left);
  for (size_t column = 0; column < b->columns; column += PG_PANEL) {
    // The last panel of all keys may be narrower.
    size_t width = PG_MIN((size_t)PG_PANEL, pg_whole_lanes(b->keys) - column);
    for (size_t i = 0; i < b->rows; i += PG_STRIP) {
      if (b->seen[i / PG_STRIP] <= column) continue;
      pg_multiply_units(PG_MIN((size_t)PG_STRIP, b->rows - i), width, d / 2, (const char *)(left + i * left_stride), l,
                        panels + column * (d / 2) * PG_UNIT, out + i * stride + column, stride, false);
    }
  }
}

// out[rows, d] = left[rows, keys] * plain panels, in pieces of the panels that stay in the first-level cache.
static void multiply_keys(const block *b, const char *left, pg_layout l, const char *panels, float *out) {
  enum { PIECE = 256 };
  size_t d = b->a->head_size, whole = pg_whole_lanes(b->keys);
  for (size_t column = 0; column < d; column += PG_PANEL) {
    size_t width = PG_MIN((size_t)PG_PANEL, d - column);
    for (size_t k = 0; k == 0 || k < b->columns; k += PIECE) {
      const char *right = panels + (column * (whole / 2) + k / 2 * width) * PG_UNIT;
      for (size_t i = 0; i < b->rows; i += PG_STRIP) {
        size_t seen = b->seen[i / PG_STRIP], count = seen > k ? PG_MIN((size_t)PIECE, seen - k) : 0;
        if (count == 0 && k > 0) continue;
        pg_multiply_units(PG_MIN((size_t)PG_STRIP, b->rows - i), width, count / 2, left + i / 2 * l.two + k / 2 * l.step, l, right,
                          out + i * d + column, d, k > 0);
      }
    }
  }
}

// ---- forward ---------------------------------------------------------------------------------------------

// Scores -> exp(score - largest), masked, in bfloat16 in their place; factors[i]: what the row's sum with the values is multiplied by.
PG_TARGET_TILES static void forward_rows(const block *b, float *s, uint16_t *keep, float *factors, float *log_sum) {
  const pg_attention *a = b->a;
  float kept = a->dropout < 1 ? (float)(1 / (1 - a->dropout)) : 0;
  __m512 scale = _mm512_set1_ps(a->bias ? 1 : (float)a->scale);
  for (size_t i = 0; i < b->rows; i++) {
    float *row = s + i * b->columns;
    uint16_t *p = (uint16_t *)(void *)row;
    size_t n = pg_visible(a, position_of(b, i), b->keys), seen = b->seen[i / PG_STRIP];
    __m512 most = _mm512_set1_ps(-INFINITY), total = _mm512_setzero_ps();
    if (a->bias) {
      const float *bias = (const float *)a->bias + pg_bias_column(a, b->head, position_of(b, i));
      for (size_t j = 0; j < n; j++) row[j] = row[j] * (float)a->scale + bias[j];
    }
    if (n % PG_LANES) {
      float *last = row + n / PG_LANES * PG_LANES;
      _mm512_storeu_ps(last, _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), lanes_from(n, n / PG_LANES * PG_LANES), last));
    }
    for (size_t j = 0; j < n; j += PG_LANES) most = _mm512_max_ps(most, _mm512_loadu_ps(row + j));
    float shift = n ? _mm512_reduce_max_ps(most) * _mm512_cvtss_f32(scale) : 0;
    if (a->dropout > 0) keep_row(a, b->head, b->row0 + i, n, keep);
    for (size_t j = 0; j < n; j += PG_LANES) {
      __m512 e = pg_exp_lanes(_mm512_fmsub_ps(_mm512_loadu_ps(row + j), scale, _mm512_set1_ps(shift)));
      total = _mm512_add_ps(total, e);
      if (a->dropout > 0) e = _mm512_maskz_mov_ps(keep[j / PG_LANES], e);
      _mm256_storeu_si256((void *)(p + j), (__m256i)_mm512_cvtneps_pbh(e));
    }
    for (size_t j = pg_whole_lanes(n); j < seen; j += PG_LANES) _mm256_storeu_si256((void *)(p + j), _mm256_setzero_si256());
    float sum = _mm512_reduce_add_ps(total);
    factors[i] = n ? kept / sum : 0;
    if (log_sum) log_sum[(b->row0 + i) * a->heads + b->head] = sum > 0 ? shift + logf(sum) : 0;
  }
}

// A head's elements of a row.
PG_INLINE_TILES void write_narrow(size_t d, float factor, const float *from, uint16_t *to) {
  for (size_t j = 0; j < d; j += PG_LANES) {
    _mm256_storeu_si256((void *)(to + j), pg_narrow_lanes(_mm512_mul_ps(_mm512_loadu_ps(from + j), _mm512_set1_ps(factor))));
  }
}
// Those of a block's rows, `stride` elements apart; factors: null for 1.
PG_TARGET_TILES static void write_rows(const block *b, const float *from, const float *factors, uint16_t *to, size_t stride) {
  size_t d = b->a->head_size;
  for (size_t i = 0; i < b->rows; i++) write_narrow(d, factors ? factors[i] : 1, from + i * d, to + i * stride);
}

struct tiled_args {
  const pg_attention *a;
  const uint16_t *q, *d_o;
  const float *log_sum_in;
  uint16_t *o, *dq;
  float *log_sum, *d_bias;
  size_t slices;   // parts of the heads that share keys
  bool is_serial;  // the gradients of several sequences add up in one place
  bool skips_ones;
  atomic_bool failed;  // a thread had no working memory
};

// Rows of a block of queries: so few that their scores stay in the second-level cache beside the panels, so many that a panel is read for
// several strips.
static size_t rows_for(size_t columns) { return columns <= 1024 ? 48 : 24; }

static void tiled_forward_range(void *context, size_t begin, size_t end) {
  struct tiled_args *x = context;
  const pg_attention *a = x->a;
  size_t d = a->head_size, most = pg_whole_lanes(pg_most_keys(a)), group = a->heads / a->kv_heads, each = group / x->slices;
  size_t panel = most * d * sizeof(uint16_t), scores = rows_for(most) * most * sizeof(float), sums = MOST_ROWS * d * sizeof(float);
  size_t pointers = most * sizeof(void *), masks = (most + PG_MASK_BLOCK) / PG_LANES * sizeof(uint16_t);
  size_t bytes = 2 * panel + scores + sums + pointers + masks;
  char *memory = pg_allocate(bytes);
  if (!memory) {
    x->failed = true;
    return;
  }
  char *k = memory, *v = k + panel;
  float *s = (void *)(v + panel), *out = (void *)((char *)s + scores), factors[MOST_ROWS];
  const uint16_t **rows = (void *)((char *)out + sums);
  uint16_t *keep = (void *)((char *)rows + pointers);
  for (size_t item = begin; item < end; item++) {
    size_t sequence = item / x->slices / a->kv_heads, kv_head = item / x->slices % a->kv_heads;
    size_t q0 = (size_t)a->q_offsets[sequence], queries = (size_t)a->q_offsets[sequence + 1] - q0, keys = pg_key_count(a, sequence);
    if (x->skips_ones && pg_attends_one(a, sequence)) continue;
    find_rows(a, false, sequence, kv_head, pg_whole_lanes(keys), rows);
    pg_lay_out_turned(rows, pg_whole_lanes(keys), d, k);
    find_rows(a, true, sequence, kv_head, pg_whole_lanes(keys), rows);
    pg_lay_out_plain(rows, pg_whole_lanes(keys), d, v);
    size_t head = kv_head * group + item % x->slices * each, step = rows_for(most);
    for (size_t last = head + each; head < last; head++) {
      for (size_t first = 0; first < queries; first += step) {
        block b = block_of(a, head, q0, first, PG_MIN(step, queries - first), queries, keys);
        make_scores(&b, x->q + b.row0 * a->q_stride + head * d, a->q_stride, k, s, b.columns);
        forward_rows(&b, s, keep, factors, x->log_sum);
        multiply_keys(&b, (const char *)s, pg_rows_apart(b.columns * sizeof(float)), v, out);
        write_rows(&b, out, factors, x->o + b.row0 * a->o_stride + head * d, a->o_stride);
      }
    }
  }
  pg_free(memory, bytes);
}

bool pg_tiled_attention_forward(const pg_attention *a, const uint16_t *q, uint16_t *o, float *log_sum) {
  struct tiled_args x = {.a = a, .q = q, .o = o, .log_sum = log_sum, .skips_ones = a->decodes && !log_sum && a->dropout == 0};
  size_t items = a->sequences * a->kv_heads, ones = 0;
  for (size_t s = 0; s < a->sequences && x.skips_ones; s++) ones += pg_attends_one(a, s);
  if (ones && !pg_attend_ones(a, q, o)) return false;
  if (ones && ones == a->sequences) return true;
  // Laying out keys once more costs less than a thread without work.
  x.slices = items < 8 ? a->heads / a->kv_heads : 1;
  pg_parallel_for(items * x.slices, 1, tiled_forward_range, &x);
  return !x.failed;
}

// ---- backward --------------------------------------------------------------------------------------------

// A row's scores and gradients of probabilities, `columns` apart -> probabilities and masked gradients; returns the sum of their products,
// which is the row's output times its gradient: this way nobody has to keep the output. Elements that the row does not see become 0.
PG_INLINE_TILES float backward_row(const block *b, size_t i, const float *log_sum, float *p, uint16_t *keep) {
  const pg_attention *a = b->a;
  float *dp = p + b->columns;
  size_t n = i < b->rows ? pg_visible(a, position_of(b, i), b->keys) : 0;
  float shift = n ? log_sum[(b->row0 + i) * a->heads + b->head] : 0, kept = a->dropout < 1 ? (float)(1 / (1 - a->dropout)) : 0;
  const float *bias = a->bias && n ? (const float *)a->bias + pg_bias_column(a, b->head, position_of(b, i)) : NULL;
  __m512 scale = _mm512_set1_ps((float)a->scale), dot = _mm512_setzero_ps();
  if (a->dropout > 0) keep_row(a, b->head, b->row0 + i, n, keep);
  for (size_t j = 0; j < b->columns; j += PG_LANES) {
    __mmask16 lanes = lanes_from(n, j);
    __m512 minus = _mm512_set1_ps(-shift), e, g = _mm512_maskz_loadu_ps(lanes, dp + j);
    if (bias) minus = _mm512_add_ps(minus, _mm512_maskz_loadu_ps(lanes, bias + j));
    e = _mm512_maskz_mov_ps(lanes, pg_exp_lanes(_mm512_fmadd_ps(_mm512_maskz_loadu_ps(lanes, p + j), scale, minus)));
    if (a->dropout > 0) g = _mm512_maskz_mul_ps(keep[j / PG_LANES], g, _mm512_set1_ps(kept));
    dot = _mm512_fmadd_ps(e, g, dot);
    _mm512_storeu_ps(p + j, e), _mm512_storeu_ps(dp + j, g);
  }
  return _mm512_reduce_add_ps(dot);
}

// Adds a row's gradients to those of the bias.
static void add_to_bias(const block *b, size_t i, const float *p, float dot, float *d_bias) {
  size_t n = pg_visible(b->a, position_of(b, i), b->keys);
  float *to = d_bias + pg_bias_column(b->a, b->head, position_of(b, i));
  for (size_t j = 0; j < n; j++) to[j] += p[j] * (p[b->columns + j] - dot);
}

// s: for each row its scores and the gradients of its probabilities. Two rows at once become, in their four places, the masked
// probabilities and the gradients of scores as units of two rows, and the gradients of scores of either row in bfloat16.
PG_TARGET_TILES static void backward_rows(const block *b, const float *log_sum, float *s, uint16_t *keep, float *d_bias) {
  const pg_attention *a = b->a;
  size_t columns = b->columns, masks = (columns + PG_MASK_BLOCK) / PG_LANES;
  for (size_t i = 0; i < b->rows; i += 2) {
    float *p0 = s + i * 2 * columns, *g0 = p0 + columns, *p1 = g0 + columns, *g1 = p1 + columns;
    float dot0 = backward_row(b, i, log_sum, p0, keep), dot1 = backward_row(b, i + 1, log_sum, p1, keep + masks);
    if (d_bias) add_to_bias(b, i, p0, dot0, d_bias);
    if (d_bias && i + 1 < b->rows) add_to_bias(b, i + 1, p1, dot1, d_bias);
    __m512 scale = _mm512_set1_ps((float)a->scale), minus0 = _mm512_set1_ps(dot0), minus1 = _mm512_set1_ps(dot1);
    for (size_t j = 0; j < columns; j += PG_LANES) {
      __m512 e0 = _mm512_loadu_ps(p0 + j), e1 = _mm512_loadu_ps(p1 + j);
      __m512 d0 = _mm512_mul_ps(_mm512_mul_ps(e0, _mm512_sub_ps(_mm512_loadu_ps(g0 + j), minus0)), scale);
      __m512 d1 = _mm512_mul_ps(_mm512_mul_ps(e1, _mm512_sub_ps(_mm512_loadu_ps(g1 + j), minus1)), scale);
      if (a->dropout > 0) e0 = _mm512_maskz_mov_ps(keep[j / PG_LANES], e0), e1 = _mm512_maskz_mov_ps(keep[masks + j / PG_LANES], e1);
      __m512i both = (__m512i)_mm512_cvtne2ps_pbh(d1, d0);
      _mm512_storeu_si512(p0 + j, pg_pairs_of((__m512i)_mm512_cvtne2ps_pbh(e1, e0)));
      _mm512_storeu_si512(g0 + j, pg_pairs_of(both));
      _mm256_storeu_si256((void *)((uint16_t *)(void *)p1 + j), _mm512_castsi512_si256(both));
      _mm256_storeu_si256((void *)((uint16_t *)(void *)g1 + j), _mm512_extracti64x4_epi64(both, 1));
    }
  }
}

// sums[keys, d] (+)= the units of two rows at `left`, turned, times a plain panel of the block's rows.
static void add_to_keys(const block *b, const float *left, const char *right, float *sums, bool accumulate) {
  size_t d = b->a->head_size, pairs = (b->rows + 1) / 2, count = PG_MIN(b->columns, b->keys);
  pg_layout l = {PG_UNIT, 2 * PG_UNIT, 4 * b->columns * sizeof(float)};
  for (size_t column = 0; column < d; column += PG_PANEL) {
    size_t width = PG_MIN((size_t)PG_PANEL, d - column);
    for (size_t key = 0; key < count; key += PG_STRIP) {
      pg_multiply_units(PG_MIN((size_t)PG_STRIP, count - key), width, pairs, (const char *)(left + key), l,
                        right + column * pairs * PG_UNIT, sums + key * d + column, d, accumulate);
    }
  }
}

// One thread's working memory.
struct room {
  char *k_turned, *k_plain, *v_turned, *q_plain, *d_o_plain;
  float *s, *out, *dk, *dv;
  const uint16_t **rows;
  uint16_t *keep;
};

// Rows of a matrix as units of two; what is behind an odd last row is 0.
static void lay_out_block(const block *b, const uint16_t *from, size_t stride, char *out) {
  const uint16_t *rows[MOST_ROWS + 1];
  for (size_t i = 0; i < b->rows; i++) rows[i] = from + i * stride;
  rows[b->rows] = zeros;
  pg_lay_out_plain(rows, (b->rows + 1) / 2 * 2, b->a->head_size, out);
}

PG_TARGET_TILES static void write_sums(bool adds, size_t n, size_t d, float factor, const float *restrict from, void *to, size_t at,
                                       size_t stride) {
  for (size_t r = 0; r < n; r++, at += stride, from += d) {
    float *wide = (float *)to + at;
    if (!adds) write_narrow(d, factor, from, (uint16_t *)to + at);
    for (size_t i = 0; i < d && adds; i++) wide[i] += from[i] * factor;
  }
}

// The gradients that the queries of one sequence give, through the heads that share a head of keys and values.
static void tiled_backward_head(struct tiled_args *x, size_t sequence, size_t kv_head, const struct room *m, size_t step) {
  const pg_attention *a = x->a;
  size_t d = a->head_size, group = a->heads / a->kv_heads, keys = pg_key_count(a, sequence), whole = pg_whole_lanes(keys);
  size_t q0 = (size_t)a->q_offsets[sequence], queries = (size_t)a->q_offsets[sequence + 1] - q0;
  find_rows(a, true, sequence, kv_head, whole, m->rows);
  pg_lay_out_turned(m->rows, whole, d, m->v_turned);
  find_rows(a, false, sequence, kv_head, whole, m->rows);
  pg_lay_out_turned(m->rows, whole, d, m->k_turned);
  pg_lay_out_plain(m->rows, whole, d, m->k_plain);
  // The first block of a causal square does not reach all keys.
  bool adds = a->causal || queries == 0;
  if (adds) memset(m->dk, 0, keys * d * sizeof(float)), memset(m->dv, 0, keys * d * sizeof(float));
  for (size_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
    for (size_t first = 0; first < queries; first += step, adds = true) {
      block b = block_of(a, head, q0, first, PG_MIN(step, queries - first), queries, keys);
      const uint16_t *q = x->q + b.row0 * a->q_stride + head * d, *d_o = x->d_o + b.row0 * a->o_stride + head * d;
      size_t columns = b.columns, row = 2 * columns * sizeof(float);
      make_scores(&b, q, a->q_stride, m->k_turned, m->s, 2 * columns);
      make_scores(&b, d_o, a->o_stride, m->v_turned, m->s + columns, 2 * columns);
      backward_rows(&b, x->log_sum_in, m->s, m->keep, x->d_bias);
      lay_out_block(&b, q, a->q_stride, m->q_plain);
      lay_out_block(&b, d_o, a->o_stride, m->d_o_plain);
      add_to_keys(&b, m->s, m->d_o_plain, m->dv, adds);
      add_to_keys(&b, m->s + columns, m->q_plain, m->dk, adds);
      multiply_keys(&b, (const char *)(m->s + 2 * columns), (pg_layout){columns * sizeof(float), 2 * row, PG_UNIT}, m->k_plain, m->out);
      write_rows(&b, m->out, NULL, x->dq + b.row0 * a->q_stride + head * d, a->q_stride);
    }
  }
  float kept = a->dropout < 1 ? (float)(1 / (1 - a->dropout)) : 0;
  for (size_t b = 0, before = 0; b < a->blocks; before += (size_t)a->keys[b++].count[sequence]) {
    const pg_keys *k = a->keys + b;
    size_t start = (size_t)k->start[sequence], n = (size_t)k->count[sequence];
    write_sums(k->adds, n, d, 1, m->dk + before * d, k->dk, start * k->k_stride + kv_head * d, k->k_stride);
    write_sums(k->adds, n, d, kept, m->dv + before * d, k->dv, start * k->v_stride + kv_head * d, k->v_stride);
  }
}

static void tiled_backward_range(void *context, size_t begin, size_t end) {
  struct tiled_args *x = context;
  const pg_attention *a = x->a;
  size_t d = a->head_size, most = pg_whole_lanes(pg_most_keys(a)), step = rows_for(most);
  size_t panel = most * d * sizeof(uint16_t), own = MOST_ROWS * d * sizeof(uint16_t), scores = 2 * step * most * sizeof(float);
  size_t out = MOST_ROWS * d * sizeof(float), sums = most * d * sizeof(float), pointers = most * sizeof(void *);
  size_t masks = 2 * (most + PG_MASK_BLOCK) / PG_LANES * sizeof(uint16_t);
  size_t bytes = 3 * panel + 2 * own + scores + out + 2 * sums + pointers + masks;
  char *memory = pg_allocate(bytes);
  if (!memory) {
    x->failed = true;
    return;
  }
  struct room m = {.k_turned = memory};
  m.k_plain = m.k_turned + panel, m.v_turned = m.k_plain + panel, m.q_plain = m.v_turned + panel, m.d_o_plain = m.q_plain + own;
  m.s = (void *)(m.d_o_plain + own), m.out = (void *)((char *)m.s + scores), m.dk = (void *)((char *)m.out + out);
  m.dv = (void *)((char *)m.dk + sums), m.rows = (void *)((char *)m.dv + sums), m.keep = (void *)((char *)m.rows + pointers);
  for (size_t item = begin; item < end; item++) {
    size_t kv_head = item % a->kv_heads, sequence = x->is_serial ? 0 : item / a->kv_heads;
    size_t last = x->is_serial ? a->sequences : sequence + 1;
    for (; sequence < last; sequence++) tiled_backward_head(x, sequence, kv_head, &m, step);
  }
  pg_free(memory, bytes);
}

bool pg_tiled_attention_backward(const pg_attention *a, const uint16_t *q, const uint16_t *d_o, const float *log_sum, uint16_t *dq,
                                 float *d_bias) {
  struct tiled_args x = {.a = a, .q = q, .d_o = d_o, .log_sum_in = log_sum, .dq = dq, .d_bias = d_bias};
  x.is_serial = d_bias != NULL;
  for (size_t b = 0; b < a->blocks; b++) x.is_serial |= a->keys[b].adds;
  pg_parallel_for(x.is_serial ? a->kv_heads : a->sequences * a->kv_heads, 1, tiled_backward_range, &x);
  return !x.failed;
}

#else

bool pg_attends_in_tiles(pg_dtype t, const pg_attention *a) { return (void)t, (void)a, false; }
bool pg_tiled_attention_forward(const pg_attention *a, const uint16_t *q, uint16_t *o, float *log_sum) {
  return (void)a, (void)q, (void)o, (void)log_sum, false;
}
bool pg_tiled_attention_backward(const pg_attention *a, const uint16_t *q, const uint16_t *d_o, const float *log_sum, uint16_t *dq,
                                 float *d_bias) {
  return (void)a, (void)q, (void)d_o, (void)log_sum, (void)dq, (void)d_bias, false;
}

#endif
