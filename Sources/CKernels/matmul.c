// The one seam for matrix products: C = alpha op(A) op(B) + beta C + bias, whatever the element types.
//
// Who multiplies a block is the provider's business (matmul.h).
//
// Rows of C are cut into chunks and its columns into groups, one item of the pool each. An item walks along k in
// blocks, and every element of C is one sum in the order of k, so that the result is the same however the work is cut.
#include "matmul.h"
#include <stdlib.h>

enum { CHUNK_ROWS = 96, GROUP_COLUMNS = 768, BLOCK_K = 768 };
// Multiplications of a product that threads share: the time that sharing takes.
enum { LEAST_SHARED = 1 << 19 };

// ---- operands in the type and order that a block needs --------------------------------------------------

static inline float element(const pg_factor *f, size_t row, size_t column) {
  size_t at = f->transposed ? column * f->stride + row : row * f->stride + column;
  return f->type == PG_BF16 ? pg_from_bf16(((const uint16_t *)f->data)[at]) : ((const float *)f->data)[at];
}

// Whether the AVX-512 functions lay out operands in a type.
static bool fills_avx512(pg_dtype type) { return pg_cpu_has(type == PG_BF16 ? PG_AVX512_BF16 : PG_AVX512); }

// op(f)[row.., column..] of rows x columns, row-major with `stride`, in `type`; columns beyond `columns` up to the stride
// are 0 where k was odd. `rounds`: through bfloat16, whatever the type.
PG_CLONES void pg_load_block(const pg_factor *f, size_t row, size_t column, size_t rows, size_t columns, pg_dtype type,
                                 bool rounds, void *out, size_t stride) {
  size_t size = pg_size(type);
  if (!f->transposed) {
    for (size_t i = 0; i < rows; i++) {
      const char *from = (const char *)f->data + ((row + i) * f->stride + column) * pg_size(f->type);
      char *to = (char *)out + i * stride * size;
      pg_convert(columns, f->type, from, type, to);
      if (rounds && type == PG_F32 && f->type == PG_F32) pg_round_to_bf16(columns, (float *)to);
      if (stride > columns) memset(to + columns * size, 0, (stride - columns) * size);
    }
    return;
  }
  // A transposed operand is read along its rows, sixteen at a time, so that reads and writes stay in the cache.
  enum { STRIP = 16 };
  float strip[STRIP][PG_PANEL];
  for (size_t j0 = 0; j0 < columns; j0 += STRIP) {
    size_t width = PG_MIN(STRIP, columns - j0);
    for (size_t i0 = 0; i0 < rows; i0 += PG_PANEL) {
      size_t height = PG_MIN(PG_PANEL, rows - i0), apart = PG_PANEL;
      const float *from = strip[0];
      bool flips = width == STRIP && height % STRIP == 0 && pg_cpu_has(PG_AVX2);
      if (flips && f->type == PG_F32 && !(rounds && type == PG_F32)) {
        // What needs no conversion is turned from where it lies.
        from = (const float *)f->data + (column + j0) * f->stride + row + i0, apart = f->stride;
      } else {
        for (size_t j = 0; j < width; j++) {
          const char *line = (const char *)f->data + ((column + j0 + j) * f->stride + row + i0) * pg_size(f->type);
          pg_convert(height, f->type, line, PG_F32, strip[j]);
          if (rounds && type == PG_F32 && f->type == PG_F32) pg_round_to_bf16(height, strip[j]);
        }
      }
      if (flips) {
        void *to = (char *)out + (i0 * stride + j0) * size;
        if (fills_avx512(type)) pg_flip_strip_avx512(type, height, from, apart, to, stride);
        else pg_flip_strip_avx2(type, height, from, apart, to, stride);
      } else if (type == PG_BF16) {
        uint16_t *to = (uint16_t *)out + i0 * stride + j0;
        for (size_t i = 0; i < height; i++) {
          for (size_t j = 0; j < width; j++) to[i * stride + j] = pg_to_bf16(strip[j][i]);
        }
      } else {
        float *to = (float *)out + i0 * stride + j0;
        for (size_t i = 0; i < height; i++) {
          for (size_t j = 0; j < width; j++) to[i * stride + j] = strip[j][i];
        }
      }
    }
  }
  for (size_t i = 0; i < rows && stride > columns; i++) {
    memset((char *)out + (i * stride + columns) * size, 0, (stride - columns) * size);
  }
}

