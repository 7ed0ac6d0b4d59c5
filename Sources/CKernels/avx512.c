// Products of small blocks with AVX-512, and with its bfloat16 extension: what the product seam (matmul.c) runs where
// the CPU has them. A tile of C, 6 rows by 64 columns, stays in 24 registers while k runs; B lies in panels of 64
// columns, so that every load of it is contiguous.
#include "matmul.h"

#if defined(__x86_64__)
#include "broadcast.h"
#include "transpose16.h"

#define TARGET_F32 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define TARGET_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define INLINE static inline __attribute__((always_inline))
// A loop over a tile's registers, which are no array once it is unrolled.
#define TILE_LOOP _Pragma("clang loop unroll(full)") for
// Rows of a tile, and of one that is a single register wide: a sum waits for the one before it, so that there have to be twelve.
enum { TILE_ROWS = 6, NARROW_ROWS = 12 };

// pg_to_bf16 of sixteen elements. The instruction would flush the smallest numbers to 0.
TARGET_F32 INLINE __m256i narrowed(__m512 x) {
  __m512i bits = _mm512_castps_si512(x), upper = _mm512_srli_epi32(bits, 16);
  __m512i half = _mm512_add_epi32(_mm512_set1_epi32(0x7FFF), _mm512_and_si512(upper, _mm512_set1_epi32(1)));
  __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
  __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_mask_or_epi32(rounded, nan, upper, _mm512_set1_epi32(0x40)));
}

// The tile's sums to rows first.. of the result.
TARGET_F32 INLINE void finish_tile(const int rows, const int v, __m512 sum[NARROW_ROWS][4], const pg_finish *f, size_t first) {
  __m512 alpha = _mm512_set1_ps(f->alpha), beta = _mm512_set1_ps(f->beta);
  TILE_LOOP (int j = 0; j < v; j++) {
    __m512 bias = f->bias ? _mm512_loadu_ps(f->bias + 16 * j) : _mm512_setzero_ps();
    TILE_LOOP (int i = 0; i < rows; i++) {
      size_t at = (first + (size_t)i) * f->stride + 16 * (size_t)j;
      __m512 x = _mm512_fmadd_ps(alpha, sum[i][j], bias);
      if (f->t == PG_BF16) {
        uint16_t *c = (uint16_t *)f->c + at;
        if (f->beta != 0) {
          __m512i old = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)c));
          x = _mm512_fmadd_ps(beta, _mm512_castsi512_ps(_mm512_slli_epi32(old, 16)), x);
        }
        _mm256_storeu_si256((void *)c, narrowed(x));
      } else {
        float *c = (float *)f->c + at;
        if (f->beta != 0) x = _mm512_fmadd_ps(beta, _mm512_loadu_ps(c), x);
        _mm512_storeu_ps(c, x);
      }
    }
  }
}

// What a tile brings nearer while it multiplies: one or two lines of the next panel in each step along k that has none of the bits of `skips`.
// The tiles of a panel read it from the second-level cache, but the first of them would wait for every line that comes from memory.
typedef struct {
  const char *line;
  size_t skips, bytes;
} ahead;
// The share of one strip of rows of a panel of `v` lines a step. Few rows are at the memory's speed as they are.
INLINE ahead share_of(const char *next, size_t rows, size_t strip, size_t strips, size_t v, size_t steps) {
  if (rows < 4) return (ahead){next, ~(size_t)0, 64};
  size_t every = 1, lines = strips < v ? 2 : 1;
  while (2 * every * v <= strips) every *= 2;
  size_t first = strip * (steps / every) * lines;
  return (ahead){next + (first < steps * v ? first * 64 : 0), every - 1, lines * 64};
}
INLINE void bring_nearer(ahead *next, size_t step) {
  if (step & next->skips) return;
  _mm_prefetch(next->line, _MM_HINT_T1);
  if (next->bytes > 64) _mm_prefetch(next->line + 64, _MM_HINT_T1);
  next->line += next->bytes;
}

