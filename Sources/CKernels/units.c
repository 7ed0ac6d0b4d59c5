// Products and layouts of units, for attention in tiles: a unit is what one lane of a register multiplies at once, a pair of bfloat16
// along k, 32 bits. A panel of the right operand has up to 64 columns side by side for each unit of k; panels follow each other.
#include "attention.h"

#if defined(__x86_64__)
#include "broadcast.h"
#include "transpose16.h"

// out[rows, 16 v] (+)= left[rows, k units] * right[k units][16 v].
PG_INLINE_TILES void tile(const int rows, const int v, size_t k, const char *left, pg_layout l, const char *right, float *out,
                          size_t stride, bool accumulate) {
  __m512 sum[PG_STRIP][4];
  PG_UNROLLED for (int i = 0; i < rows; i++) {
    PG_UNROLLED for (int j = 0; j < v; j++) sum[i][j] = accumulate ? _mm512_loadu_ps(out + i * stride + 16 * j) : _mm512_setzero_ps();
  }
  for (size_t kk = 0; kk < k; kk++, left += l.step, right += 64 * v) {
    __m512bh b[4];
    PG_UNROLLED for (int j = 0; j < v; j++) b[j] = (__m512bh)_mm512_loadu_si512(right + 64 * j);
    PG_UNROLLED for (int i = 0; i < rows; i++) {
      int32_t pair;
      memcpy(&pair, left + (size_t)(i / 2) * l.two + (size_t)(i % 2) * l.one, PG_UNIT);
      __m512bh a = pg_broadcast_pair(pair);
      PG_UNROLLED for (int j = 0; j < v; j++) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], a, b[j]);
    }
  }
  PG_UNROLLED for (int i = 0; i < rows; i++) {
    PG_UNROLLED for (int j = 0; j < v; j++) _mm512_storeu_ps(out + i * stride + 16 * j, sum[i][j]);
  }
}

#define TILE_CASES(v) \
  switch (rows) { \
    case 6: tile(6, v, k, left, l, right, out, stride, accumulate); break; \
    case 5: tile(5, v, k, left, l, right, out, stride, accumulate); break; \
    case 4: tile(4, v, k, left, l, right, out, stride, accumulate); break; \
    case 3: tile(3, v, k, left, l, right, out, stride, accumulate); break; \
    case 2: tile(2, v, k, left, l, right, out, stride, accumulate); break; \
    case 1: tile(1, v, k, left, l, right, out, stride, accumulate); break; \
  }
PG_TARGET_TILES void pg_multiply_units(size_t rows, size_t width, size_t k, const char *left, pg_layout l, const char *right, float *out,
                                       size_t stride, bool accumulate) {
  switch (width / PG_LANES) {
    case 4: TILE_CASES(4) break;
    case 3: TILE_CASES(3) break;
    case 2: TILE_CASES(2) break;
    case 1: TILE_CASES(1) break;
  }
}

// Rows of 16 units -> 16 columns, `width` units from one unit of k to the next.
PG_INLINE_TILES void turn16(const uint16_t *const rows[PG_LANES], size_t at, char *out, size_t width) {
  __m512i r[16];
  for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(rows[i] + at);
  pg_transpose16(r);
  for (size_t i = 0; i < 16; i++) _mm512_storeu_si512(out + i * width * PG_UNIT, r[i]);
}
// The rows become columns, their d elements k: what scores are made with. `rows` has whole lanes.
PG_TARGET_TILES void pg_lay_out_turned(const uint16_t *const *rows, size_t columns, size_t d, char *out) {
  for (size_t first = 0; first < columns; first += PG_PANEL) {
    size_t width = PG_MIN((size_t)PG_PANEL, columns - first);
    char *panel = out + first * (d / 2) * PG_UNIT;
    for (size_t j = 0; j < width; j += PG_LANES) {
      for (size_t k = 0; k < d; k += 2 * PG_LANES) turn16(rows + first + j, k, panel + (k / 2 * width + j) * PG_UNIT, width);
    }
  }
}

// Rows are k, two of them a unit: what probabilities and gradients of scores are multiplied with. `count` is even.
PG_TARGET_TILES void pg_lay_out_plain(const uint16_t *const *rows, size_t count, size_t d, char *out) {
  for (size_t first = 0; first < d; first += PG_PANEL) {
    size_t width = PG_MIN((size_t)PG_PANEL, d - first);
    for (size_t k = 0; k < count; k += 2) {
      for (size_t j = 0; j < width; j += PG_LANES, out += PG_LANES * PG_UNIT) {
        __m256i low = _mm256_loadu_si256((const void *)(rows[k] + first + j));
        __m256i high = _mm256_loadu_si256((const void *)(rows[k + 1] + first + j));
        _mm512_storeu_si512(out, pg_pairs_of(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1)));
      }
    }
  }
}

#endif
