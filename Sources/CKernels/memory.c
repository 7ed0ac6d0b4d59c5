#define _GNU_SOURCE  // MAP_ANONYMOUS, madvise
#include "internal.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

// Buffers of a training step come back in about the same sizes step after step. Sizes are rounded up to one of eight
// classes per power of two, freed blocks wait in their class, and a request takes one from its class or the next few: real
// batches differ in length, and fresh memory costs a page fault for every 4 KB.
enum { CLASSES = 8 * 48, SMALLEST = 6, HEADER = 64, NEXT_CLASSES = 4 };

// In front of every block's bytes.
static struct block {
  struct block *next;
  size_t size;
  int class;
} *kept[CLASSES];
static size_t kept_bytes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_size_t live, peak;

// The class of a size, and the size rounded up to it.
static int size_class(size_t bytes, size_t *rounded) {
  if (bytes < 64) bytes = 64;
  int top = 63 - __builtin_clzll(bytes);
  size_t step = (size_t)1 << (top > 3 ? top - 3 : 0);
  *rounded = (bytes + step - 1) / step * step;
  *rounded = (*rounded + 63) / 64 * 64;
  top = 63 - __builtin_clzll(*rounded);
  int c = (top - SMALLEST) * 8 + (int)((*rounded >> (top - 3)) & 7);
  return c < CLASSES ? c : -1;
}

// The system may promise more memory than there is and kill the process later: refuse what can never fit.
static bool exceeds_memory(size_t bytes) {
  static size_t pages = 0, page = 4096;
  if (pages == 0) {
    long n = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    if (size > 0) page = (size_t)size;
    pages = n > 0 ? (size_t)n : SIZE_MAX / page;
  }
  return bytes / page > pages;
}

// Large blocks come from the system and go back to it as they are: in malloc's heap they would leave holes.
enum { LARGE = 1 << 20 };

static struct block *new_block(size_t size) {
  void *memory = NULL;
  if (size >= LARGE) {
    memory = mmap(NULL, size + HEADER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(memory, size + HEADER, MADV_HUGEPAGE);
#endif
    return memory;
  }
  return posix_memalign(&memory, 64, size + HEADER) == 0 ? memory : NULL;
}

static void delete_block(struct block *block) {
  if (block && block->size >= LARGE) munmap(block, block->size + HEADER);
  else free(block);
}

static struct block *take_kept(int c) {
  struct block *block = NULL;
  pthread_mutex_lock(&lock);
  for (int i = c; c >= 0 && i <= c + NEXT_CLASSES && i < CLASSES && !block; i++) {
    block = kept[i];
    if (!block) continue;
    kept[i] = block->next;
    kept_bytes -= block->size;
  }
  pthread_mutex_unlock(&lock);
  return block;
}

void *pg_allocate(size_t bytes) {
  if (exceeds_memory(bytes)) return NULL;
  size_t rounded;
  int c = size_class(bytes, &rounded);
  struct block *block = take_kept(c);
  if (!block) {
    block = new_block(rounded);
    if (!block) {
      pg_trim();
      block = new_block(rounded);
    }
    if (!block) return NULL;
    block->size = rounded, block->class = c;
  }
  size_t now = atomic_fetch_add(&live, block->size) + block->size;
  size_t high = atomic_load(&peak);
  while (now > high && !atomic_compare_exchange_weak(&peak, &high, now)) {}
  return (char *)block + HEADER;
}

void pg_free(void *pointer, size_t bytes) {
  if (!pointer) return;
  (void)bytes;
  struct block *block = (struct block *)((char *)pointer - HEADER);
  int c = block->class;
  size_t now = atomic_fetch_sub(&live, block->size) - block->size;
  // What is kept never exceeds what the program had in use at its peak.
  if (c >= 0) {
    pthread_mutex_lock(&lock);
    if (kept_bytes + block->size + now <= atomic_load(&peak)) {
      block->next = kept[c];
      kept[c] = block;
      kept_bytes += block->size;
      block = NULL;
    }
    pthread_mutex_unlock(&lock);
  }
  delete_block(block);
}

void pg_trim(void) {
  pthread_mutex_lock(&lock);
  for (int c = 0; c < CLASSES; c++) {
    while (kept[c]) {
      struct block *block = kept[c];
      kept[c] = block->next;
      delete_block(block);
    }
  }
  kept_bytes = 0;
  pthread_mutex_unlock(&lock);
}

size_t pg_live_bytes(void) { return atomic_load(&live); }
size_t pg_peak_bytes(void) { return atomic_load(&peak); }
void pg_reset_peak(void) { atomic_store(&peak, atomic_load(&live)); }
