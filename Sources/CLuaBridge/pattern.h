// A pattern of the string library as a list of items, and what reads it.
#pragma once
#include "internal.h"

enum { MAX_CAPTURES = 32 };

typedef enum { LITERAL, ANY, CLASS, SET, OPEN, OPEN_POSITION, CLOSE, BACK, BALANCED, FRONTIER, AT_END } item_kind;

/// One item of a pattern.
typedef struct {
  uint8_t kind;
  /// '*', '+', '-', '?' or 0, behind a kind that matches single bytes.
  uint8_t repeat;
  /// The byte, the class letter, the capture's number, or the opening and closing byte.
  uint8_t a, b;
  /// One bit for each byte of a set.
  uint64_t set[4];
} item;

/// `items` is the caller's memory.
typedef struct {
  const item *items;
  size_t item_count;
  int capture_count;
  bool is_anchored;
} program;

/// Whether a byte is one of those that %letter stands for.
bool lb_in_class(int c, int letter);

/// Bytes of the items of a pattern of this size: no byte makes more than one.
size_t lb_items_size(size_t pattern_size);

/// Reads a pattern into `items`. Raises a Lua error for a malformed one. `may_anchor`: a '^' in front is an anchor.
program lb_read_pattern(lua_State *L, const char *pattern, size_t size, bool may_anchor, item *items);

static inline bool is_in_set(const item *i, int c) { return i->set[c >> 6] >> (c & 63) & 1; }