struct read_args {
  pg_factor matrix;
  size_t columns;
  float *out;
};
static void read_rows(void *context, size_t begin, size_t end) {
  const struct read_args *a = context;
  pg_load_block(&a->matrix, begin, 0, end - begin, a->columns, PG_F32, false, a->out + begin * a->columns, a->columns);
}
void pg_read_matrix(pg_factor matrix, size_t rows, size_t columns, float *out) {
  PG_TIMED(PG_KIND_COPIES);
  struct read_args a = {matrix, columns, out};
  pg_parallel_for(rows, PG_PANEL, read_rows, &a);
}

// ---- panels of B ------------------------------------------------------------------------------------

static size_t padded_k(size_t k) { return (k + 1) / 2 * 2; }
static size_t panel_width(size_t n, size_t panel) { return PG_MIN((size_t)PG_PANEL, (n - panel * PG_PANEL + 15) / 16 * 16); }

static size_t panels_bytes(pg_dtype type, size_t k, size_t n) { return padded_k(k) * ((n + 15) / 16 * 16) * pg_size(type); }

// Rows k0 ..< k0 + kb of one panel: [kb][width] in fp32, [kb / 2][width][2] in bfloat16; rows and columns beyond the matrix
// are 0.
PG_CLONES static void fill_block(const pg_factor *b, size_t k0, size_t kb, size_t k_end, size_t first, size_t count,
                                 size_t width, pg_dtype type, bool rounds, void *out) {
  size_t done = 0;
  if (count == width && (!rounds || b->type == PG_BF16) && fills_avx512(type)) {
    done = pg_fill_panel_avx512(type, b, k0, kb, first, width, out);
  }
  if (count == width && done == 0 && pg_cpu_has(PG_AVX2)) done = pg_fill_panel_avx2(type, rounds, b, k0, kb, first, width, out);
  for (size_t k = done; k < padded_k(kb); k += 2) {
    float pair[2][PG_PANEL] = {{0}};
    for (size_t r = 0; r < 2 && k0 + k + r < k_end; r++) {
      if (b->transposed) {
        for (size_t j = 0; j < count; j++) pair[r][j] = element(b, k0 + k + r, first + j);
      } else {
        pg_convert(count, b->type, (const char *)b->data + ((k0 + k + r) * b->stride + first) * pg_size(b->type), PG_F32, pair[r]);
      }
    }
    if (type == PG_BF16) {
      uint16_t *to = (uint16_t *)out + k * width;
      for (size_t j = 0; j < width; j++) to[2 * j] = pg_to_bf16(pair[0][j]), to[2 * j + 1] = pg_to_bf16(pair[1][j]);
    } else {
      float *to = (float *)out + k * width;
      if (rounds) pg_round_to_bf16(PG_PANEL, pair[0]), pg_round_to_bf16(PG_PANEL, pair[1]);
      memcpy(to, pair[0], width * 4), memcpy(to + width, pair[1], width * 4);
    }
  }
}

struct panels_args {
  const pg_factor *b;
  const pg_quantized *quantized;  // b's elements, where b has none
  size_t k, n;
  pg_dtype type;
  bool rounds;
  char *out;
  atomic_bool failed;  // a thread had no working memory
};

// Columns first ..< first + count of a quantized B.
static pg_factor dequantized_columns(const struct panels_args *a, size_t first, size_t count, float *out) {
  if (a->b->transposed) {
    pg_dequantize_run(a->quantized, first * a->k, count * a->k, out);
    return (pg_factor){out, PG_F32, true, a->k};
  }
  for (size_t row = 0; row < a->k; row++) pg_dequantize_run(a->quantized, row * a->b->stride + first, count, out + row * count);
  return (pg_factor){out, PG_F32, false, count};
}

