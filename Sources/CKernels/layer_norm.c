#ifndef REAL
#include "internal.h"

#define PG_TEMPLATE "layer_norm.c"
#include "both_types.h"

bool pg_dropout_add_layer_norm(pg_dtype t, size_t rows, size_t cols, const void *x, const void *residual, double p,
                               pg_random r, const void *gamma, const void *beta, double eps, void *y,
                               void *normalized, void *rstd) {
  PG_TIMED(PG_KIND_NORMALISATION);
  if (t == PG_BF16 && cols % 2 == 0) return pg_narrow_layer_norm(rows, cols, x, residual, p, r, gamma, beta, eps, y, normalized, rstd);
  return PG_DISPATCHED(t, forward, t, rows, cols, x, residual, p, r, gamma, beta, eps, y, normalized, rstd);
}
bool pg_dropout_add_layer_norm_backward(pg_dtype t, size_t rows, size_t cols, const void *dy, const void *gamma,
                                        const void *normalized, const void *rstd, double p, pg_random r, void *dz,
                                        void *dx) {
  PG_TIMED(PG_KIND_NORMALISATION);
  if (t == PG_BF16 && cols % 2 == 0) return pg_narrow_layer_norm_backward(rows, cols, dy, gamma, normalized, rstd, p, r, dz, dx);
  return PG_DISPATCHED(t, backward, t, rows, cols, dy, gamma, normalized, rstd, p, r, dz, dx);
}
void pg_layer_norm_weight_backward(pg_dtype t, size_t rows, size_t cols, const void *dy, const void *normalized,
                                   void *d_gamma, void *d_beta) {
  PG_TIMED(PG_KIND_NORMALISATION);
  PG_DISPATCH(t, weight_backward, t, rows, cols, dy, normalized, d_gamma, d_beta);
}

bool pg_rms_norm(pg_dtype t, size_t rows, size_t cols, const void *x, const void *gamma, double eps, void *y, void *rstd) {
  PG_TIMED(PG_KIND_NORMALISATION);
  return PG_DISPATCHED(t, rms, t, rows, cols, x, gamma, eps, y, rstd);
}
bool pg_rms_norm_backward(pg_dtype t, size_t rows, size_t cols, const void *x, const void *dy, const void *gamma,
                          const void *rstd, void *dx) {
  PG_TIMED(PG_KIND_NORMALISATION);
  return PG_DISPATCHED(t, rms_backward, t, rows, cols, x, dy, gamma, rstd, dx);
}
void pg_rms_norm_weight_backward(pg_dtype t, size_t rows, size_t cols, const void *x, const void *dy, const void *rstd,
                                 void *d_gamma) {
  PG_TIMED(PG_KIND_NORMALISATION);
  PG_DISPATCH(t, rms_weight_backward, t, rows, cols, x, dy, rstd, d_gamma);
}

#else

struct FN(norm_args) {
  pg_dtype t;  // of x, residual, y, normalized and their gradients
  size_t rows, cols;
  const void *x, *residual, *dy, *normalized_in;
  const REAL *gamma, *beta, *rstd_in;
  void *y, *normalized, *dz, *dx;
  REAL *rstd;
  REAL eps, scale;
  uint32_t threshold;
  pg_random r;
  atomic_bool failed;  // a thread had no working memory
};

// A row to read: itself, or in bfloat16 a copy in `buffer`.
static inline __attribute__((always_inline)) const REAL *FN(row)(pg_dtype t, const void *x, size_t at, size_t n, REAL *buffer) {
  if (t != PG_BF16) return (const REAL *)x + at;
  const uint16_t *from = (const uint16_t *)x + at;
  for (size_t i = 0; i < n; i++) buffer[i] = (REAL)pg_from_bf16(from[i]);
  return buffer;
}
static inline __attribute__((always_inline)) void FN(write_row)(pg_dtype t, void *y, size_t at, size_t n, const REAL *row) {
  if (t != PG_BF16) return;
  uint16_t *to = (uint16_t *)y + at;
  for (size_t i = 0; i < n; i++) to[i] = pg_to_bf16((float)row[i]);
}
// Where a result's row is computed: in place, or in bfloat16 in `buffer`, from where write_row takes it.
static inline __attribute__((always_inline)) REAL *FN(place)(pg_dtype t, void *y, size_t at, REAL *buffer) {
  return t == PG_BF16 ? buffer : (REAL *)y + at;
}

