#include "internal.h"

struct adamw_args {
  pg_adamw_options o;
  float *p, *m, *v;
  const float *g;
  float step_size, root;
};

PG_CLONES static void adamw_range(void *context, size_t begin, size_t end) {
  const struct adamw_args *a = context;
  float *restrict p = a->p, *restrict m = a->m, *restrict v = a->v;
  const float *restrict g = a->g;
  float scale = (float)a->o.gradient_scale, beta1 = (float)a->o.beta1, beta2 = (float)a->o.beta2;
  float decay = (float)(1 - a->o.learning_rate * a->o.weight_decay), eps = (float)a->o.eps;
  // sqrtf may set errno, which keeps a loop from being vectorised.
  for (size_t i = begin; i < end; i++) {
    float x = g[i] * scale;
    m[i] = m[i] + (1 - beta1) * (x - m[i]);
    v[i] = beta2 * v[i] + (1 - beta2) * x * x;
    p[i] = p[i] * decay - a->step_size * m[i] / (__builtin_elementwise_sqrt(v[i]) * a->root + eps);
  }
}

void pg_adamw(size_t n, pg_adamw_options o, float *parameter, const float *gradient, float *m, float *v) {
  PG_TIMED(PG_KIND_OPTIMIZER);
  double correction1 = 1 - pow(o.beta1, (double)o.step), correction2 = 1 - pow(o.beta2, (double)o.step);
  struct adamw_args a = {.o = o, .p = parameter, .g = gradient, .m = m, .v = v,
                         .step_size = (float)(o.learning_rate / correction1), .root = (float)(1 / sqrt(correction2))};
  pg_parallel_for(n, PG_CHUNK, adamw_range, &a);
}
