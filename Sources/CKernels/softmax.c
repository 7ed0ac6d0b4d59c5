#ifndef REAL
#include "internal.h"

#define PG_TEMPLATE "softmax.c"
#include "both_types.h"

// The first i from `from` on with (x[i] - minus) + plus > least, else n.
static inline __attribute__((always_inline)) size_t next_above(size_t n, const float *x, float minus, float plus, float least, size_t from) {
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

struct best_args {
  size_t cols, count;
  const float *x, *minus, *plus;
  float *scores;
  int32_t *places;
};
// A heap of candidates, the worst of which comes first; of equal ones, the last.
static inline bool is_worse(const float *s, const int32_t *p, size_t a, size_t b) {
  return s[a] < s[b] || (s[a] == s[b] && p[a] > p[b]);
}
static inline void swap_candidates(float *s, int32_t *p, size_t a, size_t b) {
  float score = s[a];
  int32_t place = p[a];
  s[a] = s[b], p[a] = p[b], s[b] = score, p[b] = place;
}
static void sink_first(float *s, int32_t *p, size_t n) {
  for (size_t i = 0, least = 0;; i = least) {
    for (size_t child = 2 * i + 1; child < PG_MIN(n, 2 * i + 3); child++) least = is_worse(s, p, child, least) ? child : least;
    if (least == i) return;
    swap_candidates(s, p, i, least);
  }
}
PG_CLONES static void best_range(void *context, size_t begin, size_t end) {
  const struct best_args *a = context;
  for (size_t row = begin; row < end; row++) {
    const float *x = a->x + row * a->cols;
    float minus = a->minus ? a->minus[row] : 0, plus = a->plus ? a->plus[row] : 0, *s = a->scores + row * a->count;
    int32_t *p = a->places + row * a->count;
    size_t n = 0;
    for (size_t i = 0; (i = next_above(a->cols, x, minus, plus, n == a->count ? s[0] : -INFINITY, i)) < a->cols; i++) {
      bool grows = n < a->count;
      size_t at = grows ? n++ : 0;
      s[at] = (x[i] - minus) + plus, p[at] = (int32_t)i;
      if (!grows) sink_first(s, p, n);
      for (; grows && at && is_worse(s, p, at, (at - 1) / 2); at = (at - 1) / 2) swap_candidates(s, p, at, (at - 1) / 2);
    }
    for (size_t i = n; i < a->count; i++) p[i] = -1;
    // The worst of those that are left goes behind them.
    for (size_t left = n; left > 1; left--) {
      swap_candidates(s, p, 0, left - 1);
      sink_first(s, p, left - 1);
    }
  }
}
void pg_best_of_rows(size_t rows, size_t cols, const float *x, const float *minus, const float *plus, size_t count, float *scores,
                     int32_t *places) {
  PG_TIMED(PG_KIND_OTHER);
  struct best_args a = {cols, count, x, minus, plus, scores, places};
  if (count) pg_parallel_for(rows, 1, best_range, &a);
}

struct shift_args {
  size_t cols;
  float *x;
  const float *minus;
};
PG_CLONES static void shift_range(void *context, size_t begin, size_t end) {
  const struct shift_args *a = context;
  for (size_t row = begin; row < end; row++) {
    float *x = a->x + row * a->cols, minus = a->minus[row];
    for (size_t i = 0; i < a->cols; i++) x[i] -= minus;
  }
}
void pg_subtract_from_rows(size_t rows, size_t cols, float *x, const float *minus) {
  PG_TIMED(PG_KIND_OTHER);
  struct shift_args a = {cols, x, minus};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), shift_range, &a);
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
void pg_cross_entropy_and_gradient(pg_dtype t, size_t rows, size_t cols, void *logits, const int32_t *labels, int32_t ignore,
                                   double smoothing, void *losses, double scale, bool narrow) {
  PG_TIMED(PG_KIND_OTHER);
  PG_DISPATCH(t, cross_entropy_and_gradient, rows, cols, logits, labels, ignore, smoothing, losses, scale, narrow);
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
  bool narrow;
};

static inline __attribute__((always_inline)) REAL FN(row_exp_sum)(size_t n, const REAL *x, REAL max, REAL *y) {
  PG_REASSOCIATE
  REAL sum = 0;
  for (size_t i = 0; i < n; i++) {
    REAL e = FN(pg_exp)(x[i] - max);
    y[i] = e;
    sum += e;
  }
  return sum;
}
static inline __attribute__((always_inline)) REAL FN(row_log_sum)(size_t n, const REAL *x) {
  PG_REASSOCIATE
  REAL max = FN(max_row)(n, x), sum = 0;
  for (size_t i = 0; i < n; i++) sum += FN(pg_exp)(x[i] - max);
  return max + MATH(log)(sum);
}

