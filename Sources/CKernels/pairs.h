// Two neighbours in bfloat16 at once, which are a number of 32 bits: neither widening nor rounding moves one to another lane of a register.
#pragma once
#include "internal.h"

#define PG_ALWAYS static inline __attribute__((always_inline))
// Loops over pairs whose arrays are the same or apart.
#define PG_PAIRS_LOOP _Pragma("clang loop vectorize(assume_safety) interleave_count(2)")

PG_ALWAYS uint32_t pg_two_from(const uint16_t *x) {
  uint32_t both;
  return memcpy(&both, x, sizeof both), both;
}
PG_ALWAYS float pg_number_from(uint32_t bits) {
  float x;
  return memcpy(&x, &bits, sizeof x), x;
}
PG_ALWAYS float pg_first_of(uint32_t both) { return pg_number_from(both << 16); }
PG_ALWAYS float pg_second_of(uint32_t both) { return pg_number_from(both & 0xFFFF0000u); }
// pg_to_bf16 in the upper half, for results of arithmetic with bfloat16 operands: where such a one is not a number, its lower half is 0,
// so that rounding leaves it as it is.
PG_ALWAYS uint32_t pg_upper_half(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits + 0x7FFFu + ((bits >> 16) & 1);
}
PG_ALWAYS void pg_put_two(float first, float second, uint16_t *y) {
  uint32_t both = (pg_upper_half(second) & 0xFFFF0000u) | pg_upper_half(first) >> 16;
  memcpy(y, &both, sizeof both);
}
