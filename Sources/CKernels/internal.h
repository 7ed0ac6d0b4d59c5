// Shared by the kernel files: instruction-set dispatch, the two element types, vectorisable functions.
#pragma once
#include "clones.h"
#include "kernels.h"
#include <math.h>
#include <stdatomic.h>
#include <string.h>

// The first line of every public kernel: its wall time, to its return, counts as that kind of work (profile.c).
#define PG_TIMED(kind) PG_TIMED_WORK(kind, 0)
// The same with the floating-point operations of the call.
#define PG_TIMED_WORK(kind, operations) \
  __attribute__((cleanup(pg_timer_end))) struct pg_timer pg_timer = {kind, 0, 0, operations}; \
  pg_timer_begin(&pg_timer)
struct pg_timer {
  pg_kind kind;
  unsigned measurement;  // 0: not counted
  uint64_t start;        // 0: inside another counted call
  double operations;
};
extern atomic_bool pg_profiling;
void pg_timer_enter(struct pg_timer *timer);
void pg_timer_leave(struct pg_timer *timer);
static inline void pg_timer_begin(struct pg_timer *timer) {
  if (__builtin_expect(atomic_load_explicit(&pg_profiling, memory_order_relaxed), 0)) pg_timer_enter(timer);
}
static inline void pg_timer_end(struct pg_timer *timer) {
  if (__builtin_expect(timer->measurement != 0, 0)) pg_timer_leave(timer);
}

enum { PG_MAX_THREADS = 256 };
// For pg_refused_bytes.
void pg_note_refused(size_t bytes);

// memory.c: working memory of the calling thread, 64-byte aligned and not cleared; null beyond the limits of the process. What was taken last is
// given back first, by the same thread.
void *pg_take_scratch(size_t bytes);
void pg_give_scratch(void *memory, size_t bytes);

// Whether the calling thread runs a chunk of a parallel loop.
bool pg_is_inside(void);

// Lets the compiler reorder sums inside one function, which is what makes reductions vectorise.
#define PG_REASSOCIATE _Pragma("clang fp reassociate(on) contract(fast)")

// For loops whose arrays are the same or apart, so that no element waits for another.
#define PG_ALIGNED_LOOP _Pragma("clang loop vectorize(assume_safety)")

// Kernels that take bfloat16 handle it in their float32 form.
#define PG_DISPATCH(t, f, ...) \
  do { \
    if ((t) == PG_F64) f##_f64(__VA_ARGS__); \
    else f##_f32(__VA_ARGS__); \
  } while (0)
#define PG_DISPATCHED(t, f, ...) ((t) == PG_F64 ? f##_f64(__VA_ARGS__) : f##_f32(__VA_ARGS__))

static inline size_t pg_size(pg_dtype t) { return t == PG_BF16 ? 2 : t == PG_F32 ? 4 : 8; }

// bfloat16 is the upper half of a float32; rounding is to nearest, ties to even, and NaN stays NaN.
static inline float pg_from_bf16(uint16_t x) {
  uint32_t bits = (uint32_t)x << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}
static inline uint16_t pg_to_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1)) >> 16;
  return (uint16_t)((bits & 0x7FFFFFFFu) > 0x7F800000u ? (bits >> 16) | 0x40 : rounded);
}
static inline __attribute__((always_inline)) void pg_narrow(size_t n, const float *restrict x, uint16_t *restrict y) {
  for (size_t i = 0; i < n; i++) y[i] = pg_to_bf16(x[i]);
}
static inline __attribute__((always_inline)) void pg_widen(size_t n, const uint16_t *restrict x, float *restrict y) {
  for (size_t i = 0; i < n; i++) y[i] = pg_from_bf16(x[i]);
}
static inline __attribute__((always_inline)) void pg_round_to_bf16(size_t n, float *x) {
  for (size_t i = 0; i < n; i++) x[i] = pg_from_bf16(pg_to_bf16(x[i]));
}
// Between float32 and bfloat16, on the calling thread.
static inline __attribute__((always_inline)) void pg_convert(size_t n, pg_dtype from_type, const void *from, pg_dtype to_type,
                                                             void *to) {
  if (from_type == to_type) memcpy(to, from, n * pg_size(to_type));
  else if (to_type == PG_BF16) pg_narrow(n, from, to);
  else pg_widen(n, from, to);
}

#define PG_MIN(a, b) ((a) < (b) ? (a) : (b))
#define PG_MAX(a, b) ((a) > (b) ? (a) : (b))

// Rows per chunk, so that one chunk holds about 16 K elements.
static inline size_t pg_rows_per_chunk(size_t cols) {
  size_t rows = 16384 / (cols ? cols : 1);
  return rows ? rows : 1;
}
#define PG_CHUNK 16384

// exp to about 1 ulp for |x| < 87; beyond that 0 (so that masked scores of -inf get no weight) or the largest power.
// No branches, no calls: it vectorises.
static inline float pg_exp_f32(float x) {
  float keep = x < -87.33f ? 0.0f : 1.0f;
  x = x < -87.33f ? -87.33f : x > 88.37f ? 88.37f : x;
  float n = rintf(x * 1.44269504089f);
  float r = fmaf(n, -0.693359375f, x);
  r = fmaf(n, 2.12194440e-4f, r);
  float p = 1.9841270e-4f;
  p = fmaf(p, r, 1.3888889e-3f);
  p = fmaf(p, r, 8.3333333e-3f);
  p = fmaf(p, r, 4.1666667e-2f);
  p = fmaf(p, r, 1.6666667e-1f);
  p = fmaf(p, r, 0.5f);
  p = fmaf(p, r * r, r) + 1.0f;
  int32_t bits = ((int32_t)n + 127) << 23;
  float scale;
  memcpy(&scale, &bits, 4);
  return p * scale * keep;
}
static inline double pg_exp_f64(double x) { return exp(x); }