// c[rows, 16 v] (+)= a[rows, k] * b, b being [k][16 v].
TARGET_F32 INLINE void tile_f32(const int rows, const int v, size_t k, const float *a, size_t lda, const float *b,
                                float *c, size_t ldc, bool accumulate, const pg_finish *finish, size_t first, ahead next) {
  __m512 sum[NARROW_ROWS][4];
  TILE_LOOP (int i = 0; i < rows; i++) {
    TILE_LOOP (int j = 0; j < v; j++) sum[i][j] = accumulate ? _mm512_loadu_ps(c + i * ldc + 16 * j) : _mm512_setzero_ps();
  }
  for (size_t kk = 0; kk < k; kk++, b += 16 * v) {
    __m512 right[4];
    bring_nearer(&next, kk);
    TILE_LOOP (int j = 0; j < v; j++) right[j] = _mm512_loadu_ps(b + 16 * j);
    TILE_LOOP (int i = 0; i < rows; i++) {
      __m512 left = _mm512_set1_ps(a[i * lda + kk]);
      TILE_LOOP (int j = 0; j < v; j++) sum[i][j] = _mm512_fmadd_ps(left, right[j], sum[i][j]);
    }
  }
  if (finish) return finish_tile(rows, v, sum, finish, first);
  TILE_LOOP (int i = 0; i < rows; i++) {
    TILE_LOOP (int j = 0; j < v; j++) _mm512_storeu_ps(c + i * ldc + 16 * j, sum[i][j]);
  }
}

// The same with pairs of bfloat16 along k: b is [k / 2][16 v][2].
TARGET_BF16 INLINE void tile_bf16(const int rows, const int v, size_t k, const uint16_t *a, size_t lda, const uint16_t *b,
                                  float *c, size_t ldc, bool accumulate, const pg_finish *finish, size_t first, ahead next) {
  __m512 sum[NARROW_ROWS][4];
  const uint16_t *row[NARROW_ROWS];
  TILE_LOOP (int i = 0; i < rows; i++) {
    row[i] = a + i * lda;
    TILE_LOOP (int j = 0; j < v; j++) sum[i][j] = accumulate ? _mm512_loadu_ps(c + i * ldc + 16 * j) : _mm512_setzero_ps();
  }
  for (size_t kk = 0; kk < k; kk += 2, b += 32 * v) {
    __m512bh right[4];
    bring_nearer(&next, kk / 2);
    TILE_LOOP (int j = 0; j < v; j++) right[j] = (__m512bh)_mm512_loadu_si512(b + 32 * j);
    TILE_LOOP (int i = 0; i < rows; i++) {
      int32_t pair;
      memcpy(&pair, row[i] + kk, 4);
      __m512bh left = pg_broadcast_pair(pair);
      TILE_LOOP (int j = 0; j < v; j++) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], left, right[j]);
    }
  }
  if (finish) return finish_tile(rows, v, sum, finish, first);
  TILE_LOOP (int i = 0; i < rows; i++) {
    TILE_LOOP (int j = 0; j < v; j++) _mm512_storeu_ps(c + i * ldc + 16 * j, sum[i][j]);
  }
}

// The inlined tiles, with numbers of rows and vectors that the compiler knows. Of the last
// two strips neither is very low.
#define TILE(tile, r, v) \
  case r: \
    tile(r, v, k, a + i * lda, lda, b, c + i * ldc, ldc, accumulate, finish, i, share_of(next, rows, strip, strips, v, steps)); \
    break;
#define ROWS_CASES(tile, v) TILE(tile, 6, v) TILE(tile, 5, v) TILE(tile, 4, v) TILE(tile, 3, v) TILE(tile, 2, v) TILE(tile, 1, v)
#define TALL_CASES(tile) \
  TILE(tile, 12, 1) TILE(tile, 11, 1) TILE(tile, 10, 1) TILE(tile, 9, 1) TILE(tile, 8, 1) TILE(tile, 7, 1) ROWS_CASES(tile, 1)
#define STRIPS(most, cases) \
  for (size_t i = 0, strip = 0, strips = (rows + most - 1) / most, left = rows, height; left > 0; strip++, i += height, left -= height) { \
    height = left <= most ? left : left <= most + 2 ? (left + 1) / 2 : most; \
    switch (height) { cases } \
  }
#define VECTORS_CASES(tile, k_step) \
  size_t steps = k / (k_step); \
  switch (width / 16) { \
    case 4: STRIPS(TILE_ROWS, ROWS_CASES(tile, 4)) break; \
    case 3: STRIPS(TILE_ROWS, ROWS_CASES(tile, 3)) break; \
    case 2: STRIPS(TILE_ROWS, ROWS_CASES(tile, 2)) break; \
    case 1: STRIPS(NARROW_ROWS, TALL_CASES(tile)) break; \
  }

TARGET_F32 static void block_f32(size_t rows, size_t width, size_t k, const float *a, size_t lda, const float *b, const char *next,
                                 float *c, size_t ldc, bool accumulate, const pg_finish *finish) {
  VECTORS_CASES(tile_f32, 1)
}
TARGET_BF16 static void block_bf16(size_t rows, size_t width, size_t k, const uint16_t *a, size_t lda, const uint16_t *b,
                                   const char *next, float *c, size_t ldc, bool accumulate, const pg_finish *finish) {
  VECTORS_CASES(tile_bf16, 2)
}

