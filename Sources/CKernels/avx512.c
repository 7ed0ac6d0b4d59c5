// Products of small blocks with AVX-512, and with its bfloat16 extension: what the product seam (matmul.c) runs where
// the CPU has them. A tile of C, 6 rows by 64 columns, stays in 24 registers while k runs; B lies in panels of 64
// columns, so that every load of it is contiguous.
#include "internal.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET_F32 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define TARGET_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define INLINE static inline __attribute__((always_inline))
enum { TILE_ROWS = 6 };

bool pg_has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
         && __builtin_cpu_supports("avx512dq");
}
bool pg_has_avx512_bf16(void) { return pg_has_avx512() && __builtin_cpu_supports("avx512bf16"); }

// c[rows, 16 v] (+)= a[rows, k] * b, b being [k][16 v].
TARGET_F32 INLINE void tile_f32(const int rows, const int v, size_t k, const float *a, size_t lda, const float *b,
                                float *c, size_t ldc, bool accumulate) {
  __m512 sum[TILE_ROWS][4];
  for (int i = 0; i < rows; i++) {
    for (int j = 0; j < v; j++) sum[i][j] = accumulate ? _mm512_loadu_ps(c + i * ldc + 16 * j) : _mm512_setzero_ps();
  }
  for (size_t kk = 0; kk < k; kk++, b += 16 * v) {
    __m512 right[4];
    for (int j = 0; j < v; j++) right[j] = _mm512_loadu_ps(b + 16 * j);
    for (int i = 0; i < rows; i++) {
      __m512 left = _mm512_set1_ps(a[i * lda + kk]);
      for (int j = 0; j < v; j++) sum[i][j] = _mm512_fmadd_ps(left, right[j], sum[i][j]);
    }
  }
  for (int i = 0; i < rows; i++) {
    for (int j = 0; j < v; j++) _mm512_storeu_ps(c + i * ldc + 16 * j, sum[i][j]);
  }
}

// The same with pairs of bfloat16 along k: b is [k / 2][16 v][2].
TARGET_BF16 INLINE void tile_bf16(const int rows, const int v, size_t k, const uint16_t *a, size_t lda, const uint16_t *b,
                                  float *c, size_t ldc, bool accumulate) {
  __m512 sum[TILE_ROWS][4];
  const uint16_t *row[TILE_ROWS];
  for (int i = 0; i < rows; i++) {
    row[i] = a + i * lda;
    for (int j = 0; j < v; j++) sum[i][j] = accumulate ? _mm512_loadu_ps(c + i * ldc + 16 * j) : _mm512_setzero_ps();
  }
  for (size_t kk = 0; kk < k; kk += 2, b += 32 * v) {
    __m512bh right[4];
    for (int j = 0; j < v; j++) right[j] = (__m512bh)_mm512_loadu_si512(b + 32 * j);
    for (int i = 0; i < rows; i++) {
      int32_t pair;
      memcpy(&pair, row[i] + kk, 4);
      __m512bh left = (__m512bh)_mm512_set1_epi32(pair);
      for (int j = 0; j < v; j++) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], left, right[j]);
    }
  }
  for (int i = 0; i < rows; i++) {
    for (int j = 0; j < v; j++) _mm512_storeu_ps(c + i * ldc + 16 * j, sum[i][j]);
  }
}

// The inlined tiles, with numbers of rows and vectors that the compiler knows.
#define ROWS_CASES(tile, v) \
  for (; i + TILE_ROWS <= rows; i += TILE_ROWS) tile(TILE_ROWS, v, k, a + i * lda, lda, b, c + i * ldc, ldc, accumulate); \
  switch (rows - i) { \
    case 5: tile(5, v, k, a + i * lda, lda, b, c + i * ldc, ldc, accumulate); break; \
    case 4: tile(4, v, k, a + i * lda, lda, b, c + i * ldc, ldc, accumulate); break; \
    case 3: tile(3, v, k, a + i * lda, lda, b, c + i * ldc, ldc, accumulate); break; \
    case 2: tile(2, v, k, a + i * lda, lda, b, c + i * ldc, ldc, accumulate); break; \
    case 1: tile(1, v, k, a + i * lda, lda, b, c + i * ldc, ldc, accumulate); break; \
  }
#define VECTORS_CASES(tile) \
  size_t i = 0; \
  switch (width / 16) { \
    case 4: ROWS_CASES(tile, 4) break; \
    case 3: ROWS_CASES(tile, 3) break; \
    case 2: ROWS_CASES(tile, 2) break; \
    case 1: ROWS_CASES(tile, 1) break; \
  }

TARGET_F32 static void block_f32(size_t rows, size_t width, size_t k, const float *a, size_t lda, const float *b, float *c,
                                 size_t ldc, bool accumulate) {
  VECTORS_CASES(tile_f32)
}
TARGET_BF16 static void block_bf16(size_t rows, size_t width, size_t k, const uint16_t *a, size_t lda, const uint16_t *b,
                                   float *c, size_t ldc, bool accumulate) {
  VECTORS_CASES(tile_bf16)
}

void pg_panel_multiply(pg_dtype t, size_t rows, size_t width, size_t k, const void *a, size_t lda, const void *panel,
                       float *c, size_t ldc, bool accumulate) {
  if (t == PG_BF16) block_bf16(rows, width, k, a, lda, panel, c, ldc, accumulate);
  else block_f32(rows, width, k, a, lda, panel, c, ldc, accumulate);
}

#else

bool pg_has_avx512(void) { return false; }
bool pg_has_avx512_bf16(void) { return false; }
void pg_panel_multiply(pg_dtype t, size_t rows, size_t width, size_t k, const void *a, size_t lda, const void *panel,
                       float *c, size_t ldc, bool accumulate) {
  (void)t, (void)rows, (void)width, (void)k, (void)a, (void)lda, (void)panel, (void)c, (void)ldc, (void)accumulate;
}

#endif
