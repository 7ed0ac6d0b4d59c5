// C kernels: plain loops over contiguous row-major arrays, one file per family.
//
// Every kernel takes its element type first and runs its rows on the one thread pool (parallel.c). Work is
// cut into chunks whose size depends on the shape alone, so results do not depend on the number of threads.
// A kernel's result depends on its arguments alone. What the process keeps between calls is in parallel.c (the threads),
// profile.c (the times), memory.c (kept blocks), cpu.c and providers.c (who multiplies, chosen once). Kernels that need
// working memory say whether they had it: where they return false, the result is not to be used.
#pragma once
#define PG_CHECKED __attribute__((warn_unused_result))
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// PG_BF16 is for activations and their gradients: kernels that take it compute in fp32, and take weights and statistics in
// fp32 beside it.
typedef enum { PG_F32 = 0, PG_F64 = 1, PG_BF16 = 2 } pg_dtype;

// ---- the CPU (cpu.c) and the environment --------------------------------------------------------------
typedef enum { PG_AVX2 = 1, PG_AVX512, PG_AVX512_BF16, PG_AMX } pg_unit;
// Whether the CPU has a unit (AVX2 with FMA; AVX-512 with F, BW, VL and DQ; AMX with bfloat16), and PERIGEE_CPU
// (baseline, avx2, avx512, avx512bf16 or amx) does not take it away.
bool pg_cpu_has(pg_unit unit);
// A setting of the environment that cannot be followed: PERIGEE_CPU or PERIGEE_PRODUCTS.
typedef struct {
  const char *variable, *value, *names;  // names: those that there are, separated by ", "
  const char *missing;  // what the CPU or the build would need for it; null: there is no such name
} pg_mistake;
// False: there is none. Whoever computes without asking ends with exit code 1 at the first product.
bool pg_environment_mistake(pg_mistake *mistake);

// ---- threads (parallel.c) ---------------------------------------------------------------------------
void pg_set_threads(int threads);
int pg_threads(void);
typedef void (*pg_range_fn)(void *context, size_t begin, size_t end);
// Calls body on [i*chunk, (i+1)*chunk) for every chunk of [0, n), in any order, on all threads.
void pg_parallel_for(size_t n, size_t chunk, pg_range_fn body, void *context);

// ---- time by kind of work (profile.c) ---------------------------------------------------------------
typedef enum {
  PG_KIND_PRODUCTS, PG_KIND_ATTENTION, PG_KIND_NORMALISATION, PG_KIND_ELEMENTWISE, PG_KIND_RANDOM, PG_KIND_ROWS,
  PG_KIND_OPTIMIZER, PG_KIND_COPIES, PG_KIND_OTHER, PG_KINDS
} pg_kind;
typedef struct {
  uint64_t nanoseconds, calls;
  double operations;  // floating-point operations of products and attention
  double bytes;       // that must be read or written at least
} pg_profile_entry;
// From here on, kernels that this thread calls (not those inside other kernels) add to their kind; sums start at 0.
void pg_profile_start(void);
void pg_profile_stop(void);
bool pg_is_profiling(void);
// Adds work to a kind that its kernels do not count themselves.
void pg_profile_add(pg_kind kind, double operations, double bytes);
// The sums of the last measurement, also after its end; to be called by the thread that began it.
void pg_profile_read(pg_profile_entry entries[PG_KINDS]);

// ---- memory (memory.c) ------------------------------------------------------------------------------
// 64-byte aligned, not cleared; null beyond the limits of the process. Freed blocks are kept and handed out again for requests
// of the same size class.
void *pg_allocate(size_t bytes);
// The same for what stays long and is read often: weights. In the system's large pages where it has them.
void *pg_allocate_lasting(size_t bytes);
void pg_free(void *pointer, size_t bytes);
size_t pg_live_bytes(void);
size_t pg_peak_bytes(void);
void pg_reset_peak(void);
// Gives every kept block back to the system.
void pg_trim(void);
// What live and kept blocks may take together: by default nine tenths of the machine's memory, or of what its control group
// may use.
void pg_set_memory_limit(size_t bytes);
size_t pg_memory_limit(void);
// The size of the last request that failed.
size_t pg_refused_bytes(void);
// From the request after the next `count` on, every one fails; negative: no more. For tests.
void pg_fail_allocations_after(int64_t count);

