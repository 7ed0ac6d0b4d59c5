// Weights in 4 bits, block by block (Dettmers et al. 2023, arXiv 2305.14314): code = nearest of 16 values to x / absmax.
// The arithmetic is that of bitsandbytes 0.50 on the CPU, operation by operation, so that codes and statistics are equal
// bit for bit.
#include "internal.h"
#if defined(__x86_64__)
#include <immintrin.h>
#include "matmul.h"
#endif

enum { STRIP = 256 };  // elements whose codes are found at once

// Quantiles of a normal distribution, scaled to -1 ... 1; and 1 sign, 2 exponent and 1 mantissa bit divided by the largest.
static const float nf4_values[16] = {
  -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
  -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
  0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};
static const float fp4_values[16] = {
  0.0f, 0.0625f / 12, 8.0f / 12, 1.0f, 4.0f / 12, 0.5f, 2.0f / 12, 0.25f,
  0.0f, -0.0625f / 12, -8.0f / 12, -1.0f, -4.0f / 12, -0.5f, -2.0f / 12, -0.25f};

// The codes in the order of their values. Of FP4's two zeros, -0 comes second: it is what tiny positive numbers become.
static const uint8_t nf4_order[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const uint8_t fp4_order[16] = {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3};

static const float *values_of(pg_code code) { return code == PG_NF4 ? nf4_values : fp4_values; }

void pg_code_values(pg_code code, float values[16]) { memcpy(values, values_of(code), sizeof nf4_values); }

// ---- to 4 bits ----------------------------------------------------------------------------------------

struct quantize_args {
  pg_code code;
  size_t n, block;
  const float *x;
  uint8_t *codes;
  float *absmax;
};

static inline __attribute__((always_inline)) float largest_magnitude(size_t n, const float *x) {
  float largest = 0;
  for (size_t i = 0; i < n; i++) {
    float magnitude = fabsf(x[i]);
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

PG_CLONES static void quantize_blocks(void *context, size_t begin, size_t end) {
  const struct quantize_args *a = context;
  const float *values = values_of(a->code);
  const uint8_t *order = a->code == PG_NF4 ? nf4_order : fp4_order;
  float middles[15];
  for (int j = 0; j < 15; j++) middles[j] = (values[order[j]] + values[order[j + 1]]) / 2;
  for (size_t block = begin; block < end; block++) {
    size_t first = block * a->block, count = PG_MIN(a->block, a->n - first);
    const float *x = a->x + first;
    float largest = largest_magnitude(count, x), divisor = largest > 1e-38f ? largest : 1e-38f;
    // The last block of bitsandbytes, where it is short, is divided instead of multiplied by the reciprocal.
    bool is_short = count < a->block;
    float reciprocal = 1.0f / divisor;
    a->absmax[block] = is_short ? divisor : largest;
    for (size_t i0 = 0; i0 < count; i0 += STRIP) {
      float scaled[STRIP] = {0};
      int32_t ranks[STRIP];
      size_t width = PG_MIN(STRIP, count - i0);
      if (is_short) {
        for (size_t i = 0; i < width; i++) scaled[i] = x[i0 + i] / divisor;
      } else {
        for (size_t i = 0; i < width; i++) scaled[i] = x[i0 + i] * reciprocal;
      }
      for (size_t i = 0; i < STRIP; i++) {
        float value = scaled[i] < -1 ? -1 : scaled[i] > 1 ? 1 : scaled[i];
        int32_t rank = 0;
        for (int j = 0; j < 15; j++) rank += value > middles[j];
        ranks[i] = rank;
      }
      uint8_t *codes = a->codes + (first + i0) / 2;
      for (size_t i = 0; i < width; i += 2) codes[i / 2] = (uint8_t)(order[ranks[i]] << 4 | order[ranks[i + 1]]);
    }
  }
}

void pg_quantize_4bit(pg_code code, size_t n, size_t block, const float *x, uint8_t *codes, float *absmax) {
  PG_TIMED(PG_KIND_COPIES);
  struct quantize_args a = {code, n, block, x, codes, absmax};
  size_t each = PG_CHUNK / block;
  pg_parallel_for((n + block - 1) / block, each ? each : 1, quantize_blocks, &a);
}

// ---- from 4 bits --------------------------------------------------------------------------------------

// y[2 i] and y[2 i + 1]: the high and the low half of codes[i].
PG_CLONES static void pairs_plain(const float *values, float scale, size_t pairs, const uint8_t *codes, float *y) {
  float scaled[16];
  for (int j = 0; j < 16; j++) scaled[j] = values[j] * scale;
  for (size_t i = 0; i < pairs; i++) y[2 * i] = scaled[codes[i] >> 4], y[2 * i + 1] = scaled[codes[i] & 15];
}

#if defined(__x86_64__)
// Sixteen elements at a time: their codes choose among the sixteen products in a register.
__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))) static void pairs_avx512(
  const float *values, float scale, size_t pairs, const uint8_t *codes, float *y) {
  __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(values), _mm512_set1_ps(scale));
  const __m128i low_half = _mm_set1_epi8(15);
  size_t i = 0;
  for (; i + 8 <= pairs; i += 8) {
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(codes + i));
    __m128i halves = _mm_unpacklo_epi8(_mm_and_si128(_mm_srli_epi16(bytes, 4), low_half), _mm_and_si128(bytes, low_half));
    _mm512_storeu_ps(y + 2 * i, _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(halves), scaled));
  }
  if (i < pairs) pairs_plain(values, scale, pairs - i, codes + i, y + 2 * i);
}
#endif

