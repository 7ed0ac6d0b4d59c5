// Rows of bfloat16 beside one row of float32: biases and their gradients, without a copy of the rows in float32.
#include "internal.h"

struct narrow_rows_args {
  size_t rows, cols;
  uint16_t *x;
  float *row;
};

PG_CLONES static void add_range(void *context, size_t begin, size_t end) {
  const struct narrow_rows_args *a = context;
  const float *restrict row = a->row;
  for (size_t r = begin; r < end; r++) {
    uint16_t *restrict x = a->x + r * a->cols;
    for (size_t i = 0; i < a->cols; i++) x[i] = pg_to_bf16(pg_from_bf16(x[i]) + row[i]);
  }
}
void pg_add_row_bf16(size_t rows, size_t cols, const float *row, uint16_t *x) {
  PG_TIMED(PG_KIND_ELEMENTWISE);
  struct narrow_rows_args a = {rows, cols, x, (float *)row};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), add_range, &a);
}

// Columns of which the sums stay in registers while all rows go by.
enum { STRIP = 32 };

static inline __attribute__((always_inline)) void sum_strip(const struct narrow_rows_args *a, size_t first, size_t width) {
  float sum[STRIP] = {0};
  const uint16_t *x = a->x + first;
  for (size_t r = 0; r < a->rows; r++, x += a->cols) {
    for (size_t i = 0; i < width; i++) sum[i] += pg_from_bf16(x[i]);
  }
  memcpy(a->row + first, sum, width * sizeof *sum);
}
// Every column is one sum over the rows in their order: the same for any number of threads.
PG_CLONES static void sum_range(void *context, size_t begin, size_t end) {
  if (end - begin == STRIP) sum_strip(context, begin, STRIP);
  else sum_strip(context, begin, end - begin);
}
void pg_sum_rows_bf16(size_t rows, size_t cols, const uint16_t *x, float *row) {
  PG_TIMED(PG_KIND_ELEMENTWISE);
  struct narrow_rows_args a = {rows, cols, (uint16_t *)x, row};
  pg_parallel_for(cols, STRIP, sum_range, &a);
}
