// The code of a function of a script, as something that can be compared: bytecode without names, lines and comments.
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/// What `lua_dump` wrote.
typedef struct {
  unsigned char *bytes;
  size_t count, room;
} dump;

static int append(lua_State *L, const void *bytes, size_t count, void *target) {
  (void)L;
  dump *to = target;
  if (to->count + count > to->room) {
    size_t room = 2 * (to->count + count) + 256;
    unsigned char *grown = realloc(to->bytes, room);
    if (grown == NULL) return 1;
    to->bytes = grown;
    to->room = room;
  }
  memcpy(to->bytes + to->count, bytes, count);
  to->count += count;
  return 0;
}

/// Reads a dump of Lua 5.4 and passes on what is computed with. After a mistake it reads nothing more.
typedef struct {
  const unsigned char *next, *end;
  lb_code_reader to;
  bool failed, reads_any_global;
} reader;

static const unsigned char *take(reader *r, size_t count) {
  if (r->failed || (size_t)(r->end - r->next) < count) {
    r->failed = true;
    return NULL;
  }
  const unsigned char *start = r->next;
  r->next += count;
  return start;
}

/// Passes on the bytes from `start` to the next one.
static void keep(reader *r, const unsigned char *start) {
  if (!r->failed) r->to.write(r->to.context, start, (size_t)(r->next - start));
}

/// Seven bits in each byte, the highest first; the last byte has its highest bit set.
static size_t number(reader *r) {
  size_t value = 0;
  for (int i = 0; i < 10; i += 1) {
    const unsigned char *byte = take(r, 1);
    if (byte == NULL) return 0;
    value = value << 7 | (*byte & 0x7f);
    if (*byte & 0x80) return value;
  }
  r->failed = true;
  return 0;
}

/// The number of elements of a list; each takes a byte at least.
static size_t length(reader *r) {
  size_t count = number(r);
  if (count > (size_t)(r->end - r->next)) r->failed = true;
  return r->failed ? 0 : count;
}

static const unsigned char *string(reader *r, size_t *count) {
  size_t size = number(r);
  *count = size == 0 ? 0 : size - 1;
  return take(r, *count);
}

static void constants(reader *r) {
  for (size_t count = length(r); count > 0 && !r->failed; count -= 1) {
    const unsigned char *kind = take(r, 1);
    if (kind == NULL) return;
    size_t size = 0;
    switch (*kind) {
      case 0x00: case 0x01: case 0x11: break;
      case 0x03: take(r, sizeof(lua_Integer)); break;
      case 0x13: take(r, sizeof(lua_Number)); break;
      case 0x04: case 0x14: {
        const unsigned char *text = string(r, &size);
        if (text != NULL) r->to.constant(r->to.context, text, size);
        break;
      }
      default: r->failed = true;
    }
  }
}

/// Whether code reads or writes a captured value as a whole, not one of its fields.
static bool touches(const unsigned char *code, size_t count, int captured) {
  enum { GET_UPVALUE = 9, SET_UPVALUE = 10 };
  for (size_t i = 0; i < count; i += 1) {
    uint32_t instruction;
    memcpy(&instruction, code + 4 * i, 4);
    uint32_t operation = instruction & 0x7f;
    if ((operation == GET_UPVALUE || operation == SET_UPVALUE) && (int)(instruction >> 16 & 0xff) == captured) return true;
  }
  return false;
}

/// The number of the captured value, from 0, that is this one of the function around; -1: none.
static int inner_number(const unsigned char *captured, size_t count, int outer) {
  for (size_t i = 0; outer >= 0 && i < count; i += 1) {
    if (captured[3 * i] == 0 && captured[3 * i + 1] == outer) return (int)i;
  }
  return -1;
}

/// One function and those in it. `globals`: which captured value is the table of globals, from 0, or -1: of the outermost
/// function itself, else of the function around.
static void function(reader *r, int globals, int depth) {
  if (depth > 200) r->failed = true;
  size_t size;
  string(r, &size);  // the file
  number(r);         // the lines
  number(r);
  const unsigned char *start = r->next;
  take(r, 3);
  size_t instructions = length(r);
  const unsigned char *code = take(r, 4 * instructions);
  constants(r);
  size_t count = length(r);
  const unsigned char *captured = take(r, 3 * count);
  size_t inner = length(r);
  keep(r, start);
  if (r->failed) return;
  if (depth > 0) globals = inner_number(captured, count, globals);
  if (globals >= 0 && touches(code, instructions, globals)) r->reads_any_global = true;
  for (; inner > 0 && !r->failed; inner -= 1) function(r, globals, depth + 1);
  take(r, number(r));  // names and lines: stripped, so all four lists are empty
  for (int i = 0; i < 3; i += 1) if (number(r) != 0) r->failed = true;
}

/// Which captured value is the table of globals, from 0, or -1.
static int globals_number(lua_State *L, int index) {
  int found = -1;
  lua_pushglobaltable(L);
  for (int i = 1; found < 0 && lua_getupvalue(L, index, i) != NULL; i += 1) {
    if (lua_rawequal(L, -1, -2)) found = i - 1;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return found;
}

int lb_function_code(lb_state *L, int index, lb_code_reader to) {
  if (lua_iscfunction(L, index)) return LB_HOST_CODE;
  index = lua_absindex(L, index);
  dump code = {NULL, 0, 0};
  lua_pushvalue(L, index);
  bool is_whole = lua_dump(L, append, &code, 1) == 0;
  lua_pop(L, 1);
  // "\x1bLua", version, format, six bytes against damage, three sizes, two numbers, and how many values are captured.
  size_t header = 4 + 1 + 1 + 6 + 3 + sizeof(lua_Integer) + sizeof(lua_Number) + 1;
  reader r = {code.bytes, code.bytes + code.count, to, !is_whole || code.count < header, false};
  const unsigned char *start = take(&r, header);
  if (start != NULL && (memcmp(start, LUA_SIGNATURE "\x54", 5) != 0 || start[12] != 4)) r.failed = true;
  if (!r.failed) function(&r, globals_number(L, index), 0);
  free(code.bytes);
  return r.failed ? LB_UNKNOWN_CODE : r.reads_any_global ? LB_CODE_WITH_GLOBALS : LB_CODE;
}

const char *lb_push_upvalue(lb_state *L, int function, int number) { return lua_getupvalue(L, function, number); }

const void *lb_upvalue_place(lb_state *L, int function, int number) {
  return lua_iscfunction(L, function) ? NULL : lua_upvalueid(L, function, number);
}
