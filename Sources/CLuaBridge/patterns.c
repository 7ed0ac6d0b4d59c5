// find, match, gmatch and gsub of the string library, as the Lua manual describes them (6.4.1). Lua's own run without the
// interrupt hook, and "a*a*a*a*b" keeps them busy for ever; these look at the interrupt flag, and give up after so many steps.
#define _GNU_SOURCE  // memmem
#include "pattern.h"

#include <string.h>

enum {
  /// Nested alternatives that are open at once.
  MAX_DEPTH = 200,
  /// Patterns with more items go to the heap.
  INLINE_ITEMS = 24,
  CHUNK_STEPS = 10000,
};
/// About a second of work, and then some for each byte of the text: nothing that ends by itself comes near it.
static const size_t MOST_STEPS = 300u * 1000 * 1000, MOST_STEPS_PER_BYTE = 64;

typedef struct {
  const char *start;
  ptrdiff_t size;
} capture;

enum { UNFINISHED = -1, POSITION = -2 };

typedef struct {
  lua_State *L;
  const program *program;
  const char *text, *end;
  /// For the message: the pattern.
  const char *pattern;
  int depth;
  size_t steps, most_steps, steps_to_poll;
  capture captures[MAX_CAPTURES];
} matcher;

// Matching

static void look_around(matcher *m) {
  m->steps += CHUNK_STEPS;
  m->steps_to_poll = CHUNK_STEPS;
  if (m->steps > m->most_steps) luaL_error(m->L, "pattern '%s' takes too many steps", lb_push_excerpt(m->L, m->pattern));
  lb_poll(m->L);
}

static inline void step(matcher *m) {
  if (--m->steps_to_poll == 0) look_around(m);
}

static inline bool matches_byte(const item *i, const char *at) {
  uint8_t c = (uint8_t)*at;
  switch (i->kind) {
    case LITERAL: return c == i->a;
    case ANY: return true;
    case CLASS: return lb_in_class(c, i->a);
    default: return is_in_set(i, c);
  }
}

static const char *match_from(matcher *m, const char *at, size_t number);

static const char *match_balanced(matcher *m, const item *i, const char *at) {
  if (at == m->end || (uint8_t)*at != i->a) return NULL;
  size_t open = 1;
  for (at += 1; at < m->end; at += 1) {
    step(m);
    if ((uint8_t)*at == i->b) {
      if (--open == 0) return at + 1;
    } else if ((uint8_t)*at == i->a) {
      open += 1;
    }
  }
  return NULL;
}

static bool is_frontier(matcher *m, const item *i, const char *at) {
  int before = at == m->text ? 0 : (uint8_t)at[-1], here = at == m->end ? 0 : (uint8_t)*at;
  return !is_in_set(i, before) && is_in_set(i, here);
}

/// Takes as many bytes as match, then gives back one after the other.
static const char *match_most(matcher *m, const item *i, const char *at, size_t number) {
  const char *last = at;
  while (last < m->end && matches_byte(i, last)) {
    step(m);
    last += 1;
  }
  for (const char *least = at + (i->repeat == '+'); last >= least; last -= 1) {
    const char *end = match_from(m, last, number + 1);
    if (end != NULL) return end;
  }
  return NULL;
}

static const char *match_least(matcher *m, const item *i, const char *at, size_t number) {
  for (;; at += 1) {
    const char *end = match_from(m, at, number + 1);
    if (end != NULL || at == m->end || !matches_byte(i, at)) return end;
  }
}

/// Matches a capture's start or end, and what follows; undone where that fails.
static const char *match_capture(matcher *m, const item *i, const char *at, size_t number) {
  capture *c = &m->captures[i->a], before = *c;
  if (i->kind == CLOSE) c->size = at - c->start;
  else *c = (capture){at, i->kind == OPEN_POSITION ? POSITION : UNFINISHED};
  const char *end = match_from(m, at, number + 1);
  if (end == NULL) *c = before;
  return end;
}

/// The end of a match of the items from `number` on, or NULL.
static const char *match_from(matcher *m, const char *at, size_t number) {
  if (++m->depth > MAX_DEPTH) luaL_error(m->L, "pattern too complex");
  const char *end = NULL;
  for (;; number += 1) {
    step(m);
    if (number == m->program->item_count) {
      end = at;
      break;
    }
    const item *i = &m->program->items[number];
    if (i->kind == OPEN || i->kind == OPEN_POSITION || i->kind == CLOSE) {
      end = match_capture(m, i, at, number);
      break;
    }
    if (i->kind == AT_END) {
      end = at == m->end ? at : NULL;
      break;
    }
    if (i->kind == BACK) {
      const capture *c = &m->captures[i->a];
      size_t size = (size_t)c->size;
      // A position is no text.
      if (c->size == POSITION || size > (size_t)(m->end - at) || memcmp(c->start, at, size) != 0) break;
      at += size;
    } else if (i->kind == BALANCED) {
      at = match_balanced(m, i, at);
      if (at == NULL) break;
    } else if (i->kind == FRONTIER) {
      if (!is_frontier(m, i, at)) break;
    } else if (i->repeat == '*' || i->repeat == '+') {
      end = match_most(m, i, at, number);
      break;
    } else if (i->repeat == '-') {
      end = match_least(m, i, at, number);
      break;
    } else {
      bool fits = at < m->end && matches_byte(i, at);
      if (i->repeat == '?') {
        if (fits && (end = match_from(m, at + 1, number + 1)) != NULL) break;
      } else if (fits) {
        at += 1;
      } else {
        break;
      }
    }
  }
  m->depth -= 1;
  return end;
}

