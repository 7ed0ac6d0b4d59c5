// What the files of matrix products share: matmul.c (the seam), openblas.c, avx512.c, onednn.c.
#pragma once
#include "internal.h"

enum pg_provider { PG_TILES, PG_ONEDNN, PG_OPENBLAS };

// ---- avx512.c: blocks of products with AVX-512 tiles
enum { PG_PANEL = 64 };  // columns of B side by side
bool pg_has_avx512(void);
bool pg_has_avx512_bf16(void);
// What becomes of finished sums: c = alpha sums + beta c + bias, in the type t.
typedef struct {
  pg_dtype t;
  void *c;
  size_t stride;
  const float *bias;  // or null
  float alpha, beta;
} pg_finish;
// sums[rows, width] (+)= a[rows, k] * panel. width: 16, 32, 48 or 64; k: even in bfloat16; a: fp32 or bfloat16 as t says.
// With `finish`, the sums go from the registers to where that says, and `sums` is only read.
void pg_panel_multiply(pg_dtype t, size_t rows, size_t width, size_t k, const void *a, size_t lda, const void *panel,
                       float *sums, size_t stride, bool accumulate, const pg_finish *finish);

// Lays out rows k0 ..< k0 + kb of a panel whose `width` columns all exist; returns how many rows it did, from the first.
size_t pg_fill_panel_fast(pg_dtype t, const pg_factor *b, size_t k0, size_t kb, size_t first, size_t width, void *out);
// Sixteen rows of PG_PANEL floats -> PG_PANEL rows of 16 elements in the type t, `stride` apart.
void pg_flip_strip(pg_dtype t, const float *strip, void *out, size_t stride);

// ---- matmul.c
enum pg_provider pg_provider_of(pg_dtype precision);
// Elements of a factor, in the type and order that a block of a product needs.
void pg_load_block(const pg_factor *f, size_t row, size_t column, size_t rows, size_t columns, pg_dtype type,
                                 bool rounds, void *out, size_t stride);

// ---- openblas.c
// Operands of the type t alone.
PG_CHECKED bool pg_blas_multiply(pg_dtype t, size_t m, size_t n, size_t k, double alpha, pg_factor a, pg_factor b, double beta,
                                 void *c, size_t ldc);
// Operands of any type; copies in fp32 are made where they are needed.
PG_CHECKED bool pg_blas_multiply_any(pg_dtype precision, size_t m, size_t n, size_t k, double alpha, pg_factor a, pg_factor b,
                                     double beta, pg_dtype c_type, void *c, size_t c_stride);

// ---- onednn.c: packed products with oneDNN, on one thread for each chunk of rows
typedef struct {
  pg_dtype precision;
  size_t m, n, k;
  const void *x;
  pg_dtype x_type;
  size_t x_stride;
  const float *bias;
  double beta;
  void *y;
  pg_dtype y_type;
} pg_packed_product;
bool pg_onednn_exists(void);
bool pg_onednn_has_bf16(void);
bool pg_has_amx(void);
bool pg_onednn_sgemm(bool ta, bool tb, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda, const float *b,
                     size_t ldb, float beta, float *c, size_t ldc);
struct pg_onednn *pg_onednn_pack(const float *w, size_t rows, size_t columns, bool transposed, bool bf16, size_t *bytes);
PG_CHECKED bool pg_onednn_multiply(struct pg_onednn *p, const pg_packed_product *q);
void pg_onednn_free(struct pg_onednn *p);
