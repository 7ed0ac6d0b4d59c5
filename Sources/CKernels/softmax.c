#ifndef REAL
#include "internal.h"

#define PG_TEMPLATE "softmax.c"
#include "both_types.h"

PG_CLONES size_t pg_next_above(size_t n, const float *x, float minus, float plus, float least, size_t from) {
  enum { BLOCK = 64 };
  size_t i = from;
  for (; i + BLOCK <= n; i += BLOCK) {
    int any = 0;
    for (size_t j = 0; j < BLOCK; j++) any |= (x[i + j] - minus) + plus > least;
    if (any) break;
  }
  while (i < n && !((x[i] - minus) + plus > least)) i++;
  return i;
}

void pg_softmax(pg_dtype t, size_t rows, size_t cols, const void *x, void *y) {
  PG_TIMED(PG_KIND_OTHER);
  PG_DISPATCH(t, softmax, rows, cols, x, y);
}
void pg_log_softmax(pg_dtype t, size_t rows, size_t cols, const void *x, void *y) {
  PG_TIMED(PG_KIND_OTHER);
  PG_DISPATCH(t, log_softmax, rows, cols, x, y);
}
void pg_softmax_backward(pg_dtype t, size_t rows, size_t cols, const void *y, const void *dy, void *dx) {
  PG_TIMED(PG_KIND_OTHER);
  PG_DISPATCH(t, softmax_backward, rows, cols, y, dy, dx);
}
void pg_log_sums(pg_dtype t, size_t rows, size_t cols, const void *x, void *log_sums) {
  PG_TIMED(PG_KIND_OTHER);
  PG_DISPATCH(t, log_sums, rows, cols, x, log_sums);
}
void pg_log_softmax_backward(pg_dtype t, size_t rows, size_t cols, const void *y, const void *dy, void *dx) {
  PG_TIMED(PG_KIND_OTHER);
  PG_DISPATCH(t, log_softmax_backward, rows, cols, y, dy, dx);
}
void pg_cross_entropy(pg_dtype t, size_t rows, size_t cols, const void *logits, const int32_t *labels, int32_t ignore,
                      double smoothing, void *losses, void *log_sum) {
  PG_TIMED(PG_KIND_OTHER);
  PG_DISPATCH(t, cross_entropy, rows, cols, logits, labels, ignore, smoothing, losses, log_sum);
}
void pg_cross_entropy_backward(pg_dtype t, size_t rows, size_t cols, const void *logits, const int32_t *labels,
                               int32_t ignore, double smoothing, const void *log_sum, double scale, void *d_logits) {
  PG_TIMED(PG_KIND_OTHER);
  PG_DISPATCH(t, cross_entropy_backward, rows, cols, logits, labels, ignore, smoothing, log_sum, scale, d_logits);
}

#else

struct FN(softmax_args) {
  size_t cols;
  const REAL *x, *y, *dy;
  REAL *out, *losses;
  const int32_t *labels;
  int32_t ignore;
  REAL smoothing, scale;
};

static inline REAL FN(row_max)(size_t n, const REAL *x) {
  PG_REASSOCIATE
  REAL m = x[0];
  for (size_t i = 1; i < n; i++) m = x[i] > m ? x[i] : m;
  return m;
}
static inline REAL FN(row_exp_sum)(size_t n, const REAL *x, REAL max, REAL *y) {
  PG_REASSOCIATE
  REAL sum = 0;
  for (size_t i = 0; i < n; i++) {
    REAL e = FN(pg_exp)(x[i] - max);
    y[i] = e;
    sum += e;
  }
  return sum;
}
static inline REAL FN(row_log_sum)(size_t n, const REAL *x) {
  PG_REASSOCIATE
  REAL max = FN(row_max)(n, x), sum = 0;
  for (size_t i = 0; i < n; i++) sum += FN(pg_exp)(x[i] - max);
  return max + MATH(log)(sum);
}

PG_CLONES static void FN(softmax_range)(void *context, size_t begin, size_t end) {
  const struct FN(softmax_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    const REAL *x = a->x + r * a->cols;
    REAL *y = a->out + r * a->cols;
    REAL scale = 1 / FN(row_exp_sum)(a->cols, x, FN(row_max)(a->cols, x), y);
    for (size_t i = 0; i < a->cols; i++) y[i] *= scale;
  }
}
static void FN(softmax)(size_t rows, size_t cols, const REAL *x, REAL *y) {
  struct FN(softmax_args) a = {.cols = cols, .x = x, .out = y};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(softmax_range), &a);
}