static void begin(matcher *m, lua_State *L, const program *p, const char *text, size_t size, const char *pattern) {
  m->L = L;
  m->program = p;
  m->text = text;
  m->end = text + size;
  m->pattern = pattern;
  m->depth = 0;
  m->steps = 0;
  m->most_steps = MOST_STEPS + (size > SIZE_MAX / 2 / MOST_STEPS_PER_BYTE ? SIZE_MAX / 2 : MOST_STEPS_PER_BYTE * size);
  m->steps_to_poll = CHUNK_STEPS;
}

static const char *match_at(matcher *m, const char *at) {
  m->depth = 0;
  return match_from(m, at, 0);
}

// Results

static void push_capture(matcher *m, int number, const char *start, const char *end) {
  if (number >= m->program->capture_count) {
    if (number != 0) luaL_error(m->L, "invalid capture index %%%d", number + 1);
    lua_pushlstring(m->L, start, (size_t)(end - start));
    return;
  }
  const capture *c = &m->captures[number];
  if (c->size == POSITION) lua_pushinteger(m->L, c->start - m->text + 1);
  else lua_pushlstring(m->L, c->start, (size_t)c->size);
}

/// Pushes all captures; the whole match where there is none and `whole` is set.
static int push_captures(matcher *m, const char *start, const char *end, bool whole) {
  int count = m->program->capture_count == 0 && whole ? 1 : m->program->capture_count;
  luaL_checkstack(m->L, count, "too many captures");
  for (int i = 0; i < count; i += 1) push_capture(m, i, start, end);
  return count;
}

/// Where to start, counted from 0; beyond the end if it lies there.
static size_t start_position(lua_State *L, int argument, size_t size) {
  lua_Integer position = luaL_optinteger(L, argument, 1);
  if (position > 0) return (size_t)position - 1;
  if (position == 0 || position < -(lua_Integer)size) return 0;
  return size - (size_t)-position;
}

static bool is_plain(const char *pattern, size_t size) {
  for (size_t i = 0; i < size; i += 1) if (pattern[i] != 0 && strchr("^$*+?.([%-", pattern[i]) != NULL) return false;
  return true;
}

static int find_or_match(lua_State *L, bool is_find) {
  size_t size, pattern_size;
  const char *text = luaL_checklstring(L, 1, &size), *pattern = luaL_checklstring(L, 2, &pattern_size);
  size_t start = start_position(L, 3, size);
  if (start > size) {
    luaL_pushfail(L);
    return 1;
  }
  if (is_find && (lua_toboolean(L, 4) || is_plain(pattern, pattern_size))) {
    // In linear time.
    const char *found = pattern_size == 0 ? text + start : memmem(text + start, size - start, pattern, pattern_size);
    if (found == NULL) {
      luaL_pushfail(L);
      return 1;
    }
    lua_pushinteger(L, found - text + 1);
    lua_pushinteger(L, found - text + (lua_Integer)pattern_size);
    return 2;
  }
  item few[INLINE_ITEMS];
  item *items = pattern_size <= INLINE_ITEMS ? few : lua_newuserdatauv(L, lb_items_size(pattern_size), 0);
  program p = lb_read_pattern(L, pattern, pattern_size, true, items);
  matcher m;
  begin(&m, L, &p, text, size, pattern);
  for (const char *at = text + start; at <= m.end; at += 1) {
    const char *end = match_at(&m, at);
    if (end != NULL) {
      if (!is_find) return push_captures(&m, at, end, true);
      lua_pushinteger(L, at - text + 1);
      lua_pushinteger(L, end - text);
      return 2 + push_captures(&m, at, end, false);
    }
    if (p.is_anchored) break;
  }
  luaL_pushfail(L);
  return 1;
}

static int string_find(lua_State *L) { return find_or_match(L, true); }
static int string_match(lua_State *L) { return find_or_match(L, false); }

typedef struct {
  /// Counted from 0: where to go on, and where the last match ended (SIZE_MAX: nowhere).
  size_t next, last_end;
  program program;
  item items[];
} iteration;

