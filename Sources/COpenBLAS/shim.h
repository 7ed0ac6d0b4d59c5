#include <cblas.h>
// LAPACK routines that the product calls; OpenBLAS carries them, its C headers may not.
#define LAPACK(type, s) \
  void s##gesdd_(const char *jobz, const int *m, const int *n, type *a, const int *lda, type *sv, type *u, \
                 const int *ldu, type *vt, const int *ldvt, type *work, const int *lwork, int *iwork, int *info); \
  void s##geqrf_(const int *m, const int *n, type *a, const int *lda, type *tau, type *work, const int *lwork, \
                 int *info); \
  void s##orgqr_(const int *m, const int *n, const int *k, type *a, const int *lda, const type *tau, type *work, \
                 const int *lwork, int *info); \
  void s##gesv_(const int *n, const int *nrhs, type *a, const int *lda, int *ipiv, type *b, const int *ldb, int *info); \
  void s##potrf_(const char *uplo, const int *n, type *a, const int *lda, int *info);
LAPACK(float, s)
LAPACK(double, d)
#undef LAPACK