// ---- random numbers (random.c): Philox 4x32 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3")
typedef struct {
  uint64_t seed;
  uint32_t stream;  // which consumer draws: one dropout site, one initialiser, ...
  uint64_t step;    // which training step
} pg_random;
void pg_random_uniform(pg_dtype t, size_t n, pg_random r, double low, double high, void *out);
void pg_random_normal(pg_dtype t, size_t n, pg_random r, double mean, double std, void *out);
void pg_random_bits(size_t n, pg_random r, uint32_t *out);
// y = x * mask / (1 - p); element i's mask is a function of (r, i), so the backward pass calls it again.
void pg_dropout(pg_dtype t, size_t n, double p, pg_random r, const void *x, void *y);

// ---- elementwise (elementwise.c) --------------------------------------------------------------------
typedef enum {
  PG_ADD, PG_SUB, PG_MUL, PG_DIV, PG_POW, PG_MAXIMUM, PG_MINIMUM, PG_EQ, PG_NE, PG_LT, PG_LE, PG_GT, PG_GE
} pg_binary_op;
// Strides are 0 (one value for all) or 1.
void pg_binary(pg_dtype t, pg_binary_op op, size_t n, const void *a, int stride_a, const void *b, int stride_b, void *out);
typedef enum {
  PG_NEG, PG_ABS, PG_EXP, PG_LOG, PG_SQRT, PG_RSQRT, PG_SQUARE, PG_SIN, PG_COS, PG_SIGN, PG_RELU, PG_TANH,
  PG_SIGMOID, PG_SILU, PG_GELU, PG_GELU_TANH, PG_RECIPROCAL, PG_ERF, PG_FLOOR, PG_CEIL, PG_ROUND
} pg_unary_op;
void pg_unary(pg_dtype t, pg_unary_op op, size_t n, const void *x, void *y);
// dx = dy * f'(x); y = f(x) is read where the derivative is cheaper from it (tanh, sigmoid, exp, sqrt).
void pg_unary_backward(pg_dtype t, pg_unary_op op, size_t n, const void *x, const void *y, const void *dy, void *dx);
// y = f(gate) * up, and its gradients; f is PG_SILU, PG_GELU, PG_GELU_TANH or PG_RELU.
void pg_gated(pg_dtype t, pg_unary_op op, size_t n, const void *gate, const void *up, void *y);
void pg_gated_backward(pg_dtype t, pg_unary_op op, size_t n, const void *gate, const void *up, const void *dy, void *d_gate,
                       void *d_up);
void pg_axpby(pg_dtype t, size_t n, double a, const void *x, double b, const void *y, void *out);  // out = a x + b y
void pg_scale(pg_dtype t, size_t n, double a, const void *x, double b, void *out);                 // out = a x + b
void pg_fill(pg_dtype t, size_t n, double value, void *out);
void pg_add_rows(pg_dtype t, size_t rows, size_t cols, const void *x, const void *row, void *y);   // y = x + row
void pg_sum_rows(pg_dtype t, size_t rows, size_t cols, const void *x, void *row);                  // over rows
// The same for rows in bfloat16: x += row, and the sums over rows (narrow_rows.c).
void pg_add_row_bf16(size_t rows, size_t cols, const float *row, uint16_t *x);
void pg_sum_rows_bf16(size_t rows, size_t cols, const uint16_t *x, float *row);
double pg_sum(pg_dtype t, size_t n, const void *x);
double pg_sum_squares(pg_dtype t, size_t n, const void *x);
// Index of the first value that is not finite; n if all are.
size_t pg_first_nonfinite(pg_dtype t, size_t n, const void *x);
// The same on all threads, and in bfloat16 too (finite.c).
size_t pg_find_nonfinite(pg_dtype t, size_t n, const void *x);
void pg_f32_to_f64(size_t n, const float *x, double *y);
void pg_f64_to_f32(size_t n, const double *x, float *y);
void pg_f32_to_bf16(size_t n, const float *x, uint16_t *y);  // to nearest, ties to even; NaN stays NaN
void pg_bf16_to_f32(size_t n, const uint16_t *x, float *y);
void pg_f16_to_f32(size_t n, const uint16_t *x, float *y);

