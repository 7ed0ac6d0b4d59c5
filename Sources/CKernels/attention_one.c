// Attention of one query over a sequence's keys, in bfloat16 with AVX-512: what a step of decoding computes for each text. Keys and values are
// read once where they lie, a few rows for all heads and then the next ones; nothing is laid out for one query. Scores are products
// in bfloat16 with sums in fp32, probabilities and the sums of values are fp32.
//
// A score is a sum of its own whatever stands beside its key, and the values are added in the order of the keys: results do not
// depend on how the keys are divided into blocks.
#include "attention.h"

#if defined(__x86_64__)
#include "transpose16.h"

// Some heads of the query of one sequence, and the keys and values that it sees.
typedef struct {
  const pg_attention *a;
  size_t first, last, n, whole;  // whole: n in whole lanes
  ptrdiff_t position;
  const uint16_t **keys, **values;  // their rows; behind the last one, that one again
  float *scores, *sums;             // [heads, whole], [heads, head size]
} query;

// scores[j] = query * key j for some keys of one head; what is behind them in their lanes has no meaning. Asks for `next`, the
// head's elements of what is read in a while.
PG_INLINE_TILES void score_keys(const int pieces, const uint16_t *q, const uint16_t *const *keys, const uint16_t *const *next, size_t at,
                                float *scores) {
  __m512i parts[PG_LANES];
  __m512bh query[8];
  PG_UNROLLED for (int i = 0; i < pieces; i++) query[i] = (__m512bh)_mm512_loadu_si512(q + 32 * i);
  PG_UNROLLED for (int lane = 0; lane < PG_LANES; lane++) {
    __m512 sum = _mm512_setzero_ps();
    PG_UNROLLED for (int i = 0; i < pieces; i++) {
      _mm_prefetch(next[lane] + at + 32 * i, _MM_HINT_T0);
      sum = _mm512_dpbf16_ps(sum, query[i], (__m512bh)_mm512_loadu_si512(keys[lane] + at + 32 * i));
    }
    parts[lane] = _mm512_castps_si512(sum);
  }
  pg_transpose16(parts);
  __m512 total = _mm512_castsi512_ps(parts[0]);
  PG_UNROLLED for (int i = 1; i < PG_LANES; i++) total = _mm512_add_ps(total, _mm512_castsi512_ps(parts[i]));
  _mm512_storeu_ps(scores, total);
}

// Scores of one head -> exp(score - largest) / their sum.
PG_TARGET_TILES static void weigh_keys(const query *x, size_t head, float *scores) {
  const pg_attention *a = x->a;
  size_t n = x->n;
  __m512 scale = _mm512_set1_ps(a->bias ? 1 : (float)a->scale), most = _mm512_set1_ps(-INFINITY), total = _mm512_setzero_ps();
  if (a->bias) {
    const float *bias = (const float *)a->bias + pg_bias_column(a, head, x->position);
    for (size_t j = 0; j < n; j++) scores[j] = scores[j] * (float)a->scale + bias[j];
  }
  for (size_t j = n; j < x->whole; j++) scores[j] = -INFINITY;
  for (size_t j = 0; j < n; j += PG_LANES) most = _mm512_max_ps(most, _mm512_loadu_ps(scores + j));
  __m512 shift = _mm512_mul_ps(_mm512_set1_ps(_mm512_reduce_max_ps(most)), scale);
  for (size_t j = 0; j < n; j += PG_LANES) {
    __m512 e = pg_exp_lanes(_mm512_fmsub_ps(_mm512_loadu_ps(scores + j), scale, shift));
    _mm512_storeu_ps(scores + j, e);
    total = _mm512_add_ps(total, e);
  }
  __m512 inverse = _mm512_set1_ps(1 / _mm512_reduce_add_ps(total));
  for (size_t j = 0; j < n; j += PG_LANES) _mm512_storeu_ps(scores + j, _mm512_mul_ps(_mm512_loadu_ps(scores + j), inverse));
}

// sums += some values of one head, each times its weight; asks for `next`. A register of 32 elements is widened without moving one: those with even and those with
// odd numbers are summed apart.
PG_INLINE_TILES void add_values(const int pieces, size_t count, const uint16_t *const *values, const uint16_t *const *next, size_t at,
                                const float *weights, float *sums) {
  __m512 even[8], odd[8];
  PG_UNROLLED for (int i = 0; i < pieces; i++) even[i] = _mm512_loadu_ps(sums + 32 * i), odd[i] = _mm512_loadu_ps(sums + 32 * i + 16);
  for (size_t r = 0; r < count; r++) {
    __m512 weight = _mm512_set1_ps(weights[r]);
    PG_UNROLLED for (int i = 0; i < pieces; i++) {
      _mm_prefetch(next[r] + at + 32 * i, _MM_HINT_T0);
      __m512i both = _mm512_loadu_si512(values[r] + at + 32 * i);
      even[i] = _mm512_fmadd_ps(weight, _mm512_castsi512_ps(_mm512_slli_epi32(both, 16)), even[i]);
      odd[i] = _mm512_fmadd_ps(weight, _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32((int)0xFFFF0000))), odd[i]);
    }
  }
  PG_UNROLLED for (int i = 0; i < pieces; i++) _mm512_storeu_ps(sums + 32 * i, even[i]), _mm512_storeu_ps(sums + 32 * i + 16, odd[i]);
}

