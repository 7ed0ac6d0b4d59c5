#ifndef REAL
#include "internal.h"

#define PG_TEMPLATE "elementwise.c"
#include "both_types.h"

void pg_binary(pg_dtype t, pg_binary_op op, size_t n, const void *a, int sa, const void *b, int sb, void *out) {
  PG_TIMED(PG_KIND_ELEMENTWISE);
  PG_DISPATCH(t, binary, op, n, a, sa, b, sb, out);
}

// A float32 loop over bfloat16 elements: blocks are widened into the cache, mapped there, and rounded back.
struct narrow_map {
  struct map_args_f32 map;
  pg_range_fn body;
  const uint16_t *a, *b, *c;
  uint16_t *out, *out2;
};
PG_CLONES static void narrow_map_range(void *context, size_t begin, size_t end) {
  enum { BLOCK = 1024 };
  const struct narrow_map *n = context;
  float a[BLOCK], b[BLOCK], c[BLOCK], out[BLOCK], out2[BLOCK];
  struct map_args_f32 map = n->map;
  map.a = a, map.b = b, map.c = c, map.out = out, map.out2 = out2;
  for (size_t i = begin; i < end; i += BLOCK) {
    size_t count = PG_MIN(BLOCK, end - i);
    if (n->a) pg_widen(count, n->a + i, a);
    if (n->b) pg_widen(count, n->b + i, b);
    if (n->c) pg_widen(count, n->c + i, c);
    n->body(&map, 0, count);
    pg_narrow(count, out, n->out + i);
    if (n->out2) pg_narrow(count, out2, n->out2 + i);
  }
}
// `map.out2`: a second result, if there is one.
static void map_narrow(struct map_args_f32 map, pg_range_fn body, size_t n, const void *a, const void *b, const void *c, void *out) {
  struct narrow_map args = {map, body, a, b, c, out, (uint16_t *)(void *)map.out2};
  pg_parallel_for(n, PG_CHUNK, narrow_map_range, &args);
}

void pg_unary(pg_dtype t, pg_unary_op op, size_t n, const void *x, void *y) {
  PG_TIMED(PG_KIND_ELEMENTWISE);
  if (t == PG_BF16 && (op == PG_GELU || op == PG_GELU_TANH)) pg_narrow_gelu(op == PG_GELU_TANH, n, x, y);
  else if (t == PG_BF16) map_narrow((struct map_args_f32){.op = op}, unary_range_f32, n, x, NULL, NULL, y);
  else PG_DISPATCH(t, unary, op, n, x, y);
}
void pg_unary_backward(pg_dtype t, pg_unary_op op, size_t n, const void *x, const void *y, const void *dy, void *dx) {
  PG_TIMED(PG_KIND_ELEMENTWISE);
  if (t == PG_BF16 && (op == PG_GELU || op == PG_GELU_TANH)) pg_narrow_gelu_backward(op == PG_GELU_TANH, n, x, dy, dx);
  else if (t == PG_BF16) map_narrow((struct map_args_f32){.op = op}, unary_backward_range_f32, n, x, y, dy, dx);
  else PG_DISPATCH(t, unary_backward, op, n, x, y, dy, dx);
}
void pg_gated(pg_dtype t, pg_unary_op op, size_t n, const void *gate, const void *up, void *y) {
  PG_TIMED(PG_KIND_ELEMENTWISE);
  if (t == PG_BF16 && op == PG_SILU) pg_narrow_gated_silu(n, gate, up, y);
  else if (t == PG_BF16) map_narrow((struct map_args_f32){.op = op}, gated_range_f32, n, gate, up, NULL, y);
  else PG_DISPATCH(t, gated, op, n, gate, up, y);
}
void pg_gated_backward(pg_dtype t, pg_unary_op op, size_t n, const void *gate, const void *up, const void *dy, void *d_gate,
                       void *d_up) {
  PG_TIMED(PG_KIND_ELEMENTWISE);
  struct map_args_f32 map = {.op = op, .out2 = d_up};
  if (t == PG_BF16 && op == PG_SILU) pg_narrow_gated_silu_backward(n, gate, up, dy, d_gate, d_up);
  else if (t == PG_BF16) map_narrow(map, gated_backward_range_f32, n, gate, up, dy, d_gate);
  else PG_DISPATCH(t, gated_backward, op, n, gate, up, dy, d_gate, d_up);
}
void pg_axpby(pg_dtype t, size_t n, double a, const void *x, double b, const void *y, void *out) {
  PG_TIMED(PG_KIND_ELEMENTWISE);
  if (t == PG_BF16) pg_narrow_sum(n, (float)a, x, (float)b, y, out);
  else PG_DISPATCH(t, axpby, n, a, x, b, y, out);
}
void pg_scale(pg_dtype t, size_t n, double a, const void *x, double b, void *out) {
  PG_TIMED(PG_KIND_ELEMENTWISE);
  PG_DISPATCH(t, scale, n, a, x, b, out);
}
void pg_fill(pg_dtype t, size_t n, double value, void *out) {
  PG_TIMED(PG_KIND_ELEMENTWISE);
  PG_DISPATCH(t, fill, n, value, out);
}
void pg_add_rows(pg_dtype t, size_t rows, size_t cols, const void *x, const void *row, void *y) {
  PG_TIMED(PG_KIND_ELEMENTWISE);
  PG_DISPATCH(t, add_rows, rows, cols, x, row, y);
}
void pg_sum_rows(pg_dtype t, size_t rows, size_t cols, const void *x, void *row) {
  PG_TIMED(PG_KIND_ELEMENTWISE);
  PG_DISPATCH(t, sum_rows, rows, cols, x, row);
}
double pg_sum(pg_dtype t, size_t n, const void *x) {
  PG_TIMED(PG_KIND_OTHER);
  return t == PG_F32 ? total_f32(n, x, 0) : total_f64(n, x, 0);
}
double pg_sum_squares(pg_dtype t, size_t n, const void *x) {
  PG_TIMED(PG_KIND_OPTIMIZER);
  return t == PG_F32 ? total_f32(n, x, 1) : total_f64(n, x, 1);
}
size_t pg_first_nonfinite(pg_dtype t, size_t n, const void *x) {
  PG_TIMED(PG_KIND_OTHER);
  return t == PG_F32 ? first_nonfinite_f32(n, x) : first_nonfinite_f64(n, x);
}