// ---- softmax and losses (softmax.c) -----------------------------------------------------------------
void pg_softmax(pg_dtype t, size_t rows, size_t cols, const void *x, void *y);
void pg_softmax_backward(pg_dtype t, size_t rows, size_t cols, const void *y, const void *dy, void *dx);
void pg_log_softmax(pg_dtype t, size_t rows, size_t cols, const void *x, void *y);
// log_sums[row] = log(sum(exp(x))): NaN where an element is NaN or infinity.
void pg_log_sums(pg_dtype t, size_t rows, size_t cols, const void *x, void *log_sums);
// The best `count` of (x[row][i] - minus[row]) + plus[row] in each row: scores and places, [rows, count], the best first, and of equal
// ones the first. minus, plus: null for zeros. Those with -inf are none; where a row has too few, the last places are -1.
void pg_best_of_rows(size_t rows, size_t cols, const float *x, const float *minus, const float *plus, size_t count, float *scores,
                     int32_t *places);
void pg_subtract_from_rows(size_t rows, size_t cols, float *x, const float *minus);  // x[row][i] -= minus[row]
void pg_log_softmax_backward(pg_dtype t, size_t rows, size_t cols, const void *y, const void *dy, void *dx);
// losses[i] = (1-e) * -log p[label] + e * mean_c -log p[c]; 0 where label == ignore. log_sum[i] = log sum exp.
void pg_cross_entropy(pg_dtype t, size_t rows, size_t cols, const void *logits, const int32_t *labels, int32_t ignore,
                      double smoothing, void *losses, void *log_sum);
// The same, and scale * d losses[i] / d logits[i] in place of the logits. `narrow` (t is fp32): in bfloat16, 2 cols elements from one row
// to the next, and a 0 behind each row.
void pg_cross_entropy_and_gradient(pg_dtype t, size_t rows, size_t cols, void *logits, const int32_t *labels, int32_t ignore,
                                   double smoothing, void *losses, double scale, bool narrow);
// d_logits = scale * d losses[i] / d logits.
void pg_cross_entropy_backward(pg_dtype t, size_t rows, size_t cols, const void *logits, const int32_t *labels,
                               int32_t ignore, double smoothing, const void *log_sum, double scale, void *d_logits);

// ---- normalisation (layer_norm.c) -------------------------------------------------------------------
// z = residual + dropout(x) (residual may be null); y = (z - mean) * rstd * gamma + beta. normalized and rstd
// are what the backward pass needs; both may be null. gamma, beta, rstd and their gradients stay fp32 in bfloat16.
PG_CHECKED bool pg_dropout_add_layer_norm(pg_dtype t, size_t rows, size_t cols, const void *x, const void *residual, double p,
                               pg_random r, const void *gamma, const void *beta, double eps, void *y,
                               void *normalized, void *rstd);
// dz, and dx = dropout(dz) when p > 0 (dx may be null, and is not written when p == 0).
PG_CHECKED bool pg_dropout_add_layer_norm_backward(pg_dtype t, size_t rows, size_t cols, const void *dy, const void *gamma,
                                        const void *normalized, const void *rstd, double p, pg_random r, void *dz,
                                        void *dx);
void pg_layer_norm_weight_backward(pg_dtype t, size_t rows, size_t cols, const void *dy, const void *normalized,
                                   void *d_gamma, void *d_beta);

// y = x * rstd * gamma, with rstd = 1 / sqrt(mean(x^2) + eps), which the backward pass needs (may be null).
PG_CHECKED bool pg_rms_norm(pg_dtype t, size_t rows, size_t cols, const void *x, const void *gamma, double eps, void *y, void *rstd);
PG_CHECKED bool pg_rms_norm_backward(pg_dtype t, size_t rows, size_t cols, const void *x, const void *dy, const void *gamma,
                          const void *rstd, void *dx);
void pg_rms_norm_weight_backward(pg_dtype t, size_t rows, size_t cols, const void *x, const void *dy, const void *rstd,
                                 void *d_gamma);

