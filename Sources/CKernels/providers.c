// Who multiplies: the providers, and which one is chosen for each kind of product. See docs/performance.md.
#include "matmul.h"
#include <pthread.h>
#include <stdlib.h>

// In the order in which they are expected to be fast.
static const pg_provider *const providers[] = {&pg_onednn, &pg_avx512, &pg_avx512_fp32, &pg_amx, &pg_avx2, &pg_openblas, &pg_amx_emulated};
#define NAMES "amx, avx512, avx512-fp32, avx2, onednn, openblas, amx-emulated"
enum { PROVIDERS = sizeof providers / sizeof *providers };

static const pg_provider *named(const char *name) {
  for (int i = 0; i < PROVIDERS; i++) {
    if (strcmp(providers[i]->name, name) == 0) return providers[i];
  }
  return NULL;
}

// The provider that the environment asks for, for comparisons; null: none.
static const char *wish(void) {
  const char *name = getenv("PERIGEE_PRODUCTS");
  return name && *name ? name : NULL;
}

bool pg_environment_mistake(pg_mistake *mistake) {
  if (pg_cpu_mistake(mistake)) return true;
  const char *name = wish();
  if (!name) return false;
  const pg_provider *p = named(name);
  if (p && p->kinds()) return false;
  *mistake = (pg_mistake){"PERIGEE_PRODUCTS", name, NAMES, p ? p->needs : NULL};
  return true;
}

static const pg_provider *expected(pg_product_kind kind) {
  for (int i = 0; i < PROVIDERS; i++) {
    if (providers[i]->expected && providers[i]->expected() >> kind & 1) return providers[i];
  }
  return &pg_openblas;
}

static const pg_provider *chosen[PG_PRODUCT_KINDS];

static void choose(const pg_provider *wanted) {
  for (pg_product_kind kind = 0; kind < PG_PRODUCT_KINDS; kind++) {
    chosen[kind] = wanted && wanted->kinds() >> kind & 1 ? wanted : expected(kind);
  }
}

static void choose_by_environment(void) {
  pg_mistake mistake;
  if (pg_environment_mistake(&mistake)) pg_end_with(&mistake);
  choose(wish() ? named(wish()) : NULL);
}

static void prepare(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, choose_by_environment);
}

const pg_provider *pg_provider_of(pg_product_kind kind) {
  prepare();
  return chosen[kind];
}

bool pg_set_products(const char *name) {
  prepare();
  const pg_provider *p = name ? named(name) : NULL;
  if (name && (!p || !p->kinds())) return false;
  if (p) choose(p);
  else choose_by_environment();
  return true;
}

const char *pg_products_names(void) { return NAMES; }

bool pg_products_are_wished(void) { return wish() != NULL; }
const pg_provider *pg_provider_at(size_t index) { return index < PROVIDERS ? providers[index] : NULL; }

void pg_set_provider_of(pg_product_kind kind, const pg_provider *p) {
  prepare();
  chosen[kind] = p;
}

const char *pg_products_of(pg_product_kind kind) { return pg_provider_of(kind)->name; }

bool pg_choose_products(pg_product_kind kind, const char *name) {
  const pg_provider *p = named(name);
  if (!p || !p->expected || !(p->expected() >> kind & 1)) return false;
  if (!wish()) pg_set_provider_of(kind, p);
  return true;
}

bool pg_packs(const pg_provider *p) { return p->multiply_panel || p->pack; }

static pg_product_kind kind_of_frozen(pg_dtype precision) { return precision == PG_BF16 ? PG_PACKED_BF16 : PG_FP32; }

const char *pg_provider_name(pg_dtype precision) { return pg_provider_of(kind_of_frozen(precision))->title; }
bool pg_packs_frozen(pg_dtype precision) { return pg_packs(pg_provider_of(kind_of_frozen(precision))); }
bool pg_has_onednn(void) { return pg_onednn_exists(); }
bool pg_has_bf16(void) { return pg_cpu_has(PG_AVX512_BF16); }
