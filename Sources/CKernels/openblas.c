// What OpenBLAS takes for itself: threads when it is loaded, and buffers when it first multiplies.
#include "internal.h"
#include <CLimits.h>
#include <pthread.h>

// OpenBLAS asks this function of its own how many threads to start while it is being loaded: the program's comes first. The
// engine multiplies inside chunks of its own pool; threads that only wait would take address space, and one that could not be
// started keeps the process from ending.
int openblas_num_threads_env(void) { return 1; }

// Its buffers, one for each thread that multiplies at the same time. It waits for ever where it cannot have one.
enum { BUFFER = 136 << 20 };
extern void *blas_memory_alloc(int) __attribute__((weak));
extern void blas_memory_free(void *) __attribute__((weak));

bool pg_prepare_blas(void) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static int prepared;
  int threads = pg_threads();
  pthread_mutex_lock(&lock);
  bool is_ready = prepared >= threads || cl_room() == CL_UNLIMITED || !blas_memory_alloc || !blas_memory_free;
  if (!is_ready) {
    void *buffers[PG_MAX_THREADS];
    int count = 0;
    // What was prepared before is handed out first.
    while (count < threads && (count < prepared || cl_has_room(BUFFER))) buffers[count++] = blas_memory_alloc(0);
    for (int i = 0; i < count; i++) blas_memory_free(buffers[i]);
    prepared = PG_MAX(prepared, count);
    is_ready = prepared >= threads;
    if (!is_ready) pg_note_refused((size_t)BUFFER * (size_t)(threads - prepared));
  }
  pthread_mutex_unlock(&lock);
  return is_ready;
}