static void multiply_panel(pg_dtype t, size_t rows, size_t width, size_t k, const void *a, size_t lda, const void *panel,
                           const void *next, float *sums, size_t stride, bool accumulate, const pg_finish *finish) {
  if (t == PG_BF16) block_bf16(rows, width, k, a, lda, panel, next, sums, stride, accumulate, finish);
  else block_f32(rows, width, k, a, lda, panel, next, sums, stride, accumulate, finish);
}

// Thirty-two elements of a row as sixteen pairs of bfloat16.
TARGET_BF16 INLINE __m512i load_pairs(pg_dtype type, const void *row, size_t at) {
  if (type == PG_BF16) return _mm512_loadu_si512((const uint16_t *)row + at);
  const float *x = (const float *)row + at;
  return (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x));
}

// Columns of B that are rows of its data: [width][k] -> [k / 2][width][2], 16 columns by 32 of k at a time.
TARGET_BF16 static size_t fill_transposed_bf16(const pg_factor *b, size_t k0, size_t kb, size_t first, size_t width, uint16_t *out) {
  size_t size = pg_size(b->type), whole = kb / 32 * 32;
  for (size_t j = 0; j < width; j += 16) {
    const char *from = (const char *)b->data + (first + j) * b->stride * size;
    for (size_t k = 0; k < whole; k += 32) {
      __m512i r[16];
      for (int i = 0; i < 16; i++) r[i] = load_pairs(b->type, from + (size_t)i * b->stride * size, k0 + k);
      pg_transpose16(r);
      for (size_t i = 0; i < 16; i++) _mm512_storeu_si512(out + (k + 2 * i) * width + 2 * j, r[i]);
    }
  }
  return whole;
}

// Rows of B as they lie: [k][width] -> [k / 2][width][2].
TARGET_BF16 static size_t fill_plain_bf16(const pg_factor *b, size_t k0, size_t kb, size_t first, size_t width, uint16_t *out) {
  size_t size = pg_size(b->type), whole = kb / 2 * 2;
  uint16_t order[32];
  for (uint16_t i = 0; i < 16; i++) order[2 * i] = i, order[2 * i + 1] = i + 16;
  __m512i interleave = _mm512_loadu_si512(order);
  for (size_t k = 0; k < whole; k += 2) {
    const char *x = (const char *)b->data + ((k0 + k) * b->stride + first) * size, *y = x + b->stride * size;
    for (size_t j = 0; j < width; j += 16) {
      __m512i both;
      if (b->type == PG_BF16) {
        __m256i upper = _mm256_loadu_si256((const void *)((const uint16_t *)y + j));
        both = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const void *)((const uint16_t *)x + j))), upper, 1);
      } else {
        both = (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps((const float *)y + j), _mm512_loadu_ps((const float *)x + j));
      }
      _mm512_storeu_si512(out + k * width + 2 * j, _mm512_permutexvar_epi16(interleave, both));
    }
  }
  return whole;
}

// Columns of B that are rows of its data, in fp32: [width][k] -> [k][width].
TARGET_F32 static size_t fill_transposed_f32(const pg_factor *b, size_t k0, size_t kb, size_t first, size_t width, float *out) {
  size_t whole = kb / 16 * 16;
  for (size_t j = 0; j < width; j += 16) {
    const float *from = (const float *)b->data + (first + j) * b->stride + k0;
    for (size_t k = 0; k < whole; k += 16) {
      __m512i r[16];
      for (size_t i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(from + i * b->stride + k);
      pg_transpose16(r);
      for (size_t i = 0; i < 16; i++) _mm512_storeu_si512(out + (k + i) * width + j, r[i]);
    }
  }
  return whole;
}

// Rows of B as they lie, in fp32: [k][width] -> [k][width].
TARGET_F32 static size_t fill_plain_f32(const pg_factor *b, size_t k0, size_t kb, size_t first, size_t width, float *out) {
  for (size_t k = 0; k < kb; k++) {
    size_t at = (k0 + k) * b->stride + first;
    for (size_t j = 0; j < width; j += 16) {
      __m512i x;
      if (b->type == PG_BF16) {
        __m256i narrow = _mm256_loadu_si256((const void *)((const uint16_t *)b->data + at + j));
        x = _mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16);
      } else {
        x = _mm512_loadu_si512((const float *)b->data + at + j);
      }
      _mm512_storeu_si512(out + k * width + j, x);
    }
  }
  // The generic loop goes by pairs of rows.
  return kb / 2 * 2;
}