// Working memory of one chunk: so many rows; null, and the kernel's result is not to be used, where there is none.
static REAL *FN(buffers)(struct FN(norm_args) *a, size_t count) {
  REAL *memory = pg_allocate(count * a->cols * sizeof(REAL));
  if (!memory) a->failed = true;
  return memory;
}
// Runs a kernel over all rows; false where one of its chunks had no working memory.
static bool FN(all_rows)(struct FN(norm_args) *a, pg_range_fn body) {
  pg_parallel_for(a->rows, pg_rows_per_chunk(a->cols), body, a);
  return !a->failed;
}

// Applies the mask of the elements [first, first + n) of a dropout site: y = keep ? x * scale : 0.
static inline __attribute__((always_inline)) void FN(masked_row)(pg_random r, uint32_t threshold, REAL scale,
                                                                 size_t first, size_t n, const REAL *x, REAL *y) {
  uint16_t draws[2 * PG_MASK_BLOCK];
  size_t done = 0;
  while (done < n) {
    size_t at = first + done, lane = at % PG_MASK_BLOCK, count = PG_MIN(2 * PG_MASK_BLOCK - lane, n - done);
    pg_mask_blocks(2, r, at / PG_MASK_BLOCK, draws);
    PG_ALIGNED_LOOP for (size_t j = 0; j < count; j++) y[done + j] = draws[lane + j] < threshold ? (REAL)0 : x[done + j] * scale;
    done += count;
  }
}

PG_CLONES static void FN(forward_range)(void *context, size_t begin, size_t end) {
  PG_REASSOCIATE
  struct FN(norm_args) *a = context;
  size_t cols = a->cols, buffers = 4;
  pg_dtype t = a->t;
  REAL *buffer = FN(buffers)(a, buffers);
  if (!buffer) return;
  for (size_t r = begin; r < end; r++) {
    size_t at = r * cols;
    const REAL *x = FN(row)(t, a->x, at, cols, buffer);
    REAL *y = FN(place)(t, a->y, at, buffer + cols), mean = 0, variance = 0;
    if (a->threshold) {
      FN(masked_row)(a->r, a->threshold, a->scale, at, cols, x, y);
      x = y;
    }
    if (a->residual) {
      const REAL *residual = FN(row)(t, a->residual, at, cols, buffer + 2 * cols);
      PG_ALIGNED_LOOP for (size_t i = 0; i < cols; i++) y[i] = x[i] + residual[i];
      x = y;
    }
    for (size_t i = 0; i < cols; i++) mean += x[i];
    mean /= (REAL)cols;
    for (size_t i = 0; i < cols; i++) variance += (x[i] - mean) * (x[i] - mean);
    REAL rstd = 1 / MATH(sqrt)(variance / (REAL)cols + a->eps);
    const REAL *gamma = a->gamma, *beta = a->beta;
    if (a->normalized) {
      REAL *normalized = FN(place)(t, a->normalized, at, buffer + 3 * cols);
      a->rstd[r] = rstd;
      PG_ALIGNED_LOOP for (size_t i = 0; i < cols; i++) {
        REAL n = (x[i] - mean) * rstd;
        normalized[i] = n;
        y[i] = n * gamma[i] + beta[i];
      }
      FN(write_row)(t, a->normalized, at, cols, normalized);
    } else {
      PG_ALIGNED_LOOP for (size_t i = 0; i < cols; i++) y[i] = (x[i] - mean) * rstd * gamma[i] + beta[i];
    }
    FN(write_row)(t, a->y, at, cols, y);
  }
  pg_free(buffer, buffers * cols * sizeof(REAL));
}
static bool FN(forward)(pg_dtype t, size_t rows, size_t cols, const void *x, const void *residual, double p, pg_random r,
                        const REAL *gamma, const REAL *beta, double eps, void *y, void *normalized, REAL *rstd) {
  struct FN(norm_args) a = {.t = t, .rows = rows, .cols = cols, .x = x, .residual = residual, .gamma = gamma, .beta = beta,
                            .eps = (REAL)eps, .y = y, .normalized = normalized, .rstd = rstd, .r = r,
                            .threshold = pg_dropout_threshold(p), .scale = (REAL)(p < 1 ? 1 / (1 - p) : 0)};
  return FN(all_rows)(&a, FN(forward_range));
}

