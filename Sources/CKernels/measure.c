// Who is the fastest: the rates of units differ from CPU to CPU, and flags do not say them (AVX512-BF16 has twice the rate of fp32 on
// one CPU, and half of it on another). A choice that flipped would change results by rounding, and other programs run
// meanwhile: so one thread's processor time counts, the best of several, and a small advantage does not.
#include "matmul.h"
#include <stdlib.h>
#include <time.h>

// The products of a layer's frozen weight, and of attention's scores.
enum { TOKENS = 96, INNER = 768, OUTPUTS = 256, KEYS = 128, HEAD = 64, REPEATS = 5, SCORES = 16 };
static const double CLEARLY = 1.3;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Numbers of ordinary size, in both types.
struct operands {
  float x[TOKENS * INNER], w[OUTPUTS * INNER], y[TOKENS * OUTPUTS], expected[TOKENS * OUTPUTS];
  uint16_t narrow[2][KEYS * HEAD];
};

static bool multiply_once(pg_product_kind kind, struct operands *o, pg_packed *packed) {
  if (packed) return pg_packed_multiply(packed, TOKENS, PG_F32, o->x, INNER, NULL, 0, PG_F32, o->y);
  pg_dtype precision = kind == PG_FP32 ? PG_F32 : PG_BF16;
  bool done = true;
  for (int i = 0; i < SCORES && done; i++) {
    pg_factor q = {o->narrow[0], PG_BF16, false, HEAD}, k = {o->narrow[1], PG_BF16, true, HEAD};
    done = pg_multiply(precision, KEYS, KEYS, HEAD, 1, q, k, 0, PG_F32, o->y, KEYS);
  }
  return done;
}

// The least seconds of what the current choice takes; infinite where it has no memory for it.
static double least_seconds(pg_product_kind kind, struct operands *o) {
  pg_packed *packed = NULL;
  if (kind != PG_PLAIN_BF16) {
    packed = pg_pack((pg_factor){o->w, PG_F32, false, INNER}, OUTPUTS, INNER, false, kind == PG_PACKED_BF16);
    if (!packed) return INFINITY;
  }
  double least = INFINITY;
  for (int i = 0; i <= REPEATS; i++) {
    double start = now();
    if (!multiply_once(kind, o, packed)) break;
    // The first one warms up.
    if (i > 0) least = fmin(least, now() - start);
  }
  pg_packed_free(packed);
  return least;
}

// OpenBLAS, which packs nothing, is left to CPUs that have nothing else.
static bool contends(const pg_provider *p, pg_product_kind kind) {
  return pg_packs(p) && p->expected && p->expected() >> kind & 1;
}

// Whether the result is that of the provider that was expected, but for rounding. Units that few have tried must not be wrong.
static bool is_right(const struct operands *o) {
  for (size_t i = 0; i < TOKENS * OUTPUTS; i++) {
    if (!(fabsf(o->y[i] - o->expected[i]) <= 0.05f)) return false;
  }
  return true;
}

static void measure(pg_product_kind kind, struct operands *o) {
  const pg_provider *best = NULL, *p;
  double least = INFINITY, expected = INFINITY;
  int count = 0;
  for (size_t i = 0; (p = pg_provider_at(i)); i++) count += contends(p, kind);
  for (size_t i = 0; (p = pg_provider_at(i)) && count > 1; i++) {
    if (!contends(p, kind)) continue;
    pg_set_provider_of(kind, p);
    double seconds = least_seconds(kind, o);
    if (!best) {
      best = p, expected = least = seconds;
      memcpy(o->expected, o->y, sizeof o->y);
    } else if (seconds * CLEARLY <= expected && seconds < least && is_right(o)) {
      best = p, least = seconds;
    }
  }
  if (best) pg_set_provider_of(kind, best);
}

void pg_measure_products(void) {
  if (pg_products_are_wished()) return;
  struct operands *o = pg_allocate(sizeof *o);
  // Without memory what is expected stays, and what follows will report it.
  if (!o) return;
  memset(o->y, 0, sizeof o->y);
  for (size_t i = 0; i < TOKENS * INNER; i++) o->x[i] = (float)(i % 61) / 61 - 0.5f;
  for (size_t i = 0; i < OUTPUTS * INNER; i++) o->w[i] = (float)(i % 67) / 67 - 0.5f;
  for (size_t i = 0; i < KEYS * HEAD; i++) o->narrow[0][i] = pg_to_bf16(o->x[i]), o->narrow[1][i] = pg_to_bf16(o->w[i]);
  int threads = pg_threads();
  pg_set_threads(1);
  for (pg_product_kind kind = 0; kind < PG_PRODUCT_KINDS; kind++) measure(kind, o);
  pg_set_threads(threads);
  pg_free(o, sizeof *o);
}