// ---- rotary positions (rotary.c) ----------------------------------------------------------------------
// x, y: [rows, heads, head_size]. Elements i and i + pairs of every head are turned by an angle: table[position] has the cosines
// of `pairs` angles, and then their sines. Elements behind 2 * pairs stay. `back`: turned the other way, the gradient of the first.
void pg_rotate(pg_dtype t, size_t rows, size_t heads, size_t head_size, size_t pairs, const int32_t *positions,
               const float *table, bool back, const void *x, void *y);

// ---- rows (rows.c) ----------------------------------------------------------------------------------
// y[i] (+)= table[ids[i]]; ids are within the table.
void pg_gather_rows(pg_dtype t, size_t n, size_t cols, const int32_t *ids, const void *table, bool add, void *y);
// table[ids[i]] += rows[i], in the order of i.
void pg_scatter_add_rows(pg_dtype t, size_t n, size_t cols, const int32_t *ids, const void *rows, void *table);

// ---- strides and indices (strided.c): elements of `size` bytes (2, 4 or 8), whatever their type -------
enum { PG_MAX_RANK = 32 };
// y is contiguous with the given shape, x has strides (in elements, 0 repeats).
void pg_strided_read(size_t size, int rank, const size_t *shape, const ptrdiff_t *strides, const void *x, void *y);
// x is contiguous with the given shape, y has strides.
void pg_strided_write(size_t size, int rank, const size_t *shape, const ptrdiff_t *strides, const void *x, void *y);
// y[o, j, i] = x[o, ids[j], i]; x is [outer, n, inner], y is [outer, count, inner], ids are in 0..<n.
void pg_index_select(size_t size, size_t outer, size_t n, size_t inner, size_t count, const int32_t *ids, const void *x,
                     void *y);
// y[o, j, i] = x[o, ids[o, j, i], i].
void pg_gather_axis(size_t size, size_t outer, size_t n, size_t inner, size_t count, const int32_t *ids, const void *x,
                    void *y);
// out = mask != 0 ? a : b; strides are 0 (one value for all) or 1.
void pg_where(size_t size, size_t n, const float *mask, int stride_mask, const void *a, int stride_a, const void *b,
              int stride_b, void *out);
// Keeps the lower (or upper) triangle of each matrix, diagonal included: 0 is the main one, positive ones lie above.
void pg_triangle(size_t size, size_t matrices, size_t rows, size_t cols, int64_t diagonal, bool upper, const void *x,
                 void *y);

// ---- reductions of rows (reduce.c) ------------------------------------------------------------------
typedef enum { PG_SUM, PG_NORM, PG_LOG_SUM_EXP } pg_reduction;
void pg_reduce(pg_dtype t, pg_reduction op, size_t rows, size_t cols, const void *x, void *y);
// The largest (smallest) value of each row and its position; cols > 0.
void pg_extremum(pg_dtype t, bool largest, size_t rows, size_t cols, const void *x, void *y, int32_t *index);
// Squared deviations from the mean, divided by `divisor` (NaN where it is not positive).
void pg_variance(pg_dtype t, size_t rows, size_t cols, double divisor, const void *x, void *mean, void *variance);
void pg_cumsum(pg_dtype t, size_t rows, size_t cols, bool reverse, const void *x, void *y);
// The transposes of pg_index_select and pg_gather_axis: add into the table.
void pg_index_add(pg_dtype t, size_t outer, size_t n, size_t inner, size_t count, const int32_t *ids, const void *rows,
                  void *table);
void pg_scatter_add_axis(pg_dtype t, size_t outer, size_t n, size_t inner, size_t count, const int32_t *ids,
                         const void *values, void *table);

// ---- optimizer (optimizer.c) ------------------------------------------------------------------------
typedef struct {
  double learning_rate, beta1, beta2, eps, weight_decay;
  double gradient_scale;  // multiplies the gradient first: gradient clipping
  int64_t step;           // 1 for the first update
} pg_adamw_options;
// torch.optim.AdamW's update.
void pg_adamw(size_t n, pg_adamw_options o, float *parameter, const float *gradient, float *m, float *v);

