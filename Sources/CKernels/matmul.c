#include "internal.h"
#include <cblas.h>
#ifdef PERIGEE_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#endif

// One product of a chunk, on the calling thread alone.
static void product(pg_dtype t, bool ta, bool tb, size_t m, size_t n, size_t k, double alpha, const void *a, size_t lda,
                    const void *b, size_t ldb, double beta, void *c, size_t ldc) {
  CBLAS_TRANSPOSE op_a = ta ? CblasTrans : CblasNoTrans, op_b = tb ? CblasTrans : CblasNoTrans;
  if (t == PG_F64) {
    cblas_dgemm(CblasRowMajor, op_a, op_b, (int)m, (int)n, (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
    return;
  }
#ifdef PERIGEE_ONEDNN
  if (dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', (dnnl_dim_t)m, (dnnl_dim_t)n, (dnnl_dim_t)k, (float)alpha, a,
                 (dnnl_dim_t)lda, b, (dnnl_dim_t)ldb, (float)beta, c, (dnnl_dim_t)ldc) == dnnl_success) {
    return;
  }
#endif
  cblas_sgemm(CblasRowMajor, op_a, op_b, (int)m, (int)n, (int)k, (float)alpha, a, (int)lda, b, (int)ldb, (float)beta, c,
              (int)ldc);
}

struct gemm_args {
  pg_dtype t;
  bool ta, tb, by_rows;
  size_t n, m, k, lda, ldb, ldc;
  double alpha, beta;
  const char *a, *b;
  char *c;
};

static void gemm_range(void *context, size_t begin, size_t end) {
  const struct gemm_args *g = context;
  size_t size = g->t == PG_F32 ? 4 : 8;
  if (g->by_rows) {
    product(g->t, g->ta, g->tb, end - begin, g->n, g->k, g->alpha, g->a + begin * (g->ta ? 1 : g->lda) * size, g->lda,
            g->b, g->ldb, g->beta, g->c + begin * g->ldc * size, g->ldc);
  } else {
    product(g->t, g->ta, g->tb, g->m, end - begin, g->k, g->alpha, g->a, g->lda,
            g->b + begin * (g->tb ? g->ldb : 1) * size, g->ldb, g->beta, g->c + begin * size, g->ldc);
  }
}

void pg_gemm(pg_dtype t, bool ta, bool tb, size_t m, size_t n, size_t k, double alpha, const void *a, size_t lda,
             const void *b, size_t ldb, double beta, void *c, size_t ldc) {
  if (m == 0 || n == 0) return;
  struct gemm_args g = {t, ta, tb, m >= n, n, m, k, lda, ldb, ldc, alpha, beta, a, b, c};
  if (k == 0) {
    for (size_t i = 0; i < m; i++) {
      char *row = (char *)c + i * ldc * (t == PG_F32 ? 4 : 8);
      // beta 0 must not read C: it may be uninitialised.
      if (beta == 0) pg_fill(t, n, 0, row);
      else pg_scale(t, n, beta, row, 0, row);
    }
    return;
  }
  pg_threads();
  // Chunks of about four million multiplications along the longer side, in multiples of 32.
  size_t length = PG_MAX(m, n), other = PG_MIN(m, n) * k;
  size_t chunk = (4000000 / other + 31) / 32 * 32;
  pg_parallel_for(length, PG_MAX(chunk, (size_t)32), gemm_range, &g);
}

#ifndef PERIGEE_ONEDNN

bool pg_has_onednn(void) { return false; }
bool pg_has_bf16(void) { return false; }
pg_packed *pg_pack(const float *w, size_t out, size_t in, bool transposed, bool bf16) {
  (void)w, (void)out, (void)in, (void)transposed, (void)bf16;
  return NULL;
}
size_t pg_packed_bytes(const pg_packed *p) { return (void)p, (size_t)0; }
void pg_packed_multiply(pg_packed *p, size_t m, const float *x, const float *bias, float *y) {
  (void)p, (void)m, (void)x, (void)bias, (void)y;
}
void pg_packed_free(pg_packed *p) { (void)p; }

#else

#include <pthread.h>
#include <stdlib.h>

// oneDNN 2 passes memory descriptors by value and builds primitives from operation descriptors; oneDNN 3 hands
// out opaque descriptors. These few functions are all that differs.
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t md_t;
typedef const_dnnl_memory_desc_t md_ref;
static bool make_md(md_t *md, const dnnl_dims_t dims, int n, dnnl_data_type_t type, dnnl_format_tag_t tag) {
  return dnnl_memory_desc_create_with_tag(md, n, dims, type, tag) == dnnl_success;
}
static md_ref ref(const md_t *md) { return *md; }
static void free_md(md_t *md) { dnnl_memory_desc_destroy(*md); }
static bool copy_md(md_t *to, md_ref from) { return dnnl_memory_desc_clone(to, from) == dnnl_success; }
static bool make_matmul(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const md_t *src, const md_t *weights,
                        const md_t *bias, const md_t *dst, dnnl_primitive_attr_t attr) {
  return dnnl_matmul_primitive_desc_create(pd, engine, *src, *weights, bias ? *bias : NULL, *dst, attr) == dnnl_success;
}
#else
typedef dnnl_memory_desc_t md_t;
typedef const dnnl_memory_desc_t *md_ref;
static bool make_md(md_t *md, const dnnl_dims_t dims, int n, dnnl_data_type_t type, dnnl_format_tag_t tag) {
  return dnnl_memory_desc_init_by_tag(md, n, dims, type, tag) == dnnl_success;
}
static md_ref ref(const md_t *md) { return md; }
static void free_md(md_t *md) { (void)md; }
static bool copy_md(md_t *to, md_ref from) { return *to = *from, true; }
static bool make_matmul(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const md_t *src, const md_t *weights,
                        const md_t *bias, const md_t *dst, dnnl_primitive_attr_t attr) {
  dnnl_matmul_desc_t d;
  return dnnl_matmul_desc_init(&d, src, weights, bias, dst) == dnnl_success
         && dnnl_primitive_desc_create(pd, &d, attr, engine, NULL) == dnnl_success;
}
#endif

// Rows of x per product. Fixed, so that every result is the same for any number of threads, and so that few
// primitives exist: whole chunks, and one per multiple of STEP for the last one.
enum { ROWS = 256, STEP = 32, SIZES = ROWS / STEP };

struct primitive {
  dnnl_primitive_t matmul;
  md_t src, dst;
  size_t scratch_bytes;
};

struct pg_packed {
  bool bf16;
  size_t rows, columns;  // of the packed matrix
  md_t weights;
  void *data;
  size_t bytes;
  struct primitive primitives[2][SIZES];  // [has bias][m / STEP - 1]
  md_t bias;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static dnnl_engine_t engine;
static dnnl_primitive_attr_t attributes;
static _Thread_local dnnl_stream_t stream;

bool pg_has_onednn(void) { return true; }

bool pg_has_bf16(void) {
#ifdef __x86_64__
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

static bool prepare_engine(void) {
  pg_threads();
  if (engine) return true;
  return dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success
         && dnnl_primitive_attr_create(&attributes) == dnnl_success
         && dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) == dnnl_success;
}

static dnnl_stream_t own_stream(void) {
  if (!stream) dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
  return stream;
}

// The primitive for a number of rows; weights may still have the format "any", for the first one.
static bool make_primitive(const pg_packed *p, size_t m, bool bias, const md_t *weights, struct primitive *out,
                           dnnl_primitive_desc_t *keep) {
  dnnl_data_type_t type = p->bf16 ? dnnl_bf16 : dnnl_f32;
  dnnl_dims_t src = {(dnnl_dim_t)m, (dnnl_dim_t)p->rows}, dst = {(dnnl_dim_t)m, (dnnl_dim_t)p->columns};
  dnnl_primitive_desc_t pd;
  if (!make_md(&out->src, src, 2, type, dnnl_ab) || !make_md(&out->dst, dst, 2, dnnl_f32, dnnl_ab)) return false;
  if (!make_matmul(&pd, engine, &out->src, weights, bias ? &p->bias : NULL, &out->dst, attributes)) return false;
  bool ok = dnnl_primitive_create(&out->matmul, pd) == dnnl_success;
  md_ref scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
  out->scratch_bytes = scratch ? dnnl_memory_desc_get_size(scratch) : 0;
  if (keep) *keep = pd;
  else dnnl_primitive_desc_destroy(pd);
  return ok;
}

static bool reorder_weights(pg_packed *p, const float *w, bool transposed) {
  dnnl_dims_t dims = {(dnnl_dim_t)p->rows, (dnnl_dim_t)p->columns};
  md_t plain;
  dnnl_primitive_desc_t pd;
  dnnl_primitive_t reorder;
  dnnl_memory_t from, to;
  if (!make_md(&plain, dims, 2, dnnl_f32, transposed ? dnnl_ab : dnnl_ba)) return false;
  if (dnnl_reorder_primitive_desc_create(&pd, ref(&plain), engine, ref(&p->weights), engine, NULL) != dnnl_success) return false;
  if (dnnl_primitive_create(&reorder, pd) != dnnl_success) return false;
  dnnl_memory_create(&from, ref(&plain), engine, (void *)w);
  dnnl_memory_create(&to, ref(&p->weights), engine, p->data);
  dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
  bool ok = dnnl_primitive_execute(reorder, own_stream(), 2, args) == dnnl_success && dnnl_stream_wait(own_stream()) == dnnl_success;
  dnnl_memory_destroy(from), dnnl_memory_destroy(to);
  dnnl_primitive_destroy(reorder), dnnl_primitive_desc_destroy(pd);
  free_md(&plain);
  return ok;
}

pg_packed *pg_pack(const float *w, size_t out, size_t in, bool transposed, bool bf16) {
  pthread_mutex_lock(&lock);
  bool ready = prepare_engine();
  pthread_mutex_unlock(&lock);
  if (!ready || out == 0 || in == 0) return NULL;
  pg_packed *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  p->bf16 = bf16, p->rows = transposed ? out : in, p->columns = transposed ? in : out;
  dnnl_dims_t dims = {(dnnl_dim_t)p->rows, (dnnl_dim_t)p->columns}, bias_dims = {1, (dnnl_dim_t)p->columns};
  md_t any;
  dnnl_primitive_desc_t pd = NULL;
  bool ok = make_md(&any, dims, 2, bf16 ? dnnl_bf16 : dnnl_f32, dnnl_format_tag_any)
            && make_md(&p->bias, bias_dims, 2, dnnl_f32, dnnl_ab)
            && make_primitive(p, ROWS, false, &any, &p->primitives[0][SIZES - 1], &pd)
            && copy_md(&p->weights, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0));
  if (ok) {
    p->bytes = dnnl_memory_desc_get_size(ref(&p->weights));
    p->data = pg_allocate(p->bytes);
    ok = p->data && reorder_weights(p, w, transposed);
  }
  if (pd) dnnl_primitive_desc_destroy(pd);
  if (ok) return p;
  pg_packed_free(p);
  return NULL;
}

size_t pg_packed_bytes(const pg_packed *p) { return p->bytes; }

void pg_packed_free(pg_packed *p) {
  if (!p) return;
  for (int b = 0; b < 2; b++) {
    for (int i = 0; i < SIZES; i++) {
      if (!p->primitives[b][i].matmul) continue;
      dnnl_primitive_destroy(p->primitives[b][i].matmul);
      free_md(&p->primitives[b][i].src), free_md(&p->primitives[b][i].dst);
    }
  }
  if (p->data) pg_free(p->data, p->bytes), free_md(&p->weights);
  free(p);
}

static struct primitive *primitive_for(pg_packed *p, size_t m, bool bias) {
  struct primitive *primitive = &p->primitives[bias][(m + STEP - 1) / STEP - 1];
  pthread_mutex_lock(&lock);
  if (!primitive->matmul) make_primitive(p, (m + STEP - 1) / STEP * STEP, bias, &p->weights, primitive, NULL);
  pthread_mutex_unlock(&lock);
  return primitive;
}

struct packed_args {
  pg_packed *p;
  const float *x, *bias;
  float *y;
  struct primitive *whole, *last;
  size_t m;
};

static void packed_range(void *context, size_t begin, size_t end) {
  const struct packed_args *a = context;
  pg_packed *p = a->p;
  size_t m = end - begin, padded = (m + STEP - 1) / STEP * STEP;
  struct primitive *primitive = m == ROWS ? a->whole : a->last;
  const float *x = a->x + begin * p->rows;
  float *y = a->y + begin * p->columns;
  // The last chunk is padded to a multiple of STEP rows, in buffers of its own.
  size_t x_bytes = p->bf16 ? padded * p->rows * 2 : padded != m ? padded * p->rows * 4 : 0;
  size_t y_bytes = padded != m ? padded * p->columns * 4 : 0;
  void *x_copy = x_bytes ? pg_allocate(x_bytes) : NULL, *y_copy = y_bytes ? pg_allocate(y_bytes) : NULL;
  void *scratch = primitive->scratch_bytes ? pg_allocate(primitive->scratch_bytes) : NULL;
  if (p->bf16) {
    pg_f32_to_bf16(m * p->rows, x, x_copy);
    memset((uint16_t *)x_copy + m * p->rows, 0, (padded - m) * p->rows * 2);
  } else if (x_copy) {
    memcpy(x_copy, x, m * p->rows * 4);
    memset((float *)x_copy + m * p->rows, 0, (padded - m) * p->rows * 4);
  }
  dnnl_memory_t src, weights, dst, bias = NULL, scratchpad = NULL;
  dnnl_memory_create(&src, ref(&primitive->src), engine, x_copy ? x_copy : (void *)x);
  dnnl_memory_create(&weights, ref(&p->weights), engine, p->data);
  dnnl_memory_create(&dst, ref(&primitive->dst), engine, y_copy ? y_copy : y);
  dnnl_exec_arg_t args[5] = {{DNNL_ARG_SRC, src}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, dst}};
  int count = 3;
  if (a->bias) {
    dnnl_memory_create(&bias, ref(&p->bias), engine, (void *)a->bias);
    args[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, bias};
  }
  md_t scratch_md;
  if (scratch) {
    dnnl_dims_t dims = {(dnnl_dim_t)primitive->scratch_bytes};
    make_md(&scratch_md, dims, 1, dnnl_u8, dnnl_a);
    dnnl_memory_create(&scratchpad, ref(&scratch_md), engine, scratch);
    args[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, scratchpad};
  }
  dnnl_primitive_execute(primitive->matmul, own_stream(), count, args);
  dnnl_stream_wait(own_stream());
  if (y_copy) memcpy(y, y_copy, m * p->columns * 4);
  for (int i = 0; i < count; i++) dnnl_memory_destroy(args[i].memory);
  if (scratch) free_md(&scratch_md), pg_free(scratch, primitive->scratch_bytes);
  if (x_copy) pg_free(x_copy, x_bytes);
  if (y_copy) pg_free(y_copy, y_bytes);
}

void pg_packed_multiply(pg_packed *p, size_t m, const float *x, const float *bias, float *y) {
  if (m == 0) return;
  struct packed_args a = {p, x, bias, y, NULL, NULL, m};
  if (m >= ROWS) a.whole = primitive_for(p, ROWS, bias != NULL);
  if (m % ROWS) a.last = primitive_for(p, m % ROWS, bias != NULL);
  pg_parallel_for(m, ROWS, packed_range, &a);
}

#endif
