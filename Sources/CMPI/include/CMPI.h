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
/// Bytes of a memory that a process sends or receives.
typedef struct {
  uint64_t begin, size;
} cm_range;
/// Sends sending[r] of `sent` to process r, and receives receiving[r] of `received` from it. What is empty is not sent.
const char *cm_exchange(const void *sent, const cm_range *sending, void *received, const cm_range *receiving);
/// Waits for all processes, and leaves them.
void cm_close(void);
/// How often this process has begun or ended to wait for the others: an odd number while it waits. Any thread may ask.
uint64_t cm_waits(void);
/// From here on the thread that waits, or comes to wait, never returns: another thread has taken the process's end into its hands.
void cm_park(void);
/// Ends all processes at once, or this one alone where the others are not reached within some seconds. Does not return. A thread beside the
/// one that waits may call it after `cm_park`.
_Noreturn void cm_abort(int code);

// Datagrams, beside MPI. Addresses are IPv4, in the network's order of bytes; ports are not.

/// A socket on a free port of all addresses; negative: there is none.
int cm_socket(uint16_t *port);
/// The addresses of this machine, the loopback's with them; how many there are, at most `most`.
size_t cm_addresses(uint32_t *addresses, size_t most);
/// Sends, unless it cannot: nobody is told.
void cm_send(int socket, uint32_t address, uint16_t port, const void *bytes, size_t size);
/// A datagram's size, and where it came from; negative: none came within this time.
int cm_receive(int socket, int milliseconds, void *bytes, size_t size, uint32_t *address);
/// The calling thread's number, as the system counts; 0 where it does not tell.
int cm_thread(void);

#endif