PG_CLONES void pg_f32_to_f64(size_t n, const float *x, double *y) {
  PG_TIMED(PG_KIND_COPIES);
  for (size_t i = 0; i < n; i++) y[i] = x[i];
}
PG_CLONES void pg_f64_to_f32(size_t n, const double *x, float *y) {
  PG_TIMED(PG_KIND_COPIES);
  for (size_t i = 0; i < n; i++) y[i] = (float)x[i];
}

struct narrow_args {
  const float *x;
  uint16_t *y;
};
PG_CLONES static void narrow(void *context, size_t begin, size_t end) {
  const struct narrow_args *a = context;
  const float *restrict x = a->x;
  uint16_t *restrict y = a->y;
  for (size_t i = begin; i < end; i++) y[i] = pg_to_bf16(x[i]);
}
void pg_f32_to_bf16(size_t n, const float *x, uint16_t *y) {
  PG_TIMED(PG_KIND_COPIES);
  struct narrow_args a = {x, y};
  pg_parallel_for(n, 4 * PG_CHUNK, narrow, &a);
}
PG_CLONES void pg_bf16_to_f32(size_t n, const uint16_t *x, float *y) {
  PG_TIMED(PG_KIND_COPIES);
  for (size_t i = 0; i < n; i++) {
    uint32_t bits = (uint32_t)x[i] << 16;
    memcpy(&y[i], &bits, 4);
  }
}
void pg_f16_to_f32(size_t n, const uint16_t *x, float *y) {
  PG_TIMED(PG_KIND_COPIES);
  for (size_t i = 0; i < n; i++) {
    uint32_t sign = (uint32_t)(x[i] & 0x8000) << 16, exponent = (x[i] >> 10) & 31, fraction = x[i] & 1023;
    uint32_t bits;
    if (exponent == 0) {  // zero and subnormals: fraction * 2^-24
      float value = (float)fraction * 0x1p-24f;
      memcpy(&bits, &value, 4);
      bits |= sign;
    } else {
      bits = sign | (exponent == 31 ? 0x7F800000u : (exponent + 112) << 23) | fraction << 13;
    }
    memcpy(&y[i], &bits, 4);
  }
}

#else

struct FN(map_args) {
  int op;
  int sa, sb;
  const REAL *a, *b, *c;
  REAL *out, *out2;
  REAL alpha, beta;
  size_t cols;
};

#define LOOP(expression) \
  for (size_t i = begin; i < end; i++) { \
    REAL x = a[i * sa], y = b[i * sb]; \
    out[i] = (expression); \
  } \
  break

