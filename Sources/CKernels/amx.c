// Products of panels with the CPU's AMX tiles; and whether this process may use them.
#include "matmul.h"

#if defined(__x86_64__) && defined(__linux__)
#include <immintrin.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_allowed;

// The state of a thread that uses tiles is eight kilobytes larger, which Linux allows for all threads of a process at once.
static void ask_for_tiles(void) {
  enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
  is_allowed = pg_cpu_has(PG_AMX) && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
static bool may_use_tiles(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, ask_for_tiles);
  return is_allowed;
}
bool pg_is_amx_refused(void) { return pg_cpu_has(PG_AMX) && !may_use_tiles(); }

#define TILED __attribute__((target("amx-tile,amx-bf16")))
#define tile_configure(config) _tile_loadconfig(config)
#define tile_release() _tile_release()
#define tile_zero(t) _tile_zero(t)
#define tile_load(t, from, stride) _tile_loadd(t, from, stride)
#define tile_store(t, to, stride) _tile_stored(t, to, stride)
#define tile_multiply(sums, a, b) _tile_dpbf16ps(sums, a, b)
#include "amx_kernel.h"

static unsigned kinds(void) { return may_use_tiles() ? 1 << PG_PACKED_BF16 | 1 << PG_PLAIN_BF16 : 0; }

#define FUNCTIONS .expected = kinds, .block_type = block_type, .multiply_panel = multiply_panel, .end = release_tiles

#else

bool pg_is_amx_refused(void) { return false; }
static unsigned kinds(void) { return 0; }
#define FUNCTIONS

#endif

const pg_provider pg_amx = {.name = "amx", .title = "AMX", .needs = "AMX with bfloat16, and Linux's permission to use it",
                            .kinds = kinds, FUNCTIONS};
