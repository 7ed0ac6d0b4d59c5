// Reading and pushing values; nothing here runs metamethods or raises.
#include "internal.h"

#include <stdio.h>
#include <string.h>

int lb_top(lb_state *L) { return lua_gettop(L); }
void lb_set_top(lb_state *L, int top) { lua_settop(L, top); }
bool lb_reserve(lb_state *L, int count) { return lua_checkstack(L, count) != 0; }

int lb_kind(lb_state *L, int index) {
  switch (lua_type(L, index)) {
    case LUA_TNONE: return LB_NONE;
    case LUA_TNIL: return LB_NIL;
    case LUA_TBOOLEAN: return LB_BOOL;
    case LUA_TNUMBER: return lua_isinteger(L, index) ? LB_INTEGER : LB_NUMBER;
    case LUA_TSTRING: return LB_STRING;
    case LUA_TTABLE: return LB_TABLE;
    case LUA_TFUNCTION: return LB_FUNCTION;
    case LUA_TTHREAD: return LB_THREAD;
    case LUA_TUSERDATA: return lb_object_class(L, index) >= 0 ? LB_OBJECT : LB_OTHER;
    default: return LB_OTHER;
  }
}

bool lb_bool(lb_state *L, int index) { return lua_toboolean(L, index) != 0; }
int64_t lb_integer(lb_state *L, int index) { return lua_tointeger(L, index); }
double lb_number(lb_state *L, int index) { return lua_tonumber(L, index); }

const char *lb_string(lb_state *L, int index, size_t *count) {
  return lua_tolstring(L, index, count);
}

const void *lb_identity(lb_state *L, int index) { return lua_topointer(L, index); }

void *lb_declared_function(lb_state *L, int index) {
  if (lua_tocfunction(L, index) != lb_trampoline || lua_getupvalue(L, index, 1) == NULL) return NULL;
  void *function = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return function;
}

void lb_push_nil(lb_state *L) { lua_pushnil(L); }
void lb_push_bool(lb_state *L, bool value) { lua_pushboolean(L, value); }
void lb_push_integer(lb_state *L, int64_t value) { lua_pushinteger(L, value); }
void lb_push_number(lb_state *L, double value) { lua_pushnumber(L, value); }
void lb_push_string(lb_state *L, const char *bytes, size_t count) {
  lua_pushlstring(L, count == 0 ? "" : bytes, count);
}
void lb_push_copy(lb_state *L, int index) { lua_pushvalue(L, index); }
void lb_replace(lb_state *L, int index) { lua_replace(L, index); }
void lb_push_globals(lb_state *L) { lua_pushglobaltable(L); }

void lb_push_function(lb_state *L, void *function) {
  lua_pushlightuserdata(L, function);
  lua_pushcclosure(L, lb_trampoline, 1);
}

void lb_new_table(lb_state *L, int list_count, int field_count) {
  lua_createtable(L, list_count, field_count);
}
int64_t lb_raw_length(lb_state *L, int index) { return (int64_t)lua_rawlen(L, index); }
void lb_raw_get_index(lb_state *L, int table, int64_t i) { lua_rawgeti(L, table, i); }
void lb_raw_get(lb_state *L, int table) { lua_rawget(L, table); }
void lb_raw_set_index(lb_state *L, int table, int64_t i) { lua_rawseti(L, table, i); }

void lb_raw_set_field(lb_state *L, int table, const char *bytes, size_t count) {
  table = lua_absindex(L, table);
  lb_push_string(L, bytes, count);
  lua_insert(L, -2);
  lua_rawset(L, table);
}

bool lb_next(lb_state *L, int table) { return lua_next(L, table) != 0; }

int lb_reference(lb_state *L) { return luaL_ref(L, LUA_REGISTRYINDEX); }
void lb_push_referenced(lb_state *L, int reference) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, reference);
}
void lb_release_reference(lb_state *L, int reference) {
  luaL_unref(L, LUA_REGISTRYINDEX, reference);
}

const char *lb_push_excerpt(lua_State *L, const char *text) {
  enum { LIMIT = 100 };
  return strlen(text) > LIMIT ? lua_pushfstring(L, "%s...", lua_pushlstring(L, text, LIMIT)) : lua_pushstring(L, text);
}

void lb_where(lb_state *L, int level, char *text, size_t size) {
  lua_Debug frame;
  for (; lua_getstack(L, level, &frame); level += 1) {
    lua_getinfo(L, "Sl", &frame);
    if (frame.currentline > 0) {
      snprintf(text, size, "%s:%d", frame.short_src, frame.currentline);
      return;
    }
  }
  if (size > 0) text[0] = 0;
}

void lb_function_place(lb_state *L, int index, char *text, size_t size) {
  lua_Debug function;
  lua_pushvalue(L, index);
  lua_getinfo(L, ">S", &function);
  if (function.linedefined > 0) snprintf(text, size, "%s:%d", function.short_src, function.linedefined);
  else snprintf(text, size, "?");
}

bool lb_push_metatable(lb_state *L, int index) { return lua_getmetatable(L, index) != 0; }

void *lb_random_state(lb_state *L, int random, size_t *count) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, random);
  bool is_found = lua_iscfunction(L, -1) && lua_getupvalue(L, -1, 1) != NULL;
  void *state = is_found ? lua_touserdata(L, -1) : NULL;
  *count = state == NULL ? 0 : lua_rawlen(L, -1);
  lua_pop(L, is_found ? 2 : 1);
  return state;
}
