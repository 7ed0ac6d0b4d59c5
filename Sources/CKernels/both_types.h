// Includes PG_TEMPLATE, the second half of the file that includes this, once for float and once for double.
// REAL: the type; FN(name): a function for it; MATH(name): a function of math.h.
#define REAL float
#define FN(name) name##_f32
#define MATH(name) name##f
#include "rows_template.h"
#include PG_TEMPLATE
#undef REAL
#undef FN
#undef MATH
#define REAL double
#define FN(name) name##_f64
#define MATH(name) name
#include "rows_template.h"
#include PG_TEMPLATE
