// oneDNN: products with frozen weights in bfloat16, on CPUs with AMX.
#include "matmul.h"
#ifdef PERIGEE_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#endif

#ifndef PERIGEE_ONEDNN

bool pg_onednn_exists(void) { return false; }
static void *pack(const float *w, size_t rows, size_t columns, bool transposed, size_t *bytes) {
  return (void)w, (void)rows, (void)columns, (void)transposed, (void)bytes, NULL;
}
static bool multiply_packed(void *packed, const pg_packed_product *q) { return (void)packed, (void)q, false; }
static void free_packed(void *packed) { (void)packed; }

#else

#include <CLimits.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

// The library is loaded when it is first asked for: it takes 38 MB of address space, and CPUs without AMX never multiply with it.
#define COMMON_FUNCTIONS(F) \
  F(engine_create) F(memory_create) F(memory_desc_get_size) F(memory_destroy) F(primitive_attr_create) \
  F(primitive_attr_set_scratchpad_mode) F(primitive_create) F(primitive_desc_destroy) \
  F(primitive_desc_query_md) F(primitive_destroy) F(primitive_execute) F(reorder_primitive_desc_create) \
  F(stream_create) F(stream_wait)
#if DNNL_VERSION_MAJOR >= 3
#define FUNCTIONS(F) \
  COMMON_FUNCTIONS(F) \
  F(matmul_primitive_desc_create) F(memory_desc_clone) F(memory_desc_create_with_tag) F(memory_desc_destroy)
#else
#define FUNCTIONS(F) \
  COMMON_FUNCTIONS(F) \
  F(matmul_desc_init) F(memory_desc_init_by_tag) F(primitive_desc_create)
#endif
#define DECLARED(name) __typeof__(&dnnl_##name) name;
static struct {
  FUNCTIONS(DECLARED)
} onednn;
static bool is_loaded;
static void (*omp_set_threads)(int);  // where oneDNN's threads are OpenMP's

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#ifdef __APPLE__
#define LIBRARY "libdnnl." TEXT(DNNL_VERSION_MAJOR) ".dylib"
#else
#define LIBRARY "libdnnl.so." TEXT(DNNL_VERSION_MAJOR)
#endif

static void load(void) {
  // Without it, products would be another library's, whose sums round differently.
  enum { SIZE = 64 << 20 };
  if (!cl_has_room(SIZE)) cl_end_without_memory(SIZE);
  void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (!library) return;
  is_loaded = true;
#define FOUND(name) is_loaded = is_loaded && (*(void **)&onednn.name = dlsym(library, "dnnl_" #name)) != NULL;
  FUNCTIONS(FOUND)
  *(void **)&omp_set_threads = dlsym(library, "omp_set_num_threads");
}

bool pg_onednn_exists(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  return is_loaded;
}

// Chunks of the engine's own pool call oneDNN: see parallel.c.
static void use_one_thread(void) {
  static _Thread_local bool is_done;
  if (!is_done && omp_set_threads) omp_set_threads(1);
  is_done = true;
}

