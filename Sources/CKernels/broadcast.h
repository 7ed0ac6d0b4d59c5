#pragma once
#include <immintrin.h>
#include <stdint.h>

// A pair of bfloat16 in all lanes, as a factor of _mm512_dpbf16_ps.
__attribute__((target("avx512f,avx512bf16"), always_inline)) static inline __m512bh pg_broadcast_pair(int32_t pair) {
  __m512i pairs = _mm512_set1_epi32(pair);
#if defined(__clang_major__) && __clang_major__ < 18
  // The Clang of Swift 6.0 and 6.1 crashes where it makes one instruction of this and the product.
  __asm__("" : "+v"(pairs));
#endif
  return (__m512bh)pairs;
}
