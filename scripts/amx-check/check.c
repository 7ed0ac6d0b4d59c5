// Products of panels by amx.c, on a machine without a system, beside those of amx_emulated.c: scripts/amx-check.sh runs it.
#include "matmul.h"

// ---- the machine
static void put_byte(unsigned short port, unsigned char value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static unsigned char get_byte(unsigned short port) {
  unsigned char value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

enum { SERIAL = 0x3F8, LINE_CONTROL = SERIAL + 3, LINE_STATUS = SERIAL + 5, SWITCH_OFF = 0x8900 };
static void say(const char *text) {
  for (; *text; text++) {
    while (!(get_byte(LINE_STATUS) & 0x20)) {}
    put_byte(SERIAL, (unsigned char)*text);
  }
}
static void say_number(uint64_t value) {
  char digits[24], *first = digits + 23;
  *first = 0;
  do *--first = (char)('0' + value % 10);
  while (value /= 10);
  say(first);
}
static void end(void) {
  // The last byte is on its way until the line is idle.
  while (!(get_byte(LINE_STATUS) & 0x40)) {}
  for (const char *s = "Shutdown"; *s; s++) put_byte(SWITCH_OFF, (unsigned char)*s);
}

// ---- what the compiled files call
void *memcpy(void *to, const void *from, size_t count) {
  for (size_t i = 0; i < count; i++) ((volatile char *)to)[i] = ((const char *)from)[i];
  return to;
}
void *memset(void *to, int value, size_t count) {
  for (size_t i = 0; i < count; i++) ((volatile char *)to)[i] = (char)value;
  return to;
}
int memcmp(const void *x, const void *y, size_t count) {
  const volatile unsigned char *a = x, *b = y;
  for (size_t i = 0; i < count; i++) {
    if (a[i] != b[i]) return a[i] - b[i];
  }
  return 0;
}
float fmaf(float x, float y, float z) {
  __asm__("vfmadd231ss %2, %1, %0" : "+x"(z) : "x"(x), "x"(y));
  return z;
}
bool pg_cpu_has(pg_unit unit) { return (void)unit, true; }
long syscall(long number, ...) { return (void)number, 0; }
int pthread_once(int *once, void (*body)(void)) {
  if (!*once) body();
  *once = 1;
  return 0;
}
void pg_finish_sums(size_t rows, size_t columns, const float *sums, size_t width, const pg_finish *f, size_t step) {
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = 0; j < columns; j++) {
      ((float *)f->c)[i * f->stride + j * step] = f->alpha * sums[i * width + j] + (f->bias ? f->bias[j] : 0);
    }
  }
}

// ---- the check
enum { ROWS = 50, K = 96, STRIDE = 72 };
static uint16_t a[ROWS * (K + 8)], b[K * PG_PANEL];
static float start[ROWS * STRIDE], bias[PG_PANEL], sums[2][ROWS * STRIDE], results[2][ROWS * STRIDE];

static uint32_t next(void) {
  static uint64_t state = 12345;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33);
}

// Of ordinary size; every seventh may be subnormal, infinite, NaN, or as large or small as they come.
static uint16_t element(bool may_be_odd) {
  static const uint16_t odd[] = {0x0001, 0x8003, 0x007F, 0x7F80, 0xFF80, 0x7FC0, 0x7F7F, 0x0080, 0x8000, 0};
  uint32_t r = next();
  if (may_be_odd && r % 7 == 0) return odd[(r >> 8) % 10];
  return (uint16_t)((r & 0x807F) | (0x7C - (r >> 16) % 8) << 7);
}

// What becomes of the sums.
enum mode { SUMS, ADDED, FINISHED, ODD, MODES };

static bool agrees(size_t rows, size_t width, size_t k, size_t gap, enum mode mode) {
  size_t even = k + k % 2, lda = even + gap;
  for (size_t i = 0; i < rows * lda; i++) a[i] = element(mode == ODD);
  for (size_t i = 0; i < even * width; i++) b[i] = element(mode == ODD);
  // Of an odd k there is a 0 more.
  for (size_t i = 0; i < rows && k % 2; i++) a[i * lda + k] = 0;
  for (size_t j = 0; j < width && k % 2; j++) b[(even / 2 - 1) * width * 2 + 2 * j + 1] = 0;
  for (size_t i = 0; i < rows * STRIDE; i++) start[i] = (float)((int)(next() % 2001) - 1000) / 512;
  for (size_t j = 0; j < PG_PANEL; j++) bias[j] = (float)j / 8;
  for (int i = 0; i < 2; i++) {
    const pg_provider *p = i == 0 ? &pg_amx : &pg_amx_emulated;
    memcpy(sums[i], start, sizeof start);
    memcpy(results[i], start, sizeof start);
    bool adds = mode == ADDED || mode == FINISHED;
    pg_finish f = {PG_F32, results[i], STRIDE, mode == FINISHED ? bias : NULL, mode == FINISHED ? 0.5f : 1, 0};
    p->multiply_panel(PG_BF16, rows, width, k, a, lda, b, NULL, sums[i], STRIDE, adds, mode >= FINISHED ? &f : NULL);
    p->end();
  }
  return memcmp(sums[0], sums[1], sizeof start) == 0 && memcmp(results[0], results[1], sizeof start) == 0;
}

void run(void) {
  static const size_t rows[] = {1, 15, 17, 32, 33, ROWS}, ks[] = {1, 2, 31, 32, 33, 64, 95};
  uint64_t products = 0, elements = 0, different = 0;
  put_byte(LINE_CONTROL, 3);  // bytes of eight bits
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    for (size_t width = 16; width <= PG_PANEL; width += 16) {
      for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
        for (enum mode mode = 0; mode < MODES; mode++) {
          products++, elements += rows[r] * width;
          if (agrees(rows[r], width, ks[i], i % 3 * 2, mode)) continue;
          if (different++ >= 10) continue;
          say("different: rows "), say_number(rows[r]), say(", width "), say_number(width), say(", k "), say_number(ks[i]);
          say(", mode "), say_number(mode), say("\n");
        }
      }
    }
  }
  say_number(products), say(" products, "), say_number(elements), say(" elements; "), say_number(different), say(" different\n");
  end();
}
