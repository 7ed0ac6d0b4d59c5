// Both GELUs and their slopes in bfloat16, without exp and division. Each is 1/2 and an odd function of x, for GELU times x: x times a
// polynomial in 2 (x / widest)^2 - 1 whose largest error is the least. Beyond `widest` they are 0 or 1 to 5e-6.
#include "pairs.h"

struct odd {
  float widest;
  int degree;
  float c[14];
};
// To 2e-7, 1.4e-6, 2e-7 and 1.2e-6 in fp32.
static const struct odd cdf = {5, 12, {0.14136378f, -0.07029628f, 0.051520523f, -0.04044261f, 0.031442173f, -0.023268653f,
                                       0.016402174f, -0.01116434f, 0.006410513f, -0.0026855742f, 0.001722797f, -0.0016132655f,
                                       0.000608728f}};
static const struct odd slope = {5.2f, 13, {0.13641277f, -0.07086844f, 0.060558352f, -0.06377966f, 0.072794706f, -0.07887817f,
                                            0.07566474f, -0.07206998f, 0.069227636f, -0.043370035f, 0.011409207f, -0.013194831f,
                                            0.02094823f, -0.0087004136f}};
static const struct odd tanh_cdf = {4.6f, 11, {0.1535719931f, -0.0758648440f, 0.0542795472f, -0.0403962098f, 0.0288663004f,
                                               -0.0193388984f, 0.0120500475f, -0.0066694724f, 0.0034605672f, -0.0023697091f,
                                               0.0015908292f, -0.0004846357f}};
static const struct odd tanh_slope = {4.9f, 13, {0.1450981349f, -0.0773014575f, 0.0703502744f, -0.0779776052f, 0.0867484212f,
                                                 -0.0867459700f, 0.0786693543f, -0.0650964156f, 0.0405860208f, -0.0177692007f,
                                                 0.0173206925f, -0.0212998223f, 0.0111937514f, -0.0017345377f}};

// Multiply-adds, where the CPU has them: fmaf is a call where it has none.
PG_ALWAYS float value_of(const struct odd *f, float x) {
  // In this order each is one instruction, and what is not a number stays so.
  float v = f->widest < x ? f->widest : x;
  v = -f->widest > v ? -f->widest : v;
  float u = v * v * (2 / (f->widest * f->widest)) - 1;
  float p = f->c[f->degree];
  for (int i = f->degree - 1; i >= 0; i--) p = p * u + f->c[i];
  return 0.5f + v * p;
}
PG_ALWAYS float gelu_of(const struct odd *f, float x) { return x <= -f->widest ? 0 : x * value_of(f, x); }

// Several registers at once: one polynomial is a chain of products that wait for each other.
#define PAIRS_LOOP _Pragma("clang loop vectorize(assume_safety) interleave_count(4)") for (size_t i = begin / 2; i < end / 2; i++)

struct gelu_args {
  const uint16_t *x, *dy;
  uint16_t *out;
};
PG_ALWAYS void values(const struct odd *f, const struct gelu_args *a, size_t begin, size_t end) {
  const uint16_t *x = a->x;
  uint16_t *y = a->out;
  PAIRS_LOOP {
    uint32_t both = pg_two_from(x + 2 * i);
    pg_put_two(gelu_of(f, pg_first_of(both)), gelu_of(f, pg_second_of(both)), y + 2 * i);
  }
  if (end % 2) y[end - 1] = pg_to_bf16(gelu_of(f, pg_from_bf16(x[end - 1])));
}
PG_ALWAYS void gradients(const struct odd *f, const struct gelu_args *a, size_t begin, size_t end) {
  const uint16_t *x = a->x, *dy = a->dy;
  uint16_t *dx = a->out;
  PAIRS_LOOP {
    uint32_t both = pg_two_from(x + 2 * i), g = pg_two_from(dy + 2 * i);
    pg_put_two(pg_first_of(g) * value_of(f, pg_first_of(both)), pg_second_of(g) * value_of(f, pg_second_of(both)), dx + 2 * i);
  }
  if (end % 2) dx[end - 1] = pg_to_bf16(pg_from_bf16(dy[end - 1]) * value_of(f, pg_from_bf16(x[end - 1])));
}
PG_CLONES static void gelu_range(void *a, size_t begin, size_t end) { values(&cdf, a, begin, end); }
PG_CLONES static void tanh_range(void *a, size_t begin, size_t end) { values(&tanh_cdf, a, begin, end); }
PG_CLONES static void gelu_backward_range(void *a, size_t begin, size_t end) { gradients(&slope, a, begin, end); }
PG_CLONES static void tanh_backward_range(void *a, size_t begin, size_t end) { gradients(&tanh_slope, a, begin, end); }

void pg_narrow_gelu(bool by_tanh, size_t n, const uint16_t *x, uint16_t *y) {
  struct gelu_args a = {.x = x, .out = y};
  pg_parallel_for(n, PG_CHUNK, by_tanh ? tanh_range : gelu_range, &a);
}
void pg_narrow_gelu_backward(bool by_tanh, size_t n, const uint16_t *x, const uint16_t *dy, uint16_t *dx) {
  struct gelu_args a = {.x = x, .dy = dy, .out = dx};
  pg_parallel_for(n, PG_CHUNK, by_tanh ? tanh_backward_range : gelu_backward_range, &a);
}
