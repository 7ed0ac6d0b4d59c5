// Sums of activations and the gated unit of Llama's layers in bfloat16, in one pass over memory.
#include "pairs.h"

struct operands {
  const uint16_t *a, *b, *c;
  uint16_t *out, *out2;
  float alpha, beta;
};

PG_CLONES static void sum_range(void *context, size_t begin, size_t end) {
  const struct operands *o = context;
  const uint16_t *a = o->a, *b = o->b;
  uint16_t *out = o->out;
  float alpha = o->alpha, beta = o->beta;
  PG_PAIRS_LOOP for (size_t i = begin / 2; i < end / 2; i++) {
    uint32_t x = pg_two_from(a + 2 * i), y = pg_two_from(b + 2 * i);
    pg_put_two(alpha * pg_first_of(x) + beta * pg_first_of(y), alpha * pg_second_of(x) + beta * pg_second_of(y), out + 2 * i);
  }
  if (end % 2) out[end - 1] = pg_to_bf16(alpha * pg_from_bf16(a[end - 1]) + beta * pg_from_bf16(b[end - 1]));
}
void pg_narrow_sum(size_t n, float alpha, const uint16_t *x, float beta, const uint16_t *y, uint16_t *out) {
  struct operands o = {.a = x, .b = y, .out = out, .alpha = alpha, .beta = beta};
  pg_parallel_for(n, PG_CHUNK, sum_range, &o);
}

PG_ALWAYS float sigmoid(float x) { return 1 / (1 + pg_exp_f32(-x)); }
PG_ALWAYS float gated(float gate, float up) { return gate * sigmoid(gate) * up; }
PG_ALWAYS float gate_gradient(float gate, float up, float dy) {
  float s = sigmoid(gate);
  return dy * up * (s * (1 + gate * (1 - s)));
}
PG_ALWAYS float up_gradient(float gate, float dy) { return dy * (gate * sigmoid(gate)); }

PG_CLONES static void silu_range(void *context, size_t begin, size_t end) {
  const struct operands *o = context;
  const uint16_t *a = o->a, *b = o->b;
  uint16_t *out = o->out;
  PG_PAIRS_LOOP for (size_t i = begin / 2; i < end / 2; i++) {
    uint32_t x = pg_two_from(a + 2 * i), u = pg_two_from(b + 2 * i);
    pg_put_two(gated(pg_first_of(x), pg_first_of(u)), gated(pg_second_of(x), pg_second_of(u)), out + 2 * i);
  }
  if (end % 2) out[end - 1] = pg_to_bf16(gated(pg_from_bf16(a[end - 1]), pg_from_bf16(b[end - 1])));
}
void pg_narrow_gated_silu(size_t n, const uint16_t *gate, const uint16_t *up, uint16_t *y) {
  struct operands o = {.a = gate, .b = up, .out = y};
  pg_parallel_for(n, PG_CHUNK, silu_range, &o);
}

PG_CLONES static void silu_backward_range(void *context, size_t begin, size_t end) {
  const struct operands *o = context;
  const uint16_t *a = o->a, *b = o->b, *c = o->c;
  uint16_t *out = o->out, *out2 = o->out2;
  PG_PAIRS_LOOP for (size_t i = begin / 2; i < end / 2; i++) {
    uint32_t x = pg_two_from(a + 2 * i), u = pg_two_from(b + 2 * i), g = pg_two_from(c + 2 * i);
    pg_put_two(gate_gradient(pg_first_of(x), pg_first_of(u), pg_first_of(g)), gate_gradient(pg_second_of(x), pg_second_of(u), pg_second_of(g)), out + 2 * i);
    pg_put_two(up_gradient(pg_first_of(x), pg_first_of(g)), up_gradient(pg_second_of(x), pg_second_of(g)), out2 + 2 * i);
  }
  if (end % 2) {
    float x = pg_from_bf16(a[end - 1]), u = pg_from_bf16(b[end - 1]), g = pg_from_bf16(c[end - 1]);
    out[end - 1] = pg_to_bf16(gate_gradient(x, u, g)), out2[end - 1] = pg_to_bf16(up_gradient(x, g));
  }
}
void pg_narrow_gated_silu_backward(size_t n, const uint16_t *gate, const uint16_t *up, const uint16_t *dy, uint16_t *d_gate, uint16_t *d_up) {
  struct operands o = {.a = gate, .b = up, .c = dy, .out = d_gate, .out2 = d_up};
  pg_parallel_for(n, PG_CHUNK, silu_backward_range, &o);
}
