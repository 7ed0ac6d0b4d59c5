// AMX's tile instructions in C, as Intel's manual defines them: the products of amx_kernel.h on every CPU, for tests. What the
// CPU would refuse ends the program here too.
#include "matmul.h"

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64, LANES = 16 };

static _Thread_local struct {
  uint8_t rows[TILES];  // 0: not set up
  uint16_t row_bytes[TILES];
  _Alignas(64) uint8_t data[TILES][ROWS][ROW_BYTES];
} state;

static void require(bool holds) {
  if (!holds) __builtin_trap();
}

static void tile_release(void) { memset(&state, 0, sizeof state); }

static void tile_configure(const struct pg_tile_config *config) {
  require(config->palette == 1 && config->start_row == 0);
  tile_release();
  for (int t = 0; t < 16; t++) {
    bool is_used = config->rows[t] > 0 && config->row_bytes[t] > 0;
    require(is_used ? t < TILES && config->rows[t] <= ROWS && config->row_bytes[t] <= ROW_BYTES
                    : config->rows[t] == 0 && config->row_bytes[t] == 0);
    if (is_used) state.rows[t] = config->rows[t], state.row_bytes[t] = config->row_bytes[t];
  }
}

static void tile_zero(int t) {
  require(state.rows[t] > 0);
  memset(state.data[t], 0, sizeof state.data[t]);
}

static void tile_load(int t, const void *from, size_t stride) {
  tile_zero(t);
  for (int i = 0; i < state.rows[t]; i++) memcpy(state.data[t][i], (const char *)from + (size_t)i * stride, state.row_bytes[t]);
}

static void tile_store(int t, void *to, size_t stride) {
  require(state.rows[t] > 0);
  for (int i = 0; i < state.rows[t]; i++) memcpy((char *)to + (size_t)i * stride, state.data[t][i], state.row_bytes[t]);
}

// Subnormal factors count as 0, and results that are subnormal become 0.
static inline float flushed(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  bits &= bits & 0x7F800000 ? 0xFFFFFFFF : 0x80000000;
  memcpy(&x, &bits, 4);
  return x;
}

// sums[m][n] += the sum over k of a[m][k] b[k][n]: even and odd k apart, each in their order; then both, then what was there.
PG_CLONES static void tile_multiply(int sums, int a, int b) {
  size_t pairs = state.row_bytes[a] / 4;
  require(state.rows[sums] > 0 && state.rows[a] == state.rows[sums] && state.rows[b] == pairs
          && state.row_bytes[b] == state.row_bytes[sums]);
  float right[2][ROWS][LANES];
  for (size_t k = 0; k < pairs; k++) {
    uint16_t row[LANES][2];
    memcpy(row, state.data[b][k], sizeof row);
    for (int n = 0; n < LANES; n++) {
      for (int odd = 0; odd < 2; odd++) right[odd][k][n] = flushed(pg_from_bf16(row[n][odd]));
    }
  }
  for (size_t m = 0; m < state.rows[sums]; m++) {
    uint16_t left[LANES][2];
    float sum[2][LANES] = {{0}}, total[LANES];
    memcpy(left, state.data[a][m], sizeof left), memcpy(total, state.data[sums][m], sizeof total);
    for (size_t k = 0; k < pairs; k++) {
      for (int odd = 0; odd < 2; odd++) {
        float factor = flushed(pg_from_bf16(left[k][odd]));
        for (int n = 0; n < LANES; n++) sum[odd][n] = flushed(fmaf(factor, right[odd][k][n], sum[odd][n]));
      }
    }
    for (int n = 0; n < LANES; n++) total[n] = flushed(flushed(total[n]) + flushed(sum[0][n] + sum[1][n]));
    memcpy(state.data[sums][m], total, state.row_bytes[sums]);
  }
}

#define TILED
#include "amx_kernel.h"

static unsigned kinds(void) { return 1 << PG_PACKED_BF16 | 1 << PG_PLAIN_BF16; }

const pg_provider pg_amx_emulated = {.name = "amx-emulated", .title = "AMX (emulated)", .kinds = kinds, .block_type = block_type,
                                     .multiply_panel = multiply_panel, .end = release_tiles};
