#include "internal.h"
#include <CLimits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

// One pool for every parallel loop. Products run inside its chunks, on one thread each: oneDNN (see onednn.c) and OpenBLAS are
// told so, because several pools fight for the cores. Waiting threads spin for a moment,
// since the next loop usually follows within microseconds, and then sleep, so that a busy machine is shared.
extern void openblas_set_num_threads(int);

enum { MAX_WORKERS = PG_MAX_THREADS - 1, SPINS = 4000 };
// A thread's stack, with the heap that malloc may give it.
#define STACK ((size_t)72 << 20)
// Chunks of the low half of `state`; this value means that a job is being written.
#define CLOSED 0xFFFFFFFFu

static int thread_count;
static int worker_count;
static _Thread_local bool is_inside;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;

// The job: written by the thread that starts it while `state` is closed. `state` holds the job's number in its high half
// and the next chunk in its low half, so that a late worker cannot take a chunk of a job that it did not read.
static _Atomic uint64_t state = CLOSED;
static _Atomic size_t job_n, job_chunk, job_chunks, finished;
static _Atomic(pg_range_fn) job_body;
static void *_Atomic job_context;
static atomic_int sleepers;
// Held while a job runs; a second thread of the program that wants the pool meanwhile does its loop itself.
static atomic_flag busy = ATOMIC_FLAG_INIT;

static inline void pause_briefly(void) {
#ifdef __x86_64__
  __builtin_ia32_pause();
#endif
}

// Runs chunks of the current job until none is left.
static void run_chunks(void) {
  for (;;) {
    uint64_t seen = atomic_load_explicit(&state, memory_order_acquire);
    size_t i = (uint32_t)seen;
    if (i == CLOSED || i >= atomic_load_explicit(&job_chunks, memory_order_relaxed)) return;
    size_t n = atomic_load_explicit(&job_n, memory_order_relaxed);
    size_t chunk = atomic_load_explicit(&job_chunk, memory_order_relaxed);
    pg_range_fn body = atomic_load_explicit(&job_body, memory_order_relaxed);
    void *context = atomic_load_explicit(&job_context, memory_order_relaxed);
    if (!atomic_compare_exchange_weak_explicit(&state, &seen, seen + 1, memory_order_acq_rel, memory_order_relaxed)) continue;
    size_t begin = i * chunk, end = begin + chunk;
    body(context, begin, end < n ? end : n);
    atomic_fetch_add_explicit(&finished, 1, memory_order_release);
  }
}

static bool has_work(uint64_t seen) { return atomic_load(&state) >> 32 != seen >> 32 && (uint32_t)atomic_load(&state) != CLOSED; }

static void *work(void *argument) {
  int index = (int)(intptr_t)argument;
  is_inside = true;
  uint64_t seen = 0;
  for (;;) {
    for (int i = 0; i < SPINS && !has_work(seen); i++) pause_briefly();
    if (!has_work(seen)) {
      pthread_mutex_lock(&lock);
      atomic_fetch_add(&sleepers, 1);
      while (!has_work(seen)) pthread_cond_wait(&wake, &lock);
      atomic_fetch_sub(&sleepers, 1);
      pthread_mutex_unlock(&lock);
    }
    seen = atomic_load(&state);
    if (index < thread_count - 1) run_chunks();
  }
  return NULL;
}

void pg_set_threads(int threads) {
  thread_count = threads < 1 ? 1 : threads > MAX_WORKERS ? MAX_WORKERS : threads;
  openblas_set_num_threads(1);
  while (worker_count < thread_count - 1) {
    pthread_t thread;
    // Results do not depend on the number of threads: where one has no room for its stack, there are fewer.
    if (!cl_has_room(STACK) || pthread_create(&thread, NULL, work, (void *)(intptr_t)worker_count) != 0) break;
    pthread_detach(thread);
    worker_count++;
  }
}

int pg_threads(void) {
  if (thread_count == 0) pg_set_threads(cl_cores());
  return thread_count;
}

bool pg_is_inside(void) { return is_inside; }

void pg_parallel_for(size_t n, size_t chunk, pg_range_fn body, void *context) {
  PG_TIMED(PG_KIND_OTHER);
  if (n == 0) return;
  if (chunk == 0) chunk = 1;
  size_t chunks = (n + chunk - 1) / chunk;
  if (pg_threads() == 1 || chunks == 1 || chunks >= CLOSED || is_inside || atomic_flag_test_and_set(&busy)) {
    for (size_t begin = 0; begin < n; begin += chunk) body(context, begin, begin + chunk < n ? begin + chunk : n);
    return;
  }
  static uint64_t number;
  uint64_t base = ++number << 32;
  atomic_store(&state, base | CLOSED);
  atomic_store(&job_n, n), atomic_store(&job_chunk, chunk), atomic_store(&job_chunks, chunks), atomic_store(&finished, 0);
  atomic_store(&job_body, body), atomic_store(&job_context, context);
  atomic_store(&state, base);
  if (atomic_load(&sleepers) > 0) {
    pthread_mutex_lock(&lock);
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&lock);
  }
  is_inside = true;
  run_chunks();
  is_inside = false;
  // A worker that holds the last chunk may have lost its core: let it run.
  for (int i = 0; atomic_load_explicit(&finished, memory_order_acquire) < chunks; i++) {
    if (i < SPINS) pause_briefly();
    else sched_yield();
  }
  atomic_flag_clear(&busy);
}