static void fill_panels(void *context, size_t begin, size_t end) {
  struct panels_args *a = context;
  size_t bytes = a->quantized ? a->k * PG_PANEL * sizeof(float) : 0;
  float *scratch = bytes ? pg_allocate(bytes) : NULL;
  if (bytes && !scratch) {
    a->failed = true;
    return;
  }
  for (size_t panel = begin; panel < end; panel++) {
    size_t first = panel * PG_PANEL, width = panel_width(a->n, panel), count = PG_MIN(width, a->n - first);
    pg_factor b = scratch ? dequantized_columns(a, first, count, scratch) : *a->b;
    fill_block(&b, 0, a->k, a->k, scratch ? 0 : first, count, width, a->type, a->rounds,
               a->out + first * padded_k(a->k) * pg_size(a->type));
  }
  if (scratch) pg_free(scratch, bytes);
}

static bool lay_out_panels(pg_dtype type, bool rounds, size_t k, size_t n, const pg_factor *b, const pg_quantized *quantized,
                           void *out) {
  struct panels_args a = {b, quantized, k, n, type, rounds, out, false};
  pg_parallel_for((n + PG_PANEL - 1) / PG_PANEL, 1, fill_panels, &a);
  return !a.failed;
}

// ---- the product ------------------------------------------------------------------------------------

struct product {
  const pg_provider *provider;
  pg_dtype precision, type;  // what was asked for, and what blocks are multiplied in
  size_t m, n, k, groups;
  double alpha, beta;
  pg_factor a, b;
  const char *panels;  // of B; null: every block of it is used once, and laid out when it is
  const float *bias;
  pg_dtype c_type;
  char *c;
  size_t c_stride;
  bool swapped;  // the block computes C's transpose
  atomic_bool failed;  // a thread had no working memory
};

PG_CLONES void pg_finish_sums(size_t rows, size_t columns, const float *sums, size_t width, const pg_finish *f, size_t step) {
  static const float no_bias[PG_PANEL];
  const float alpha = f->alpha, beta = f->beta, *restrict bias = f->bias ? f->bias : no_bias;
  for (size_t i = 0; i < rows; i++) {
    const float *restrict from = sums + i * width;
    if (f->t == PG_BF16) {
      uint16_t *restrict c = (uint16_t *)f->c + i * f->stride;
      if (beta != 0) {
        for (size_t j = 0; j < columns; j++) c[j * step] = pg_to_bf16(alpha * from[j] + bias[j] + beta * pg_from_bf16(c[j * step]));
      } else if (step == 1) {
        for (size_t j = 0; j < columns; j++) c[j] = pg_to_bf16(alpha * from[j] + bias[j]);
      } else {
        for (size_t j = 0; j < columns; j++) c[j * step] = pg_to_bf16(alpha * from[j] + bias[j]);
      }
    } else {
      float *restrict c = (float *)f->c + i * f->stride;
      if (beta != 0) {
        for (size_t j = 0; j < columns; j++) c[j * step] = alpha * from[j] + bias[j] + beta * c[j * step];
      } else if (step == 1) {
        for (size_t j = 0; j < columns; j++) c[j] = alpha * from[j] + bias[j];
      } else {
        for (size_t j = 0; j < columns; j++) c[j * step] = alpha * from[j] + bias[j];
      }
    }
  }
}

// Whether a block holds values in fp32 that were rounded to bfloat16.
static bool rounds(const struct product *p) { return p->precision == PG_BF16 && p->type == PG_F32; }

// Rows of A as the block needs them: in place where they are so already.
static const void *left_block(const struct product *p, size_t row, size_t count, size_t k0, size_t kb, void *scratch,
                              size_t *stride) {
  const pg_factor *a = &p->a;
  bool fits = !a->transposed && a->type == p->type && !rounds(p) && !(p->type == PG_BF16 && p->k % 2);
  if (fits) {
    *stride = a->stride;
    return (const char *)a->data + (row * a->stride + k0) * pg_size(a->type);
  }
  *stride = padded_k(kb);
  pg_load_block(a, row, k0, count, kb, p->type, rounds(p), scratch, *stride);
  return scratch;
}

static pg_finish finish_at(const struct product *p, size_t row, size_t column) {
  size_t at = p->swapped ? column * p->c_stride + row : row * p->c_stride + column;
  return (pg_finish){p->c_type, p->c + at * pg_size(p->c_type), p->swapped ? 1 : p->c_stride, p->bias ? p->bias + column : NULL,
                     (float)p->alpha, (float)p->beta};
}

