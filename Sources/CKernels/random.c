#ifndef REAL
#include "pairs.h"

static inline void counter_block(pg_random r, uint64_t i, uint32_t c[4]) {
  c[0] = (uint32_t)i, c[1] = (uint32_t)(i >> 32);
  c[2] = r.stream ^ ((uint32_t)(r.step >> 32) << 20), c[3] = (uint32_t)r.step;
  pg_philox(10, c, (uint32_t)r.seed, (uint32_t)(r.seed >> 32));
}

void pg_random_bits(size_t n, pg_random r, uint32_t *out) {
  PG_TIMED(PG_KIND_RANDOM);
  for (size_t i = 0; i < n; i += 4) {
    uint32_t c[4];
    counter_block(r, i / 4, c);
    for (size_t j = 0; j < 4 && i + j < n; j++) out[i + j] = c[j];
  }
}

#define PG_TEMPLATE "random.c"
#include "both_types.h"

void pg_random_uniform(pg_dtype t, size_t n, pg_random r, double low, double high, void *out) {
  PG_TIMED(PG_KIND_RANDOM);
  PG_DISPATCH(t, uniform, n, r, low, high, out);
}
void pg_random_normal(pg_dtype t, size_t n, pg_random r, double mean, double std, void *out) {
  PG_TIMED(PG_KIND_RANDOM);
  PG_DISPATCH(t, normal, n, r, mean, std, out);
}
void pg_dropout(pg_dtype t, size_t n, double p, pg_random r, const void *x, void *y) {
  PG_TIMED(PG_KIND_RANDOM);
  PG_DISPATCH(t, dropout, t, n, p, r, x, y);
}

#else

struct FN(draw_args) {
  size_t n;
  pg_random r;
  double a, b;  // low and high, or mean and standard deviation
  REAL *out;
};

// Both element types see the same draws, 32 bits each: a Float64 check follows the Float32 run.
static void FN(uniform_blocks)(void *context, size_t begin, size_t end) {
  const struct FN(draw_args) *a = context;
  for (size_t block = begin; block < end; block++) {
    uint32_t c[4];
    counter_block(a->r, block, c);
    for (size_t j = 0; j < 4 && block * 4 + j < a->n; j++) {
      a->out[block * 4 + j] = (REAL)(a->a + (a->b - a->a) * (((double)c[j] + 0.5) * 0x1p-32));
    }
  }
}
static void FN(uniform)(size_t n, pg_random r, double low, double high, REAL *out) {
  struct FN(draw_args) a = {n, r, low, high, out};
  pg_parallel_for((n + 3) / 4, PG_CHUNK / 4, FN(uniform_blocks), &a);
}

// Box and Muller's transform: two uniforms give two normals.
static void FN(normal_blocks)(void *context, size_t begin, size_t end) {
  const struct FN(draw_args) *a = context;
  for (size_t block = begin; block < end; block++) {
    uint32_t c[4];
    counter_block(a->r, block, c);
    for (size_t j = 0; j < 4 && block * 4 + j < a->n; j++) {
      double u = ((double)c[j & 2] + 0.5) * 0x1p-32, angle = 6.283185307179586 * (((double)c[(j & 2) + 1] + 0.5) * 0x1p-32);
      a->out[block * 4 + j] = (REAL)(a->a + a->b * sqrt(-2 * log(u)) * (j & 1 ? sin(angle) : cos(angle)));
    }
  }
}
static void FN(normal)(size_t n, pg_random r, double mean, double std, REAL *out) {
  struct FN(draw_args) a = {n, r, mean, std, out};
  pg_parallel_for((n + 3) / 4, PG_CHUNK / 4, FN(normal_blocks), &a);
}

struct FN(dropout_args) {
  size_t n;
  uint32_t threshold;
  REAL scale;
  pg_random r;
  pg_dtype t;
  const void *x;
  void *y;
};

PG_CLONES static void FN(dropout_blocks)(void *context, size_t begin, size_t end) {
  const struct FN(dropout_args) *a = context;
  const uint32_t threshold = a->threshold;
  const REAL scale = a->scale;
  uint16_t two[2][PG_MASK_BLOCK];
  for (size_t block = begin; block < end; block++) {
    if ((block - begin) % 2 == 0) pg_mask_blocks(2, a->r, block, two);
    const uint16_t *draws = two[(block - begin) % 2];
    size_t first = block * PG_MASK_BLOCK, count = PG_MIN(PG_MASK_BLOCK, a->n - first);
    if (a->t == PG_BF16) {
      const uint16_t *x = (const uint16_t *)a->x + first;
      uint16_t *y = (uint16_t *)a->y + first;
      PG_PAIRS_LOOP for (size_t j = 0; j < count / 2; j++) {
        uint32_t both = pg_two_from(x + 2 * j), draw = pg_two_from(draws + 2 * j);
        pg_put_two((draw & 0xFFFF) < threshold ? 0 : pg_first_of(both) * (float)scale,
                   draw >> 16 < threshold ? 0 : pg_second_of(both) * (float)scale, y + 2 * j);
      }
      if (count % 2) y[count - 1] = draws[count - 1] < threshold ? 0 : pg_to_bf16(pg_from_bf16(x[count - 1]) * (float)scale);
      continue;
    }
    const REAL *x = (const REAL *)a->x + first;
    REAL *y = (REAL *)a->y + first;
    PG_ALIGNED_LOOP for (size_t j = 0; j < count; j++) y[j] = draws[j] < threshold ? (REAL)0 : x[j] * scale;
  }
}

static void FN(dropout)(pg_dtype t, size_t n, double p, pg_random r, const void *x, void *y) {
  struct FN(dropout_args) a = {n, pg_dropout_threshold(p), (REAL)(p < 1 ? 1 / (1 - p) : 0), r, t, x, y};
  pg_parallel_for((n + PG_MASK_BLOCK - 1) / PG_MASK_BLOCK, PG_CHUNK / PG_MASK_BLOCK, FN(dropout_blocks), &a);
}

#endif