PG_CLONES static void FN(binary_range)(void *context, size_t begin, size_t end) {
  const struct FN(map_args) *m = context;
  const REAL *a = m->a, *b = m->b;
  REAL *out = m->out;
  size_t sa = (size_t)m->sa, sb = (size_t)m->sb;
  switch ((pg_binary_op)m->op) {
  case PG_ADD: LOOP(x + y);
  case PG_SUB: LOOP(x - y);
  case PG_MUL: LOOP(x * y);
  case PG_DIV: LOOP(x / y);
  case PG_POW: LOOP(MATH(pow)(x, y));
  case PG_MAXIMUM: LOOP(x != x ? x : y != y ? y : PG_MAX(x, y));
  case PG_MINIMUM: LOOP(x != x ? x : y != y ? y : PG_MIN(x, y));
  case PG_EQ: LOOP((REAL)(x == y));
  case PG_NE: LOOP((REAL)(x != y));
  case PG_LT: LOOP((REAL)(x < y));
  case PG_LE: LOOP((REAL)(x <= y));
  case PG_GT: LOOP((REAL)(x > y));
  case PG_GE: LOOP((REAL)(x >= y));
  }
}
#undef LOOP

static void FN(binary)(pg_binary_op op, size_t n, const REAL *a, int sa, const REAL *b, int sb, REAL *out) {
  struct FN(map_args) m = {.op = op, .sa = sa, .sb = sb, .a = a, .b = b, .out = out};
  pg_parallel_for(n, PG_CHUNK, FN(binary_range), &m);
}

// Both GELUs: value and derivative at x. Hendrycks and Gimpel 2016, arXiv 1606.08415.
static inline REAL FN(gelu)(REAL x) {
  REAL density;
  return x * FN(pg_normal_cdf)(x, &density);
}
static inline REAL FN(gelu_slope)(REAL x) {
  REAL density, cdf = FN(pg_normal_cdf)(x, &density);
  return cdf + x * density;
}
static inline REAL FN(tanh_by_exp)(REAL x) { return 1 - 2 / (FN(pg_exp)(2 * x) + 1); }
static inline REAL FN(gelu_tanh)(REAL x) {
  REAL u = (REAL)0.7978845608028654 * (x + (REAL)0.044715 * x * x * x);
  return (REAL)0.5 * x * (1 + FN(tanh_by_exp)(u));
}
static inline REAL FN(gelu_tanh_slope)(REAL x) {
  REAL u = (REAL)0.7978845608028654 * (x + (REAL)0.044715 * x * x * x), h = FN(tanh_by_exp)(u);
  REAL du = (REAL)0.7978845608028654 * (1 + (REAL)0.134145 * x * x);
  return (REAL)0.5 * (1 + h) + (REAL)0.5 * x * (1 - h * h) * du;
}
static inline REAL FN(sigmoid)(REAL x) { return 1 / (1 + FN(pg_exp)(-x)); }

#define LOOP(expression) \
  for (size_t i = begin; i < end; i++) { \
    REAL x = a[i]; \
    out[i] = (expression); \
  } \
  break

PG_CLONES static void FN(unary_range)(void *context, size_t begin, size_t end) {
  const struct FN(map_args) *m = context;
  const REAL *a = m->a;
  REAL *out = m->out;
  switch ((pg_unary_op)m->op) {
  case PG_NEG: LOOP(-x);
  case PG_ABS: LOOP(MATH(fabs)(x));
  case PG_EXP: LOOP(MATH(exp)(x));
  case PG_LOG: LOOP(MATH(log)(x));
  case PG_SQRT: LOOP(__builtin_elementwise_sqrt(x));
  case PG_RSQRT: LOOP(1 / __builtin_elementwise_sqrt(x));
  case PG_SQUARE: LOOP(x * x);
  case PG_SIN: LOOP(MATH(sin)(x));
  case PG_COS: LOOP(MATH(cos)(x));
  case PG_SIGN: LOOP((REAL)(x > 0) - (REAL)(x < 0));
  case PG_RELU: LOOP(x < 0 ? 0 : x);
  case PG_TANH: LOOP(MATH(tanh)(x));
  case PG_SIGMOID: LOOP(FN(sigmoid)(x));
  case PG_SILU: LOOP(x * FN(sigmoid)(x));
  case PG_GELU: LOOP(FN(gelu)(x));
  case PG_GELU_TANH: LOOP(FN(gelu_tanh)(x));
  case PG_RECIPROCAL: LOOP(1 / x);
  case PG_ERF: LOOP(MATH(erf)(x));
  case PG_FLOOR: LOOP(MATH(floor)(x));
  case PG_CEIL: LOOP(MATH(ceil)(x));
  case PG_ROUND: LOOP(MATH(rint)(x));
  }
}
#undef LOOP

static void FN(unary)(pg_unary_op op, size_t n, const REAL *x, REAL *y) {
  struct FN(map_args) m = {.op = op, .a = x, .out = y};
  pg_parallel_for(n, PG_CHUNK / 4, FN(unary_range), &m);
}