// oneDNN 2 passes memory descriptors by value and builds primitives from operation descriptors; oneDNN 3 hands
// out opaque descriptors. These few functions are all that differs.
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t md_t;
typedef const_dnnl_memory_desc_t md_ref;
static bool make_md(md_t *md, const dnnl_dims_t dims, int n, dnnl_data_type_t type, dnnl_format_tag_t tag) {
  return onednn.memory_desc_create_with_tag(md, n, dims, type, tag) == dnnl_success;
}
static md_ref ref(const md_t *md) { return *md; }
static void free_md(md_t *md) { onednn.memory_desc_destroy(*md); }
static bool copy_md(md_t *to, md_ref from) { return onednn.memory_desc_clone(to, from) == dnnl_success; }
static bool make_matmul(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const md_t *src, const md_t *weights,
                        const md_t *bias, const md_t *dst, dnnl_primitive_attr_t attr) {
  return onednn.matmul_primitive_desc_create(pd, engine, *src, *weights, bias ? *bias : NULL, *dst, attr) == dnnl_success;
}
#else
typedef dnnl_memory_desc_t md_t;
typedef const dnnl_memory_desc_t *md_ref;
static bool make_md(md_t *md, const dnnl_dims_t dims, int n, dnnl_data_type_t type, dnnl_format_tag_t tag) {
  return onednn.memory_desc_init_by_tag(md, n, dims, type, tag) == dnnl_success;
}
static md_ref ref(const md_t *md) { return md; }
static void free_md(md_t *md) { (void)md; }
static bool copy_md(md_t *to, md_ref from) { return *to = *from, true; }
static bool make_matmul(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const md_t *src, const md_t *weights,
                        const md_t *bias, const md_t *dst, dnnl_primitive_attr_t attr) {
  dnnl_matmul_desc_t d;
  return onednn.matmul_desc_init(&d, src, weights, bias, dst) == dnnl_success
         && onednn.primitive_desc_create(pd, &d, attr, engine, NULL) == dnnl_success;
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

struct packed {
  size_t rows, columns;  // of the packed matrix
  md_t weights;
  void *data;
  size_t bytes;
  struct primitive primitives[2][2][SIZES];  // [bfloat16 result][has bias][m / STEP - 1]
  md_t bias;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static dnnl_engine_t engine;
static dnnl_primitive_attr_t attributes;
static _Thread_local dnnl_stream_t stream;

static bool prepare_engine(void) {
  pg_threads();
  use_one_thread();
  if (engine) return true;
  return onednn.engine_create(&engine, dnnl_cpu, 0) == dnnl_success
         && onednn.primitive_attr_create(&attributes) == dnnl_success
         && onednn.primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) == dnnl_success;
}

static dnnl_stream_t own_stream(void) {
  use_one_thread();
  if (!stream && onednn.stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success) stream = NULL;
  return stream;
}

// The primitive for a number of rows; weights may still have the format "any", for the first one.
static bool make_primitive(const struct packed *p, size_t m, bool bf16_result, bool bias, const md_t *weights, struct primitive *out,
                           dnnl_primitive_desc_t *keep) {
  dnnl_dims_t src = {(dnnl_dim_t)m, (dnnl_dim_t)p->rows}, dst = {(dnnl_dim_t)m, (dnnl_dim_t)p->columns};
  dnnl_primitive_desc_t pd;
  if (!make_md(&out->src, src, 2, dnnl_bf16, dnnl_ab) || !make_md(&out->dst, dst, 2, bf16_result ? dnnl_bf16 : dnnl_f32, dnnl_ab)) return false;
  if (!make_matmul(&pd, engine, &out->src, weights, bias ? &p->bias : NULL, &out->dst, attributes)) return false;
  bool ok = onednn.primitive_create(&out->matmul, pd) == dnnl_success;
  if (!ok) out->matmul = NULL;
  md_ref scratch = onednn.primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
  out->scratch_bytes = scratch ? onednn.memory_desc_get_size(scratch) : 0;
  if (keep) *keep = pd;
  else onednn.primitive_desc_destroy(pd);
  return ok;
}

static bool reorder_weights(struct packed *p, const float *w, bool transposed) {
  dnnl_dims_t dims = {(dnnl_dim_t)p->rows, (dnnl_dim_t)p->columns};
  md_t plain;
  dnnl_primitive_desc_t pd;
  dnnl_primitive_t reorder;
  dnnl_memory_t from, to;
  if (!make_md(&plain, dims, 2, dnnl_f32, transposed ? dnnl_ab : dnnl_ba)) return false;
  if (onednn.reorder_primitive_desc_create(&pd, ref(&plain), engine, ref(&p->weights), engine, NULL) != dnnl_success) return false;
  if (onednn.primitive_create(&reorder, pd) != dnnl_success) return false;
  bool ok = own_stream() && onednn.memory_create(&from, ref(&plain), engine, (void *)w) == dnnl_success;
  if (ok) {
    ok = onednn.memory_create(&to, ref(&p->weights), engine, p->data) == dnnl_success;
    if (ok) {
      dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
      ok = onednn.primitive_execute(reorder, own_stream(), 2, args) == dnnl_success && onednn.stream_wait(own_stream()) == dnnl_success;
      onednn.memory_destroy(to);
    }
    onednn.memory_destroy(from);
  }
  onednn.primitive_destroy(reorder), onednn.primitive_desc_destroy(pd);
  free_md(&plain);
  return ok;
}

static void free_packed(void *packed);

static void *pack(const float *w, size_t rows, size_t columns, bool transposed, size_t *bytes) {
  pthread_mutex_lock(&lock);
  bool ready = prepare_engine();
  pthread_mutex_unlock(&lock);
  struct packed *p = ready ? calloc(1, sizeof *p) : NULL;
  if (!p) return NULL;
  p->rows = rows, p->columns = columns;
  dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)columns}, bias_dims = {1, (dnnl_dim_t)columns};
  md_t any;
  dnnl_primitive_desc_t pd = NULL;
  bool ok = make_md(&any, dims, 2, dnnl_bf16, dnnl_format_tag_any)
            && make_md(&p->bias, bias_dims, 2, dnnl_f32, dnnl_ab)
            && make_primitive(p, ROWS, true, false, &any, &p->primitives[1][0][SIZES - 1], &pd)
            && copy_md(&p->weights, onednn.primitive_desc_query_md(pd, dnnl_query_weights_md, 0));
  if (ok) {
    *bytes = p->bytes = onednn.memory_desc_get_size(ref(&p->weights));
    p->data = pg_allocate(p->bytes);
    ok = p->data && reorder_weights(p, w, transposed);
  }
  if (pd) onednn.primitive_desc_destroy(pd);
  if (ok) return p;
  return free_packed(p), NULL;
}

