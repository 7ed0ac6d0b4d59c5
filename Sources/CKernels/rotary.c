#ifndef REAL
#include "internal.h"

struct rotation {
  size_t heads, head_size, pairs;
  const int32_t *positions;
  const float *table;
  float sign;  // of the sines
  const void *x;
  void *y;
};

PG_CLONES static void rotate_narrow(void *context, size_t begin, size_t end) {
  const struct rotation *a = context;
  size_t pairs = a->pairs;
  for (size_t item = begin; item < end; item++) {
    const float *restrict cosines = a->table + (size_t)a->positions[item / a->heads] * 2 * pairs, *restrict sines = cosines + pairs;
    const uint16_t *restrict x = (const uint16_t *)a->x + item * a->head_size;
    uint16_t *restrict y = (uint16_t *)a->y + item * a->head_size;
    for (size_t i = 0; i < pairs; i++) {
      float first = pg_from_bf16(x[i]), second = pg_from_bf16(x[i + pairs]), sine = a->sign * sines[i];
      y[i] = pg_to_bf16(first * cosines[i] - second * sine);
      y[i + pairs] = pg_to_bf16(second * cosines[i] + first * sine);
    }
    memcpy(y + 2 * pairs, x + 2 * pairs, (a->head_size - 2 * pairs) * sizeof *y);
  }
}

#define PG_TEMPLATE "rotary.c"
#include "both_types.h"

void pg_rotate(pg_dtype t, size_t rows, size_t heads, size_t head_size, size_t pairs, const int32_t *positions,
               const float *table, bool back, const void *x, void *y) {
  PG_TIMED(PG_KIND_ELEMENTWISE);
  struct rotation a = {heads, head_size, pairs, positions, table, back ? -1 : 1, x, y};
  pg_range_fn body = t == PG_BF16 ? rotate_narrow : t == PG_F64 ? rotate_f64 : rotate_f32;
  pg_parallel_for(rows * heads, pg_rows_per_chunk(head_size), body, &a);
}

#else

PG_CLONES static void FN(rotate)(void *context, size_t begin, size_t end) {
  const struct rotation *a = context;
  size_t pairs = a->pairs;
  for (size_t item = begin; item < end; item++) {
    const float *restrict cosines = a->table + (size_t)a->positions[item / a->heads] * 2 * pairs, *restrict sines = cosines + pairs;
    const REAL *restrict x = (const REAL *)a->x + item * a->head_size;
    REAL *restrict y = (REAL *)a->y + item * a->head_size;
    for (size_t i = 0; i < pairs; i++) {
      REAL sine = (REAL)(a->sign * sines[i]);
      y[i] = x[i] * (REAL)cosines[i] - x[i + pairs] * sine;
      y[i + pairs] = x[i + pairs] * (REAL)cosines[i] + x[i] * sine;
    }
    memcpy(y + 2 * pairs, x + 2 * pairs, (a->head_size - 2 * pairs) * sizeof *y);
  }
}

#endif
