// What OpenBLAS takes for itself: threads when it is loaded, and buffers when it first multiplies; and products by it, in
// chunks of the engine's own pool.
#include "matmul.h"
#include <CLimits.h>
#include <cblas.h>
#include <pthread.h>
#include <stdlib.h>

// OpenBLAS asks this function of its own how many threads to start while it is being loaded: the program's comes first. The
// engine multiplies inside chunks of its own pool; threads that only wait would take address space, and one that could not be
// started keeps the process from ending.
int openblas_num_threads_env(void) { return 1; }

// ---- what it takes the CPU for ----------------------------------------------------------------------------
// An OpenBLAS that is older than the CPU takes it for one of 2004, and has an eighth of its speed. Its functions for starting
// once more, with the kind of CPU that OPENBLAS_CORETYPE names: they do so before the first product, while it holds nothing.
extern char *openblas_get_corename(void) __attribute__((weak));
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));

static char core_found[32], core_used[32];

static const char *core_name(void) { return openblas_get_corename ? openblas_get_corename() : ""; }

bool pg_set_blas_core(const char *name) {
  if (!gotoblas_dynamic_init || !gotoblas_dynamic_quit) return false;
  const char *before = getenv("OPENBLAS_CORETYPE");
  char *kept = before ? strdup(before) : NULL;
  if (before && !kept) return false;
  setenv("OPENBLAS_CORETYPE", name, 1);
  gotoblas_dynamic_quit();
  gotoblas_dynamic_init();
  // What this process starts is to choose for itself.
  if (kept) setenv("OPENBLAS_CORETYPE", kept, 1);
  else unsetenv("OPENBLAS_CORETYPE");
  free(kept);
  return strcmp(core_name(), name) == 0;
}

const char *pg_better_blas_core(const char *core) {
  static const char *const with_avx2[] = {"Haswell", "Zen", "Excavator", "SkylakeX", "Cooperlake", "SapphireRapids"};
  if (!*core || !pg_cpu_has(PG_AVX2)) return NULL;
  for (size_t i = 0; i < sizeof with_avx2 / sizeof *with_avx2; i++) {
    if (strcasecmp(core, with_avx2[i]) == 0) return NULL;
  }
  return pg_cpu_has(PG_AVX512) ? "SkylakeX" : "Haswell";
}

static void choose_core(void) {
  strncpy(core_found, core_name(), sizeof core_found - 1);
  const char *wish = getenv("OPENBLAS_CORETYPE"), *better = pg_better_blas_core(core_found);
  if (better && !(wish && *wish)) (void)pg_set_blas_core(better);
  strncpy(core_used, core_name(), sizeof core_used - 1);
}

static void prepare_core(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, choose_core);
}

const char *pg_blas_core(const char **found) {
  prepare_core();
  if (found) *found = core_found;
  return core_used;
}

// ---- buffers ----------------------------------------------------------------------------------------------
// Its buffers, one for each thread that multiplies at the same time. It waits for ever where it cannot have one.
enum { BUFFER = 136 << 20 };
extern void *blas_memory_alloc(int) __attribute__((weak));
extern void blas_memory_free(void *) __attribute__((weak));

bool pg_prepare_blas(void) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static int prepared;
  int threads = pg_threads();
  prepare_core();
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
  size_t m, n, k;
  size_t rows, columns;  // of a piece of C
  double alpha, beta;
  pg_factor a, b;
  char *c;
  size_t ldc;
};

static size_t pieces(size_t length, size_t piece) { return (length + piece - 1) / piece; }

static void blas_pieces(void *context, size_t begin, size_t end) {
  const struct blas_args *g = context;
  size_t size = pg_size(g->t), across = pieces(g->n, g->columns);
  for (size_t piece = begin; piece < end; piece++) {
    size_t row = piece / across * g->rows, column = piece % across * g->columns;
    const char *a = (const char *)g->a.data + row * (g->a.transposed ? 1 : g->a.stride) * size;
    const char *b = (const char *)g->b.data + column * (g->b.transposed ? g->b.stride : 1) * size;
    blas(g->t, g->a.transposed, g->b.transposed, PG_MIN(g->rows, g->m - row), PG_MIN(g->columns, g->n - column), g->k, g->alpha, a,
         g->a.stride, b, g->b.stride, g->beta, g->c + (row * g->ldc + column) * size, g->ldc);
  }
}

// OpenBLAS lays out its part of A and of B for every piece: few and large ones cost little, and there have to be enough for
// the threads. They depend on the shape alone, so that results do not depend on the number of threads.
static void choose_pieces(struct blas_args *g) {
  enum { ENOUGH = 8, LEAST = 64, UNIT = 32, MOST = 1 << 20, WORTH = 4000000 };
  g->rows = g->m, g->columns = g->n;
  for (;;) {
    size_t count = pieces(g->m, g->rows) * pieces(g->n, g->columns);
    size_t *longer = g->rows >= g->columns ? &g->rows : &g->columns;
    bool is_small = (double)g->rows * (double)g->columns * (double)g->k < 2.0 * WORTH || *longer <= LEAST;
    if (is_small || (count >= ENOUGH && g->rows * g->columns <= MOST)) return;
    *longer = (*longer / 2 + UNIT - 1) / UNIT * UNIT;
  }
}

bool pg_blas_multiply(pg_dtype t, size_t m, size_t n, size_t k, double alpha, pg_factor a, pg_factor b, double beta, void *c,
                      size_t ldc) {
  struct blas_args g = {.t = t, .m = m, .n = n, .k = k, .alpha = alpha, .beta = beta, .a = a, .b = b, .c = c, .ldc = ldc};
  choose_pieces(&g);
  if (!pg_prepare_blas()) return false;
  pg_parallel_for(pieces(m, g.rows) * pieces(n, g.columns), 1, blas_pieces, &g);
  return true;
}

extern void openblas_set_num_threads(int);

bool pg_blas_whole(size_t m, size_t n, size_t k, const float *x, const float *w, float *y) {
  PG_TIMED_WORK(PG_KIND_PRODUCTS, 2.0 * (double)m * (double)n * (double)k);
  if (!pg_prepare_blas()) return false;
  openblas_set_num_threads(pg_threads());
  blas(PG_F32, false, true, m, n, k, 1, x, k, w, k, 0, y, n);
  openblas_set_num_threads(1);
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
