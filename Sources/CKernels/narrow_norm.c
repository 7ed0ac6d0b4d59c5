// Layer normalisation of rows of bfloat16 with an even number of columns: layer_norm.c's, in fp32, two neighbours at once.
#include "pairs.h"

struct narrow_norm_args {
  size_t cols;
  const uint16_t *x, *residual, *dy, *normalized_in;
  const float *gamma, *beta, *rstd_in;
  uint16_t *y, *normalized, *dz, *dx;
  float *rstd;
  float eps, scale;
  uint32_t threshold;
  pg_random r;
  atomic_bool failed;  // a thread had no working memory
};

// Working memory of one chunk, `count` rows of floats; null, and the kernel's result is not to be used, where there is none.
static float *buffers(struct narrow_norm_args *a, size_t count) {
  float *memory = pg_allocate(count * a->cols * sizeof(float));
  if (!memory) a->failed = true;
  return memory;
}
// First and second numbers of all pairs apart. One that is not a number becomes the plain one, which pg_put_two can round.
PG_ALWAYS void split(size_t pairs, const float *x, float *first, float *second) {
  for (size_t i = 0; i < pairs; i++) {
    first[i] = x[2 * i] == x[2 * i] ? x[2 * i] : NAN;
    second[i] = x[2 * i + 1] == x[2 * i + 1] ? x[2 * i + 1] : NAN;
  }
}
// The draws of pairs from `pair` on, up to the end of their block; returns where they begin. `count`: how many are wanted, and are there.
PG_ALWAYS const uint32_t *draw(pg_random r, size_t pair, size_t *count, uint32_t draws[PG_MASK_BLOCK]) {
  size_t lane = pair % (PG_MASK_BLOCK / 2);
  *count = PG_MIN(PG_MASK_BLOCK - lane, *count);
  pg_mask_blocks(2, r, pair / (PG_MASK_BLOCK / 2), draws);
  return draws + lane;
}
PG_ALWAYS float kept_first(uint32_t draws, uint32_t threshold, float x) { return (draws & 0xFFFF) < threshold ? 0 : x; }
PG_ALWAYS float kept_second(uint32_t draws, uint32_t threshold, float x) { return draws >> 16 < threshold ? 0 : x; }

// z = dropout(x) + residual, apart; returns its sum.
PG_ALWAYS float add_row(const bool masked, const bool added, const struct narrow_norm_args *a, size_t row, float *z0, float *z1) {
  PG_REASSOCIATE
  size_t pairs = a->cols / 2;
  uint32_t draws[PG_MASK_BLOCK];
  const uint32_t *from = draws;
  float sum = 0, scale = a->scale;
  for (size_t done = 0, count; done < pairs; done += count) {
    const uint16_t *x = a->x + row * a->cols + 2 * done, *residual = added ? a->residual + row * a->cols + 2 * done : x;
    count = pairs - done;
    if (masked) from = draw(a->r, row * pairs + done, &count, draws);
    PG_PAIRS_LOOP for (size_t i = 0; i < count; i++) {
      uint32_t both = pg_two_from(x + 2 * i), other = pg_two_from(residual + 2 * i);
      float first = pg_first_of(both), second = pg_second_of(both);
      if (masked) first = kept_first(from[i], a->threshold, first * scale), second = kept_second(from[i], a->threshold, second * scale);
      if (added) first += pg_first_of(other), second += pg_second_of(other);
      z0[done + i] = first, z1[done + i] = second;
      sum += first + second;
    }
  }
  return sum;
}

PG_CLONES static void forward_range(void *context, size_t begin, size_t end) {
  PG_REASSOCIATE
  struct narrow_norm_args *a = context;
  size_t cols = a->cols, pairs = cols / 2;
  float *z0 = buffers(a, 3), *z1 = z0 + pairs, *g0 = z1 + pairs, *g1 = g0 + pairs, *b0 = g1 + pairs, *b1 = b0 + pairs;
  if (!z0) return;
  split(pairs, a->gamma, g0, g1), split(pairs, a->beta, b0, b1);
  for (size_t r = begin; r < end; r++) {
    float mean = (a->threshold ? a->residual ? add_row(true, true, a, r, z0, z1) : add_row(true, false, a, r, z0, z1)
                  : a->residual ? add_row(false, true, a, r, z0, z1) : add_row(false, false, a, r, z0, z1)) / (float)cols;
    float variance = 0;
    for (size_t i = 0; i < pairs; i++) variance += (z0[i] - mean) * (z0[i] - mean) + (z1[i] - mean) * (z1[i] - mean);
    float rstd = 1 / sqrtf(variance / (float)cols + a->eps);
    uint16_t *y = a->y + r * cols, *normalized = a->normalized + r * cols;
    if (a->normalized) {
      a->rstd[r] = rstd;
      PG_PAIRS_LOOP for (size_t i = 0; i < pairs; i++) {
        float first = (z0[i] - mean) * rstd, second = (z1[i] - mean) * rstd;
        pg_put_two(first, second, normalized + 2 * i);
        pg_put_two(first * g0[i] + b0[i], second * g1[i] + b1[i], y + 2 * i);
      }
    } else {
      PG_PAIRS_LOOP for (size_t i = 0; i < pairs; i++) {
        pg_put_two((z0[i] - mean) * rstd * g0[i] + b0[i], (z1[i] - mean) * rstd * g1[i] + b1[i], y + 2 * i);
      }
    }
  }
  pg_free(z0, 3 * cols * sizeof(float));
}

