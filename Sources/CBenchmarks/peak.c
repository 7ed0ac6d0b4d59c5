#include "benchmarks.h"
#include "clones.h"
#include "kernels.h"
#include <stdatomic.h>
#include <string.h>
#if defined(__x86_64__) && defined(__linux__)
#include <immintrin.h>
#define X86 1
#endif

// ---- memory -----------------------------------------------------------------------------------------
enum { BLOCK = 1 << 18 };  // bytes per chunk of the pool

struct traffic {
  const char *x;
  char *y;
  _Atomic uint64_t sum;
};

PG_CLONES static void read_range(void *context, size_t begin, size_t end) {
  struct traffic *t = context;
  const uint64_t *x = (const uint64_t *)(t->x + begin);
  uint64_t sum = 0;
  for (size_t i = 0; i < (end - begin) / 8; i++) sum ^= x[i];
  atomic_fetch_xor_explicit(&t->sum, sum, memory_order_relaxed);
}

static void copy_range(void *context, size_t begin, size_t end) {
  struct traffic *t = context;
  memcpy(t->y + begin, t->x + begin, end - begin);
}

uint64_t bm_read(size_t bytes, const void *x) {
  struct traffic t = {.x = x};
  pg_parallel_for(bytes / 8 * 8, BLOCK, read_range, &t);
  return t.sum;
}

void bm_copy(size_t bytes, const void *x, void *y) {
  struct traffic t = {.x = x, .y = y};
  pg_parallel_for(bytes, BLOCK, copy_range, &t);
}

// ---- arithmetic -------------------------------------------------------------------------------------
// Every unit runs a round of independent chains, long enough to hide the latency of a multiply-add, on factors of 1, so
// that each lane must end up with the number of rounds (times the multiply-adds that an instruction adds up).
struct unit {
  const char *name;
  double (*run)(size_t rounds);  // floating-point operations; 0 if a sum is wrong
};

#ifdef X86

#define CHAINS(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11)

// The factors come from memory that the compiler cannot see through: else it would fold the chains.
static const volatile float one = 1;

__attribute__((target("avx512f"))) static double fma_avx512(size_t rounds) {
  __m512 a = _mm512_set1_ps(one), b = _mm512_set1_ps(one);
#define DECLARE(i) __m512 s##i = _mm512_setzero_ps();
#define STEP(i) s##i = _mm512_fmadd_ps(a, b, s##i); __asm__ volatile("" : "+v"(s##i));
#define ADD(i) sum = _mm512_add_ps(sum, s##i);
  CHAINS(DECLARE)
  for (size_t r = 0; r < rounds; r++) { CHAINS(STEP) }
  __m512 sum = _mm512_setzero_ps();
  CHAINS(ADD)
#undef DECLARE
#undef STEP
#undef ADD
  return _mm512_reduce_add_ps(sum) == 12.f * 16.f * (float)rounds ? 2.0 * 12 * 16 * (double)rounds : 0;
}

__attribute__((target("avx2,fma"))) static double fma_avx2(size_t rounds) {
  __m256 a = _mm256_set1_ps(one), b = _mm256_set1_ps(one);
#define DECLARE(i) __m256 s##i = _mm256_setzero_ps();
#define STEP(i) s##i = _mm256_fmadd_ps(a, b, s##i); __asm__ volatile("" : "+x"(s##i));
#define ADD(i) sum = _mm256_add_ps(sum, s##i);
  CHAINS(DECLARE)
  for (size_t r = 0; r < rounds; r++) { CHAINS(STEP) }
  __m256 sum = _mm256_setzero_ps();
  CHAINS(ADD)
#undef DECLARE
#undef STEP
#undef ADD
  float lanes[8], total = 0;
  _mm256_storeu_ps(lanes, sum);
  for (int i = 0; i < 8; i++) total += lanes[i];
  return total == 12.f * 8.f * (float)rounds ? 2.0 * 12 * 8 * (double)rounds : 0;
}

// Two neighbouring products are added up into each lane.
__attribute__((target("avx512f,avx512bf16"))) static double dot_bf16(size_t rounds) {
  __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(one), _mm512_set1_ps(one)), b = a;
