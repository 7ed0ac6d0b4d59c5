// Products of panels with AMX tiles. amx.c includes this with the CPU's instructions, amx_emulated.c with functions that do the
// same: TILED (what a function that uses tiles is declared with), tile_configure, tile_release, tile_zero, tile_load, tile_store
// and tile_multiply.
//
// 32 rows by 32 columns of sums stay in tiles 0 to 3 while k runs. 4 and 5 hold 32 of k of A's rows as they lie in memory; 6 and 7
// hold 32 of k of B's columns in pairs along k, which is how panels have them: one panel serves the AVX-512 tiles and these.
// So four loads of a kilobyte serve four instructions of 16 cycles.
#pragma once
#include "matmul.h"

enum { TILE_SIDE = 16, STEP_K = 32, BLOCK_SIDE = 2 * TILE_SIDE };

// The rows of sums that this thread's tiles are set to; 0: its tiles are free.
static _Thread_local size_t configured_rows;

// Tiles of the last rows of a product are as low as those are, so that nothing behind an operand is read or written.
TILED static void configure_tiles(size_t rows) {
  if (rows == configured_rows) return;
  struct pg_tile_config config = {.palette = 1};
  for (int t = 0; t < 8; t++) config.row_bytes[t] = 64, config.rows[t] = TILE_SIDE;
  size_t upper = PG_MIN(rows, (size_t)TILE_SIDE), lower = rows - upper;
  config.rows[0] = config.rows[1] = config.rows[4] = (uint8_t)upper;
  if (lower > 0) config.rows[2] = config.rows[3] = config.rows[5] = (uint8_t)lower;
  tile_configure(&config);
  configured_rows = rows;
}

// A thread whose tiles hold nothing has less to save when it changes places with another, and a library finds them as it expects.
TILED static void release_tiles(void) {
  if (configured_rows > 0) tile_release();
  configured_rows = 0;
}

static pg_dtype block_type(pg_dtype precision) { return precision; }

#define TILED_INLINE TILED static inline __attribute__((always_inline))

// Adds 32 of k. Strides are in bytes.
TILED_INLINE void add_step(const bool two_high, const bool two_wide, const char *a, size_t a_stride, const char *b, size_t b_stride) {
  tile_load(6, b, b_stride);
  tile_load(4, a, a_stride);
  tile_multiply(0, 4, 6);
  if (two_wide) {
    tile_load(7, b + 64, b_stride);
    tile_multiply(1, 4, 7);
  }
  if (two_high) {
    tile_load(5, a + TILE_SIDE * a_stride, a_stride);
    tile_multiply(2, 5, 6);
    if (two_wide) tile_multiply(3, 5, 7);
  }
}

TILED_INLINE void load_sums(const bool two_high, const bool two_wide, const float *sums, size_t stride) {
  tile_load(0, sums, 4 * stride);
  if (two_wide) tile_load(1, sums + TILE_SIDE, 4 * stride);
  if (two_high) tile_load(2, sums + TILE_SIDE * stride, 4 * stride);
  if (two_high && two_wide) tile_load(3, sums + TILE_SIDE * stride + TILE_SIDE, 4 * stride);
}

TILED_INLINE void store_sums(const bool two_high, const bool two_wide, float *sums, size_t stride) {
  tile_store(0, sums, 4 * stride);
  if (two_wide) tile_store(1, sums + TILE_SIDE, 4 * stride);
  if (two_high) tile_store(2, sums + TILE_SIDE * stride, 4 * stride);
  if (two_high && two_wide) tile_store(3, sums + TILE_SIDE * stride + TILE_SIDE, 4 * stride);
}

// One block of sums. The last k % 32 of A's rows and B's columns are copies, followed by zeros.
struct tile_block {
  size_t k;
  const uint16_t *a, *a_tail;
  size_t lda;
  const uint16_t *b, *b_tail;
  size_t width;  // columns of the panel
  const float *start;  // sums to add to; or null
  size_t start_stride;
  float *out;
  size_t out_stride;
};

