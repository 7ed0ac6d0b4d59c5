#ifndef REAL
#include "internal.h"

#define REAL float
#define FN(name) name##_f32
#define MATH(name) name##f
#include "layer_norm.c"
#undef REAL
#undef FN
#undef MATH
#define REAL double
#define FN(name) name##_f64
#define MATH(name) name
#include "layer_norm.c"

void pg_dropout_add_layer_norm(pg_dtype t, size_t rows, size_t cols, const void *x, const void *residual, double p,
                               pg_random r, const void *gamma, const void *beta, double eps, void *y,
                               void *normalized, void *rstd) {
  PG_DISPATCH(t, forward, rows, cols, x, residual, p, r, gamma, beta, eps, y, normalized, rstd);
}
void pg_dropout_add_layer_norm_backward(pg_dtype t, size_t rows, size_t cols, const void *dy, const void *gamma,
                                        const void *normalized, const void *rstd, double p, pg_random r, void *dz,
                                        void *dx) {
  PG_DISPATCH(t, backward, rows, cols, dy, gamma, normalized, rstd, p, r, dz, dx);
}
void pg_layer_norm_weight_backward(pg_dtype t, size_t rows, size_t cols, const void *dy, const void *normalized,
                                   void *d_gamma, void *d_beta) {
  PG_DISPATCH(t, weight_backward, rows, cols, dy, normalized, d_gamma, d_beta);
}

#else

struct FN(norm_args) {
  size_t rows, cols;
  const REAL *x, *residual, *gamma, *beta, *dy, *normalized_in, *rstd_in;
  REAL *y, *normalized, *rstd, *dz, *dx;
  REAL eps, scale;
  uint32_t threshold;
  pg_random r;
};

// Applies the mask of the elements [first, first + n) of a dropout site: y = keep ? x * scale : 0.
static inline __attribute__((always_inline)) void FN(masked_row)(pg_random r, uint32_t threshold, REAL scale,
                                                                 size_t first, size_t n, const REAL *x, REAL *y) {
  uint16_t draws[PG_MASK_BLOCK];
  size_t done = 0;
  while (done < n) {
    size_t at = first + done, lane = at % PG_MASK_BLOCK, count = PG_MIN(PG_MASK_BLOCK - lane, n - done);
    pg_mask_block(r, at / PG_MASK_BLOCK, threshold, draws);
    for (size_t j = 0; j < count; j++) y[done + j] = draws[lane + j] < threshold ? (REAL)0 : x[done + j] * scale;
    done += count;
  }
}

PG_CLONES static void FN(forward_range)(void *context, size_t begin, size_t end) {
  PG_REASSOCIATE
  const struct FN(norm_args) *a = context;
  size_t cols = a->cols;
  for (size_t r = begin; r < end; r++) {
    const REAL *x = a->x + r * cols;
    REAL *y = a->y + r * cols, mean = 0, variance = 0;
    if (a->threshold) {
      FN(masked_row)(a->r, a->threshold, a->scale, r * cols, cols, x, y);
      x = y;
    }
    if (a->residual) {
      const REAL *residual = a->residual + r * cols;
      for (size_t i = 0; i < cols; i++) y[i] = x[i] + residual[i];
      x = y;
    }
    for (size_t i = 0; i < cols; i++) mean += x[i];
    mean /= (REAL)cols;
    for (size_t i = 0; i < cols; i++) variance += (x[i] - mean) * (x[i] - mean);
    REAL rstd = 1 / MATH(sqrt)(variance / (REAL)cols + a->eps);
    const REAL *gamma = a->gamma, *beta = a->beta;
    if (a->normalized) {
      REAL *normalized = a->normalized + r * cols;
      a->rstd[r] = rstd;
      for (size_t i = 0; i < cols; i++) {
        REAL n = (x[i] - mean) * rstd;
        normalized[i] = n;
        y[i] = n * gamma[i] + beta[i];
      }
    } else {
      for (size_t i = 0; i < cols; i++) y[i] = (x[i] - mean) * rstd * gamma[i] + beta[i];
    }
  }
}
static void FN(forward)(size_t rows, size_t cols, const REAL *x, const REAL *residual, double p, pg_random r,
                        const REAL *gamma, const REAL *beta, double eps, REAL *y, REAL *normalized, REAL *rstd) {
  struct FN(norm_args) a = {.rows = rows, .cols = cols, .x = x, .residual = residual, .gamma = gamma, .beta = beta,
                            .eps = (REAL)eps, .y = y, .normalized = normalized, .rstd = rstd, .r = r,
                            .threshold = pg_dropout_threshold(p), .scale = (REAL)(p < 1 ? 1 / (1 - p) : 0)};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(forward_range), &a);
}

PG_CLONES static void FN(backward_range)(void *context, size_t begin, size_t end) {
  PG_REASSOCIATE
  const struct FN(norm_args) *a = context;
  size_t cols = a->cols;
  const REAL *gamma = a->gamma;
  for (size_t r = begin; r < end; r++) {
    const REAL *dy = a->dy + r * cols, *normalized = a->normalized_in + r * cols;
    REAL *dz = a->dz + r * cols, sum = 0, dot = 0, rstd = a->rstd_in[r];
    for (size_t i = 0; i < cols; i++) {
      REAL g = dy[i] * gamma[i];
      sum += g;
      dot += g * normalized[i];
    }
    sum /= (REAL)cols, dot /= (REAL)cols;
    for (size_t i = 0; i < cols; i++) dz[i] = rstd * (dy[i] * gamma[i] - sum - normalized[i] * dot);
    if (a->threshold && a->dx) FN(masked_row)(a->r, a->threshold, a->scale, r * cols, cols, dz, a->dx + r * cols);
  }
}
static void FN(backward)(size_t rows, size_t cols, const REAL *dy, const REAL *gamma, const REAL *normalized,
                         const REAL *rstd, double p, pg_random r, REAL *dz, REAL *dx) {
  struct FN(norm_args) a = {.rows = rows, .cols = cols, .dy = dy, .gamma = gamma, .normalized_in = normalized,
                            .rstd_in = rstd, .dz = dz, .dx = dx, .r = r, .threshold = pg_dropout_threshold(p),
                            .scale = (REAL)(p < 1 ? 1 / (1 - p) : 0)};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(backward_range), &a);
}

// Columns are divided, not rows: every sum runs over the rows in order, for any number of threads.
PG_CLONES static void FN(weight_range)(void *context, size_t begin, size_t end) {
  const struct FN(norm_args) *a = context;
  REAL *restrict d_gamma = a->dz, *restrict d_beta = a->dx;
  for (size_t i = begin; i < end; i++) d_gamma[i] = 0, d_beta[i] = 0;
  for (size_t r = 0; r < a->rows; r++) {
    const REAL *restrict dy = a->dy + r * a->cols, *restrict n = a->normalized_in + r * a->cols;
    for (size_t i = begin; i < end; i++) d_gamma[i] += dy[i] * n[i], d_beta[i] += dy[i];
  }
}
static void FN(weight_backward)(size_t rows, size_t cols, const REAL *dy, const REAL *normalized, REAL *d_gamma,
                                REAL *d_beta) {
  struct FN(norm_args) a = {.rows = rows, .cols = cols, .dy = dy, .normalized_in = normalized, .dz = d_gamma, .dx = d_beta};
  pg_parallel_for(cols, 128, FN(weight_range), &a);
}

#endif