#define DECLARE(i) __m512 s##i = _mm512_setzero_ps();
#define STEP(i) s##i = _mm512_dpbf16_ps(s##i, a, b); __asm__ volatile("" : "+v"(s##i));
#define ADD(i) sum = _mm512_add_ps(sum, s##i);
  CHAINS(DECLARE)
  for (size_t r = 0; r < rounds; r++) { CHAINS(STEP) }
  __m512 sum = _mm512_setzero_ps();
  CHAINS(ADD)
#undef DECLARE
#undef STEP
#undef ADD
  return _mm512_reduce_add_ps(sum) == 12.f * 32.f * (float)rounds ? 2.0 * 12 * 32 * (double)rounds : 0;
}

// AMX: tiles of 16 x 16 sums; an instruction adds 32 products to each.
struct tile_config {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

__attribute__((target("amx-tile,amx-bf16"))) static double tiles_bf16(size_t rounds) {
  struct tile_config config = {.palette = 1};
  for (int i = 0; i < 6; i++) config.row_bytes[i] = 64, config.rows[i] = 16;
  uint16_t ones[16 * 32];
  float sums[4][16 * 16];
  for (int i = 0; i < 16 * 32; i++) ones[i] = 0x3F80;
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, ones, 64);
  _tile_loadd(5, ones, 64);
  for (size_t r = 0; r < rounds; r++) {
    _tile_dpbf16ps(0, 4, 5);
    _tile_dpbf16ps(1, 4, 5);
    _tile_dpbf16ps(2, 4, 5);
    _tile_dpbf16ps(3, 4, 5);
  }
  _tile_stored(0, sums[0], 64);
  _tile_stored(1, sums[1], 64);
  _tile_stored(2, sums[2], 64);
  _tile_stored(3, sums[3], 64);
  _tile_release();
  for (int t = 0; t < 4; t++) {
    for (int i = 0; i < 16 * 16; i++) {
      if (sums[t][i] != 32.f * (float)rounds) return 0;
    }
  }
  return 2.0 * 4 * 16 * 16 * 32 * (double)rounds;
}

static struct unit unit_of(bm_unit unit) {
  struct unit none = {NULL, NULL};
  switch (unit) {
  case BM_F32:
    if (pg_cpu_has(PG_AVX512)) return (struct unit){"AVX-512 fp32", fma_avx512};
    if (pg_cpu_has(PG_AVX2)) return (struct unit){"AVX2 fp32", fma_avx2};
    return none;
  case BM_BF16_VECTOR:
    return pg_cpu_has(PG_AVX512_BF16) ? (struct unit){"AVX512-BF16", dot_bf16} : none;
  case BM_BF16_TILE: return pg_cpu_has(PG_AMX) && !pg_is_amx_refused() ? (struct unit){"AMX bf16", tiles_bf16} : none;
  }
  return none;
}

#else

static struct unit unit_of(bm_unit unit) { return (void)unit, (struct unit){NULL, NULL}; }

#endif

const char *bm_unit_name(bm_unit unit) { return unit_of(unit).name; }

struct arithmetic {
  double (*run)(size_t rounds);
  size_t rounds;
  atomic_int wrong;
  double operations;  // of one thread; each writes the same
};

// Sums of ones are exact in float32 up to 2^24: longer runs are cut.
enum { EXACT_ROUNDS = 1 << 14 };

static void arithmetic_range(void *context, size_t begin, size_t end) {
  struct arithmetic *a = context;
  for (size_t i = begin; i < end; i++) {
    double done = 0;
    for (size_t left = a->rounds; left > 0;) {
      size_t now = left < EXACT_ROUNDS ? left : EXACT_ROUNDS;
      double operations = a->run(now);
      if (operations == 0) atomic_store(&a->wrong, 1);
      done += operations;
      left -= now;
    }
    if (i == 0) a->operations = done;
  }
}

double bm_multiply_add(bm_unit unit, int threads, size_t rounds) {
  struct arithmetic a = {.run = unit_of(unit).run, .rounds = rounds};
  if (!a.run || threads < 1 || rounds == 0) return 0;
  pg_parallel_for((size_t)threads, 1, arithmetic_range, &a);
  return a.wrong ? 0 : a.operations * threads;
}
