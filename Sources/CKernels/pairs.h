// Loops over bfloat16 that compute in float32.
#pragma once
#include "internal.h"

#define ALWAYS static inline __attribute__((always_inline))

// Two neighbours at once, which are a number of 32 bits: neither widening nor narrowing moves one to another lane of a register.
ALWAYS uint32_t two_from(const uint16_t *x) {
  uint32_t both;
  return memcpy(&both, x, sizeof both), both;
}
ALWAYS float number_from(uint32_t bits) {
  float x;
  return memcpy(&x, &bits, sizeof x), x;
}
ALWAYS float first_of(uint32_t both) { return number_from(both << 16); }
ALWAYS float second_of(uint32_t both) { return number_from(both & 0xFFFF0000u); }
// pg_to_bf16 in the upper half.
ALWAYS uint32_t upper_half(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (bits & 0x7FFFFFFFu) > 0x7F800000u ? bits | 0x400000 : bits + 0x7FFFu + ((bits >> 16) & 1);
}
ALWAYS void put_two(float first, float second, uint16_t *y) {
  uint32_t both = (upper_half(second) & 0xFFFF0000u) | upper_half(first) >> 16;
  memcpy(y, &both, sizeof both);
}
// Several registers at once: one polynomial is a chain of products that wait for each other.
#define PAIRS_LOOP _Pragma("clang loop vectorize(assume_safety) interleave_count(2)") for (size_t i = begin / 2; i < end / 2; i++)