// Rows k0.. of a laid-out panel.
static const char *packed_block(const struct product *p, size_t panel, size_t k0) {
  return p->panels + (panel * PG_PANEL * padded_k(p->k) + k0 * panel_width(p->n, panel)) * pg_size(p->type);
}
// What is multiplied behind it, as panels and then blocks along k follow each other; at the end of an item, where the next one is likely to
// begin.
static const char *next_block(const struct product *p, size_t panel, size_t first, size_t last, size_t k0) {
  if (panel + 1 < last) return packed_block(p, panel + 1, k0);
  if (k0 + BLOCK_K < p->k) return packed_block(p, first, k0 + BLOCK_K);
  return packed_block(p, last * PG_PANEL < p->n ? last : panel, 0);
}

static void multiply_item(void *context, size_t begin, size_t end) {
  struct product *p = context;
  size_t panels = (p->n + PG_PANEL - 1) / PG_PANEL, each = (panels + p->groups - 1) / p->groups;
  bool is_short = p->k <= BLOCK_K;  // sums are finished after one block
  size_t most = PG_MIN(CHUNK_ROWS, p->m), width = is_short ? PG_PANEL : each * PG_PANEL, size = pg_size(p->type);
  size_t block_k = padded_k(PG_MIN((size_t)BLOCK_K, p->k)), sums_bytes = most * width * sizeof(float);
  size_t left_bytes = (most * block_k * size + 63) / 64 * 64, right_bytes = p->panels ? 0 : PG_PANEL * block_k * size;
  size_t bytes = sums_bytes + left_bytes + right_bytes;
  float *sums = pg_take_scratch(bytes);
  if (!sums) {
    p->failed = true;
    return;
  }
  void *scratch = (char *)sums + sums_bytes, *block = (char *)scratch + left_bytes;
  size_t chunks = (p->m + CHUNK_ROWS - 1) / CHUNK_ROWS;
  if (p->provider->begin) p->provider->begin();
  for (size_t item = begin; item < end; item++) {
    // The larger operand is read once: threads go over its parts in order, and those of the smaller one stay in a cache.
    size_t chunk = p->m < p->n ? item % chunks : item / p->groups, group = p->m < p->n ? item / chunks : item % p->groups;
    size_t row = chunk * CHUNK_ROWS, rows = PG_MIN(CHUNK_ROWS, p->m - row);
    size_t first = group * each, last = PG_MIN(panels, first + each);
    for (size_t k0 = 0; k0 < p->k; k0 += BLOCK_K) {
      size_t kb = PG_MIN(BLOCK_K, p->k - k0), stride;
      const void *left = left_block(p, row, rows, k0, kb, scratch, &stride);
      for (size_t panel = first; panel < last; panel++) {
        size_t column = panel * PG_PANEL, w = panel_width(p->n, panel), columns = PG_MIN(w, p->n - column);
        float *c = is_short ? sums : sums + (panel - first) * PG_PANEL;
        const void *right = block, *next = block;
        if (p->panels) right = packed_block(p, panel, k0), next = next_block(p, panel, first, last, k0);
        else fill_block(&p->b, k0, kb, p->k, column, columns, w, p->type, rounds(p), block);
        bool is_last = k0 + kb == p->k, is_direct = is_last && columns == w && !p->swapped;
        pg_finish finish = finish_at(p, row, column);
        p->provider->multiply_panel(p->type, rows, w, kb, left, stride, right, next, c, width, k0 > 0, is_direct ? &finish : NULL);
        if (is_last && !is_direct) pg_finish_sums(rows, columns, c, width, &finish, p->swapped ? p->c_stride : 1);
      }
    }
  }
  if (p->provider->end) p->provider->end();
  pg_give_scratch(sums, bytes);
}

