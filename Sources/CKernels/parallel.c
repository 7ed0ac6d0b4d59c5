#define _GNU_SOURCE  // sched_getaffinity
#include "internal.h"
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

// oneDNN's threads are GNU OpenMP's; running our own loops on the same pool avoids two pools fighting for the
// cores. The entry point is declared here because the compiler's own OpenMP support is not needed for it.
#ifdef __linux__
extern void GOMP_parallel(void (*fn)(void *), void *data, unsigned threads, unsigned flags);
extern void omp_set_num_threads(int);
extern int omp_in_parallel(void);
#else
static void GOMP_parallel(void (*fn)(void *), void *data, unsigned threads, unsigned flags) {
  (void)threads, (void)flags;
  fn(data);
}
static void omp_set_num_threads(int n) { (void)n; }
static int omp_in_parallel(void) { return 0; }
#endif
extern void openblas_set_num_threads(int);

static int thread_count = 0;

void pg_set_threads(int threads) {
  thread_count = threads < 1 ? 1 : threads;
  omp_set_num_threads(1);  // oneDNN, too: each product is one chunk, on one thread
  openblas_set_num_threads(1);  // OpenBLAS runs inside the chunks of this pool
}

int pg_threads(void) {
  if (thread_count == 0) {
    int n = 1;
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
#else
    n = (int)sysconf(_SC_NPROCESSORS_ONLN);
#endif
    pg_set_threads(n);
  }
  return thread_count;
}

struct job {
  size_t n, chunk, chunks;
  atomic_size_t next;
  pg_range_fn body;
  void *context;
};

static void run_job(void *data) {
  struct job *job = data;
  for (;;) {
    size_t i = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
    if (i >= job->chunks) return;
    size_t begin = i * job->chunk, end = begin + job->chunk;
    job->body(job->context, begin, end < job->n ? end : job->n);
  }
}

void pg_parallel_for(size_t n, size_t chunk, pg_range_fn body, void *context) {
  if (n == 0) return;
  if (chunk == 0) chunk = 1;
  struct job job = {.n = n, .chunk = chunk, .chunks = (n + chunk - 1) / chunk, .body = body, .context = context};
  int threads = pg_threads();
  if (threads == 1 || job.chunks == 1 || omp_in_parallel()) {
    run_job(&job);
    return;
  }
  GOMP_parallel(run_job, &job, (unsigned)(job.chunks < (size_t)threads ? job.chunks : (size_t)threads), 0);
}