TILED_INLINE void multiply_block(const bool two_high, const bool two_wide, const struct tile_block *x) {
  if (x->start) {
    load_sums(two_high, two_wide, x->start, x->start_stride);
  } else {
    tile_zero(0);
    if (two_wide) tile_zero(1);
    if (two_high) tile_zero(2);
    if (two_high && two_wide) tile_zero(3);
  }
  size_t a_stride = 2 * x->lda, b_stride = 4 * x->width;
  const char *a = (const char *)x->a, *b = (const char *)x->b;
  for (size_t step = x->k / STEP_K; step > 0; step--, a += 2 * STEP_K, b += TILE_SIDE * b_stride) {
    add_step(two_high, two_wide, a, a_stride, b, b_stride);
  }
  if (x->k % STEP_K) add_step(two_high, two_wide, (const char *)x->a_tail, 2 * STEP_K, (const char *)x->b_tail, b_stride);
  store_sums(two_high, two_wide, x->out, x->out_stride);
}

// See pg_provider. An element is the sum of its k in steps of 32, whatever the rows and columns beside it.
TILED static void multiply_panel(pg_dtype t, size_t rows, size_t width, size_t k, const void *left, size_t lda, const void *right,
                                 const void *next, float *sums, size_t stride, bool accumulate, const pg_finish *finish) {
  (void)t, (void)next;
  const uint16_t *a = left, *panel = right;
  _Alignas(64) uint16_t a_tail[BLOCK_SIDE * STEP_K], b_tail[STEP_K * PG_PANEL];
  _Alignas(64) float finished[BLOCK_SIDE * BLOCK_SIDE];
  k += k % 2;  // of an odd k, A and the panel have a 0 more
  size_t tail = k % STEP_K, whole = k - tail;
  if (tail) {
    memcpy(b_tail, panel + whole * width, tail * width * 2);
    memset(b_tail + tail * width, 0, (STEP_K - tail) * width * 2);
    memset(a_tail, 0, sizeof a_tail);
  }
  // Sums that need nothing but their place go there from the tiles.
  bool is_plain = finish && finish->t == PG_F32 && finish->alpha == 1 && finish->beta == 0 && !finish->bias;
  for (size_t i = 0; i < rows; i += BLOCK_SIDE) {
    size_t height = PG_MIN((size_t)BLOCK_SIDE, rows - i);
    configure_tiles(height);
    for (size_t r = 0; r < height && tail; r++) memcpy(a_tail + r * STEP_K, a + (i + r) * lda + whole, tail * 2);
    for (size_t j = 0; j < width; j += BLOCK_SIDE) {
      struct tile_block x = {k, a + i * lda, a_tail, lda, panel + 2 * j, b_tail + 2 * j, width, NULL, 0, finished, BLOCK_SIDE};
      if (accumulate) x.start = sums + i * stride + j, x.start_stride = stride;
      if (!finish) x.out = sums + i * stride + j, x.out_stride = stride;
      if (is_plain) x.out = (float *)finish->c + i * finish->stride + j, x.out_stride = finish->stride;
      bool two_high = height > TILE_SIDE, two_wide = width - j > TILE_SIDE;
      if (two_high && two_wide) multiply_block(true, true, &x);
      else if (two_high) multiply_block(true, false, &x);
      else if (two_wide) multiply_block(false, true, &x);
      else multiply_block(false, false, &x);
      if (!finish || is_plain) continue;
      pg_finish there = *finish;
      there.c = (char *)finish->c + (i * finish->stride + j) * pg_size(finish->t);
      if (finish->bias) there.bias = finish->bias + j;
      pg_finish_sums(height, PG_MIN((size_t)BLOCK_SIDE, width - j), finished, BLOCK_SIDE, &there, 1);
    }
  }
}
