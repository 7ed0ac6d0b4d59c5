#ifndef REAL
#include "internal.h"

#define PG_TEMPLATE "rows.c"
#include "both_types.h"

// bfloat16 rows come from hidden states: chosen, not summed.
static void gather_narrow(size_t n, size_t cols, const int32_t *ids, const uint16_t *table, uint16_t *y) {
  for (size_t r = 0; r < n; r++) memcpy(y + r * cols, table + (size_t)ids[r] * cols, cols * sizeof *y);
}
PG_CLONES static void scatter_narrow(size_t n, size_t cols, const int32_t *ids, const uint16_t *rows, uint16_t *table) {
  for (size_t r = 0; r < n; r++) {
    uint16_t *y = table + (size_t)ids[r] * cols;
    for (size_t i = 0; i < cols; i++) y[i] = pg_to_bf16(pg_from_bf16(y[i]) + pg_from_bf16(rows[r * cols + i]));
  }
}

void pg_gather_rows(pg_dtype t, size_t n, size_t cols, const int32_t *ids, const void *table, bool add, void *y) {
  PG_TIMED(PG_KIND_ROWS);
  if (t == PG_BF16 && !add) gather_narrow(n, cols, ids, table, y);
  else PG_DISPATCH(t, gather, n, cols, ids, table, add, y);
}
void pg_scatter_add_rows(pg_dtype t, size_t n, size_t cols, const int32_t *ids, const void *rows, void *table) {
  PG_TIMED(PG_KIND_ROWS);
  if (t == PG_BF16) scatter_narrow(n, cols, ids, rows, table);
  else PG_DISPATCH(t, scatter, n, cols, ids, rows, table);
}

#else

struct FN(rows_args) {
  size_t n, cols;
  const int32_t *ids;
  const REAL *from;
  REAL *to;
  bool add;
};

PG_CLONES static void FN(gather_range)(void *context, size_t begin, size_t end) {
  const struct FN(rows_args) *a = context;
  for (size_t r = begin; r < end; r++) {
    const REAL *restrict row = a->from + (size_t)a->ids[r] * a->cols;
    REAL *restrict y = a->to + r * a->cols;
    if (a->add) {
      for (size_t i = 0; i < a->cols; i++) y[i] += row[i];
    } else {
      memcpy(y, row, a->cols * sizeof(REAL));
    }
  }
}
static void FN(gather)(size_t n, size_t cols, const int32_t *ids, const REAL *table, bool add, REAL *y) {
  struct FN(rows_args) a = {n, cols, ids, table, y, add};
  pg_parallel_for(n, pg_rows_per_chunk(cols), FN(gather_range), &a);
}

// Each chunk owns a range of columns and takes the rows in order, so that equal ids add up in a fixed order.
PG_CLONES static void FN(scatter_range)(void *context, size_t begin, size_t end) {
  const struct FN(rows_args) *a = context;
  for (size_t r = 0; r < a->n; r++) {
    const REAL *restrict row = a->from + r * a->cols;
    REAL *restrict y = a->to + (size_t)a->ids[r] * a->cols;
    for (size_t i = begin; i < end; i++) y[i] += row[i];
  }
}
static void FN(scatter)(size_t n, size_t cols, const int32_t *ids, const REAL *rows, REAL *table) {
  struct FN(rows_args) a = {n, cols, ids, rows, table, true};
  pg_parallel_for(cols, 128, FN(scatter_range), &a);
}

#endif