PG_CLONES static void FN(backward_range)(void *context, size_t begin, size_t end) {
  PG_REASSOCIATE
  struct FN(norm_args) *a = context;
  size_t cols = a->cols, buffers = 4;
  pg_dtype t = a->t;
  const REAL *gamma = a->gamma;
  REAL *buffer = FN(buffers)(a, buffers);
  if (!buffer) return;
  for (size_t r = begin; r < end; r++) {
    size_t at = r * cols;
    const REAL *dy = FN(row)(t, a->dy, at, cols, buffer), *normalized = FN(row)(t, a->normalized_in, at, cols, buffer + cols);
    REAL *dz = FN(place)(t, a->dz, at, buffer + 2 * cols), sum = 0, dot = 0, rstd = a->rstd_in[r];
    for (size_t i = 0; i < cols; i++) {
      REAL g = dy[i] * gamma[i];
      sum += g;
      dot += g * normalized[i];
    }
    sum /= (REAL)cols, dot /= (REAL)cols;
    PG_ALIGNED_LOOP for (size_t i = 0; i < cols; i++) dz[i] = rstd * (dy[i] * gamma[i] - sum - normalized[i] * dot);
    FN(write_row)(t, a->dz, at, cols, dz);
    if (a->threshold && a->dx) {
      REAL *dx = FN(place)(t, a->dx, at, buffer + 3 * cols);
      FN(masked_row)(a->r, a->threshold, a->scale, at, cols, dz, dx);
      FN(write_row)(t, a->dx, at, cols, dx);
    }
  }
  pg_free(buffer, buffers * cols * sizeof(REAL));
}
static bool FN(backward)(pg_dtype t, size_t rows, size_t cols, const void *dy, const REAL *gamma, const void *normalized,
                         const REAL *rstd, double p, pg_random r, void *dz, void *dx) {
  struct FN(norm_args) a = {.t = t, .rows = rows, .cols = cols, .dy = dy, .gamma = gamma, .normalized_in = normalized,
                            .rstd_in = rstd, .dz = dz, .dx = dx, .r = r, .threshold = pg_dropout_threshold(p),
                            .scale = (REAL)(p < 1 ? 1 / (1 - p) : 0)};
  return FN(all_rows)(&a, FN(backward_range));
}

// Columns are divided, not rows: every sum runs over the rows in order, for any number of threads.
PG_CLONES static void FN(weight_range)(void *context, size_t begin, size_t end) {
  enum { WIDEST = 128 };
  const struct FN(norm_args) *a = context;
  REAL *restrict d_gamma = a->dz, *restrict d_beta = a->dx, buffer[2][WIDEST];
  for (size_t i = begin; i < end; i++) d_gamma[i] = 0, d_beta[i] = 0;
  for (size_t r = 0; r < a->rows; r++) {
    size_t at = r * a->cols + begin, count = end - begin;
    const REAL *dy = FN(row)(a->t, a->dy, at, count, buffer[0]), *n = FN(row)(a->t, a->normalized_in, at, count, buffer[1]);
    PG_ALIGNED_LOOP for (size_t i = 0; i < count; i++) d_gamma[begin + i] += dy[i] * n[i], d_beta[begin + i] += dy[i];
  }
}
static void FN(weight_backward)(pg_dtype t, size_t rows, size_t cols, const void *dy, const void *normalized, REAL *d_gamma,
                                REAL *d_beta) {
  struct FN(norm_args) a = {.t = t, .rows = rows, .cols = cols, .dy = dy, .normalized_in = normalized, .dz = d_gamma, .dx = d_beta};
  pg_parallel_for(cols, 128, FN(weight_range), &a);
}

// ---- without mean and bias --------------------------------------------------------------------------