PG_CLONES static void FN(log_softmax_range)(void *context, size_t begin, size_t end) {
  const struct FN(softmax_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    const REAL *x = a->x + r * a->cols;
    REAL *y = a->out + r * a->cols, log_sum = FN(row_log_sum)(a->cols, x);
    for (size_t i = 0; i < a->cols; i++) y[i] = x[i] - log_sum;
  }
}
PG_CLONES static void FN(log_sums_range)(void *context, size_t begin, size_t end) {
  PG_REASSOCIATE
  const struct FN(softmax_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    const REAL *x = a->x + r * a->cols;
    REAL max = FN(max_row)(a->cols, x), sum = 0;
    for (size_t i = 0; i < a->cols; i++) sum += FN(pg_exp)(x[i] - max);
    a->out[r] = max + MATH(log)(sum);
  }
}
static void FN(log_sums)(size_t rows, size_t cols, const REAL *x, REAL *log_sums) {
  struct FN(softmax_args) a = {.cols = cols, .x = x, .out = log_sums};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(log_sums_range), &a);
}
static void FN(log_softmax)(size_t rows, size_t cols, const REAL *x, REAL *y) {
  struct FN(softmax_args) a = {.cols = cols, .x = x, .out = y};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(log_softmax_range), &a);
}

PG_CLONES static void FN(softmax_backward_range)(void *context, size_t begin, size_t end) {
  PG_REASSOCIATE
  const struct FN(softmax_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    const REAL *y = a->y + r * a->cols, *dy = a->dy + r * a->cols;
    REAL *dx = a->out + r * a->cols, dot = 0;
    for (size_t i = 0; i < a->cols; i++) dot += y[i] * dy[i];
    for (size_t i = 0; i < a->cols; i++) dx[i] = y[i] * (dy[i] - dot);
  }
}
static void FN(softmax_backward)(size_t rows, size_t cols, const REAL *y, const REAL *dy, REAL *dx) {
  struct FN(softmax_args) a = {.cols = cols, .y = y, .dy = dy, .out = dx};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(softmax_backward_range), &a);
}

PG_CLONES static void FN(log_softmax_backward_range)(void *context, size_t begin, size_t end) {
  PG_REASSOCIATE
  const struct FN(softmax_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    const REAL *y = a->y + r * a->cols, *dy = a->dy + r * a->cols;
    REAL *dx = a->out + r * a->cols, sum = 0;
    for (size_t i = 0; i < a->cols; i++) sum += dy[i];
    for (size_t i = 0; i < a->cols; i++) dx[i] = dy[i] - FN(pg_exp)(y[i]) * sum;
  }
}
static void FN(log_softmax_backward)(size_t rows, size_t cols, const REAL *y, const REAL *dy, REAL *dx) {
  struct FN(softmax_args) a = {.cols = cols, .y = y, .dy = dy, .out = dx};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(log_softmax_backward_range), &a);
}

PG_CLONES static void FN(cross_entropy_range)(void *context, size_t begin, size_t end) {
  PG_REASSOCIATE
  const struct FN(softmax_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    const REAL *x = a->x + r * a->cols;
    if (a->labels[r] == a->ignore) {
      a->losses[r] = 0, a->out[r] = 0;
      continue;
    }
    REAL log_sum = FN(row_log_sum)(a->cols, x), loss = (1 - a->smoothing) * (log_sum - x[a->labels[r]]);
    if (a->smoothing > 0) {
      REAL sum = 0;
      for (size_t i = 0; i < a->cols; i++) sum += x[i];
      loss += a->smoothing * (log_sum - sum / (REAL)a->cols);
    }
    a->losses[r] = loss, a->out[r] = log_sum;
  }
}
static void FN(cross_entropy)(size_t rows, size_t cols, const REAL *logits, const int32_t *labels, int32_t ignore,
                              double smoothing, REAL *losses, REAL *log_sum) {
  struct FN(softmax_args) a = {.cols = cols, .x = logits, .labels = labels, .ignore = ignore,
                               .smoothing = (REAL)smoothing, .losses = losses, .out = log_sum};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(cross_entropy_range), &a);
}

PG_CLONES static void FN(cross_entropy_backward_range)(void *context, size_t begin, size_t end) {
  const struct FN(softmax_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    const REAL *x = a->x + r * a->cols;
    REAL *dx = a->out + r * a->cols, scale = a->scale;
    if (a->labels[r] == a->ignore) {
      memset(dx, 0, a->cols * sizeof(REAL));
      continue;
    }
    REAL log_sum = a->y[r], uniform = a->smoothing / (REAL)a->cols;
    for (size_t i = 0; i < a->cols; i++) dx[i] = scale * (FN(pg_exp)(x[i] - log_sum) - uniform);
    dx[a->labels[r]] -= scale * (1 - a->smoothing);
  }
}
static void FN(cross_entropy_backward)(size_t rows, size_t cols, const REAL *logits, const int32_t *labels,
                                       int32_t ignore, double smoothing, const REAL *log_sum, double scale, REAL *dx) {
  struct FN(softmax_args) a = {.cols = cols, .x = logits, .labels = labels, .ignore = ignore,
                               .smoothing = (REAL)smoothing, .y = log_sum, .scale = (REAL)scale, .out = dx};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(cross_entropy_backward_range), &a);
}

#endif
