// The life of a state, its memory, its interruption.
#include "internal.h"

#include <CLimits.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// Instructions between two looks at the interrupt flag: microseconds.
enum { POLL_INSTRUCTIONS = 10000 };
enum { LARGE_REQUEST = 1 << 18 };

static void *allocate(void *context, void *block, size_t old_size, size_t new_size) {
  lb_interpreter *it = context;
  size_t held = block == NULL ? 0 : old_size;
  if (new_size == 0) {
    free(block);
    it->heap_bytes -= held;
    return NULL;
  }
  // NULL makes Lua collect, try again and raise, which only C frames may see.
  if (new_size > held && !it->in_swift && it->host.memory_cap != 0 &&
      it->heap_bytes - held + new_size > it->host.memory_cap) {
    return NULL;
  }
  // So does a request that the process has no room for; small ones are what its reserve is for.
  if (new_size > held + LARGE_REQUEST && !it->in_swift && !cl_has_room(new_size - held)) return NULL;
  void *result = realloc(block, new_size);
  if (result == NULL) {
    if (new_size <= held) return block;
    if (!it->in_swift) return NULL;
    // Nothing can be raised over Swift's frames, and Swift cannot go on without the value.
    cl_end_without_memory(new_size);
  }
  it->heap_bytes += new_size - held;
  return result;
}

static int panic(lua_State *L) {
  const char *message = lua_tostring(L, -1);
  fprintf(stderr, "perigee: internal error: unprotected Lua error: %s\n",
          message == NULL ? "(no message)" : message);
  abort();
}

void lb_poll(lua_State *L) {
  lb_interpreter *it = interpreter(L);
  if (!it->interrupting && (it->host.interrupted == NULL || !it->host.interrupted(it->host.context))) return;
  lb_arm_interrupt(L);
  luaL_error(L, "interrupted");
}

static const char kept_chunk_key;

/// Called when a function returns: makes globals of the local variables of the chunk that a prompt runs.
static void keep_locals(lua_State *L, lua_Debug *returned) {
  lua_getinfo(L, "f", returned);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &kept_chunk_key);
  bool is_chunk = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  if (!is_chunk) return;
  lua_pushglobaltable(L);
  const char *name;
  for (int i = 1; (name = lua_getlocal(L, returned, i)) != NULL; i += 1) {
    // Values without a name of the script's are called "(temporary)" and the like.
    if (name[0] == '(') {
      lua_pop(L, 1);
      continue;
    }
    lua_pushstring(L, name);
    lua_insert(L, -2);
    lua_rawset(L, -3);
  }
  lua_pop(L, 1);
}

static void poll_interrupt(lua_State *L, lua_Debug *event) {
  if (event->event == LUA_HOOKRET) {
    keep_locals(L, event);
    return;
  }
  lb_poll(L);
  if (lua_gethookcount(L) == 1) lua_sethook(L, poll_interrupt, LUA_MASKCOUNT, POLL_INSTRUCTIONS);
}

void lb_arm_interrupt(lua_State *L) {
  lb_interpreter *it = interpreter(L);
  it->interrupting = true;
  // A `pcall` in the script catches the error, and then runs into the next one.
  lua_sethook(L, poll_interrupt, LUA_MASKCOUNT, 1);
  lua_sethook(it->main, poll_interrupt, LUA_MASKCOUNT, 1);
}

void lb_keep_locals(lua_State *L, int index) {
  lua_pushvalue(L, index);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kept_chunk_key);
  lua_sethook(L, poll_interrupt, LUA_MASKCOUNT | LUA_MASKRET, POLL_INSTRUCTIONS);
}

lb_state *lb_create(lb_host host) {
  lb_interpreter *it = calloc(1, sizeof *it);
  if (it == NULL) return NULL;
  it->host = host;
  lua_State *L = lua_newstate(allocate, it);
  if (L == NULL) {
    free(it);
    return NULL;
  }
  it->main = L;
  it->in_swift = true;
  *(lb_interpreter **)lua_getextraspace(L) = it;
  lua_atpanic(L, panic);
  lua_sethook(L, poll_interrupt, LUA_MASKCOUNT, POLL_INSTRUCTIONS);
  return L;
}

void lb_close(lb_state *L) {
  lb_interpreter *it = interpreter(L);
  lua_close(it->main);
  free(it);
}

