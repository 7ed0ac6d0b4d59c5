// What the process may take of the system's memory, and the ends that no caller can handle. C, because the allocators of
// the kernels and of Lua ask too, and because signal handlers and `malloc` may not enter Swift.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The largest number that Swift takes for a size too.
#define CL_UNLIMITED ((size_t)PTRDIFF_MAX)

// ---- room in the address space (room.c) ---------------------------------------------------------------
// Bytes that may still be mapped before a limit (RLIMIT_AS, RLIMIT_DATA) is met; CL_UNLIMITED where there is none.
size_t cl_room(void);
// The limit that is met first, in bytes; 0 where there is none. `*option`: how the shell calls it ("ulimit -v").
size_t cl_room_limit(const char **option);
// Whether `bytes` more leave the reserve: what Swift, Lua and the libraries take in small pieces, whose allocators cannot fail
// without ending the process.
bool cl_has_room(size_t bytes);
// Bytes of that reserve.
size_t cl_reserve(void);
// Bytes of memory that the machine has, or that its control group may use, whichever is less.
size_t cl_machine_memory(void);
// Cores that the process may use: those of its affinity mask, or what the quota of its control group comes to, rounded up,
// whichever is less.
int cl_cores(void);
// Cores that the quota of a control group comes to; CL_UNLIMITED where it has none. `groups`: a file such as /proc/self/cgroup;
// `root`: where control groups are mounted.
size_t cl_quota_cores(const char *groups, const char *root);
// 64-byte aligned memory from malloc's heap, or null: for callers that can handle that. Others get the end below.
void *cl_allocate_or_null(size_t bytes);

// ---- ends in one line and exit code 1 (ends.c) -----------------------------------------------------------
// From now on: `malloc` and its family end the process where they would return null, since Swift, C++ and OpenBLAS crash or
// hang there; and so does reading a mapped file that has become shorter than its mapping (SIGBUS). Finished work is safe:
// files take their names when they are complete.
void cl_install_ends(void);
// Ends the process so at once: where memory is exhausted and nobody can be told.
_Noreturn void cl_end_without_memory(size_t bytes);
// Names the file that lies at these addresses, for the message; `path` is copied.
void cl_note_mapping(const void *start, size_t count, const char *path);
void cl_forget_mapping(const void *start);
