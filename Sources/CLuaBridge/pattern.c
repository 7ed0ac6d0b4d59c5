// Reading the patterns of the string library.
#include "pattern.h"

#include <ctype.h>
#include <string.h>

typedef struct {
  lua_State *L;
  const char *next, *end;
  item *items;
  size_t count;
  int captures;
  bool is_closed[MAX_CAPTURES];
} reader;

bool lb_in_class(int c, int letter) {
  bool result;
  switch (tolower(letter)) {
    case 'a': result = isalpha(c); break;
    case 'c': result = iscntrl(c); break;
    case 'd': result = isdigit(c); break;
    case 'g': result = isgraph(c); break;
    case 'l': result = islower(c); break;
    case 'p': result = ispunct(c); break;
    case 's': result = isspace(c); break;
    case 'u': result = isupper(c); break;
    case 'w': result = isalnum(c); break;
    case 'x': result = isxdigit(c); break;
    case 'z': result = c == 0; break;
    default: return letter == c;
  }
  return isupper(letter) ? !result : result;
}

static void add_to_set(item *i, int c) { i->set[c >> 6] |= (uint64_t)1 << (c & 63); }

static uint8_t escaped(reader *r) {
  if (r->next == r->end) luaL_error(r->L, "malformed pattern (ends with '%%')");
  return (uint8_t)*r->next++;
}

/// What follows "[".
static void read_set(reader *r, item *i) {
  bool is_complement = r->next < r->end && *r->next == '^';
  if (is_complement) r->next += 1;
  for (bool is_first = true;; is_first = false) {
    if (r->next == r->end) luaL_error(r->L, "malformed pattern (missing ']')");
    uint8_t c = (uint8_t)*r->next++;
    if (c == ']' && !is_first) break;
    if (c == '%') {
      if (r->next == r->end) luaL_error(r->L, "malformed pattern (missing ']')");
      uint8_t letter = (uint8_t)*r->next++;
      for (int byte = 0; byte < 256; byte += 1) if (lb_in_class(byte, letter)) add_to_set(i, byte);
    } else if (r->end - r->next >= 2 && r->next[0] == '-' && r->next[1] != ']') {
      uint8_t last = (uint8_t)r->next[1];
      r->next += 2;
      for (int byte = c; byte <= last; byte += 1) add_to_set(i, byte);
    } else {
      add_to_set(i, c);
    }
  }
  if (is_complement) for (int word = 0; word < 4; word += 1) i->set[word] = ~i->set[word];
}

static void read_parenthesis(reader *r, item *i, bool is_open) {
  if (!is_open) {
    int number = r->captures - 1;
    while (number >= 0 && r->is_closed[number]) number -= 1;
    if (number < 0) luaL_error(r->L, "invalid pattern capture");
    r->is_closed[number] = true;
    i->kind = CLOSE, i->a = (uint8_t)number;
    return;
  }
  if (r->captures >= MAX_CAPTURES) luaL_error(r->L, "too many captures");
  bool is_position = r->next < r->end && *r->next == ')';
  if (is_position) r->next += 1;
  i->kind = is_position ? OPEN_POSITION : OPEN, i->a = (uint8_t)r->captures;
  r->is_closed[r->captures++] = is_position;
}

/// What follows "%", outside of sets. Returns whether a repeat may follow.
static bool read_escape(reader *r, item *i) {
  uint8_t letter = escaped(r);
  switch (letter) {
    case 'b':
      if (r->end - r->next < 2) luaL_error(r->L, "malformed pattern (missing arguments to '%%b')");
      i->kind = BALANCED, i->a = (uint8_t)r->next[0], i->b = (uint8_t)r->next[1];
      r->next += 2;
      return false;
    case 'f':
      if (r->next == r->end || *r->next++ != '[') luaL_error(r->L, "missing '[' after '%%f' in pattern");
      i->kind = FRONTIER;
      read_set(r, i);
      return false;
    case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9': {
      int number = letter - '1';
      if (number < 0 || number >= r->captures || !r->is_closed[number]) {
        luaL_error(r->L, "invalid capture index %%%d in pattern", number + 1);
      }
      i->kind = BACK, i->a = (uint8_t)number;
      return false;
    }
    default:
      i->kind = isalpha(letter) && strchr("acdglpsuwxz", tolower(letter)) != NULL ? CLASS : LITERAL;
      i->a = letter;
      return true;
  }
}

static void read_item(reader *r) {
  item *i = &r->items[r->count++];
  memset(i, 0, sizeof *i);
  uint8_t c = (uint8_t)*r->next++;
  bool may_repeat = true;
  switch (c) {
    case '(': case ')': read_parenthesis(r, i, c == '('); may_repeat = false; break;
    case '[': i->kind = SET; read_set(r, i); break;
    case '%': may_repeat = read_escape(r, i); break;
    case '.': i->kind = ANY; break;
    case '$':
      if (r->next == r->end) {
        i->kind = AT_END;
        may_repeat = false;
        break;
      }
      // fall through
    default: i->kind = LITERAL, i->a = c;
  }
  if (may_repeat && r->next < r->end && strchr("*+-?", *r->next) != NULL && *r->next != 0) i->repeat = (uint8_t)*r->next++;
}

size_t lb_items_size(size_t pattern_size) { return (pattern_size == 0 ? 1 : pattern_size) * sizeof(item); }

program lb_read_pattern(lua_State *L, const char *pattern, size_t size, bool may_anchor, item *items) {
  reader r = {.L = L, .next = pattern, .end = pattern + size, .items = items};
  program p = {.items = items};
  if (may_anchor && size > 0 && *pattern == '^') {
    p.is_anchored = true;
    r.next += 1;
  }
  while (r.next < r.end) read_item(&r);
  for (int i = 0; i < r.captures; i += 1) if (!r.is_closed[i]) luaL_error(L, "unfinished capture");
  p.item_count = r.count;
  p.capture_count = r.captures;
  return p;
}
