// What benchmarks measure beside the engine's kernels: the machine's limits, and plain loops to compare with.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- the machine's limits (peak.c) ------------------------------------------------------------------
// Memory traffic on the engine's threads. Buffers must be larger than all caches together.
// Returns a value that depends on every element, so that no read can be left out.
uint64_t bm_read(size_t bytes, const void *x);
void bm_copy(size_t bytes, const void *x, void *y);

typedef enum { BM_F32, BM_BF16_VECTOR, BM_BF16_TILE } bm_unit;
// What a unit is called: "AVX-512 fp32". Null where this CPU, or this build, does not have it.
const char *bm_unit_name(bm_unit unit);
// Multiply-adds from registers alone, `rounds` times on each of `threads` threads of the pool. Returns the number of
// floating-point operations (two for each multiply-add); 0 where the unit is missing or gives wrong sums.
double bm_multiply_add(bm_unit unit, int threads, size_t rounds);

// ---- plain loops (reference.c): one thread, one element at a time, no vector instructions ---------------
// y[m, n] = x[m, k] w[n, k]^T + bias[n]
void bm_linear(size_t m, size_t n, size_t k, const float *x, const float *w, const float *bias, float *y);
// dx[m, k] = dy[m, n] w[n, k]
void bm_linear_input_gradient(size_t m, size_t n, size_t k, const float *dy, const float *w, float *dx);
// One sequence of `length` tokens; rows are `heads * head_size` wide.
void bm_attention(size_t length, size_t heads, size_t head_size, const float *q, const float *k, const float *v, float *o);
// y = layer_norm(residual + x)
void bm_add_layer_norm(size_t rows, size_t cols, const float *x, const float *residual, const float *gamma,
                       const float *beta, float eps, float *y);
void bm_gelu(size_t n, const float *x, float *y);
void bm_gelu_backward(size_t n, const float *x, const float *dy, float *dx);
void bm_softmax(size_t rows, size_t cols, const float *x, float *y);
// A draw of 32 bits for every element (Philox 4x32-10).
void bm_dropout(size_t n, float p, uint64_t seed, const float *x, float *y);
void bm_adamw(size_t n, float learning_rate, float beta1, float beta2, float eps, float decay, int64_t step, float *p,
              const float *g, float *m, float *v);
