#define _GNU_SOURCE
#include "CLimits.h"
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static atomic_bool is_installed;

// ---- lines without allocating --------------------------------------------------------------------------

struct line {
  char text[700];
  size_t count;
};

static void add(struct line *line, const char *text) {
  size_t count = strlen(text), room = sizeof line->text - 1 - line->count;
  if (count > room) count = room;
  for (size_t i = 0; i < count; i++) {
    unsigned char letter = (unsigned char)text[i];
    line->text[line->count++] = (char)(letter < 0x20 || letter == 0x7F ? ' ' : letter);
  }
}

static void add_number(struct line *line, size_t number) {
  char digits[24];
  size_t at = sizeof digits;
  digits[--at] = 0;
  do digits[--at] = (char)('0' + number % 10);
  while (number /= 10);
  add(line, digits + at);
}

static _Noreturn void end(struct line *line) {
  line->text[line->count++] = '\n';
  for (size_t done = 0; done < line->count;) {
    ssize_t written = write(2, line->text + done, line->count - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    done += (size_t)written;
  }
  _exit(1);
}

_Noreturn void cl_end_without_memory(size_t bytes) {
  struct line line = {.count = 0};
  const char *option;
  size_t limit = cl_room_limit(&option);
  add(&line, "perigee: error: out of memory: ");
  add_number(&line, bytes);
  add(&line, " bytes wanted");
  if (limit > 0) {
    add(&line, "; the process may have ");
    add_number(&line, limit >> 20);
    add(&line, " MB (");
    add(&line, option);
    add(&line, "): raise that limit");
  }
  end(&line);
}

// ---- malloc ----------------------------------------------------------------------------------------------

// The executable's functions come before the C library's, for every library in the process. They only look at the result:
// the memory is the library's own, and so is `free`.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HAS_OWN_MALLOC
#endif
#endif
#if defined(__GLIBC__) && !defined(HAS_OWN_MALLOC)
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);

static inline void *checked(void *memory, size_t bytes) {
  if (__builtin_expect(memory == NULL, 0) && bytes != 0 && atomic_load(&is_installed)) cl_end_without_memory(bytes);
  return memory;
}

void *malloc(size_t bytes) { return checked(__libc_malloc(bytes), bytes); }
void *calloc(size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) bytes = SIZE_MAX;
  return checked(__libc_calloc(count, size), bytes);
}
void *realloc(void *memory, size_t bytes) { return checked(__libc_realloc(memory, bytes), bytes); }
void *memalign(size_t alignment, size_t bytes) { return checked(__libc_memalign(alignment, bytes), bytes); }
void *aligned_alloc(size_t alignment, size_t bytes) { return checked(__libc_memalign(alignment, bytes), bytes); }
int posix_memalign(void **memory, size_t alignment, size_t bytes) {
  if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0) return EINVAL;
  void *result = checked(__libc_memalign(alignment, bytes), bytes);
  if (!result) return ENOMEM;
  *memory = result;
  return 0;
}
void *cl_allocate_or_null(size_t bytes) { return __libc_memalign(64, bytes); }
#else
void *cl_allocate_or_null(size_t bytes) {
  void *memory = NULL;
  return posix_memalign(&memory, 64, bytes) == 0 ? memory : NULL;
}
#endif

// ---- mapped files that become shorter --------------------------------------------------------------------

// Read by the signal handler: `start` is written last and cleared first. What finds no place goes without a name.
enum { MAPPINGS = 512 };
static struct {
  _Atomic(uintptr_t) start;
  uintptr_t end;
  char *path;
} mappings[MAPPINGS];
static atomic_flag is_writing = ATOMIC_FLAG_INIT;

static void lock(void) { while (atomic_flag_test_and_set(&is_writing)) {} }
static void unlock(void) { atomic_flag_clear(&is_writing); }

void cl_note_mapping(const void *start, size_t count, const char *path) {
  char *copy = strdup(path);
  if (!copy) return;
  lock();
  for (int i = 0; i < MAPPINGS; i++) {
    if (atomic_load(&mappings[i].start) != 0) continue;
    mappings[i].end = (uintptr_t)start + count, mappings[i].path = copy;
    atomic_store(&mappings[i].start, (uintptr_t)start);
    copy = NULL;
    break;
  }
  unlock();
  free(copy);
}

void cl_forget_mapping(const void *start) {
  char *path = NULL;
  lock();
  for (int i = 0; i < MAPPINGS && !path; i++) {
    if (atomic_load(&mappings[i].start) != (uintptr_t)start) continue;
    atomic_store(&mappings[i].start, 0);
    path = mappings[i].path, mappings[i].path = NULL;
  }
  unlock();
  free(path);
}

// What reads outside a mapped file stays a crash: that is a bug, and its core is worth having.
static void on_bus_error(int number, siginfo_t *info, void *unused) {
  (void)unused;
  uintptr_t address = (uintptr_t)info->si_addr;
  for (int i = 0; i < MAPPINGS; i++) {
    uintptr_t start = atomic_load(&mappings[i].start);
    if (start == 0 || address < start || address >= (mappings[i].end + 0xFFFF) / 0x10000 * 0x10000) continue;
    struct line line = {.count = 0};
    add(&line, "perigee: error: ");
    add(&line, mappings[i].path);
    add(&line, ": cannot be read any more: another program made the file shorter while it was in use, or its disk failed");
    end(&line);
  }
  signal(number, SIG_DFL);
  raise(number);
}

void cl_install_ends(void) {
  atomic_store(&is_installed, true);
  struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, NULL);
}
