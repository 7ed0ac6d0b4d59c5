// Products of small blocks with AVX2 and FMA, for CPUs without AVX-512; and laying out operands for them. A tile of C, 6 rows
// by 16 columns, stays in 12 registers while k runs. The panels are those of the AVX-512 tiles and the order of sums is theirs, so
// that products in fp32 have the same bits.
#include "matmul.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma")))
#define INLINE static inline __attribute__((always_inline))
// A loop over a tile's registers, which are no array once it is unrolled.
#define TILE_LOOP _Pragma("clang loop unroll(full)") for
enum { TILE_ROWS = 6, TILE_COLUMNS = 16 };

// pg_to_bf16 of eight elements, in the upper halves.
TARGET INLINE __m256i rounded(__m256 x) {
  __m256i bits = _mm256_castps_si256(x), odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  __m256i sum = _mm256_add_epi32(bits, _mm256_add_epi32(_mm256_set1_epi32(0x7FFF), odd));
  __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)), is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  return _mm256_and_si256(_mm256_blendv_epi8(sum, quiet, is_nan), _mm256_set1_epi32((int)0xFFFF0000));
}

TARGET INLINE __m256 load(pg_dtype type, const void *from, size_t at) {
  if (type == PG_F32) return _mm256_loadu_ps((const float *)from + at);
  __m256i narrow = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)((const uint16_t *)from + at)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(narrow, 16));
}

TARGET INLINE void store(pg_dtype type, void *to, size_t at, __m256 x) {
  if (type == PG_F32) return _mm256_storeu_ps((float *)to + at, x);
  __m256i upper = _mm256_srli_epi32(rounded(x), 16);
  __m128i narrow = _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1));
  _mm_storeu_si128((void *)((uint16_t *)to + at), narrow);
}

// ---- tiles ----------------------------------------------------------------------------------------------

TARGET INLINE void finish_tile(const int rows, __m256 sum[TILE_ROWS][2], const pg_finish *f, size_t first, size_t column) {
  __m256 alpha = _mm256_set1_ps(f->alpha), beta = _mm256_set1_ps(f->beta);
  TILE_LOOP (int j = 0; j < 2; j++) {
    size_t beside = column + 8 * (size_t)j;
    __m256 bias = f->bias ? _mm256_loadu_ps(f->bias + beside) : _mm256_setzero_ps();
    TILE_LOOP (int i = 0; i < rows; i++) {
      size_t at = (first + (size_t)i) * f->stride + beside;
      __m256 x = _mm256_fmadd_ps(alpha, sum[i][j], bias);
      if (f->beta != 0) x = _mm256_fmadd_ps(beta, load(f->t, f->c, at), x);
      store(f->t, f->c, at, x);
    }
  }
}

// Columns column ..< column + 16 of c[rows, width] (+)= a[rows, k] * b, b being [k][width].
TARGET INLINE void tile(const int rows, size_t width, size_t k, const float *a, size_t lda, const float *b, float *c, size_t ldc,
                        bool accumulate, const pg_finish *finish, size_t first, size_t column) {
  __m256 sum[TILE_ROWS][2];
  b += column, c += column;
  TILE_LOOP (int i = 0; i < rows; i++) {
    TILE_LOOP (int j = 0; j < 2; j++) sum[i][j] = accumulate ? _mm256_loadu_ps(c + i * ldc + 8 * j) : _mm256_setzero_ps();
  }
  for (size_t kk = 0; kk < k; kk++, b += width) {
    // Every fourth line of a panel is read in this order, which CPUs do not foresee.
    _mm_prefetch((const char *)(b + 16 * width), _MM_HINT_T0);
    __m256 left_half = _mm256_loadu_ps(b), right_half = _mm256_loadu_ps(b + 8);
    TILE_LOOP (int i = 0; i < rows; i++) {
      __m256 left = _mm256_broadcast_ss(a + i * lda + kk);
      sum[i][0] = _mm256_fmadd_ps(left, left_half, sum[i][0]);
      sum[i][1] = _mm256_fmadd_ps(left, right_half, sum[i][1]);
    }
  }
  if (finish) return finish_tile(rows, sum, finish, first, column);
  TILE_LOOP (int i = 0; i < rows; i++) {
    TILE_LOOP (int j = 0; j < 2; j++) _mm256_storeu_ps(c + i * ldc + 8 * j, sum[i][j]);
  }
}

#define CASE(rows) \
  case rows: tile(rows, width, k, a + i * lda, lda, b, c + i * ldc, ldc, accumulate, finish, i, j); break

