// concat, insert, move, remove and sort of the table library, as the Lua manual describes them (6.6). Lua's own run without
// the interrupt hook, for ever if a range or `__len` is large enough; these look at the interrupt flag.
#include "internal.h"

#include <limits.h>
#include <string.h>

/// A table, or something that has these metamethods.
static void check_list(lua_State *L, int index, const char *const *metamethods) {
  if (lua_type(L, index) == LUA_TTABLE) return;
  for (; *metamethods != NULL; metamethods += 1) {
    if (luaL_getmetafield(L, index, *metamethods) == LUA_TNIL) luaL_checktype(L, index, LUA_TTABLE);
    lua_pop(L, 1);
  }
}

static const char *const reading[] = {"__index", NULL};
static const char *const writing[] = {"__newindex", NULL};
static const char *const reading_all[] = {"__index", "__len", NULL};
static const char *const changing[] = {"__index", "__newindex", "__len", NULL};

static void copy_element(lua_State *L, int source, lua_Integer from, int target, lua_Integer to) {
  lb_count_step(L);
  lua_geti(L, source, from);
  lua_seti(L, target, to);
}

static void add_element(lua_State *L, luaL_Buffer *buffer, lua_Integer i) {
  lb_count_step(L);
  lua_geti(L, 1, i);
  if (!lua_isstring(L, -1)) {
    luaL_error(L, "invalid value (at index %I) in table for 'concat'", (LUAI_UACINT)i);
  }
  luaL_addvalue(buffer);
}

static int list_concat(lua_State *L) {
  check_list(L, 1, reading_all);
  size_t size;
  const char *separator = luaL_optlstring(L, 2, "", &size);
  lua_Integer i = luaL_optinteger(L, 3, 1), last = luaL_opt(L, luaL_checkinteger, 4, luaL_len(L, 1));
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  for (; i < last; i += 1) {
    add_element(L, &buffer, i);
    luaL_addlstring(&buffer, separator, size);
  }
  if (i == last) add_element(L, &buffer, i);
  luaL_pushresult(&buffer);
  return 1;
}

static int list_insert(lua_State *L) {
  check_list(L, 1, changing);
  lua_Integer end = (lua_Integer)((lua_Unsigned)luaL_len(L, 1) + 1), position = end;
  int count = lua_gettop(L);
  if (count == 3) {
    position = luaL_checkinteger(L, 2);
    luaL_argcheck(L, (lua_Unsigned)position - 1 < (lua_Unsigned)end, 2, "position out of bounds");
    for (lua_Integer i = end; i > position; i -= 1) copy_element(L, 1, i - 1, 1, i);
  } else if (count != 2) {
    return luaL_error(L, "wrong number of arguments to 'insert'");
  }
  lua_seti(L, 1, position);
  return 0;
}

static int list_remove(lua_State *L) {
  check_list(L, 1, changing);
  lua_Integer size = luaL_len(L, 1), position = luaL_optinteger(L, 2, size);
  if (position != size) {
    luaL_argcheck(L, (lua_Unsigned)position - 1 <= (lua_Unsigned)size, 2, "position out of bounds");
  }
  lua_geti(L, 1, position);
  for (; position < size; position += 1) copy_element(L, 1, position + 1, 1, position);
  lua_pushnil(L);
  lua_seti(L, 1, position);
  return 1;
}

static int list_move(lua_State *L) {
  lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3), to = luaL_checkinteger(L, 4);
  int target = lua_isnoneornil(L, 5) ? 1 : 5;
  check_list(L, 1, reading);
  check_list(L, target, writing);
  if (last >= first) {
    luaL_argcheck(L, first > 0 || last < LUA_MAXINTEGER + first, 3, "too many elements to move");
    lua_Integer count = last - first + 1;
    luaL_argcheck(L, to <= LUA_MAXINTEGER - count + 1, 4, "destination wrap around");
    bool is_overlapping = to > first && to <= last && (target == 1 || lua_compare(L, 1, target, LUA_OPEQ));
    for (lua_Integer k = 0; k < count; k += 1) {
      lua_Integer i = is_overlapping ? count - 1 - k : k;
      copy_element(L, 1, first + i, target, to + i);
    }
  }
  lua_pushvalue(L, target);
  return 1;
}

// Sorting. Stack: 1 list, 2 function or nil, 3 and 4 tables with the elements.

/// Whether the value at the top comes before the one below it.
static bool is_top_before(lua_State *L) {
  lb_count_step(L);
  if (lua_isnil(L, 2)) return lua_compare(L, -1, -2, LUA_OPLT);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, -2);
  lua_pushvalue(L, -4);
  lua_call(L, 2, 1);
  bool result = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return result;
}

/// Merges two sorted neighbours, from `left` on and from `middle` to before `end`.
static void merge(lua_State *L, int source, int target, lua_Integer left, lua_Integer middle, lua_Integer end) {
  lua_Integer right = middle;
  for (lua_Integer to = left; to < end; to += 1) {
    bool takes_right = left == middle;
    if (!takes_right && right < end) {
      lua_rawgeti(L, source, left);
      lua_rawgeti(L, source, right);
      takes_right = is_top_before(L);
      lua_pop(L, 2);
    }
    lua_rawgeti(L, source, takes_right ? right++ : left++);
    lua_rawseti(L, target, to);
  }
}

/// Equal elements stay in their order, so that the result is the same in every run; Lua's own draws its pivots by the clock.
static int list_sort(lua_State *L) {
  check_list(L, 1, changing);
  lua_Integer count = luaL_len(L, 1);
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  if (count < 2) return 0;
  luaL_argcheck(L, count < INT_MAX, 1, "array too big");
  lua_newtable(L);
  lua_newtable(L);
  int source = 3, target = 4;
  for (lua_Integer i = 1; i <= count; i += 1) copy_element(L, 1, i, source, i);
  for (lua_Integer width = 1; width < count; width *= 2) {
    for (lua_Integer left = 1; left <= count; left += 2 * width) {
      lua_Integer middle = left + width, end = left + 2 * width;
      merge(L, source, target, left, middle > count + 1 ? count + 1 : middle, end > count + 1 ? count + 1 : end);
    }
    source = 7 - source, target = 7 - target;
  }
  for (lua_Integer i = 1; i <= count; i += 1) copy_element(L, source, i, 1, i);
  return 0;
}

const luaL_Reg lb_list_functions[] = {
  {"concat", list_concat}, {"insert", list_insert}, {"move", list_move}, {"remove", list_remove}, {"sort", list_sort},
  {NULL, NULL},
};