// Phi(x) = (1 + erf(x / sqrt 2)) / 2 and exp(-x^2 / 2), together: GELU and its derivative need both.
// Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7.
static inline float pg_normal_cdf_f32(float x, float *density) {
  float a = fabsf(x) * 0.70710678118f;
  float e = pg_exp_f32(-a * a);
  float t = 1.0f / fmaf(0.3275911f, a, 1.0f);
  float p = fmaf(t, 1.061405429f, -1.453152027f);
  p = fmaf(p, t, 1.421413741f);
  p = fmaf(p, t, -0.284496736f);
  p = fmaf(p, t, 0.254829592f) * t;
  float upper = 0.5f * p * e;
  *density = e * 0.39894228040f;
  return x < 0 ? upper : 1.0f - upper;
}
static inline double pg_normal_cdf_f64(double x, double *density) {
  *density = exp(-0.5 * x * x) * 0.39894228040143267794;
  return 0.5 * erfc(-x * 0.70710678118654752440);
}

// gelu.c: both GELUs in bfloat16.
void pg_narrow_gelu(bool by_tanh, size_t n, const uint16_t *x, uint16_t *y);
void pg_narrow_gelu_backward(bool by_tanh, size_t n, const uint16_t *x, const uint16_t *dy, uint16_t *dx);
// gated.c: alpha x + beta y, and silu(gate) * up, in bfloat16.
void pg_narrow_sum(size_t n, float alpha, const uint16_t *x, float beta, const uint16_t *y, uint16_t *out);
void pg_narrow_gated_silu(size_t n, const uint16_t *gate, const uint16_t *up, uint16_t *y);
void pg_narrow_gated_silu_backward(size_t n, const uint16_t *gate, const uint16_t *up, const uint16_t *dy, uint16_t *d_gate, uint16_t *d_up);

// narrow_norm.c: pg_dropout_add_layer_norm and its gradient in bfloat16, for an even number of columns.
bool pg_narrow_layer_norm(size_t rows, size_t cols, const uint16_t *x, const uint16_t *residual, double p, pg_random r,
                          const float *gamma, const float *beta, double eps, uint16_t *y, uint16_t *normalized, float *rstd);
bool pg_narrow_layer_norm_backward(size_t rows, size_t cols, const uint16_t *dy, const float *gamma, const uint16_t *normalized,
                                   const float *rstd, double p, pg_random r, uint16_t *dz, uint16_t *dx);

// Philox 4x32 with the given number of rounds: 128 random bits for a 128-bit counter and a 64-bit key.
static inline void pg_philox(int rounds, uint32_t c[4], uint32_t k0, uint32_t k1) {
  for (int i = 0; i < rounds; i++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
    uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
    c[1] = (uint32_t)p1;
    c[3] = (uint32_t)p0;
    c[0] = n0;
    c[2] = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

// Sixteen bits decide one element's fate in a dropout mask, so that one Philox call serves eight elements.
// The drop probability is rounded to a multiple of 2^-16. Seven rounds pass BigCrush (Salmon et al., Table 2).
static inline uint32_t pg_dropout_threshold(double p) { return (uint32_t)lrint(p * 65536.0); }

#define PG_MASK_BLOCK 128
// Sixteen counters of each of two blocks, one block after the other. Numbers of 32 bits lie in lanes of 64, whose high halves do not matter
// until they are multiplied.
typedef uint64_t pg_counters __attribute__((vector_size(128)));
typedef uint32_t pg_words __attribute__((vector_size(64)));
// draws[blocks][PG_MASK_BLOCK], of sixteen bits, for one block or two: they decide the fate of the elements [block * PG_MASK_BLOCK, ...) of a
// site: those below the threshold are dropped. One block is a chain of products that wait for each other; two fill the time.
static inline __attribute__((always_inline)) void pg_mask_blocks(const int blocks, pg_random r, uint64_t block, void *draws) {
  const pg_counters low = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  uint32_t k0 = (uint32_t)r.seed, k1 = (uint32_t)(r.seed >> 32), high = r.stream ^ ((uint32_t)(r.step >> 32) << 20);
  pg_counters c[2][4];
  for (int b = 0; b < blocks; b++) {
    c[b][0] = (block + (uint64_t)b) * 16 + low, c[b][1] = c[b][0] >> 32;
    c[b][2] = low * 0 + high, c[b][3] = low * 0 + (uint32_t)r.step;
  }
  // pg_philox, for all.
  _Pragma("clang loop unroll(full)") for (int round = 0; round < 7; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    _Pragma("clang loop unroll(full)") for (int b = 0; b < blocks; b++) {
      pg_counters p0 = (c[b][0] & 0xFFFFFFFF) * 0xD2511F53u, p1 = (c[b][2] & 0xFFFFFFFF) * 0xCD9E8D57u;
      c[b][0] = (p1 >> 32) ^ c[b][1] ^ k0, c[b][2] = (p0 >> 32) ^ c[b][3] ^ k1;
      c[b][1] = p1, c[b][3] = p0;
    }
  }
  for (int b = 0; b < blocks; b++) {
    for (int i = 0; i < 4; i++) {
      pg_words words = __builtin_convertvector(c[b][i], pg_words);
      memcpy((char *)draws + 64 * (4 * b + i), &words, sizeof words);
    }
  }
}
static inline __attribute__((always_inline)) void pg_mask_block(pg_random r, uint64_t block, uint16_t draws[PG_MASK_BLOCK]) {
  pg_mask_blocks(1, r, block, draws);
}