TARGET static void multiply_panel(pg_dtype t, size_t rows, size_t width, size_t k, const void *left, size_t lda, const void *panel,
                                  const void *next, float *c, size_t ldc, bool accumulate, const pg_finish *finish) {
  (void)t, (void)next;
  const float *a = left, *b = panel;
  for (size_t i = 0; i < rows; i += TILE_ROWS) {
    for (size_t j = 0; j < width; j += TILE_COLUMNS) {
      switch (PG_MIN(rows - i, (size_t)TILE_ROWS)) { CASE(1); CASE(2); CASE(3); CASE(4); CASE(5); CASE(6); }
    }
  }
}

// ---- operands -------------------------------------------------------------------------------------------

// Eight rows of eight -> their transpose.
TARGET INLINE void transpose8(__m256 r[8]) {
  __m256 t[8];
  for (int i = 0; i < 4; i++) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  __m256 u[8];
  for (int i = 0; i < 2; i++) {
    u[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
    u[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xEE);
    u[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
    u[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xEE);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm256_permute2f128_ps(u[i], u[4 + i], 0x20);
    r[4 + i] = _mm256_permute2f128_ps(u[i], u[4 + i], 0x31);
  }
}

// Rows k and k + 1 of eight columns of a panel.
TARGET INLINE void store_pair(pg_dtype type, bool rounds, void *out, size_t width, size_t k, size_t column, __m256 x, __m256 y) {
  if (type == PG_BF16) {
    __m256i pair = _mm256_or_si256(_mm256_srli_epi32(rounded(x), 16), rounded(y));
    _mm256_storeu_si256((void *)((uint16_t *)out + k * width + 2 * column), pair);
    return;
  }
  if (rounds) x = _mm256_castsi256_ps(rounded(x)), y = _mm256_castsi256_ps(rounded(y));
  _mm256_storeu_ps((float *)out + k * width + column, x);
  _mm256_storeu_ps((float *)out + (k + 1) * width + column, y);
}

TARGET size_t pg_fill_panel_avx2(pg_dtype type, bool rounds, const pg_factor *b, size_t k0, size_t kb, size_t first, size_t width,
                                 void *out) {
  size_t whole = kb / 8 * 8;
  for (size_t k = 0; k < whole; k += 8) {
    for (size_t j = 0; j < width; j += 8) {
      __m256 r[8];
      for (size_t i = 0; i < 8; i++) {
        size_t at = b->transposed ? (first + j + i) * b->stride + k0 + k : (k0 + k + i) * b->stride + first + j;
        r[i] = load(b->type, b->data, at);
      }
      if (b->transposed) transpose8(r);
      for (size_t i = 0; i < 8; i += 2) store_pair(type, rounds, out, width, k + i, j, r[i], r[i + 1]);
    }
  }
  return whole;
}

TARGET void pg_flip_strip_avx2(pg_dtype t, size_t rows, const float *strip, size_t apart, void *out, size_t stride) {
  for (size_t i = 0; i < rows; i += 8) {
    for (size_t j = 0; j < 16; j += 8) {
      __m256 r[8];
      for (size_t x = 0; x < 8; x++) r[x] = _mm256_loadu_ps(strip + (j + x) * apart + i);
      transpose8(r);
      for (size_t x = 0; x < 8; x++) store(t, out, (i + x) * stride + j, r[x]);
    }
  }
}

static unsigned kinds(void) { return pg_cpu_has(PG_AVX2) ? PG_EVERY_KIND : 0; }
#define FUNCTIONS .expected = kinds, .block_type = block_type, .multiply_panel = multiply_panel

#else

size_t pg_fill_panel_avx2(pg_dtype type, bool rounds, const pg_factor *b, size_t k0, size_t kb, size_t first, size_t width, void *out) {
  return (void)type, (void)rounds, (void)b, (void)k0, (void)kb, (void)first, (void)width, (void)out, (size_t)0;
}
void pg_flip_strip_avx2(pg_dtype t, size_t rows, const float *strip, size_t apart, void *out, size_t stride) {
  (void)t, (void)rows, (void)strip, (void)apart, (void)out, (void)stride;
}

static unsigned kinds(void) { return 0; }
#define FUNCTIONS .block_type = block_type

#endif

static pg_dtype block_type(pg_dtype precision) { return (void)precision, PG_F32; }

const pg_provider pg_avx2 = {.name = "avx2", .title = "AVX2", .needs = "AVX2 and FMA", .kinds = kinds, FUNCTIONS};