void lb_set_native_memory(lb_state *L, size_t (*live_bytes)(void), size_t floor_bytes) {
  lb_interpreter *it = interpreter(L);
  it->live_bytes = live_bytes;
  it->native_floor = it->native_limit = floor_bytes;
}

bool lb_is_running(lb_state *L) { return interpreter(L)->depth > 0; }

size_t lb_heap_bytes(lb_state *L) { return interpreter(L)->heap_bytes; }

void lb_collect(lb_state *L) { lua_gc(L, LUA_GCCOLLECT); }

bool lb_has_room(lb_state *L, size_t bytes) {
  lb_interpreter *it = interpreter(L);
  size_t cap = it->host.memory_cap;
  if (cap == 0 || (it->heap_bytes <= cap && bytes <= cap - it->heap_bytes)) return true;
  lua_gc(L, LUA_GCCOLLECT);
  return it->heap_bytes <= cap && bytes <= cap - it->heap_bytes;
}

/// To Lua a tensor of megabytes is a few bytes, so its own pace would let dropped ones pile up.
static void collect_if_over_limit(lua_State *L, lb_interpreter *it) {
  if (it->live_bytes == NULL || it->live_bytes() <= it->native_limit) return;
  lua_gc(L, LUA_GCCOLLECT);
  size_t live = it->live_bytes();
  it->native_limit = live > it->native_floor / 2 ? 2 * live : it->native_floor;
}

int lb_trampoline(lua_State *L) {
  lb_interpreter *it = interpreter(L);
  collect_if_over_limit(L, it);
  luaL_checkstack(L, 64, "too many values");
  bool outer = it->in_swift;
  it->in_swift = true;
  int count = it->host.entry(L, lua_touserdata(L, lua_upvalueindex(1)));
  it->in_swift = outer;
  if (count >= 0) return count;
  if (count == LB_FAILED_BY_INTERRUPT) lb_arm_interrupt(L);
  return lua_error(L);
}

static const char traceback_key;

int lb_traceback_handler(lua_State *L) {
  luaL_traceback(L, L, NULL, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &traceback_key);
  lua_settop(L, 1);
  return 1;
}

void lb_push_traceback(lb_state *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &traceback_key) != LUA_TSTRING) {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
}

bool lb_load(lb_state *L, const char *bytes, size_t count, const char *chunk_name) {
  lb_interpreter *it = interpreter(L);
  bool outer = it->in_swift;
  it->in_swift = false;
  int status = luaL_loadbufferx(L, bytes, count, chunk_name, "t");
  it->in_swift = outer;
  return status == LUA_OK;
}

/// Runs what may raise or run a script. The outermost call ends an interruption.
static int protected_call(lua_State *L, int arguments, int results, int handler) {
  lb_interpreter *it = interpreter(L);
  bool outer = it->in_swift;
  it->in_swift = false;
  it->depth += 1;
  int status = lua_pcall(L, arguments, results, handler);
  it->depth -= 1;
  it->in_swift = outer;
  bool interrupted = it->interrupting;
  if (it->depth == 0) {
    it->interrupting = false;
    lua_sethook(it->main, poll_interrupt, LUA_MASKCOUNT, POLL_INSTRUCTIONS);
  }
  if (status == LUA_OK) return LB_OK;
  return interrupted ? LB_INTERRUPTED : LB_ERROR;
}

int lb_pcall(lb_state *L, int arguments) {
  int base = lua_gettop(L) - arguments;
  if (!lua_checkstack(L, 8)) {
    lua_settop(L, base - 1);
    lua_pushliteral(L, "stack overflow");
    return LB_ERROR;
  }
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &traceback_key);
  lua_pushcfunction(L, lb_traceback_handler);
  lua_insert(L, base);
  int status = protected_call(L, arguments, LUA_MULTRET, base);
  lua_remove(L, base);
  return status;
}

static int describe(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

int lb_push_description(lb_state *L, int index) {
  index = lua_absindex(L, index);
  lua_pushcfunction(L, describe);
  lua_pushvalue(L, index);
  int status = protected_call(L, 1, 1, 0);
  if (status != LB_OK) {
    lua_pop(L, 1);
    lua_pushstring(L, luaL_typename(L, index));
  }
  return status;
}