// ---- matrix products (matmul.c) ---------------------------------------------------------------------
// An operand: op(data), row-major with `stride` elements from one row of `data` to the next.
typedef struct {
  const void *data;
  pg_dtype type;
  bool transposed;
  size_t stride;
} pg_factor;
// C[m,n] = alpha * op(A)[m,k] op(B)[k,n] + beta * C. precision PG_F64: all operands are; PG_F32: sums and factors in fp32;
// PG_BF16: factors in bfloat16, sums in fp32. Operands and C are fp32 or bfloat16, whatever the precision.
PG_CHECKED bool pg_multiply(pg_dtype precision, size_t m, size_t n, size_t k, double alpha, pg_factor a, pg_factor b, double beta,
                 pg_dtype c_type, void *c, size_t c_stride);
// The same with one type for everything.
PG_CHECKED bool pg_gemm(pg_dtype t, bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, double alpha, const void *a,
             size_t lda, const void *b, size_t ldb, double beta, void *c, size_t ldc);
// out = op(matrix), row-major.
void pg_read_matrix(pg_factor matrix, size_t rows, size_t columns, float *out);
bool pg_has_onednn(void);
// Whether the CPU has AMX, and the system does not let this process use it.
bool pg_is_amx_refused(void);
// To be called before a routine of OpenBLAS: false where its buffers have no room.
PG_CHECKED bool pg_prepare_blas(void);
// What OpenBLAS takes the CPU for ("Haswell", "SkylakeX"; empty where it does not say), and what it took it for when it was loaded. An
// older one than the CPU takes it for one without AVX2, and is told better before its first product, unless OPENBLAS_CORETYPE is set.
const char *pg_blas_core(const char **found);
// What it had better take the CPU for; null: `core` is good enough.
const char *pg_better_blas_core(const char *core);
// False: it has no such kind, or does not choose at run time. While it computes nothing.
bool pg_set_blas_core(const char *name);
// y[m, n] = x[m, k] w[n, k]^T by OpenBLAS at once, with its own threads: what pg_multiply by OpenBLAS is compared with.
PG_CHECKED bool pg_blas_whole(size_t m, size_t n, size_t k, const float *x, const float *w, float *y);
// Whether products in bfloat16 have units of the CPU (AVX512-BF16 or AMX).
bool pg_has_bf16(void);
// What multiplies in a precision, with frozen weights: "AVX-512", "oneDNN", "OpenBLAS" ...
const char *pg_provider_name(pg_dtype precision);
// Kinds of product, each with somebody of its own who multiplies: with frozen weights in bfloat16, other operands in bfloat16, fp32.
typedef enum { PG_PACKED_BF16, PG_PLAIN_BF16, PG_FP32, PG_PRODUCT_KINDS } pg_product_kind;
// Who multiplies a kind, as PERIGEE_PRODUCTS would name it.
const char *pg_products_of(pg_product_kind kind);
// From now on it is `name`, unless PERIGEE_PRODUCTS names another. False: it may not be chosen for that unasked, and nothing changes.
bool pg_choose_products(pg_product_kind kind, const char *name);
// Takes some milliseconds to find out who is the fastest at each kind of those that may be chosen, by processor time on one thread, and
// chooses it: the one that is expected to be, unless another is at least 1.3 times as fast. With nothing else computing meanwhile.
void pg_measure_products(void);
// The names that PERIGEE_PRODUCTS may have, separated by ", "; those that are not here too.
const char *pg_products_names(void);
// From now on this one multiplies what it can, as if PERIGEE_PRODUCTS named it; null: as the environment says. For comparisons, with
// nothing else computing meanwhile; what is packed stays with its own. False: there is no such name, or it is not here.
bool pg_set_products(const char *name);
// Whether pg_pack lays out matrices for it.
bool pg_packs_frozen(pg_dtype precision);

// A frozen matrix laid out for products from the left: y[m, columns] = x[m, rows] * matrix (+ bias) (+ beta y).
typedef struct pg_packed pg_packed;
// op(w) is [out, in], in fp32 or bfloat16. transposed == false packs w^T (rows = in, columns = out: the forward product); true packs w itself
// (rows = out, columns = in: the product for the input's gradient). Null where pg_packs_frozen says no, or without memory.
pg_packed *pg_pack(pg_factor w, size_t out, size_t in, bool transposed, bool bf16);
size_t pg_packed_bytes(const pg_packed *p);
// x_stride: elements from one row of x to the next. Where it is more than the matrix has rows, and their number is odd, the element
// behind each row of x is 0.
PG_CHECKED bool pg_packed_multiply(pg_packed *p, size_t m, pg_dtype x_type, const void *x, size_t x_stride, const float *bias, double beta,
                        pg_dtype y_type, void *y);
