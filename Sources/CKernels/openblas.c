// What OpenBLAS takes for itself: threads when it is loaded, and buffers when it first multiplies; and products by it, in
// chunks of the engine's own pool.
#include "matmul.h"
#include <CLimits.h>
#include <cblas.h>
#include <pthread.h>

// OpenBLAS asks this function of its own how many threads to start while it is being loaded: the program's comes first. The
// engine multiplies inside chunks of its own pool; threads that only wait would take address space, and one that could not be
// started keeps the process from ending.
int openblas_num_threads_env(void) { return 1; }

// Its buffers, one for each thread that multiplies at the same time. It waits for ever where it cannot have one.
enum { BUFFER = 136 << 20 };
extern void *blas_memory_alloc(int) __attribute__((weak));
extern void blas_memory_free(void *) __attribute__((weak));

bool pg_prepare_blas(void) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static int prepared;
  int threads = pg_threads();
  pthread_mutex_lock(&lock);
  bool is_ready = prepared >= threads || cl_room() == CL_UNLIMITED || !blas_memory_alloc || !blas_memory_free;
  if (!is_ready) {
    void *buffers[PG_MAX_THREADS];
    int count = 0;
    // What was prepared before is handed out first.
    while (count < threads && (count < prepared || cl_has_room(BUFFER))) buffers[count++] = blas_memory_alloc(0);
    for (int i = 0; i < count; i++) blas_memory_free(buffers[i]);
    prepared = PG_MAX(prepared, count);
    is_ready = prepared >= threads;
    if (!is_ready) pg_note_refused((size_t)BUFFER * (size_t)(threads - prepared));
  }
  pthread_mutex_unlock(&lock);
  return is_ready;
}

// ---- products ---------------------------------------------------------------------------------------------

static void blas(pg_dtype t, bool ta, bool tb, size_t m, size_t n, size_t k, double alpha, const void *a, size_t lda,
                 const void *b, size_t ldb, double beta, void *c, size_t ldc) {
  CBLAS_TRANSPOSE op_a = ta ? CblasTrans : CblasNoTrans, op_b = tb ? CblasTrans : CblasNoTrans;
  if (t == PG_F64) {
    cblas_dgemm(CblasRowMajor, op_a, op_b, (int)m, (int)n, (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
  } else {
    cblas_sgemm(CblasRowMajor, op_a, op_b, (int)m, (int)n, (int)k, (float)alpha, a, (int)lda, b, (int)ldb, (float)beta, c,
                (int)ldc);
  }
}

struct blas_args {
  pg_dtype t;
  bool by_rows;
  size_t m, n, k;
  double alpha, beta;
  pg_factor a, b;
  char *c;
  size_t ldc;
};

static void blas_range(void *context, size_t begin, size_t end) {
  const struct blas_args *g = context;
  size_t size = pg_size(g->t), count = end - begin;
  const char *a = g->a.data, *b = g->b.data;
  if (g->by_rows) {
    blas(g->t, g->a.transposed, g->b.transposed, count, g->n, g->k, g->alpha,
         a + begin * (g->a.transposed ? 1 : g->a.stride) * size, g->a.stride, b, g->b.stride, g->beta,
         g->c + begin * g->ldc * size, g->ldc);
  } else {
    blas(g->t, g->a.transposed, g->b.transposed, g->m, count, g->k, g->alpha, a, g->a.stride,
         b + begin * (g->b.transposed ? g->b.stride : 1) * size, g->b.stride, g->beta, g->c + begin * size, g->ldc);
  }
}

bool pg_blas_multiply(pg_dtype t, size_t m, size_t n, size_t k, double alpha, pg_factor a, pg_factor b, double beta, void *c,
                      size_t ldc) {
  struct blas_args g = {t, m >= n, m, n, k, alpha, beta, a, b, c, ldc};
  pg_threads();
  // Chunks of about four million multiplications along the longer side, in multiples of 32.
  size_t length = PG_MAX(m, n), other = PG_MIN(m, n) * k;
  size_t chunk = (4000000 / other + 31) / 32 * 32;
  if (!pg_prepare_blas()) return false;
  pg_parallel_for(length, PG_MAX(chunk, (size_t)32), blas_range, &g);
  return true;
}

// A copy in fp32, rounded to bfloat16 where the product asks for it; the factor itself where nothing changes. Without data where
// there is no memory.
static pg_factor as_f32(pg_factor f, size_t rows, size_t columns, bool rounds, void **owned, size_t *bytes) {
  *owned = NULL;
  if (f.type == PG_F32 && !rounds) return f;
  size_t height = f.transposed ? columns : rows, width = f.transposed ? rows : columns;
  *bytes = height * width * 4;
  *owned = pg_allocate(*bytes);
  if (!*owned) return (pg_factor){NULL, PG_F32, false, 0};
  pg_factor plain = {f.data, f.type, false, f.stride};
  pg_load_block(&plain, 0, 0, height, width, PG_F32, rounds, *owned, width);
  return (pg_factor){*owned, PG_F32, f.transposed, width};
}

static bool multiply_any(pg_dtype precision, size_t m, size_t n, size_t k, double alpha, pg_factor a, pg_factor b, double beta,
                         pg_dtype c_type, void *c, size_t c_stride) {
  void *own_a, *own_b;
  size_t a_bytes, b_bytes;
  pg_factor fa = as_f32(a, m, k, precision == PG_BF16, &own_a, &a_bytes);
  pg_factor fb = as_f32(b, k, n, precision == PG_BF16, &own_b, &b_bytes);
  float *sums = c_type == PG_F32 ? c : pg_allocate(m * n * 4);
  bool done = fa.data && fb.data && sums;
  if (done && c_type == PG_F32) {
    done = pg_blas_multiply(PG_F32, m, n, k, alpha, fa, fb, beta, c, c_stride);
  } else if (done) {
    if (beta != 0) {
      for (size_t i = 0; i < m; i++) pg_bf16_to_f32(n, (uint16_t *)c + i * c_stride, sums + i * n);
    }
    done = pg_blas_multiply(PG_F32, m, n, k, alpha, fa, fb, beta, sums, n);
    for (size_t i = 0; i < m && done; i++) pg_f32_to_bf16(n, sums + i * n, (uint16_t *)c + i * c_stride);
  }
  if (c_type != PG_F32) pg_free(sums, m * n * 4);
  if (own_a) pg_free(own_a, a_bytes);
  if (own_b) pg_free(own_b, b_bytes);
  return done;
}

static unsigned kinds(void) { return PG_EVERY_KIND; }

const pg_provider pg_openblas = {.name = "openblas", .title = "OpenBLAS", .kinds = kinds, .expected = kinds, .multiply = multiply_any};
