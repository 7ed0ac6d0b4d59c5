#define _GNU_SOURCE  // MAP_ANONYMOUS, madvise
#include "internal.h"
#include <CLimits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

// Buffers of a training step come back in about the same sizes step after step. Sizes are rounded up to one of eight
// classes per power of two, freed blocks wait in their class, and a request takes one from its class or the next few: real
// batches differ in length, and fresh memory costs a page fault for every 4 KB.
enum { CLASSES = 8 * 48, SMALLEST = 6, HEADER = 64, NEXT_CLASSES = 4 };
// Blocks of so many bytes may wait whatever the program had in use: a small model would else ask the system in every operation, since
// batches of many lengths need blocks of many classes.
enum { LEAST_KEPT = 128 << 20 };

// In front of every block's bytes.
static struct block {
  struct block *next;
  size_t size;
  int class;
} *kept[CLASSES];
static size_t kept_bytes;
// When a block of each class was wanted last, counted in blocks.
static uint64_t wanted[CLASSES], requests;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_size_t live, peak;

// The system may promise more memory than there is and kill the process later: live and kept blocks together stay below this.
static atomic_size_t limit;
static atomic_size_t refused;  // the size of the last request that failed
static _Atomic(int64_t) failing;  // counts down to the requests that fail: for tests

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

// Large blocks come from the system and go back to it as they are: in malloc's heap they would leave holes.
enum { LARGE = 1 << 20 };

static struct block *new_block(size_t size) {
  if (atomic_load(&live) + kept_bytes + size > pg_memory_limit() || !cl_has_room(size + HEADER)) return NULL;
  if (size >= LARGE) {
    void *memory = mmap(NULL, size + HEADER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(memory, size + HEADER, MADV_HUGEPAGE);
#endif
    return memory;
  }
  return cl_allocate_or_null(size + HEADER);
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
    wanted[i] = ++requests;
  }
  if (!block && c >= 0) wanted[c] = ++requests;
  pthread_mutex_unlock(&lock);
  return block;
}

static bool is_to_fail(void) {
  if (__builtin_expect(atomic_load_explicit(&failing, memory_order_relaxed) == 0, 1)) return false;
  int64_t count = atomic_fetch_sub(&failing, 1);
  if (count > 1) return false;
  atomic_store(&failing, 1);
  return true;
}

void *pg_allocate(size_t bytes) {
  // Sizes near 2^64 cannot be rounded up.
  if (bytes > pg_memory_limit() || is_to_fail()) return atomic_store(&refused, bytes), NULL;
  size_t rounded;
  int c = size_class(bytes, &rounded);
  struct block *block = take_kept(c);
  if (!block) {
    block = new_block(rounded);
    if (!block) {
      pg_trim();
      block = new_block(rounded);
    }
    if (!block) return atomic_store(&refused, bytes), NULL;
    block->size = rounded, block->class = c;
  }
  size_t now = atomic_fetch_add(&live, block->size) + block->size;
  size_t high = atomic_load(&peak);
  while (now > high && !atomic_compare_exchange_weak(&peak, &high, now)) {}
  return (char *)block + HEADER;
}

// ---- blocks that stay -------------------------------------------------------------------------------------
// Layouts of weights lie side by side: the system's large pages have to belong to one mapping whole, and few rows are multiplied
// twice as fast by weights that lie in such pages.
enum { CHUNK = 16 << 20, LEAST_LASTING = 1 << 19, LASTING = -2 };

// At the beginning of a large block; `blocks` counts those in it.
struct chunk {
  size_t size, used, blocks;
};
static struct chunk *filling;
static pthread_mutex_t lasting = PTHREAD_MUTEX_INITIALIZER;

static struct chunk *new_chunk(size_t size) {
  struct chunk *chunk = pg_allocate(size);
  if (chunk) *chunk = (struct chunk){size, HEADER, 0};
  return chunk;
}

void *pg_allocate_lasting(size_t bytes) {
  if (bytes < LEAST_LASTING || bytes > pg_memory_limit()) return pg_allocate(bytes);
  size_t size = HEADER + (bytes + 63) / 64 * 64;
  struct block *block = NULL;
  pthread_mutex_lock(&lasting);
  if (!filling || filling->size - filling->used < size) {
    struct chunk *chunk = new_chunk(PG_MAX((size_t)CHUNK, HEADER + size));
    if (chunk) filling = chunk;
  }
  if (filling && filling->size - filling->used >= size) {
    block = (struct block *)(void *)((char *)filling + filling->used);
    *block = (struct block){(struct block *)(void *)filling, size, LASTING};
    filling->used += size, filling->blocks++;
  }
  pthread_mutex_unlock(&lasting);
  return block ? (char *)block + HEADER : pg_allocate(bytes);
}