bool pg_narrow_layer_norm(size_t rows, size_t cols, const uint16_t *x, const uint16_t *residual, double p, pg_random r,
                          const float *gamma, const float *beta, double eps, uint16_t *y, uint16_t *normalized, float *rstd) {
  struct narrow_norm_args a = {.cols = cols, .x = x, .residual = residual, .gamma = gamma, .beta = beta,
                               .eps = (float)eps, .y = y, .normalized = normalized, .rstd = rstd, .r = r,
                               .threshold = pg_dropout_threshold(p), .scale = (float)(p < 1 ? 1 / (1 - p) : 0)};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), forward_range, &a);
  return !a.failed;
}

// dz, and with a mask dx.
PG_ALWAYS void backward_row(const bool masked, const struct narrow_norm_args *a, size_t row, const float *g0, const float *g1) {
  PG_REASSOCIATE
  size_t pairs = a->cols / 2;
  const uint16_t *dy = a->dy + row * a->cols, *normalized = a->normalized_in + row * a->cols;
  float sum = 0, dot = 0, rstd = a->rstd_in[row], scale = a->scale;
  PG_PAIRS_LOOP for (size_t i = 0; i < pairs; i++) {
    uint32_t d = pg_two_from(dy + 2 * i), n = pg_two_from(normalized + 2 * i);
    float first = pg_first_of(d) * g0[i], second = pg_second_of(d) * g1[i];
    sum += first + second;
    dot += first * pg_first_of(n) + second * pg_second_of(n);
  }
  sum /= (float)a->cols, dot /= (float)a->cols;
  uint32_t draws[PG_MASK_BLOCK];
  const uint32_t *from = draws;
  for (size_t done = 0, count; done < pairs; done += count) {
    count = pairs - done;
    if (masked) from = draw(a->r, row * pairs + done, &count, draws);
    uint16_t *dz = a->dz + row * a->cols, *dx = a->dx + row * a->cols;
    PG_PAIRS_LOOP for (size_t i = 0; i < count; i++) {
      size_t j = done + i;
      uint32_t d = pg_two_from(dy + 2 * j), n = pg_two_from(normalized + 2 * j);
      float first = rstd * (pg_first_of(d) * g0[j] - sum - pg_first_of(n) * dot);
      float second = rstd * (pg_second_of(d) * g1[j] - sum - pg_second_of(n) * dot);
      pg_put_two(first, second, dz + 2 * j);
      if (!masked) continue;
      pg_put_two(kept_first(from[i], a->threshold, first * scale), kept_second(from[i], a->threshold, second * scale), dx + 2 * j);
    }
  }
}

PG_CLONES static void backward_range(void *context, size_t begin, size_t end) {
  struct narrow_norm_args *a = context;
  float *g0 = buffers(a, 1), *g1 = g0 + a->cols / 2;
  if (!g0) return;
  split(a->cols / 2, a->gamma, g0, g1);
  for (size_t r = begin; r < end; r++) {
    if (a->threshold && a->dx) backward_row(true, a, r, g0, g1);
    else backward_row(false, a, r, g0, g1);
  }
  pg_free(g0, a->cols * sizeof(float));
}

bool pg_narrow_layer_norm_backward(size_t rows, size_t cols, const uint16_t *dy, const float *gamma, const uint16_t *normalized,
                                   const float *rstd, double p, pg_random r, uint16_t *dz, uint16_t *dx) {
  struct narrow_norm_args a = {.cols = cols, .dy = dy, .gamma = gamma, .normalized_in = normalized, .rstd_in = rstd,
                               .dz = dz, .dx = dx, .r = r, .threshold = pg_dropout_threshold(p),
                               .scale = (float)(p < 1 ? 1 / (1 - p) : 0)};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), backward_range, &a);
  return !a.failed;
}
