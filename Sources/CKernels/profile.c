#include "internal.h"
#include <stdatomic.h>
#include <time.h>

// Time by kind of work, on the thread that asked for it. What the pool's workers do meanwhile is inside that thread's
// calls already, so that the kinds add up to at most the time that passed.
atomic_bool pg_profiling;
// Numbers the measurements: a thread takes part in one if it began it.
static atomic_uint current;
static _Thread_local unsigned own;
static _Thread_local int depth;
static pg_profile_entry entries[PG_KINDS];

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void pg_timer_enter(struct pg_timer *timer) {
  if (own == 0 || own != atomic_load_explicit(&current, memory_order_relaxed)) return;
  timer->measurement = own;
  if (depth++ == 0) timer->start = now();
}

void pg_timer_leave(struct pg_timer *timer) {
  // A call that was under way when another measurement began belongs to neither.
  if (timer->measurement != own) return;
  depth--;
  if (timer->start == 0 || !atomic_load_explicit(&pg_profiling, memory_order_relaxed)) return;
  entries[timer->kind].nanoseconds += now() - timer->start;
  entries[timer->kind].calls += 1;
  entries[timer->kind].operations += timer->operations;
}

void pg_profile_start(void) {
  memset(entries, 0, sizeof entries);
  own = atomic_fetch_add(&current, 1) + 1;
  depth = 0;
  atomic_store(&pg_profiling, true);
}

bool pg_is_profiling(void) {
  return atomic_load_explicit(&pg_profiling, memory_order_relaxed) && own != 0 && own == atomic_load_explicit(&current, memory_order_relaxed);
}

void pg_profile_add(pg_kind kind, double operations, double bytes) {
  if (!pg_is_profiling()) return;
  entries[kind].operations += operations;
  entries[kind].bytes += bytes;
}

void pg_profile_stop(void) { atomic_store(&pg_profiling, false); }

void pg_profile_read(pg_profile_entry out[PG_KINDS]) { memcpy(out, entries, sizeof entries); }
