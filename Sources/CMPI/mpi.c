#include "CMPI.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// OpenMPI's handles are addresses of objects in its library; MPICH's, and those of the libraries that follow its ABI, are numbers. Both
// are passed in registers, or in slots of eight bytes, so that one type serves both.
typedef uintptr_t handle;

static struct {
  int (*MPI_Init_thread)(int *, char ***, int, int *);
  int (*MPI_Comm_rank)(handle, int *);
  int (*MPI_Comm_size)(handle, int *);
  int (*MPI_Comm_set_errhandler)(handle, handle);
  int (*MPI_Iallgather)(const void *, int, handle, void *, int, handle, handle, handle *);
  int (*MPI_Iallgatherv)(const void *, int, handle, void *, const int *, const int *, handle, handle, handle *);
  int (*MPI_Ibcast)(void *, int, handle, int, handle, handle *);
  int (*MPI_Isend)(const void *, int, handle, int, int, handle, handle *);
  int (*MPI_Irecv)(void *, int, handle, int, int, handle, handle *);
  int (*MPI_Test)(handle *, int *, void *);
  int (*MPI_Error_string)(int, char *, int *);
  int (*MPI_Abort)(handle, int);
  int (*MPI_Finalize)(void);
} mpi;

static handle world, byte_type;
static void *ignored_status;
static int rank, count;
static char message[1600];

static _Atomic uint64_t waits;
static atomic_bool is_ending, is_parked;

enum { SERIALIZED = 2, SECONDS_TO_ABORT = 3 };

static const char *load(const char *const *libraries, size_t names) {
  void *library = NULL;
  size_t used = 0;
  for (size_t i = 0; library == NULL && i < names; i += 1) {
    // OpenMPI's plug-ins look for the library's own symbols.
    library = dlopen(libraries[i], RTLD_NOW | RTLD_GLOBAL);
    used = i;
  }
  if (library == NULL) {
    const char *reason = dlerror();
    snprintf(message, sizeof message, "cannot load an MPI library (%s)", reason == NULL ? "none is known" : reason);
    return message;
  }
#define FOUND(name) ((*(void **)&mpi.name = dlsym(library, #name)) != NULL)
  if (!(FOUND(MPI_Init_thread) && FOUND(MPI_Comm_rank) && FOUND(MPI_Comm_size) && FOUND(MPI_Comm_set_errhandler) && FOUND(MPI_Iallgather) &&
        FOUND(MPI_Iallgatherv) && FOUND(MPI_Ibcast) && FOUND(MPI_Isend) && FOUND(MPI_Irecv) && FOUND(MPI_Test) && FOUND(MPI_Error_string) && FOUND(MPI_Abort) && FOUND(MPI_Finalize))) {
    snprintf(message, sizeof message, "%s: lacks a function of MPI 3", libraries[used]);
    return message;
  }
  world = (handle)dlsym(library, "ompi_mpi_comm_world");
  byte_type = (handle)dlsym(library, "ompi_mpi_byte");
  if (world == 0 || byte_type == 0) {
    world = 0x44000000;
    byte_type = 0x4c00010d;
    ignored_status = (void *)1;
  }
  return NULL;
}

/// Where another thread ends the process, what happens to this one is no news.
static void park_if_ending(void) {
  if (!atomic_load(&is_ending)) return;
  atomic_store(&is_parked, true);
  for (;;) pause();
}

static const char *text(int code) {
  if (code == 0) return NULL;
  park_if_ending();
  char reason[1024] = "";
  int length = 0;
  mpi.MPI_Error_string(code, reason, &length);
  snprintf(message, sizeof message, "MPI: %s", reason);
  return message;
}

const char *cm_open(const char *const *libraries, size_t names) {
  const char *error = load(libraries, names);
  if (error != NULL) return error;
  int provided = 0;
  if ((error = text(mpi.MPI_Init_thread(NULL, NULL, SERIALIZED, &provided))) != NULL) return error;
  void *returning = dlsym(RTLD_DEFAULT, "ompi_mpi_errors_return");
  mpi.MPI_Comm_set_errhandler(world, returning == NULL ? 0x54000001 : (handle)returning);
  if ((error = text(mpi.MPI_Comm_rank(world, &rank))) != NULL) return error;
  return text(mpi.MPI_Comm_size(world, &count));
}

int cm_rank(void) { return rank; }
int cm_count(void) { return count; }

/// MPI's own waiting takes a whole core, which on a full machine belongs to the process that is waited for.
static int wait_for(handle *request) {
  atomic_fetch_add(&waits, 1);
  for (unsigned turns = 0;; turns += 1) {
    park_if_ending();
    int done = 0, code = mpi.MPI_Test(request, &done, ignored_status);
    if (code != 0 || done) {
      atomic_fetch_add(&waits, 1);
      return code;
    }
    if (turns < 500) {
      sched_yield();
    } else {
      nanosleep(&(struct timespec){.tv_nsec = turns < 5000 ? 20000 : 200000}, NULL);
    }
  }
}