static void free_packed(void *packed) {
  struct packed *p = packed;
  for (int i = 0; i < 4 * SIZES; i++) {
    struct primitive *primitive = &p->primitives[0][0][0] + i;
    if (!primitive->matmul) continue;
    onednn.primitive_destroy(primitive->matmul);
    free_md(&primitive->src), free_md(&primitive->dst);
  }
  if (p->data) pg_free(p->data, p->bytes), free_md(&p->weights);
  free(p);
}

static struct primitive *primitive_for(struct packed *p, size_t m, bool bf16_result, bool bias) {
  struct primitive *primitive = &p->primitives[bf16_result][bias][(m + STEP - 1) / STEP - 1];
  pthread_mutex_lock(&lock);
  // Null where it could not be made.
  if (!primitive->matmul) make_primitive(p, (m + STEP - 1) / STEP * STEP, bf16_result, bias, &p->weights, primitive, NULL);
  pthread_mutex_unlock(&lock);
  return primitive;
}

struct packed_args {
  struct packed *p;
  const pg_packed_product *q;
  struct primitive *whole, *last;
  atomic_bool failed;  // a thread had no working memory
};

// Where a chunk's result goes first: the result itself, unless it is padded or added to what is there.
static void finish_chunk(const pg_packed_product *q, size_t row, size_t rows, const void *from) {
  size_t count = rows * q->n;
  char *y = (char *)q->y + row * q->n * pg_size(q->y_type);
  if (q->beta == 0) memcpy(y, from, count * pg_size(q->y_type));
  else pg_axpby(q->y_type, count, 1, from, q->beta, y, y);
}

// Adds what a primitive is called with. False where there was no memory for it.
static bool add_argument(dnnl_exec_arg_t args[], int *count, int kind, md_ref md, void *data) {
  if (onednn.memory_create(&args[*count].memory, md, engine, data) != dnnl_success) return false;
  args[(*count)++].arg = kind;
  return true;
}