PG_CLONES static void FN(rms_range)(void *context, size_t begin, size_t end) {
  PG_REASSOCIATE
  struct FN(norm_args) *a = context;
  size_t cols = a->cols, buffers = 2;
  pg_dtype t = a->t;
  const REAL *gamma = a->gamma;
  REAL *buffer = FN(buffers)(a, buffers);
  if (!buffer) return;
  for (size_t r = begin; r < end; r++) {
    size_t at = r * cols;
    const REAL *x = FN(row)(t, a->x, at, cols, buffer);
    REAL *y = FN(place)(t, a->y, at, buffer + cols), sum = 0;
    for (size_t i = 0; i < cols; i++) sum += x[i] * x[i];
    REAL rstd = 1 / MATH(sqrt)(sum / (REAL)cols + a->eps);
    PG_ALIGNED_LOOP for (size_t i = 0; i < cols; i++) y[i] = x[i] * rstd * gamma[i];
    if (a->rstd) a->rstd[r] = rstd;
    FN(write_row)(t, a->y, at, cols, y);
  }
  pg_free(buffer, buffers * cols * sizeof(REAL));
}
static bool FN(rms)(pg_dtype t, size_t rows, size_t cols, const void *x, const REAL *gamma, double eps, void *y, REAL *rstd) {
  struct FN(norm_args) a = {.t = t, .rows = rows, .cols = cols, .x = x, .gamma = gamma, .eps = (REAL)eps, .y = y, .rstd = rstd};
  return FN(all_rows)(&a, FN(rms_range));
}

PG_CLONES static void FN(rms_backward_range)(void *context, size_t begin, size_t end) {
  PG_REASSOCIATE
  struct FN(norm_args) *a = context;
  size_t cols = a->cols, buffers = 3;
  pg_dtype t = a->t;
  const REAL *gamma = a->gamma;
  REAL *buffer = FN(buffers)(a, buffers);
  if (!buffer) return;
  for (size_t r = begin; r < end; r++) {
    size_t at = r * cols;
    const REAL *x = FN(row)(t, a->x, at, cols, buffer), *dy = FN(row)(t, a->dy, at, cols, buffer + cols);
    REAL *dx = FN(place)(t, a->dx, at, buffer + 2 * cols), rstd = a->rstd_in[r], dot = 0;
    for (size_t i = 0; i < cols; i++) dot += dy[i] * gamma[i] * x[i];
    dot *= rstd * rstd / (REAL)cols;
    PG_ALIGNED_LOOP for (size_t i = 0; i < cols; i++) dx[i] = rstd * (dy[i] * gamma[i] - x[i] * dot);
    FN(write_row)(t, a->dx, at, cols, dx);
  }
  pg_free(buffer, buffers * cols * sizeof(REAL));
}
static bool FN(rms_backward)(pg_dtype t, size_t rows, size_t cols, const void *x, const void *dy, const REAL *gamma,
                             const REAL *rstd, void *dx) {
  struct FN(norm_args) a = {.t = t, .rows = rows, .cols = cols, .x = x, .dy = dy, .gamma = gamma, .rstd_in = rstd, .dx = dx};
  return FN(all_rows)(&a, FN(rms_backward_range));
}

PG_CLONES static void FN(rms_weight_range)(void *context, size_t begin, size_t end) {
  enum { WIDEST = 128 };
  const struct FN(norm_args) *a = context;
  REAL *restrict d_gamma = a->dz, buffer[2][WIDEST];
  for (size_t i = begin; i < end; i++) d_gamma[i] = 0;
  for (size_t r = 0; r < a->rows; r++) {
    size_t at = r * a->cols + begin, count = end - begin;
    const REAL *dy = FN(row)(a->t, a->dy, at, count, buffer[0]), *x = FN(row)(a->t, a->x, at, count, buffer[1]);
    REAL rstd = a->rstd_in[r];
    PG_ALIGNED_LOOP for (size_t i = 0; i < count; i++) d_gamma[begin + i] += dy[i] * x[i] * rstd;
  }
}
static void FN(rms_weight_backward)(pg_dtype t, size_t rows, size_t cols, const void *x, const void *dy, const REAL *rstd,
                                    REAL *d_gamma) {
  struct FN(norm_args) a = {.t = t, .rows = rows, .cols = cols, .x = x, .dy = dy, .rstd_in = rstd, .dz = d_gamma};
  pg_parallel_for(cols, 128, FN(rms_weight_range), &a);
}

#endif