#define LOOP(expression) \
  for (size_t i = begin; i < end; i++) { \
    REAL x = a[i], y = b[i], g = c[i]; \
    (void)x, (void)y, (void)g; \
    out[i] = (expression); \
  } \
  break

PG_CLONES static void FN(unary_backward_range)(void *context, size_t begin, size_t end) {
  const struct FN(map_args) *m = context;
  const REAL *a = m->a, *b = m->b, *c = m->c;
  REAL *out = m->out;
  switch ((pg_unary_op)m->op) {
  case PG_NEG: LOOP(-g);
  case PG_ABS: LOOP(g * ((REAL)(x > 0) - (REAL)(x < 0)));
  case PG_EXP: LOOP(g * y);
  case PG_LOG: LOOP(g / x);
  case PG_SQRT: LOOP(g / (2 * y));
  case PG_RSQRT: LOOP(g * (REAL)-0.5 * y / x);
  case PG_SQUARE: LOOP(g * 2 * x);
  case PG_SIN: LOOP(g * MATH(cos)(x));
  case PG_COS: LOOP(-g * MATH(sin)(x));
  case PG_RELU: LOOP(x > 0 ? g : 0);
  case PG_TANH: LOOP(g * (1 - y * y));
  case PG_SIGMOID: LOOP(g * y * (1 - y));
  case PG_SILU: LOOP(g * (FN(sigmoid)(x) * (1 + x * (1 - FN(sigmoid)(x)))));
  case PG_GELU: LOOP(g * FN(gelu_slope)(x));
  case PG_GELU_TANH: LOOP(g * FN(gelu_tanh_slope)(x));
  case PG_RECIPROCAL: LOOP(-g * y * y);
  case PG_ERF: LOOP(g * (REAL)1.1283791670955126 * MATH(exp)(-x * x));
  case PG_SIGN:
  case PG_FLOOR:
  case PG_CEIL:
  case PG_ROUND: LOOP(0);
  }
}
#undef LOOP

static void FN(unary_backward)(pg_unary_op op, size_t n, const REAL *x, const REAL *y, const REAL *dy, REAL *dx) {
  struct FN(map_args) m = {.op = op, .a = x, .b = y, .c = dy, .out = dx};
  pg_parallel_for(n, PG_CHUNK / 4, FN(unary_backward_range), &m);
}

static inline REAL FN(silu_slope)(REAL x) {
  REAL s = FN(sigmoid)(x);
  return s * (1 + x * (1 - s));
}

#define LOOP(value) \
  for (size_t i = begin; i < end; i++) { \
    REAL x = a[i]; \
    out[i] = (value) * b[i]; \
  } \
  break

PG_CLONES static void FN(gated_range)(void *context, size_t begin, size_t end) {
  const struct FN(map_args) *m = context;
  const REAL *restrict a = m->a, *restrict b = m->b;
  REAL *restrict out = m->out;
  switch ((pg_unary_op)m->op) {
  case PG_SILU: LOOP(x * FN(sigmoid)(x));
  case PG_GELU: LOOP(FN(gelu)(x));
  case PG_GELU_TANH: LOOP(FN(gelu_tanh)(x));
  default: LOOP(x < 0 ? 0 : x);
  }
}
#undef LOOP

static void FN(gated)(pg_unary_op op, size_t n, const REAL *gate, const REAL *up, REAL *y) {
  struct FN(map_args) m = {.op = op, .a = gate, .b = up, .out = y};
  pg_parallel_for(n, PG_CHUNK / 4, FN(gated_range), &m);
}

#define LOOP(value, slope) \
  for (size_t i = begin; i < end; i++) { \
    REAL x = a[i], g = c[i]; \
    out[i] = g * b[i] * (slope); \
    out2[i] = g * (value); \
  } \
  break

PG_CLONES static void FN(gated_backward_range)(void *context, size_t begin, size_t end) {
  const struct FN(map_args) *m = context;
  const REAL *restrict a = m->a, *restrict b = m->b, *restrict c = m->c;
  REAL *restrict out = m->out, *restrict out2 = m->out2;
  switch ((pg_unary_op)m->op) {
  case PG_SILU: LOOP(x * FN(sigmoid)(x), FN(silu_slope)(x));
  case PG_GELU: LOOP(FN(gelu)(x), FN(gelu_slope)(x));
  case PG_GELU_TANH: LOOP(FN(gelu_tanh)(x), FN(gelu_tanh_slope)(x));
  default: LOOP(x < 0 ? 0 : x, x > 0);
  }
}
#undef LOOP

