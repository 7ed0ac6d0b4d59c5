// What the files of matrix products share, and the seam between them.
//
// A provider is one way to multiply: a row of functions and facts (pg_provider) in a file of its own (avx512.c, onednn.c,
// openblas.c). providers.c lists the rows and chooses one for each kind of product, or the one that PERIGEE_PRODUCTS names.
// matmul.c cuts products into blocks for the providers that have tiles. To add a provider, write its row and list it.
//
// A provider with tiles multiplies rows of A by a panel: up to 64 columns of B, [k][width] in fp32, or [k / 2][width][2] in
// bfloat16, which is what the instructions of AVX512-BF16 and AMX read. Rows of A lie one after another, k side by side. Every
// element of the result is one sum in the order of k, so that no result depends on how the work is cut.
#pragma once
#include "internal.h"

// Columns of B side by side.
enum { PG_PANEL = 64 };

// What becomes of finished sums: c = alpha sums + beta c + bias, in the type t.
typedef struct {
  pg_dtype t;
  void *c;
  size_t stride;
  const float *bias;  // or null
  float alpha, beta;
} pg_finish;

// y[m, n] = x[m, k] * a packed matrix (+ bias) (+ beta y).
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

enum { PG_EVERY_KIND = (1 << PG_PRODUCT_KINDS) - 1 };

typedef struct {
  const char *name;   // in PERIGEE_PRODUCTS
  const char *title;  // for people: "AVX-512"
  const char *needs;  // what the CPU or the build must have: the error where it is not there
  // The kinds that it multiplies on this CPU (as far as PERIGEE_CPU lets it) and in this build, a bit (1 << kind) for each; 0: it is
  // not there. Of those that are not, others take care.
  unsigned (*kinds)(void);
  // Those of them for which it may be chosen unasked: the first in providers.c is expected to be the fastest, and measuring (measure.c)
  // may find that another is. Null: it is taken only where PERIGEE_PRODUCTS names it.
  unsigned (*expected)(void);

  // ---- tiles; null: a library
  // What the tiles read in a precision, PG_F32 or PG_BF16. fp32 in bf16: the factors are rounded to bfloat16 and
  // multiplied in fp32.
  pg_dtype (*block_type)(pg_dtype precision);
  // sums[rows, width] (+)= a[rows, k] * panel, both in the type t. width: 16, 32, 48 or 64; k: even in bfloat16; lda, stride: elements
  // from one row to the next. With `finish`, the sums go from the registers to where that says, and `sums` is only read. `next`: the
  // panel that is multiplied then, as far as anybody knows; it is there, and may be brought nearer.
  void (*multiply_panel)(pg_dtype t, size_t rows, size_t width, size_t k, const void *a, size_t lda, const void *panel,
                         const void *next, float *sums, size_t stride, bool accumulate, const pg_finish *finish);
  // Called on the thread that multiplies before and after the panels of one piece of work: what a thread sets up for its tiles.
  // Null: nothing.
  void (*begin)(void), (*end)(void);

  // ---- a library
  // Frozen weights in its own layout, for products in bfloat16. The matrix has `rows` and `columns`; `w` holds it, or its transpose
  // unless `transposed`. Null: it packs none.
  void *(*pack)(const float *w, size_t rows, size_t columns, bool transposed, size_t *bytes);
  bool (*multiply_packed)(void *packed, const pg_packed_product *q);
  void (*free_packed)(void *packed);
  // pg_multiply with operands in fp32 and bfloat16.
  bool (*multiply)(pg_dtype precision, size_t m, size_t n, size_t k, double alpha, pg_factor a, pg_factor b, double beta,
                   pg_dtype c_type, void *c, size_t c_stride);
} pg_provider;

// ---- providers.c
const pg_provider *pg_provider_of(pg_product_kind kind);
// Whether PERIGEE_PRODUCTS names one.
bool pg_products_are_wished(void);
// The provider at a place of the table; null behind its end.
const pg_provider *pg_provider_at(size_t index);
// From now on this one multiplies that kind.
void pg_set_provider_of(pg_product_kind kind, const pg_provider *p);
// Whether it packs frozen weights.
bool pg_packs(const pg_provider *p);

// ---- the rows
extern const pg_provider pg_amx, pg_amx_emulated, pg_avx512, pg_avx512_fp32, pg_avx2, pg_onednn, pg_openblas;

// ---- cpu.c: what is wrong with PERIGEE_CPU; false: nothing
bool pg_cpu_mistake(pg_mistake *mistake);
// Ends the process with exit code 1 and a line that says so.
_Noreturn void pg_end_with(const pg_mistake *mistake);

// ---- matmul.c
// Elements of a factor, in the type and order that a block of a product needs.
void pg_load_block(const pg_factor *f, size_t row, size_t column, size_t rows, size_t columns, pg_dtype type, bool rounds,
                   void *out, size_t stride);

// sums[rows, columns], `width` from one row to the next, to where `f` says: columns of it are `step` elements apart. At most
// PG_PANEL columns.
void pg_finish_sums(size_t rows, size_t columns, const float *sums, size_t width, const pg_finish *f, size_t step);

// ---- avx512.c and avx2.c
// Lays out rows k0 ..< k0 + kb of a panel whose `width` columns all exist; returns how many rows it did, from the first: an even
// number. `rounds`: in fp32, the values of bfloat16.
size_t pg_fill_panel_avx512(pg_dtype t, const pg_factor *b, size_t k0, size_t kb, size_t first, size_t width, void *out);
size_t pg_fill_panel_avx2(pg_dtype t, bool rounds, const pg_factor *b, size_t k0, size_t kb, size_t first, size_t width, void *out);
// Sixteen rows of floats, `apart` elements from one to the next -> `rows` rows of 16 elements in the type t, `stride` apart. `rows` is a
// multiple of 16.
void pg_flip_strip_avx512(pg_dtype t, size_t rows, const float *strip, size_t apart, void *out, size_t stride);
void pg_flip_strip_avx2(pg_dtype t, size_t rows, const float *strip, size_t apart, void *out, size_t stride);

// ---- amx.c and amx_emulated.c
// What LDTILECFG reads: the rows of each tile and the bytes of a row.
struct pg_tile_config {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

// ---- openblas.c
// Operands of the type t alone.
PG_CHECKED bool pg_blas_multiply(pg_dtype t, size_t m, size_t n, size_t k, double alpha, pg_factor a, pg_factor b, double beta,
                                 void *c, size_t ldc);

// ---- onednn.c
bool pg_onednn_exists(void);