// Enough items for the threads: few rows are cut by columns too. What one thread has done before another has begun stays with it.
static bool run_tiles(struct product *p) {
  bool is_small = p->m * p->n * p->k < LEAST_SHARED;
  size_t panels = (p->n + PG_PANEL - 1) / PG_PANEL, chunks = (p->m + CHUNK_ROWS - 1) / CHUNK_ROWS;
  size_t widest = (panels * PG_PANEL + GROUP_COLUMNS - 1) / GROUP_COLUMNS;
  size_t wanted = chunks < 8 && !pg_is_inside() && !is_small ? PG_MIN(panels, (16 + chunks - 1) / chunks) : 1;
  p->groups = PG_MAX(widest, wanted);
  size_t each = (panels + p->groups - 1) / p->groups;
  p->groups = (panels + each - 1) / each;
  if (is_small) multiply_item(p, 0, chunks * p->groups);
  else pg_parallel_for(chunks * p->groups, 1, multiply_item, p);
  return !p->failed;
}

static bool multiply_panels(const pg_provider *provider, const pg_packed_product *q, const void *panels) {
  pg_dtype type = provider->block_type(q->precision);
  // Where rows of x end in a 0, an odd k is as good as an even one: so do the panels.
  size_t k = type == PG_BF16 && q->x_stride > q->k ? padded_k(q->k) : q->k;
  struct product p = {.provider = provider, .precision = q->precision, .type = type, .m = q->m, .n = q->n, .k = k,
                      .alpha = 1, .beta = q->beta, .a = {q->x, q->x_type, false, q->x_stride}, .panels = panels, .bias = q->bias,
                      .c_type = q->y_type, .c = q->y, .c_stride = q->n};
  return run_tiles(&p);
}

// ---- the seam ---------------------------------------------------------------------------------------

static void scale_rows(pg_dtype t, size_t m, size_t n, double beta, void *c, size_t stride) {
  for (size_t i = 0; i < m; i++) {
    char *row = (char *)c + i * stride * pg_size(t);
    // beta 0 must not read C: it may be uninitialised.
    if (beta == 0) memset(row, 0, n * pg_size(t));
    else pg_scale(t, n, beta, row, 0, row);
  }
}

bool pg_multiply(pg_dtype precision, size_t m, size_t n, size_t k, double alpha, pg_factor a, pg_factor b, double beta,
                 pg_dtype c_type, void *c, size_t c_stride) {
  PG_TIMED_WORK(PG_KIND_PRODUCTS, 2.0 * (double)m * (double)n * (double)k);
  if (m == 0 || n == 0) return true;
  if (k == 0) return scale_rows(c_type, m, n, beta, c, c_stride), true;
  if (precision == PG_F64) return pg_blas_multiply(PG_F64, m, n, k, alpha, a, b, beta, c, c_stride);
  const pg_provider *provider = pg_provider_of(precision == PG_BF16 ? PG_PLAIN_BF16 : PG_FP32);
  if (provider->multiply) return provider->multiply(precision, m, n, k, alpha, a, b, beta, c_type, c, c_stride);
  struct product p = {.provider = provider, .precision = precision, .type = provider->block_type(precision), .m = m, .n = n,
                      .k = k, .alpha = alpha, .beta = beta, .a = a, .b = b, .c_type = c_type, .c = c, .c_stride = c_stride};
  // A long and narrow result whose large operand is transposed is computed as its transpose, which reads that operand as
  // it lies.
  if (PG_MIN(m, n) < 48 && (m < n ? b.transposed : a.transposed)) {
    p.swapped = true, p.m = n, p.n = m;
    p.a = (pg_factor){b.data, b.type, !b.transposed, b.stride}, p.b = (pg_factor){a.data, a.type, !a.transposed, a.stride};
  }
  if (p.m <= CHUNK_ROWS) return run_tiles(&p);
  size_t bytes = panels_bytes(p.type, k, p.n);
  void *panels = pg_take_scratch(bytes);
  if (!panels) return false;
  p.panels = panels;
  bool done = lay_out_panels(p.type, rounds(&p), k, p.n, &p.b, NULL, panels) && run_tiles(&p);
  pg_give_scratch(panels, bytes);
  return done;
}

bool pg_gemm(pg_dtype t, bool ta, bool tb, size_t m, size_t n, size_t k, double alpha, const void *a, size_t lda,
             const void *b, size_t ldb, double beta, void *c, size_t ldc) {
  return pg_multiply(t, m, n, k, alpha, (pg_factor){a, t, ta, lda}, (pg_factor){b, t, tb, ldb}, beta, t, c, ldc);
}