static void leave_chunk(struct chunk *chunk) {
  pthread_mutex_lock(&lasting);
  bool is_empty = --chunk->blocks == 0;
  if (is_empty && filling == chunk) filling = NULL;
  pthread_mutex_unlock(&lasting);
  if (is_empty) pg_free(chunk, chunk->size);
}

// Takes kept blocks out whose classes were not wanted for the longest time, until `size` more bytes may be kept beside `now` in use; a block of
// class `c` gives way itself where no other class is older. Returns what was taken out.
static struct block *take_oldest(int c, size_t size, size_t now) {
  struct block *out = NULL;
  size_t most = PG_MAX(atomic_load(&peak), (size_t)LEAST_KEPT);
  while (kept_bytes + size + now > most) {
    int oldest = c;
    for (int i = 0; i < CLASSES; i++) {
      if (kept[i] && wanted[i] < wanted[oldest]) oldest = i;
    }
    if (oldest == c) break;
    struct block *block = kept[oldest];
    kept[oldest] = block->next, kept_bytes -= block->size;
    block->next = out, out = block;
  }
  return out;
}

void pg_free(void *pointer, size_t bytes) {
  if (!pointer) return;
  (void)bytes;
  struct block *block = (struct block *)((char *)pointer - HEADER);
  int c = block->class;
  if (c == LASTING) return leave_chunk((struct chunk *)(void *)block->next);
  size_t now = atomic_fetch_sub(&live, block->size) - block->size;
  // What is kept never exceeds what the program had in use at its peak, but for a little: batches of other lengths leave blocks that nobody
  // wants any more, and those go first.
  struct block *others = NULL;
  if (c >= 0) {
    pthread_mutex_lock(&lock);
    others = take_oldest(c, block->size, now);
    if (kept_bytes + block->size + now <= PG_MAX(atomic_load(&peak), (size_t)LEAST_KEPT)) {
      block->next = kept[c];
      kept[c] = block;
      kept_bytes += block->size;
      block = NULL;
    }
    pthread_mutex_unlock(&lock);
  }
  delete_block(block);
  while (others) {
    block = others, others = block->next;
    delete_block(block);
  }
}

// ---- working memory of a thread ---------------------------------------------------------------------------
// A product of a few rows takes less time than the blocks, which all threads share, take to give it one; and bytes that are used again and
// again stay in the thread's cache.
enum { SCRATCH = 2 << 20 };
static _Thread_local struct {
  char *start;
  size_t used;
} scratch;
static pthread_key_t scratch_key;
static bool has_scratch_key;
static void make_scratch_key(void) { has_scratch_key = pthread_key_create(&scratch_key, free) == 0; }

static bool has_scratch(void) {
  if (scratch.start) return true;
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_scratch_key);
  // The end of a thread frees what it has; without a key it would stay.
  scratch.start = has_scratch_key && cl_has_room(SCRATCH) ? cl_allocate_or_null(SCRATCH) : NULL;
  if (scratch.start && pthread_setspecific(scratch_key, scratch.start) != 0) free(scratch.start), scratch.start = NULL;
  return scratch.start != NULL;
}

void *pg_take_scratch(size_t bytes) {
  if (bytes > SCRATCH - scratch.used || !has_scratch()) return pg_allocate(bytes);
  size_t size = (PG_MAX(bytes, (size_t)1) + 63) / 64 * 64;
  if (size > SCRATCH - scratch.used) return pg_allocate(bytes);
  if (is_to_fail()) return atomic_store(&refused, bytes), NULL;
  void *memory = scratch.start + scratch.used;
  scratch.used += size;
  return memory;
}

void pg_give_scratch(void *memory, size_t bytes) {
  uintptr_t start = (uintptr_t)scratch.start, at = (uintptr_t)memory;
  if (scratch.start && at >= start && at < start + SCRATCH) scratch.used = at - start;
  else pg_free(memory, bytes);
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

void pg_set_memory_limit(size_t bytes) { atomic_store(&limit, bytes); }

size_t pg_memory_limit(void) {
  size_t bytes = atomic_load_explicit(&limit, memory_order_relaxed);
  if (bytes > 0) return bytes;
  // The rest of the machine: the operating system, Swift's and Lua's values, pages of mapped files.
  size_t machine = cl_machine_memory();
  bytes = machine - machine / 10;
  atomic_store(&limit, bytes);
  return bytes;
}

void pg_note_refused(size_t bytes) { atomic_store(&refused, bytes); }
size_t pg_refused_bytes(void) { return atomic_load(&refused); }
void pg_fail_allocations_after(int64_t count) { atomic_store(&failing, count < 0 ? 0 : count + 1); }

size_t pg_live_bytes(void) { return atomic_load(&live); }
size_t pg_peak_bytes(void) { return atomic_load(&peak); }
void pg_reset_peak(void) { atomic_store(&peak, atomic_load(&live)); }
