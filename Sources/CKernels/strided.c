#include "internal.h"

// Copies between a contiguous array and one with strides, and along one axis by index. Elements are moved as 2, 4 or 8
// bytes, whatever they mean.

struct strided_args {
  size_t size;
  int rank;  // of the outer axes; the last axis is the inner loop
  const size_t *shape;
  const ptrdiff_t *strides;
  size_t inner;
  ptrdiff_t inner_stride;
  char *contiguous, *strided;
  bool write;
};

#define COPY_INNER(type) \
  do { \
    type *restrict c = (type *)contiguous, *restrict s = (type *)strided; \
    if (a->write) \
      for (size_t i = 0; i < a->inner; i++) s[(ptrdiff_t)i * step] = c[i]; \
    else \
      for (size_t i = 0; i < a->inner; i++) c[i] = s[(ptrdiff_t)i * step]; \
  } while (0)

static void copy_inner(const struct strided_args *a, char *contiguous, char *strided) {
  ptrdiff_t step = a->inner_stride;
  if (step == 1) {
    if (a->write) memcpy(strided, contiguous, a->inner * a->size);
    else memcpy(contiguous, strided, a->inner * a->size);
  } else if (a->size == 2) COPY_INNER(uint16_t);
  else if (a->size == 4) COPY_INNER(uint32_t);
  else COPY_INNER(uint64_t);
}

static void strided_range(void *context, size_t begin, size_t end) {
  const struct strided_args *a = context;
  size_t index[PG_MAX_RANK];
  ptrdiff_t offset = 0;
  size_t rest = begin;
  for (int d = a->rank - 1; d >= 0; d--) {
    index[d] = rest % a->shape[d];
    rest /= a->shape[d];
    offset += (ptrdiff_t)index[d] * a->strides[d];
  }
  for (size_t row = begin; row < end; row++) {
    copy_inner(a, a->contiguous + row * a->inner * a->size, a->strided + offset * (ptrdiff_t)a->size);
    for (int d = a->rank - 1; d >= 0; d--) {
      offset += a->strides[d];
      if (++index[d] < a->shape[d]) break;
      offset -= (ptrdiff_t)a->shape[d] * a->strides[d];
      index[d] = 0;
    }
  }
}

static void strided_copy(size_t size, int rank, const size_t *shape, const ptrdiff_t *strides, char *contiguous,
                         char *strided, bool write) {
  struct strided_args a = {.size = size, .rank = rank > 0 ? rank - 1 : 0, .shape = shape, .strides = strides,
                           .inner = rank > 0 ? shape[rank - 1] : 1, .inner_stride = rank > 0 ? strides[rank - 1] : 1,
                           .contiguous = contiguous, .strided = strided, .write = write};
  size_t rows = 1;
  for (int d = 0; d < a.rank; d++) rows *= shape[d];
  if (a.inner == 0) return;
  pg_parallel_for(rows, pg_rows_per_chunk(a.inner), strided_range, &a);
}

void pg_strided_read(size_t size, int rank, const size_t *shape, const ptrdiff_t *strides, const void *x, void *y) {
  PG_TIMED(PG_KIND_COPIES);
  strided_copy(size, rank, shape, strides, y, (char *)x, false);
}
void pg_strided_write(size_t size, int rank, const size_t *shape, const ptrdiff_t *strides, const void *x, void *y) {
  PG_TIMED(PG_KIND_COPIES);
  strided_copy(size, rank, shape, strides, (char *)x, y, true);
}

void pg_index_select(size_t size, size_t outer, size_t n, size_t inner, size_t count, const int32_t *ids, const void *x,
                     void *y) {
  PG_TIMED(PG_KIND_ROWS);
  const char *from = x;
  char *to = y;
  size_t bytes = inner * size;
  for (size_t o = 0; o < outer; o++) {
    for (size_t j = 0; j < count; j++) {
      memcpy(to + (o * count + j) * bytes, from + (o * n + (size_t)ids[j]) * bytes, bytes);
    }
  }
}

#define GATHER(type) \
  for (size_t r = 0; r < outer * count; r++) { \
    const type *from = (const type *)x + r / count * n * inner; \
    type *to = (type *)y + r * inner; \
    for (size_t i = 0; i < inner; i++) to[i] = from[(size_t)ids[r * inner + i] * inner + i]; \
  }

void pg_gather_axis(size_t size, size_t outer, size_t n, size_t inner, size_t count, const int32_t *ids, const void *x,
                    void *y) {
  PG_TIMED(PG_KIND_ROWS);
  if (size == 2) {
    GATHER(uint16_t)
  } else if (size == 4) {
    GATHER(uint32_t)
  } else {
    GATHER(uint64_t)
  }
}

#define WHERE(type) \
  do { \
    const type *pa = a, *pb = b; \
    type *to = out; \
    for (size_t i = 0; i < n; i++) to[i] = mask[i * sm] != 0 ? pa[i * sa] : pb[i * sb]; \
  } while (0)

void pg_where(size_t size, size_t n, const float *mask, int stride_mask, const void *a, int stride_a, const void *b,
              int stride_b, void *out) {
  PG_TIMED(PG_KIND_COPIES);
  size_t sm = (size_t)stride_mask, sa = (size_t)stride_a, sb = (size_t)stride_b;
  if (size == 2) WHERE(uint16_t);
  else if (size == 4) WHERE(uint32_t);
  else WHERE(uint64_t);
}

void pg_triangle(size_t size, size_t matrices, size_t rows, size_t cols, int64_t diagonal, bool upper, const void *x,
                 void *y) {
  PG_TIMED(PG_KIND_COPIES);
  for (size_t r = 0; r < matrices * rows; r++) {
    const char *from = (const char *)x + r * cols * size;
    char *to = (char *)y + r * cols * size;
    // Columns up to row + diagonal belong to the lower triangle, those from there on to the upper one.
    int64_t edge = (int64_t)(r % rows) + diagonal + (upper ? 0 : 1);
    size_t split = edge < 0 ? 0 : edge > (int64_t)cols ? cols : (size_t)edge;
    memset(upper ? to : to + split * size, 0, (upper ? split : cols - split) * size);
    if (upper) memcpy(to + split * size, from + split * size, (cols - split) * size);
    else memcpy(to, from, split * size);
  }
}
