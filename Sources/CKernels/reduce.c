#ifndef REAL
#include "internal.h"

#define PG_TEMPLATE "reduce.c"
#include "both_types.h"

void pg_reduce(pg_dtype t, pg_reduction op, size_t rows, size_t cols, const void *x, void *y) {
  PG_TIMED(PG_KIND_OTHER);
  PG_DISPATCH(t, reduce, op, rows, cols, x, y);
}
void pg_extremum(pg_dtype t, bool largest, size_t rows, size_t cols, const void *x, void *y, int32_t *index) {
  PG_TIMED(PG_KIND_OTHER);
  PG_DISPATCH(t, extremum, largest, rows, cols, x, y, index);
}
void pg_variance(pg_dtype t, size_t rows, size_t cols, double divisor, const void *x, void *mean, void *variance) {
  PG_TIMED(PG_KIND_OTHER);
  PG_DISPATCH(t, variance, rows, cols, divisor, x, mean, variance);
}
void pg_cumsum(pg_dtype t, size_t rows, size_t cols, bool reverse, const void *x, void *y) {
  PG_TIMED(PG_KIND_OTHER);
  PG_DISPATCH(t, cumsum, rows, cols, reverse, x, y);
}
void pg_index_add(pg_dtype t, size_t outer, size_t n, size_t inner, size_t count, const int32_t *ids, const void *rows,
                  void *table) {
  PG_TIMED(PG_KIND_ROWS);
  PG_DISPATCH(t, index_add, outer, n, inner, count, ids, rows, table);
}
void pg_scatter_add_axis(pg_dtype t, size_t outer, size_t n, size_t inner, size_t count, const int32_t *ids,
                         const void *values, void *table) {
  PG_TIMED(PG_KIND_ROWS);
  PG_DISPATCH(t, scatter_add_axis, outer, n, inner, count, ids, values, table);
}

#else

struct FN(reduce_args) {
  pg_reduction op;
  size_t cols;
  const REAL *x;
  REAL *y, *mean;
  int32_t *index;
  bool flag;
  double divisor;
};

// Blocks of a fixed size, block totals in double, as in pg_sum.
static inline __attribute__((always_inline)) double FN(row_total)(size_t n, const REAL *x) {
  PG_REASSOCIATE
  double total = 0;
  for (size_t block = 0; block < n; block += 1024) {
    size_t end = PG_MIN(n, block + 1024);
    REAL sum = 0;
    for (size_t i = block; i < end; i++) sum += x[i];
    total += (double)sum;
  }
  return total;
}
static inline __attribute__((always_inline)) double FN(row_log_sum)(size_t n, const REAL *x) {
  double top = -INFINITY, total = 0;
  for (size_t i = 0; i < n; i++) top = x[i] > top || x[i] != x[i] ? (double)x[i] : top;
  if (isinf(top)) return top;  // no value, only -inf, or some +inf
  for (size_t i = 0; i < n; i++) total += exp((double)x[i] - top);
  return top + log(total);
}

PG_CLONES static void FN(reduce_range)(void *context, size_t begin, size_t end) {
  const struct FN(reduce_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    const REAL *x = a->x + r * a->cols;
    double total = 0;
    switch (a->op) {
    case PG_SUM: total = FN(row_total)(a->cols, x); break;
    case PG_NORM:
      for (size_t i = 0; i < a->cols; i++) total += (double)x[i] * (double)x[i];
      total = sqrt(total);
      break;
    case PG_LOG_SUM_EXP: total = FN(row_log_sum)(a->cols, x); break;
    }
    a->y[r] = (REAL)total;
  }
}
static void FN(reduce)(pg_reduction op, size_t rows, size_t cols, const REAL *x, REAL *y) {
  struct FN(reduce_args) a = {.op = op, .cols = cols, .x = x, .y = y};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(reduce_range), &a);
}

// The first of equal values wins, and the first value that is not a number before all.
static void FN(extremum_range)(void *context, size_t begin, size_t end) {
  const struct FN(reduce_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    const REAL *x = a->x + r * a->cols;
    size_t best = 0;
    for (size_t i = 1; i < a->cols && x[best] == x[best]; i++) {
      if (x[i] != x[i] || (a->flag ? x[i] > x[best] : x[i] < x[best])) best = i;
    }
    a->y[r] = x[best];
    a->index[r] = (int32_t)best;
  }
}
static void FN(extremum)(bool largest, size_t rows, size_t cols, const REAL *x, REAL *y, int32_t *index) {
  struct FN(reduce_args) a = {.cols = cols, .x = x, .y = y, .index = index, .flag = largest};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(extremum_range), &a);
}

PG_CLONES static void FN(variance_range)(void *context, size_t begin, size_t end) {
  const struct FN(reduce_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    const REAL *x = a->x + r * a->cols;
    double mean = FN(row_total)(a->cols, x) / (double)a->cols, total = 0;
    for (size_t i = 0; i < a->cols; i++) total += ((double)x[i] - mean) * ((double)x[i] - mean);
    a->mean[r] = (REAL)mean;
    a->y[r] = (REAL)(a->divisor > 0 ? total / a->divisor : NAN);
  }
}
static void FN(variance)(size_t rows, size_t cols, double divisor, const REAL *x, REAL *mean, REAL *variance) {
  struct FN(reduce_args) a = {.cols = cols, .x = x, .y = variance, .mean = mean, .divisor = divisor};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(variance_range), &a);
}

static void FN(cumsum_range)(void *context, size_t begin, size_t end) {
  const struct FN(reduce_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    double total = 0;
    for (size_t j = 0; j < a->cols; j++) {
      size_t i = r * a->cols + (a->flag ? a->cols - 1 - j : j);
      total += (double)a->x[i];
      a->y[i] = (REAL)total;
    }
  }
}
static void FN(cumsum)(size_t rows, size_t cols, bool reverse, const REAL *x, REAL *y) {
  struct FN(reduce_args) a = {.cols = cols, .x = x, .y = y, .flag = reverse};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(cumsum_range), &a);
}

// Both on one thread, in the order of the rows: equal ids add up in a fixed order.
static void FN(index_add)(size_t outer, size_t n, size_t inner, size_t count, const int32_t *ids, const REAL *rows,
                          REAL *table) {
  for (size_t o = 0; o < outer; o++) {
    for (size_t j = 0; j < count; j++) {
      const REAL *from = rows + (o * count + j) * inner;
      REAL *to = table + (o * n + (size_t)ids[j]) * inner;
      for (size_t i = 0; i < inner; i++) to[i] += from[i];
    }
  }
}
static void FN(scatter_add_axis)(size_t outer, size_t n, size_t inner, size_t count, const int32_t *ids,
                                 const REAL *values, REAL *table) {
  for (size_t r = 0; r < outer * count; r++) {
    REAL *to = table + r / count * n * inner;
    for (size_t i = 0; i < inner; i++) to[(size_t)ids[r * inner + i] * inner + i] += values[r * inner + i];
  }
}

#endif