void pg_packed_free(pg_packed *p);

// ---- 4-bit weights (quantize.c) ----------------------------------------------------------------------
typedef enum { PG_NF4, PG_FP4 } pg_code;
// Two codes a byte, the first element in the high half; one statistic for `block` elements, which is even.
typedef struct {
  pg_code code;
  size_t block;
  const uint8_t *codes;
  const float *absmax;
} pg_quantized;
// The values of the codes 0 ... 15.
void pg_code_values(pg_code code, float values[16]);
// codes: (n + 1) / 2 bytes; absmax: one for each block, the last of which may be short. x is finite.
void pg_quantize_4bit(pg_code code, size_t n, size_t block, const float *x, uint8_t *codes, float *absmax);
// y = value of the code * absmax of its block.
void pg_dequantize_4bit(const pg_quantized *q, size_t n, float *y);
// Elements first ..< first + n, on the calling thread.
void pg_dequantize_run(const pg_quantized *q, size_t first, size_t n, float *y);
// The same for statistics: codes are places in `map`, which ascends from -1 to 1. x is finite.
void pg_quantize_8bit(const float map[256], size_t n, size_t block, const float *x, uint8_t *codes, float *absmax);
// y = map[code] * absmax + offset.
void pg_dequantize_8bit(const float map[256], size_t n, size_t block, const uint8_t *codes, const float *absmax, float offset,
                        float *y);
// Summed in the order of torch.mean on one thread.
float pg_mean_f32(size_t n, const float *x);
// pg_pack of a quantized matrix: its elements never lie in memory all at once, unless oneDNN multiplies.
pg_packed *pg_pack_4bit(const pg_quantized *w, size_t out, size_t in, bool transposed, bool bf16);

// ---- attention (attention.c) ------------------------------------------------------------------------
// Keys and values, and the rows of them that each sequence sees: start[s] ..< start[s] + count[s], or what `places` has there.
typedef struct {
  const void *k, *v;
  size_t k_stride, v_stride;     // elements from one row to the next
  const int32_t *start, *count;  // [sequences]
  const int32_t *places;         // null: the rows lie side by side; else there is no backward pass
  // For the backward pass, with the strides of k and v. `adds`: the ranges overlap, dk and dv are in the type of the sums (fp32 for
  // bfloat16) and are added to; else the rows of every range are written, and no others.
  void *dk, *dv;
  bool adds;
} pg_keys;
typedef struct {
  size_t sequences, heads, kv_heads, head_size;  // heads is a multiple of kv_heads
  const int32_t *q_offsets;    // [sequences + 1], row ranges of each sequence's queries
  const int32_t *q_positions;  // for each query the key at which it stands; null: the last query stands at the last key
  size_t q_stride, o_stride;
  const pg_keys *keys;  // a sequence sees its range of each block, side by side
  size_t blocks;
  double scale;
  // bias[head * bias_columns + bias_zero + j - position] is added to the scaled score of key j, in the type of the sums (null: none).
  const void *bias;
  size_t bias_columns, bias_zero;
  bool causal;  // a query sees the keys up to its position
  bool decodes;  // sequences of one query, without dropout and log_sum, are computed in fp32 and without tiles
  double dropout;
  pg_random random;
} pg_attention;
// log_sum[token * heads + head]: what the backward pass rebuilds the probabilities from (null: not kept).
PG_CHECKED bool pg_attention_forward(pg_dtype t, const pg_attention *a, const void *q, void *o, void *log_sum);
// dq has the stride of q, and every row of it is written; d_bias is added to (null: not wanted).
PG_CHECKED bool pg_attention_backward(pg_dtype t, const pg_attention *a, const void *q, const void *d_o, const void *log_sum,
                           void *dq, void *d_bias);
