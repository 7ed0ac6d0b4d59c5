#pragma once

// One copy of a function per instruction set, chosen when the program is loaded.
#if !defined(__x86_64__) || !defined(__linux__)
#define PG_CLONES
#elif __clang_major__ < 18
// The Clang of Swift 6.0 and 6.1 stops at the names of levels, where its assertions are on: Debian 13's does.
#define PG_CLONES __attribute__((target_clones("avx512bw", "avx2", "default")))
#else
#define PG_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