static void FN(gated_backward)(pg_unary_op op, size_t n, const REAL *gate, const REAL *up, const REAL *dy, REAL *d_gate,
                               REAL *d_up) {
  struct FN(map_args) m = {.op = op, .a = gate, .b = up, .c = dy, .out = d_gate, .out2 = d_up};
  pg_parallel_for(n, PG_CHUNK / 4, FN(gated_backward_range), &m);
}

PG_CLONES static void FN(axpby_range)(void *context, size_t begin, size_t end) {
  const struct FN(map_args) *m = context;
  const REAL *x = m->a, *y = m->b, alpha = m->alpha, beta = m->beta;
  REAL *out = m->out;
  for (size_t i = begin; i < end; i++) out[i] = alpha * x[i] + beta * y[i];
}
static void FN(axpby)(size_t n, double a, const REAL *x, double b, const REAL *y, REAL *out) {
  struct FN(map_args) m = {.a = x, .b = y, .out = out, .alpha = (REAL)a, .beta = (REAL)b};
  pg_parallel_for(n, PG_CHUNK, FN(axpby_range), &m);
}

PG_CLONES static void FN(scale_range)(void *context, size_t begin, size_t end) {
  const struct FN(map_args) *m = context;
  const REAL *x = m->a, alpha = m->alpha, beta = m->beta;
  REAL *out = m->out;
  for (size_t i = begin; i < end; i++) out[i] = alpha * x[i] + beta;
}
static void FN(scale)(size_t n, double a, const REAL *x, double b, REAL *out) {
  struct FN(map_args) m = {.a = x, .out = out, .alpha = (REAL)a, .beta = (REAL)b};
  pg_parallel_for(n, PG_CHUNK, FN(scale_range), &m);
}
PG_CLONES static void FN(fill)(size_t n, double value, REAL *out) {
  for (size_t i = 0; i < n; i++) out[i] = (REAL)value;
}

PG_CLONES static void FN(add_rows_range)(void *context, size_t begin, size_t end) {
  const struct FN(map_args) *m = context;
  const REAL *row = m->b;
  for (size_t r = begin; r < end; r++) {
    const REAL *x = m->a + r * m->cols;
    REAL *y = m->out + r * m->cols;
    for (size_t i = 0; i < m->cols; i++) y[i] = x[i] + row[i];
  }
}
static void FN(add_rows)(size_t rows, size_t cols, const REAL *x, const REAL *row, REAL *y) {
  struct FN(map_args) m = {.a = x, .b = row, .out = y, .cols = cols};
  pg_parallel_for(rows, pg_rows_per_chunk(cols), FN(add_rows_range), &m);
}

struct FN(sum_rows_args) {
  size_t rows, cols;
  const REAL *x;
  REAL *row;
};
// Each chunk owns a range of columns and walks all rows in order: the same sum for any number of threads.
PG_CLONES static void FN(sum_rows_range)(void *context, size_t begin, size_t end) {
  const struct FN(sum_rows_args) *s = context;
  for (size_t i = begin; i < end; i++) s->row[i] = 0;
  for (size_t r = 0; r < s->rows; r++) {
    const REAL *restrict x = s->x + r * s->cols;
    REAL *restrict row = s->row;
    for (size_t i = begin; i < end; i++) row[i] += x[i];
  }
}
static void FN(sum_rows)(size_t rows, size_t cols, const REAL *x, REAL *row) {
  struct FN(sum_rows_args) s = {rows, cols, x, row};
  pg_parallel_for(cols, 128, FN(sum_rows_range), &s);
}

// Sums in blocks of a fixed size, block totals in double: accurate, and the same for any number of threads.
PG_CLONES static REAL FN(block_total)(size_t n, const REAL *x, int squared) {
  PG_REASSOCIATE
  REAL sum = 0;
  if (squared) {
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
  } else {
    for (size_t i = 0; i < n; i++) sum += x[i];
  }
  return sum;
}
static double FN(total)(size_t n, const REAL *x, int squared) {
  double sum = 0;
  for (size_t i = 0; i < n; i += 1024) sum += (double)FN(block_total)(PG_MIN(1024, n - i), x + i, squared);
  return sum;
}
static size_t FN(first_nonfinite)(size_t n, const REAL *x) {
  for (size_t block = 0; block < n; block += 1024) {
    size_t count = PG_MIN(1024, n - block);
    if (isfinite(FN(block_total)(count, x + block, 0))) continue;  // a sum of finite values may overflow: look closer
    for (size_t i = block; i < block + count; i++) {
      if (!isfinite(x[i])) return i;
    }
  }
  return n;
}

#endif