/// Upvalues: text, pattern, iteration.
static int next_match(lua_State *L) {
  size_t size;
  const char *text = lua_tolstring(L, lua_upvalueindex(1), &size), *pattern = lua_tostring(L, lua_upvalueindex(2));
  iteration *it = lua_touserdata(L, lua_upvalueindex(3));
  matcher m;
  begin(&m, L, &it->program, text, size, pattern);
  for (; it->next <= size; it->next += 1) {
    const char *end = match_at(&m, text + it->next);
    // An empty match where the last one ended is none.
    if (end == NULL || (size_t)(end - text) == it->last_end) continue;
    size_t start = it->next;
    it->next = it->last_end = (size_t)(end - text);
    return push_captures(&m, text + start, end, true);
  }
  return 0;
}

static int string_gmatch(lua_State *L) {
  size_t size, pattern_size;
  luaL_checklstring(L, 1, &size);
  const char *pattern = luaL_checklstring(L, 2, &pattern_size);
  size_t start = start_position(L, 3, size);
  lua_settop(L, 2);
  iteration *it = lua_newuserdatauv(L, sizeof(iteration) + lb_items_size(pattern_size), 0);
  it->next = start;
  it->last_end = SIZE_MAX;
  it->program = lb_read_pattern(L, pattern, pattern_size, false, it->items);
  lua_pushcclosure(L, next_match, 3);
  return 1;
}

/// Adds the text that replaces a match, with "%0" to "%9" as captures.
static void add_text(matcher *m, luaL_Buffer *buffer, const char *start, const char *end) {
  size_t size;
  const char *text = lua_tolstring(m->L, 3, &size), *last = text + size;
  while (text < last) {
    const char *percent = memchr(text, '%', (size_t)(last - text));
    if (percent == NULL) percent = last;
    luaL_addlstring(buffer, text, (size_t)(percent - text));
    if (percent == last) return;
    char letter = percent + 1 < last ? percent[1] : 0;
    if (letter == '%') {
      luaL_addchar(buffer, '%');
    } else if (letter == '0') {
      luaL_addlstring(buffer, start, (size_t)(end - start));
    } else if (letter >= '1' && letter <= '9') {
      int number = letter - '1';
      if (number >= m->program->capture_count && number != 0) {
        luaL_error(m->L, "invalid capture index %%%d in replacement string", number + 1);
      }
      push_capture(m, number, start, end);
      luaL_tolstring(m->L, -1, NULL);
      lua_remove(m->L, -2);
      luaL_addvalue(buffer);
    } else {
      luaL_error(m->L, "invalid use of '%%' in replacement string");
    }
    text = percent + 2;
  }
}

/// Adds what replaces a match; returns whether it was replaced.
static bool add_replacement(matcher *m, luaL_Buffer *buffer, const char *start, const char *end) {
  lua_State *L = m->L;
  switch (lua_type(L, 3)) {
    case LUA_TFUNCTION:
      lua_pushvalue(L, 3);
      lua_call(L, push_captures(m, start, end, true), 1);
      break;
    case LUA_TTABLE:
      push_capture(m, 0, start, end);
      lua_gettable(L, 3);
      break;
    default: add_text(m, buffer, start, end); return true;
  }
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    luaL_addlstring(buffer, start, (size_t)(end - start));
    return false;
  }
  if (!lua_isstring(L, -1)) luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  luaL_addvalue(buffer);
  return true;
}

static int string_gsub(lua_State *L) {
  size_t size, pattern_size;
  const char *text = luaL_checklstring(L, 1, &size), *pattern = luaL_checklstring(L, 2, &pattern_size);
  int kind = lua_type(L, 3);
  luaL_argexpected(
    L, kind == LUA_TNUMBER || kind == LUA_TSTRING || kind == LUA_TFUNCTION || kind == LUA_TTABLE, 3,
    "string/function/table");
  lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)size + 1), count = 0;
  item few[INLINE_ITEMS];
  item *items = pattern_size <= INLINE_ITEMS ? few : lua_newuserdatauv(L, lb_items_size(pattern_size), 0);
  program p = lb_read_pattern(L, pattern, pattern_size, true, items);
  matcher m;
  begin(&m, L, &p, text, size, pattern);
  bool is_changed = false;
  const char *at = text, *last_end = NULL;
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  while (count < most) {
    const char *end = match_at(&m, at);
    if (end != NULL && end != last_end) {
      count += 1;
      is_changed = add_replacement(&m, &buffer, at, end) || is_changed;
      at = last_end = end;
    } else if (at < m.end) {
      luaL_addchar(&buffer, *at++);
    } else {
      break;
    }
    if (p.is_anchored) break;
  }
  if (is_changed) {
    luaL_addlstring(&buffer, at, (size_t)(m.end - at));
    luaL_pushresult(&buffer);
  } else {
    lua_pushvalue(L, 1);
  }
  lua_pushinteger(L, count);
  return 2;
}

const luaL_Reg lb_pattern_functions[] = {
  {"find", string_find}, {"match", string_match}, {"gmatch", string_gmatch}, {"gsub", string_gsub}, {NULL, NULL},
};