PG_CLONES static void FN(softmax_range)(void *context, size_t begin, size_t end) {
  const struct FN(softmax_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    const REAL *x = a->x + r * a->cols;
    REAL *y = a->out + r * a->cols;
    REAL scale = 1 / FN(row_exp_sum)(a->cols, x, FN(max_row)(a->cols, x), y);
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

// The loss of a row that counts; its log-sum goes to `log_sum`.
static inline __attribute__((always_inline)) REAL FN(row_loss)(size_t n, const REAL *x, int32_t label, REAL smoothing, REAL *log_sum) {
  PG_REASSOCIATE
  REAL whole = *log_sum = FN(row_log_sum)(n, x), loss = (1 - smoothing) * (whole - x[label]);
  if (smoothing > 0) {
    REAL sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    loss += smoothing * (whole - sum / (REAL)n);
  }
  return loss;
}
PG_CLONES static void FN(cross_entropy_range)(void *context, size_t begin, size_t end) {
  const struct FN(softmax_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    a->losses[r] = 0, a->out[r] = 0;
    if (a->labels[r] == a->ignore) continue;
    a->losses[r] = FN(row_loss)(a->cols, a->x + r * a->cols, a->labels[r], a->smoothing, a->out + r);
  }
}
static void FN(cross_entropy)(size_t rows, size_t cols, const REAL *logits, const int32_t *labels, int32_t ignore,
                              double smoothing, REAL *losses, REAL *log_sum) {
  struct FN(softmax_args) a = {.cols = cols, .x = logits, .labels = labels, .ignore = ignore,
                               .smoothing = (REAL)smoothing, .losses = losses, .out = log_sum};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(cross_entropy_range), &a);
}

// Columns first ..< first + n of the gradient of a row's loss, from its scores there.
static inline __attribute__((always_inline)) void FN(loss_gradient)(const struct FN(softmax_args) *a, size_t n, const REAL *restrict x,
                                                                    int32_t label, size_t first, REAL log_sum, REAL *restrict dx) {
  REAL scale = a->scale, uniform = a->smoothing / (REAL)a->cols;
  for (size_t i = 0; i < n; i++) dx[i] = scale * (FN(pg_exp)(x[i] - log_sum) - uniform);
  if ((size_t)label - first < n) dx[(size_t)label - first] -= scale * (1 - a->smoothing);
}
PG_CLONES static void FN(cross_entropy_backward_range)(void *context, size_t begin, size_t end) {
  const struct FN(softmax_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    REAL *dx = a->out + r * a->cols;
    if (a->labels[r] == a->ignore) memset(dx, 0, a->cols * sizeof(REAL));
    else FN(loss_gradient)(a, a->cols, a->x + r * a->cols, a->labels[r], 0, a->y[r], dx);
  }
}
// The gradient takes the place of the scores, block by block: in bfloat16, the first half of it.
PG_CLONES static void FN(cross_entropy_and_gradient_range)(void *context, size_t begin, size_t end) {
  enum { BLOCK = 512 };
  const struct FN(softmax_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    REAL *x = a->out + r * a->cols, log_sum;
    a->losses[r] = 0;
    if (a->labels[r] == a->ignore) {
      memset(x, 0, a->cols * sizeof(REAL));
      continue;
    }
    a->losses[r] = FN(row_loss)(a->cols, x, a->labels[r], a->smoothing, &log_sum);
    for (size_t i = 0; i < a->cols; i += BLOCK) {
      REAL block[BLOCK];
      uint16_t narrowed[BLOCK];
      size_t n = PG_MIN((size_t)BLOCK, a->cols - i);
      FN(loss_gradient)(a, n, x + i, a->labels[r], i, log_sum, block);
      if (!a->narrow) {
        memcpy(x + i, block, n * sizeof(REAL));
        continue;
      }
      for (size_t j = 0; j < n; j++) narrowed[j] = pg_to_bf16((float)block[j]);
      memcpy((char *)x + 2 * i, narrowed, 2 * n);
    }
    if (a->narrow) memset((char *)x + 2 * a->cols, 0, 2);
  }
}
static void FN(cross_entropy_and_gradient)(size_t rows, size_t cols, REAL *logits, const int32_t *labels, int32_t ignore,
                                           double smoothing, REAL *losses, double scale, bool narrow) {
  struct FN(softmax_args) a = {.cols = cols, .labels = labels, .ignore = ignore, .smoothing = (REAL)smoothing, .losses = losses,
                               .scale = (REAL)scale, .out = logits, .narrow = narrow};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(cross_entropy_and_gradient_range), &a);
}
static void FN(cross_entropy_backward)(size_t rows, size_t cols, const REAL *logits, const int32_t *labels,
                                       int32_t ignore, double smoothing, const REAL *log_sum, double scale, REAL *dx) {
  struct FN(softmax_args) a = {.cols = cols, .x = logits, .labels = labels, .ignore = ignore,
                               .smoothing = (REAL)smoothing, .y = log_sum, .scale = (REAL)scale, .out = dx};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(cross_entropy_backward_range), &a);
}

#endif