size_t pg_fill_panel_avx512(pg_dtype t, const pg_factor *b, size_t k0, size_t kb, size_t first, size_t width, void *out) {
  if (t == PG_BF16) {
    return b->transposed ? fill_transposed_bf16(b, k0, kb, first, width, out) : fill_plain_bf16(b, k0, kb, first, width, out);
  }
  if (!b->transposed) return fill_plain_f32(b, k0, kb, first, width, out);
  return b->type == PG_F32 ? fill_transposed_f32(b, k0, kb, first, width, out) : 0;
}

// Sixteen rows of `rows` floats, `apart` from one to the next -> `rows` rows of 16 elements in the type t, `stride` apart.
TARGET_BF16 static void flip_bf16(size_t rows, const float *strip, size_t apart, uint16_t *out, size_t stride) {
  for (size_t i = 0; i < rows; i += 16) {
    __m512i r[16];
    for (size_t j = 0; j < 16; j++) r[j] = _mm512_loadu_si512(strip + j * apart + i);
    pg_transpose16(r);
    for (size_t j = 0; j < 16; j++) {
      _mm256_storeu_si256((void *)(out + (i + j) * stride), (__m256i)_mm512_cvtneps_pbh((__m512)r[j]));
    }
  }
}
TARGET_F32 static void flip_f32(size_t rows, const float *strip, size_t apart, float *out, size_t stride) {
  for (size_t i = 0; i < rows; i += 16) {
    __m512i r[16];
    for (size_t j = 0; j < 16; j++) r[j] = _mm512_loadu_si512(strip + j * apart + i);
    pg_transpose16(r);
    for (size_t j = 0; j < 16; j++) _mm512_storeu_si512(out + (i + j) * stride, r[j]);
  }
}
void pg_flip_strip_avx512(pg_dtype t, size_t rows, const float *strip, size_t apart, void *out, size_t stride) {
  if (t == PG_BF16) flip_bf16(rows, strip, apart, out, stride);
  else flip_f32(rows, strip, apart, out, stride);
}

#else

static void multiply_panel(pg_dtype t, size_t rows, size_t width, size_t k, const void *a, size_t lda, const void *panel,
                           const void *next, float *sums, size_t stride, bool accumulate, const pg_finish *finish) {
  (void)t, (void)rows, (void)width, (void)k, (void)a, (void)lda, (void)panel, (void)next, (void)sums, (void)stride;
  (void)accumulate, (void)finish;
}
size_t pg_fill_panel_avx512(pg_dtype t, const pg_factor *b, size_t k0, size_t kb, size_t first, size_t width, void *out) {
  return (void)t, (void)b, (void)k0, (void)kb, (void)first, (void)width, (void)out, (size_t)0;
}
void pg_flip_strip_avx512(pg_dtype t, size_t rows, const float *strip, size_t apart, void *out, size_t stride) {
  (void)t, (void)rows, (void)strip, (void)apart, (void)out, (void)stride;
}

#endif

static unsigned kinds(void) { return pg_cpu_has(PG_AVX512) ? PG_EVERY_KIND : 0; }
static unsigned bf16_kinds(void) { return kinds() & (1 << PG_PACKED_BF16 | 1 << PG_PLAIN_BF16); }
// Without bfloat16 units it is what the other row does.
static unsigned contested_kinds(void) { return pg_cpu_has(PG_AVX512_BF16) ? bf16_kinds() : 0; }
static pg_dtype fp32_blocks(pg_dtype precision) { return (void)precision, PG_F32; }

// Without bfloat16 units, rounded values in fp32.
static pg_dtype block_type(pg_dtype precision) { return pg_cpu_has(PG_AVX512_BF16) ? precision : PG_F32; }

const pg_provider pg_avx512 = {.name = "avx512", .title = "AVX-512", .needs = "AVX-512 (F, BW, VL and DQ)", .kinds = kinds,
                               .expected = kinds, .block_type = block_type, .multiply_panel = multiply_panel};

// Some CPUs multiply bfloat16 at half of the rate of fp32.
const pg_provider pg_avx512_fp32 = {.name = "avx512-fp32", .title = "AVX-512 in fp32", .needs = "AVX-512 (F, BW, VL and DQ)",
                                    .kinds = bf16_kinds, .expected = contested_kinds, .block_type = fp32_blocks,
                                    .multiply_panel = multiply_panel};