static bool execute(struct packed *p, struct primitive *primitive, const void *x, const float *bias, void *y) {
  void *scratch = primitive->scratch_bytes ? pg_allocate(primitive->scratch_bytes) : NULL;
  if (primitive->scratch_bytes && !scratch) return false;
  dnnl_exec_arg_t args[5];
  int count = 0;
  bool ok = own_stream() && add_argument(args, &count, DNNL_ARG_SRC, ref(&primitive->src), (void *)x)
            && add_argument(args, &count, DNNL_ARG_WEIGHTS, ref(&p->weights), p->data)
            && add_argument(args, &count, DNNL_ARG_DST, ref(&primitive->dst), y)
            && (!bias || add_argument(args, &count, DNNL_ARG_BIAS, ref(&p->bias), (void *)bias));
  if (ok && scratch) {
    md_t scratch_md;
    dnnl_dims_t dims = {(dnnl_dim_t)primitive->scratch_bytes};
    ok = make_md(&scratch_md, dims, 1, dnnl_u8, dnnl_a);
    if (ok) {
      ok = add_argument(args, &count, DNNL_ARG_SCRATCHPAD, ref(&scratch_md), scratch);
      free_md(&scratch_md);
    }
  }
  ok = ok && onednn.primitive_execute(primitive->matmul, own_stream(), count, args) == dnnl_success
       && onednn.stream_wait(own_stream()) == dnnl_success;
  for (int i = 0; i < count; i++) onednn.memory_destroy(args[i].memory);
  if (scratch) pg_free(scratch, primitive->scratch_bytes);
  return ok;
}

static void packed_range(void *context, size_t begin, size_t end) {
  struct packed_args *a = context;
  const pg_packed_product *q = a->q;
  struct packed *p = a->p;
  size_t m = end - begin, padded = (m + STEP - 1) / STEP * STEP;
  struct primitive *primitive = m == ROWS ? a->whole : a->last;
  size_t x_row = q->x_stride * pg_size(q->x_type);
  const char *x = (const char *)q->x + begin * x_row;
  char *y = (char *)q->y + begin * p->columns * pg_size(q->y_type);
  // The last chunk is padded to a multiple of STEP rows, in buffers of its own.
  size_t x_bytes = q->x_type != PG_BF16 || padded != m || q->x_stride != p->rows ? padded * p->rows * sizeof(uint16_t) : 0;
  size_t y_bytes = padded != m || q->beta != 0 ? padded * p->columns * pg_size(q->y_type) : 0;
  char *x_copy = x_bytes ? pg_allocate(x_bytes) : NULL, *y_copy = y_bytes ? pg_allocate(y_bytes) : NULL;
  bool ok = (x_copy || !x_bytes) && (y_copy || !y_bytes);
  if (ok && x_copy) {
    size_t used = m * p->rows;
    for (size_t i = 0; i < m; i++) pg_convert(p->rows, q->x_type, x + i * x_row, PG_BF16, x_copy + i * p->rows * sizeof(uint16_t));
    memset(x_copy + used * sizeof(uint16_t), 0, x_bytes - used * sizeof(uint16_t));
  }
  ok = ok && execute(p, primitive, x_copy ? x_copy : x, q->bias, y_copy ? y_copy : y);
  if (!ok) a->failed = true;
  else if (y_copy) finish_chunk(q, begin, m, y_copy);
  if (x_copy) pg_free(x_copy, x_bytes);
  if (y_copy) pg_free(y_copy, y_bytes);
}

static bool multiply_packed(void *packed, const pg_packed_product *q) {
  struct packed *p = packed;
  struct packed_args a = {p, q, NULL, NULL, false};
  bool bf16_result = q->y_type == PG_BF16, bias = q->bias != NULL;
  if (q->m >= ROWS) a.whole = primitive_for(p, ROWS, bf16_result, bias);
  if (q->m % ROWS) a.last = primitive_for(p, q->m % ROWS, bf16_result, bias);
  if ((a.whole && !a.whole->matmul) || (a.last && !a.last->matmul)) return false;
  pg_parallel_for(q->m, ROWS, packed_range, &a);
  return !a.failed;
}

#endif

static unsigned kinds(void) { return pg_cpu_has(PG_AVX512_BF16) && pg_onednn_exists() ? 1 << PG_PACKED_BF16 : 0; }

// Without AMX it is no faster than tiles of our own.
static unsigned expected(void) { return pg_cpu_has(PG_AMX) ? kinds() : 0; }

const pg_provider pg_onednn = {.name = "onednn", .title = "oneDNN", .needs = "a build with oneDNN, its library, and AVX512-BF16 or AMX",
                               .kinds = kinds, .expected = expected, .pack = pack, .multiply_packed = multiply_packed,
                               .free_packed = free_packed};
