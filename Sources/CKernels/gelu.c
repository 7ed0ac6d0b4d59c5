// GELU and its slope in bfloat16, without exp and division. Phi(x) - 1/2 and the slope - 1/2 are odd: x times a polynomial in x^2, or
// in 2 (x / widest)^2 - 1, whose largest error is the least (2e-7 and 1.4e-6 in fp32). Beyond `widest` both are 0 or 1 to 3e-6.
#include "internal.h"

static inline __attribute__((always_inline)) float odd_polynomial(int degree, const float *c, float widest, float x) {
  float v = x > widest ? widest : x < -widest ? -widest : x, u = fmaf(v * v, 2 / (widest * widest), -1), p = c[degree];
  for (int i = degree - 1; i >= 0; i--) p = fmaf(p, u, c[i]);
  return v * p;
}
static inline __attribute__((always_inline)) float short_gelu(float x) {
  static const float c[] = {0.14136378f, -0.07029628f, 0.051520523f, -0.04044261f, 0.031442173f, -0.023268653f, 0.016402174f,
                            -0.01116434f, 0.006410513f, -0.0026855742f, 0.001722797f, -0.0016132655f, 0.000608728f};
  return x <= -5 ? 0 : x * (0.5f + odd_polynomial(12, c, 5, x));
}
static inline __attribute__((always_inline)) float short_gelu_slope(float x) {
  static const float c[] = {0.13641277f, -0.07086844f, 0.060558352f, -0.06377966f, 0.072794706f, -0.07887817f, 0.07566474f,
                            -0.07206998f, 0.069227636f, -0.043370035f, 0.011409207f, -0.013194831f, 0.02094823f, -0.0087004136f};
  return 0.5f + odd_polynomial(13, c, 5.2f, x);
}
// Two neighbours at once, which are a number of 32 bits: neither widening nor narrowing moves one to another lane of a register.
static inline uint32_t two_from(const uint16_t *x) {
  uint32_t both;
  return memcpy(&both, x, sizeof both), both;
}
static inline float number_from(uint32_t bits) {
  float x;
  return memcpy(&x, &bits, sizeof x), x;
}
static inline float first_of(uint32_t both) { return number_from(both << 16); }
static inline float second_of(uint32_t both) { return number_from(both & 0xFFFF0000u); }
// pg_to_bf16 in the upper half.
static inline uint32_t upper_half(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (bits & 0x7FFFFFFFu) > 0x7F800000u ? bits | 0x400000 : bits + 0x7FFFu + ((bits >> 16) & 1);
}
static inline void put_two(float first, float second, uint16_t *y) {
  uint32_t both = (upper_half(second) & 0xFFFF0000u) | upper_half(first) >> 16;
  memcpy(y, &both, sizeof both);
}
// Several registers at once: one polynomial is a chain of products that wait for each other.
#define PAIRS_LOOP _Pragma("clang loop vectorize(assume_safety) interleave_count(2)") for (size_t i = begin / 2; i < end / 2; i++)
struct gelu_args {
  const uint16_t *x, *dy;
  uint16_t *out;
};
PG_CLONES static void gelu_range(void *context, size_t begin, size_t end) {
  const struct gelu_args *m = context;
  const uint16_t *x = m->x;
  uint16_t *y = m->out;
  PAIRS_LOOP {
    uint32_t both = two_from(x + 2 * i);
    put_two(short_gelu(first_of(both)), short_gelu(second_of(both)), y + 2 * i);
  }
  if (end % 2) y[end - 1] = pg_to_bf16(short_gelu(pg_from_bf16(x[end - 1])));
}
PG_CLONES static void gelu_backward_range(void *context, size_t begin, size_t end) {
  const struct gelu_args *m = context;
  const uint16_t *x = m->x, *dy = m->dy;
  uint16_t *dx = m->out;
  PAIRS_LOOP {
    uint32_t both = two_from(x + 2 * i), g = two_from(dy + 2 * i);
    put_two(first_of(g) * short_gelu_slope(first_of(both)), second_of(g) * short_gelu_slope(second_of(both)), dx + 2 * i);
  }
  if (end % 2) dx[end - 1] = pg_to_bf16(pg_from_bf16(dy[end - 1]) * short_gelu_slope(pg_from_bf16(x[end - 1])));
}

void pg_narrow_gelu(size_t n, const uint16_t *x, uint16_t *y) {
  struct gelu_args a = {.x = x, .out = y};
  pg_parallel_for(n, PG_CHUNK, gelu_range, &a);
}
void pg_narrow_gelu_backward(size_t n, const uint16_t *x, const uint16_t *dy, uint16_t *dx) {
  struct gelu_args a = {.x = x, .dy = dy, .out = dx};
  pg_parallel_for(n, PG_CHUNK, gelu_backward_range, &a);
}