void pg_dequantize_run(const pg_quantized *q, size_t first, size_t n, float *y) {
  const float *values = values_of(q->code);
  void (*pairs)(const float *, float, size_t, const uint8_t *, float *) = pairs_plain;
#if defined(__x86_64__)
  if (pg_cpu_has(PG_AVX512)) pairs = pairs_avx512;
#endif
  for (size_t i = first, end = first + n; i < end;) {
    size_t stop = PG_MIN(end, (i / q->block + 1) * q->block);
    float scale = q->absmax[i / q->block];
    if (i % 2) *y++ = values[q->codes[i / 2] & 15] * scale, i++;
    size_t count = (stop - i) / 2;
    pairs(values, scale, count, q->codes + i / 2, y);
    y += 2 * count, i += 2 * count;
    if (i < stop) *y++ = values[q->codes[i / 2] >> 4] * scale, i++;
  }
}

struct dequantize_args {
  const pg_quantized *q;
  float *y;
};

static void dequantize_range(void *context, size_t begin, size_t end) {
  const struct dequantize_args *a = context;
  pg_dequantize_run(a->q, begin, end - begin, a->y + begin);
}

void pg_dequantize_4bit(const pg_quantized *q, size_t n, float *y) {
  PG_TIMED(PG_KIND_COPIES);
  struct dequantize_args a = {q, y};
  pg_parallel_for(n, PG_CHUNK, dequantize_range, &a);
}

// ---- statistics in 8 bits -----------------------------------------------------------------------------

// bitsandbytes looks the nearest entry up by x's place among 65,536 on -1 ... 1: that place, as a number again, decides.
static uint8_t nearest_entry(const float map[256], float x) {
  float clamped = x < -1 ? -1 : x > 1 ? 1 : x;
  int place = (int)((clamped + 1.0f) * 0.5f * 65535.0f + 0.5f);
  float value = -1.0f + 2.0f * (float)place / 65535.0f;
  // The number of middles below the value.
  int low = 0, high = 255;
  while (low < high) {
    int middle = (low + high) / 2;
    if (0.5f * (map[middle] + map[middle + 1]) < value) low = middle + 1;
    else high = middle;
  }
  return (uint8_t)low;
}

void pg_quantize_8bit(const float map[256], size_t n, size_t block, const float *x, uint8_t *codes, float *absmax) {
  PG_TIMED(PG_KIND_COPIES);
  for (size_t first = 0; first < n; first += block) {
    size_t count = PG_MIN(block, n - first);
    float largest = largest_magnitude(count, x + first);
    absmax[first / block] = largest;
    if (largest == 0) {
      memset(codes + first, 0, count);
      continue;
    }
    float reciprocal = 1.0f / largest;
    for (size_t i = first; i < first + count; i++) codes[i] = nearest_entry(map, x[i] * reciprocal);
  }
}

void pg_dequantize_8bit(const float map[256], size_t n, size_t block, const uint8_t *codes, const float *absmax, float offset,
                        float *y) {
  PG_TIMED(PG_KIND_COPIES);
  for (size_t i = 0; i < n; i++) {
    float product = map[codes[i]] * absmax[i / block];
    y[i] = product + offset;  // rounded twice, as two operations of torch are
  }
}

// ---- the mean -----------------------------------------------------------------------------------------

// torch's order on one thread: eight lanes in four rows, whose sums are carried on in levels (`levels[0]` after every `step`
// rows into `levels[1]`, ...); then the rows, what was left over, and the lanes.
enum { LANES = 8, ROWS = 4, LEVELS = 4 };

static int ceiling_of_log2(size_t n) {
  int bits = 0;
  while (n > (size_t)1 << bits) bits++;
  return bits;
}

static void add_lanes(size_t n, float *sum, const float *x) {
  for (size_t i = 0; i < n; i++) sum[i] += x[i];
}

float pg_mean_f32(size_t n, const float *x) {
  float levels[LEVELS][ROWS * LANES] = {{0}};
  size_t vectors = n / LANES, groups = vectors / ROWS, group = 0;
  int power = PG_MAX(4, ceiling_of_log2(groups) / LEVELS);
  size_t step = (size_t)1 << power;
  while (group + step <= groups) {
    for (size_t j = 0; j < step; j++, group++) add_lanes(ROWS * LANES, levels[0], x + group * ROWS * LANES);
    for (int level = 1; level < LEVELS; level++) {
      add_lanes(ROWS * LANES, levels[level], levels[level - 1]);
      memset(levels[level - 1], 0, sizeof levels[0]);
      if (group & ((step - 1) << (level * power))) break;
    }
  }
  for (; group < groups; group++) add_lanes(ROWS * LANES, levels[0], x + group * ROWS * LANES);
  for (int level = 1; level < LEVELS; level++) add_lanes(ROWS * LANES, levels[0], levels[level]);
  float *lanes = levels[0];
  for (size_t v = groups * ROWS; v < vectors; v++) add_lanes(LANES, lanes, x + v * LANES);
  for (int row = 1; row < ROWS; row++) add_lanes(LANES, lanes, lanes + row * LANES);
  float sum = 0;
  for (size_t i = vectors * LANES; i < n; i++) sum += x[i];
  for (int i = 0; i < LANES; i++) sum += lanes[i];
  return sum / (float)n;
}
