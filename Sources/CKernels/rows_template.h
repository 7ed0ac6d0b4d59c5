// What templates share (see both_types.h): the largest element of a row, compared in lanes because compilers may not reorder comparisons.
static inline __attribute__((always_inline)) REAL FN(max_row)(size_t n, const REAL *s) {
  enum { LANES = 16 };
  REAL lanes[LANES], m = s[0];
  for (size_t l = 0; l < LANES; l++) lanes[l] = m;
  size_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (size_t l = 0; l < LANES; l++) lanes[l] = s[i + l] > lanes[l] ? s[i + l] : lanes[l];
  }
  for (; i < n; i++) m = s[i] > m ? s[i] : m;
  for (size_t l = 0; l < LANES; l++) m = lanes[l] > m ? lanes[l] : m;
  return m;
}
