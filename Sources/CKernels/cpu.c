// What the CPU has, as far as PERIGEE_CPU lets the process use it: products, laying out and dequantising ask here. Functions
// marked PG_CLONES do not: the system's loader has chosen among their copies before the environment can be read.
#include "matmul.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

// In the order in which CPUs got them; each has those before it.
static const char *const names[] = {"baseline", "avx2", "avx512", "avx512bf16", "amx"};
static const char *const titles[] = {"", "AVX2 and FMA", "AVX-512 (F, BW, VL, DQ)", "AVX512-BF16", "AMX with bfloat16"};
enum { LEVELS = sizeof names / sizeof *names };

#if defined(__x86_64__)
// The system saves the tiles of a thread; bits 17 and 18 of the register that says what it saves.
__attribute__((target("xsave"))) static bool tiles_are_saved(void) { return (_xgetbv(0) >> 17 & 3) == 3; }

// Not by __builtin_cpu_supports: the Clang of Swift 6.0 and 6.1 does not know the names there.
static bool has_amx(void) {
  unsigned a, b, c, d, bf16 = 1u << 22, tiles = 1u << 24;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && d & bf16 && d & tiles && tiles_are_saved();
}
#endif

static int level_of_cpu(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
  bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
                    && __builtin_cpu_supports("avx512dq");
  if (!has_avx512) return PG_AVX2;
  if (!__builtin_cpu_supports("avx512bf16")) return PG_AVX512;
  return has_amx() ? PG_AMX : PG_AVX512_BF16;
#else
  return 0;
#endif
}

// The level that the environment allows; negative: it has no such name.
static int level_of_wish(const char *wish) {
  if (!wish || !*wish) return LEVELS - 1;
  for (int i = 0; i < LEVELS; i++) {
    if (strcmp(wish, names[i]) == 0) return i;
  }
  return -1;
}

bool pg_cpu_mistake(pg_mistake *mistake) {
  const char *wish = getenv("PERIGEE_CPU");
  if (!wish || !*wish) return false;
  int level = level_of_wish(wish);
  if (level >= 0 && level <= level_of_cpu()) return false;
  *mistake = (pg_mistake){"PERIGEE_CPU", wish, "baseline, avx2, avx512, avx512bf16, amx", level < 0 ? NULL : titles[level]};
  return true;
}

bool pg_cpu_has(pg_unit unit) {
  // The same whichever thread finds it out.
  static atomic_int found = -1;
  int level = atomic_load_explicit(&found, memory_order_relaxed);
  if (level < 0) {
    pg_mistake mistake;
    if (pg_cpu_mistake(&mistake)) pg_end_with(&mistake);
    level = PG_MIN(level_of_wish(getenv("PERIGEE_CPU")), level_of_cpu());
    atomic_store_explicit(&found, level, memory_order_relaxed);
  }
  return level >= (int)unit;
}

void pg_end_with(const pg_mistake *m) {
  if (m->missing) fprintf(stderr, "error: %s=%s: needs %s\n", m->variable, m->value, m->missing);
  else fprintf(stderr, "error: %s=%s: no such name; expected one of %s\n", m->variable, m->value, m->names);
  fflush(stderr);
  _exit(1);
}
