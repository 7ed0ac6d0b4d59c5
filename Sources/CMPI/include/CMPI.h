/// The processes that a launcher such as mpirun or srun has started together. The machine's MPI library, OpenMPI or MPICH, is loaded when
/// it is asked for: a machine without one needs none.
///
/// Functions that can fail return NULL, or what went wrong, which is valid until the next call.
#ifndef CMPI_H
#define CMPI_H

#include <stddef.h>
#include <stdint.h>

/// Loads the first of these libraries that is there, and joins the processes. One thread at a time may call these functions.
const char *cm_open(const char *const *libraries, size_t count);
int cm_rank(void);
int cm_count(void);
/// `size` bytes of every process, by rank: `all` has room for as many times `size`.
const char *cm_gather(const void *own, size_t size, void *all);
/// The bytes of every process one after another, by rank: sizes[r] of process r.
const char *cm_gather_sized(const void *own, const uint64_t *sizes, void *all);
/// Waits for all processes, and leaves them.
void cm_close(void);
/// Ends all processes at once. Does not return.
void cm_abort(int code);

#endif