// ---- frozen matrices ----------------------------------------------------------------------------------

struct pg_packed {
  const pg_provider *provider;
  pg_dtype precision;
  size_t rows, columns, bytes;
  void *panels;   // for tiles
  void *library;  // else
};

// By a library, which reads elements in fp32.
static void pack_elements(pg_packed *p, const pg_factor *w, const pg_quantized *quantized, size_t out, size_t in, bool transposed) {
  bool is_plain = w && w->type == PG_F32 && !w->transposed;
  float *plain = is_plain ? NULL : pg_allocate(out * in * sizeof(float));
  if (plain && w) pg_read_matrix(*w, out, in, plain);
  else if (plain) pg_dequantize_4bit(quantized, out * in, plain);
  const float *elements = is_plain ? w->data : plain;
  if (elements) p->library = p->provider->pack(elements, p->rows, p->columns, transposed, &p->bytes);
  if (plain) pg_free(plain, out * in * sizeof(float));
}

static void pack_panels(pg_packed *p, const pg_factor *w, const pg_quantized *quantized, size_t in, bool transposed) {
  pg_dtype type = p->provider->block_type(p->precision);
  pg_factor b = w ? *w : (pg_factor){NULL, PG_F32, false, in};
  b.transposed = b.transposed != !transposed;
  p->bytes = panels_bytes(type, p->rows, p->columns);
  p->panels = quantized ? pg_allocate(p->bytes) : pg_allocate_lasting(p->bytes);
  if (p->panels && !lay_out_panels(type, p->precision == PG_BF16, p->rows, p->columns, &b, quantized, p->panels)) {
    pg_free(p->panels, p->bytes);
    p->panels = NULL;
  }
}

// The matrix `w`, or the quantized one.
static pg_packed *pack(const pg_factor *w, const pg_quantized *quantized, size_t out, size_t in, bool transposed, bool bf16) {
  const pg_provider *provider = pg_provider_of(bf16 ? PG_PACKED_BF16 : PG_FP32);
  if (out == 0 || in == 0 || !pg_packs(provider)) return NULL;
  pg_packed *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  p->provider = provider, p->precision = bf16 ? PG_BF16 : PG_F32;
  p->rows = transposed ? out : in, p->columns = transposed ? in : out;
  if (provider->multiply_panel) pack_panels(p, w, quantized, in, transposed);
  else pack_elements(p, w, quantized, out, in, transposed);
  if (p->panels || p->library) return p;
  return free(p), NULL;
}

pg_packed *pg_pack(pg_factor w, size_t out, size_t in, bool transposed, bool bf16) {
  PG_TIMED(PG_KIND_COPIES);
  return pack(&w, NULL, out, in, transposed, bf16);
}

pg_packed *pg_pack_4bit(const pg_quantized *w, size_t out, size_t in, bool transposed, bool bf16) {
  PG_TIMED(PG_KIND_COPIES);
  return pack(NULL, w, out, in, transposed, bf16);
}

size_t pg_packed_bytes(const pg_packed *p) { return p->bytes; }

void pg_packed_free(pg_packed *p) {
  if (!p) return;
  if (p->panels) pg_free(p->panels, p->bytes);
  if (p->library) p->provider->free_packed(p->library);
  free(p);
}

bool pg_packed_multiply(pg_packed *p, size_t m, pg_dtype x_type, const void *x, size_t x_stride, const float *bias, double beta,
                        pg_dtype y_type, void *y) {
  PG_TIMED_WORK(PG_KIND_PRODUCTS, 2.0 * (double)m * (double)p->rows * (double)p->columns);
  if (m == 0) return true;
  pg_packed_product q = {.precision = p->precision, .m = m, .n = p->columns, .k = p->rows, .x = x, .x_type = x_type,
                         .x_stride = x_stride, .bias = bias, .beta = beta, .y = y, .y_type = y_type};
  return p->library ? p->provider->multiply_packed(p->library, &q) : multiply_panels(p->provider, &q, p->panels);
}
