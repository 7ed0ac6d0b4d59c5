// Looks for elements that are not finite, on all threads: a model's weights are read for it when it is loaded.
#include "internal.h"

struct finite_args {
  pg_dtype t;
  const char *x;
  atomic_size_t first;
};

static size_t first_in_bf16(size_t n, const uint16_t *x) {
  for (size_t i = 0; i < n; i++) {
    if ((x[i] & 0x7F80) == 0x7F80) return i;
  }
  return n;
}
// Whether any of a block is not finite; without an early end, which would keep the loop from being vectorised.
PG_CLONES static bool any_in_bf16(size_t n, const uint16_t *x) {
  uint16_t found = 0;
  for (size_t i = 0; i < n; i++) found |= (x[i] & 0x7F80) == 0x7F80;
  return found;
}

static void search(void *context, size_t begin, size_t end) {
  struct finite_args *a = context;
  if (begin >= atomic_load_explicit(&a->first, memory_order_relaxed)) return;
  const void *x = a->x + begin * pg_size(a->t);
  size_t n = end - begin, i = n;
  if (a->t != PG_BF16) i = pg_first_nonfinite(a->t, n, x);
  else if (any_in_bf16(n, x)) i = first_in_bf16(n, x);
  if (i == n) return;
  size_t known = atomic_load(&a->first);
  while (begin + i < known && !atomic_compare_exchange_weak(&a->first, &known, begin + i)) {}
}

size_t pg_find_nonfinite(pg_dtype t, size_t n, const void *x) {
  PG_TIMED(PG_KIND_OTHER);
  struct finite_args a = {.t = t, .x = x, .first = n};
  pg_parallel_for(n, (size_t)1 << 17, search, &a);
  return a.first;
}