const char *cm_gather(const void *own, size_t size, void *all) {
  handle request = 0;
  int code = mpi.MPI_Iallgather(own, (int)size, byte_type, all, (int)size, byte_type, world, &request);
  return text(code != 0 ? code : wait_for(&request));
}

/// For more than a number of type int can count: one process after another, in pieces.
static const char *gather_large(const char *own, const uint64_t *sizes, char *all) {
  const uint64_t piece = 1 << 28;
  for (int r = 0; r < count; all += sizes[r], r += 1) {
    for (uint64_t done = 0; done < sizes[r]; done += piece) {
      uint64_t size = sizes[r] - done < piece ? sizes[r] - done : piece;
      if (r == rank) for (uint64_t i = 0; i < size; i += 1) all[done + i] = own[done + i];
      handle request = 0;
      int code = mpi.MPI_Ibcast(all + done, (int)size, byte_type, r, world, &request);
      const char *error = text(code != 0 ? code : wait_for(&request));
      if (error != NULL) return error;
    }
  }
  return NULL;
}

const char *cm_gather_sized(const void *own, const uint64_t *sizes, void *all) {
  uint64_t total = 0;
  for (int r = 0; r < count; r += 1) total += sizes[r];
  if (total > INT_MAX) return gather_large(own, sizes, all);
  int *numbers = malloc(2 * (size_t)count * sizeof *numbers), *places = numbers + count;
  if (numbers == NULL) return "MPI: no memory is left";
  for (int r = 0, place = 0; r < count; place += (int)sizes[r], r += 1) {
    numbers[r] = (int)sizes[r];
    places[r] = place;
  }
  handle request = 0;
  int code = mpi.MPI_Iallgatherv(own, numbers[rank], byte_type, all, numbers, places, byte_type, world, &request);
  const char *error = text(code != 0 ? code : wait_for(&request));
  free(numbers);
  return error;
}

/// The longest message of a way of so many bytes.
static uint64_t longest(uint64_t size) {
  // What a library sends at once needs no question to the receiver, whose way there and back would be longer than that of the bytes.
  // More than a number of type int counts cannot be sent.
  return size <= 1 << 22 ? 60000 : 1 << 28;
}

const char *cm_exchange(const void *sent, const cm_range *sending, void *received, const cm_range *receiving) {
  size_t most = 1, used = 0;
  for (int r = 0; r < count; r += 1) most += sending[r].size / longest(sending[r].size) + receiving[r].size / longest(receiving[r].size) + 2;
  handle *requests = calloc(most, sizeof *requests);
  if (requests == NULL) return "MPI: no memory is left";
  memcpy((char *)received + receiving[rank].begin, (const char *)sent + sending[rank].begin, sending[rank].size);
  int code = 0;
  // Each process begins with another one, so that no one is sent everything at once.
  for (int step = 1; step < count; step += 1) {
    int from = (rank + count - step) % count;
    uint64_t piece = longest(receiving[from].size);
    for (uint64_t done = 0; code == 0 && done < receiving[from].size; done += piece, used += 1) {
      uint64_t left = receiving[from].size - done;
      code = mpi.MPI_Irecv((char *)received + receiving[from].begin + done, (int)(left < piece ? left : piece), byte_type, from, 0, world,
                           &requests[used]);
    }
  }
  for (int step = 1; step < count; step += 1) {
    int to = (rank + step) % count;
    uint64_t piece = longest(sending[to].size);
    for (uint64_t done = 0; code == 0 && done < sending[to].size; done += piece, used += 1) {
      uint64_t left = sending[to].size - done;
      code = mpi.MPI_Isend((const char *)sent + sending[to].begin + done, (int)(left < piece ? left : piece), byte_type, to, 0, world,
                           &requests[used]);
    }
  }
  for (size_t i = 0; code == 0 && i < used; i += 1) code = wait_for(&requests[i]);
  free(requests);
  return text(code);
}

void cm_close(void) { mpi.MPI_Finalize(); }

uint64_t cm_waits(void) { return atomic_load(&waits); }

void cm_park(void) { atomic_store(&is_ending, true); }

static void *end_alone(void *code) {
  sleep(SECONDS_TO_ABORT);
  _Exit((int)(intptr_t)code);
}

_Noreturn void cm_abort(int code) {
  // MPI tells the other machines, which may be out of reach.
  pthread_t guard;
  if (pthread_create(&guard, NULL, end_alone, (void *)(intptr_t)code) != 0) _Exit(code);
  // One thread at a time may use MPI: the other one stops at its next look, or does not wait.
  for (int i = 0; i < 200 && atomic_load(&is_ending) && cm_waits() % 2 == 1 && !atomic_load(&is_parked); i += 1) usleep(1000);
  if (count > 0) mpi.MPI_Abort(world, code);
  _Exit(code);
}