// The sums of a head's values in their order, in bfloat16.
PG_INLINE_TILES void write_head(const int pieces, const float *sums, uint16_t *o) {
  PG_UNROLLED for (int i = 0; i < pieces; i++) {
    __m256i even = pg_narrow_lanes(_mm512_loadu_ps(sums + 32 * i)), odd = pg_narrow_lanes(_mm512_loadu_ps(sums + 32 * i + 16));
    _mm512_storeu_si512(o + 32 * i, pg_pairs_of(_mm512_inserti64x4(_mm512_castsi256_si512(even), odd, 1)));
  }
}

// q, o: those of the sequence, all heads.
PG_INLINE_TILES void attend(const int pieces, const query *x, const uint16_t *q, uint16_t *o) {
  size_t d = 32 * (size_t)pieces, group = x->a->heads / x->a->kv_heads, heads = x->last - x->first;
  for (size_t r = 0; r < x->n; r += PG_LANES) {
    const uint16_t *const *next = r + PG_LANES < x->n ? x->keys + r + PG_LANES : x->values;
    for (size_t h = x->first; h < x->last; h++) {
      score_keys(pieces, q + h * d, x->keys + r, next, h / group * d, x->scores + (h - x->first) * x->whole + r);
    }
  }
  for (size_t h = 0; h < heads && x->n; h++) weigh_keys(x, x->first + h, x->scores + h * x->whole);
  memset(x->sums, 0, heads * d * sizeof(float));
  for (size_t r = 0; r < x->n; r += PG_LANES) {
    const uint16_t *const *next = x->values + (r + PG_LANES < x->n ? r + PG_LANES : r);
    for (size_t h = x->first; h < x->last; h++) {
      add_values(pieces, PG_MIN((size_t)PG_LANES, x->n - r), x->values + r, next, h / group * d, x->scores + (h - x->first) * x->whole + r,
                 x->sums + (h - x->first) * d);
    }
  }
  for (size_t h = 0; h < heads; h++) write_head(pieces, x->sums + h * d, o + (x->first + h) * d);
}
PG_TARGET_TILES static void attend_heads(const query *x, const uint16_t *q, uint16_t *o) {
  switch (x->a->head_size / 32) {
    case 1: attend(1, x, q, o); break;
    case 2: attend(2, x, q, o); break;
    case 3: attend(3, x, q, o); break;
    case 4: attend(4, x, q, o); break;
    case 5: attend(5, x, q, o); break;
    case 6: attend(6, x, q, o); break;
    case 7: attend(7, x, q, o); break;
    case 8: attend(8, x, q, o); break;
  }
}

// The rows of the first n keys (or values) that a sequence sees.
static void find_rows(const pg_attention *a, bool values, size_t sequence, size_t n, const uint16_t **rows) {
  size_t done = 0;
  for (size_t b = 0; b < a->blocks; b++) {
    const pg_keys *block = a->keys + b;
    const uint16_t *from = values ? block->v : block->k;
    size_t count = PG_MIN((size_t)block->count[sequence], n - done), stride = values ? block->v_stride : block->k_stride;
    for (size_t r = 0; r < count; r++) rows[done++] = from + pg_key_row(block, sequence, r) * stride;
  }
  for (; done % PG_LANES; done++) rows[done] = rows[done - 1];
}

struct one_args {
  const pg_attention *a;
  const uint16_t *q;
  uint16_t *o;
  size_t slices;  // parts of a sequence's heads
  atomic_bool failed;  // a thread had no working memory
};

static void attend_range(void *context, size_t begin, size_t end) {
  struct one_args *x = context;
  const pg_attention *a = x->a;
  size_t most = pg_whole_lanes(pg_most_keys(a)), group = a->heads / a->kv_heads, pointers = most * sizeof(void *);
  size_t scores = a->heads * most * sizeof(float), sums = a->heads * a->head_size * sizeof(float), bytes = 2 * pointers + scores + sums;
  char *memory = pg_allocate(bytes);
  if (!memory) {
    x->failed = true;
    return;
  }
  query one = {.a = a, .keys = (void *)memory, .values = (void *)(memory + pointers), .scores = (void *)(memory + 2 * pointers),
               .sums = (void *)(memory + 2 * pointers + scores)};
  for (size_t item = begin; item < end; item++) {
    size_t sequence = item / x->slices, slice = item % x->slices, row = (size_t)a->q_offsets[sequence];
    if (!pg_attends_one(a, sequence)) continue;
    size_t keys = pg_key_count(a, sequence);
    one.first = slice * a->kv_heads / x->slices * group, one.last = (slice + 1) * a->kv_heads / x->slices * group;
    one.position = pg_position(a, row, 0, 1, keys), one.n = pg_visible(a, one.position, keys), one.whole = pg_whole_lanes(one.n);
    find_rows(a, false, sequence, one.n, one.keys);
    find_rows(a, true, sequence, one.n, one.values);
    attend_heads(&one, x->q + row * a->q_stride, x->o + row * a->o_stride);
  }
  pg_free(memory, bytes);
}

bool pg_attend_ones(const pg_attention *a, const uint16_t *q, uint16_t *o) {
  enum { ITEMS = 32 };
  struct one_args x = {.a = a, .q = q, .o = o};
  // So few sequences that threads would wait are divided by heads, too.
  x.slices = PG_MAX((size_t)1, PG_MIN(a->kv_heads, ITEMS / PG_MAX(a->sequences, (size_t)1)));
  size_t items = a->sequences * x.slices;
  pg_parallel_for(items, (items + 2 * ITEMS - 1) / (2 * ITEMS), attend_range, &x);
  return !x.failed;
}

#else

bool pg_attend_ones(const pg_attention *a, const uint16_t *q, uint16_t *o) { return (void)a, (void)q, (void)o, false; }

#endif
