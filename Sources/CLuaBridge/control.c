// xpcall and coroutine.wrap, as the Lua manual describes them (6.1, 6.2), except after an interruption. While the hook
// raises it, Lua calls message handlers, and closes the variables of a coroutine that failed, with hooks switched off:
// whatever they run then could not be ended.
#include "internal.h"

/// The message handler. Upvalue: the script's.
static int handle_message(lua_State *L) {
  if (interpreter(L)->interrupting) return 1;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

/// What a protected call left above the stack's first `skipped` values, which begin with `true`.
static int finish_call(lua_State *L, int status, lua_KContext skipped) {
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)skipped;
  lua_pushboolean(L, false);
  lua_pushvalue(L, -2);
  return 2;
}

static int call_with_handler(lua_State *L) {
  luaL_checktype(L, 2, LUA_TFUNCTION);
  int count = lua_gettop(L);
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, handle_message, 1);
  lua_replace(L, 2);
  // function, handler, arguments -> function, handler, true, function, arguments
  lua_pushboolean(L, true);
  lua_pushvalue(L, 1);
  lua_rotate(L, 3, 2);
  return finish_call(L, lua_pcallk(L, count - 2, LUA_MULTRET, 2, 2, finish_call), 2);
}

/// Upvalue: the coroutine.
static int resume_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int count = lua_gettop(L), results = 0;
  if (!lua_checkstack(co, count)) return luaL_error(L, "too many arguments to resume");
  lua_xmove(L, co, count);
  int status = lua_resume(co, L, count, &results);
  if (status == LUA_OK || status == LUA_YIELD) {
    if (lua_checkstack(L, results + 1)) {
      lua_xmove(co, L, results);
      return results;
    }
    lua_pop(co, results);
    return luaL_error(L, "too many results to resume");
  }
  int state = lua_status(co);
  bool has_failed = state != LUA_OK && state != LUA_YIELD;
  if (has_failed && !interpreter(L)->interrupting) lua_resetthread(co);
  lua_xmove(co, L, 1);
  return lua_error(L);
}

static int wrap_function(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, resume_wrapped, 1);
  return 1;
}

const luaL_Reg lb_call_functions[] = {{"xpcall", call_with_handler}, {NULL, NULL}};
const luaL_Reg lb_coroutine_functions[] = {{"wrap", wrap_function}, {NULL, NULL}};
