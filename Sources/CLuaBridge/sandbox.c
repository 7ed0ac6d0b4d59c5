// The standard library as scripts see it: nothing that reads, writes, runs or loads native code.
#include "internal.h"

#include <string.h>

typedef struct {
  const char *rest;
  size_t size;
} text_rest;

/// A text in pieces, with a look at the interrupt flag before each.
static const char *next_piece(lua_State *L, void *data, size_t *size) {
  enum { PIECE = 1 << 16 };
  text_rest *text = data;
  lb_poll(L);
  const char *piece = text->rest;
  *size = text->size < PIECE ? text->size : PIECE;
  text->rest += *size;
  text->size -= *size;
  return piece;
}

/// What the function at 1 returns; kept at 5, so that it lives as long as it is read.
static const char *next_result(lua_State *L, void *unused, size_t *size) {
  (void)unused;
  lb_poll(L);
  luaL_checkstack(L, 2, "too many nested functions");
  lua_pushvalue(L, 1);
  lua_call(L, 0, 1);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    *size = 0;
    return NULL;
  }
  if (!lua_isstring(L, -1)) luaL_error(L, "reader function must return a string");
  lua_replace(L, 5);
  return lua_tolstring(L, 5, size);
}

/// `load`, for text only: crafted bytecode can crash the interpreter.
static int load_text(lua_State *L) {
  bool has_environment = !lua_isnone(L, 4);
  text_rest text = {NULL, 0};
  text.rest = lua_tolstring(L, 1, &text.size);
  const char *name = luaL_optstring(L, 2, text.rest == NULL ? "=(load)" : text.rest);
  if (text.rest == NULL) luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 5);
  int status = text.rest == NULL ? lua_load(L, next_result, NULL, name, "t") : lua_load(L, next_piece, &text, name, "t");
  if (status != LUA_OK) {
    luaL_pushfail(L);
    lua_insert(L, -2);
    return 2;
  }
  if (has_environment) {
    lua_pushvalue(L, 4);
    if (lua_setupvalue(L, -2, 1) == NULL) lua_pop(L, 1);
  }
  return 1;
}

/// `setmetatable`, without finalizers: Lua would run them wherever memory is asked for, also below Swift's frames.
static int set_metatable(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
  if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return luaL_error(L, "cannot change a protected metatable");
  lua_settop(L, 2);
  if (lua_istable(L, 2)) {
    lua_pushliteral(L, "__gc");
    if (lua_rawget(L, 2) != LUA_TNIL) {
      return luaL_error(L, "'__gc' is not available: release what a script holds with a '<close>' variable and '__close'");
    }
    lua_settop(L, 2);
  }
  lua_setmetatable(L, 1);
  return 1;
}

/// `string.rep`; Lua's own runs for ever on an empty text.
static int repeat_text(lua_State *L) {
  size_t size, separator_size;
  const char *text = luaL_checklstring(L, 1, &size);
  lua_Integer count = luaL_checkinteger(L, 2);
  const char *separator = luaL_optlstring(L, 3, "", &separator_size);
  if (count <= 0 || size + separator_size == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  size_t unit = size + separator_size;
  if (unit < size || unit > (size_t)LUA_MAXINTEGER / (size_t)count) return luaL_error(L, "resulting string too large");
  size_t total = unit * (size_t)count - separator_size;
  luaL_Buffer buffer;
  char *bytes = luaL_buffinitsize(L, &buffer, total);
  memcpy(bytes, text, size);
  if (count > 1) memcpy(bytes + size, separator, separator_size);
  // Twice as much in each round, a piece at a time.
  for (size_t done = unit; done < total;) {
    enum { PIECE = 1 << 24 };
    size_t most = done < PIECE ? done : PIECE / unit * unit > 0 ? PIECE / unit * unit : unit;
    size_t next = total - done < most ? total - done : most;
    lb_poll(L);
    memcpy(bytes + done, bytes, next);
    done += next;
  }
  luaL_pushresultsize(&buffer, total);
  return 1;
}

/// `math.randomseed`, with a seed only: from the clock, no run could be repeated.
static int seed_random(lua_State *L) {
  luaL_checknumber(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

static int print_line(lua_State *L) {
  int count = lua_gettop(L);
  luaL_Buffer line;
  luaL_buffinit(L, &line);
  for (int i = 1; i <= count; i += 1) {
    if (i > 1) luaL_addchar(&line, '\t');
    luaL_tolstring(L, i, NULL);
    luaL_addvalue(&line);
  }
  luaL_pushresult(&line);
  lb_interpreter *it = interpreter(L);
  size_t size = 0;
  const char *bytes = lua_tolstring(L, -1, &size);
  bool outer = it->in_swift;
  it->in_swift = true;
  if (it->host.print != NULL) it->host.print(it->host.context, bytes, size);
  it->in_swift = outer;
  return 0;
}

static const char loading_mark;

/// `require`. Upvalues: loaded modules by name, the host's resolver.
static int require_module(lua_State *L) {
  luaL_checktype(L, 1, LUA_TSTRING);
  lua_settop(L, 1);
  lua_pushvalue(L, 1);
  lua_rawget(L, lua_upvalueindex(1));
  if (lua_touserdata(L, 2) == (void *)&loading_mark) {
    return luaL_error(L, "module '%s' requires itself, or failed to load before", lua_tostring(L, 1));
  }
  if (!lua_isnil(L, 2)) return 1;
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushvalue(L, 1);
  lua_call(L, 1, 2);  // 3: text or module, 4: chunk name or nil
  if (!lua_isnil(L, 4)) {
    size_t size = 0;
    const char *text = lua_tolstring(L, 3, &size);
    if (luaL_loadbufferx(L, text, size, lua_tostring(L, 4), "t") != LUA_OK) return lua_error(L);
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, (void *)&loading_mark);
    lua_rawset(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    if (lua_isnil(L, -1)) {
      lua_pushboolean(L, true);
      lua_replace(L, -2);
    }
  } else {
    lua_pushvalue(L, 3);
  }
  lua_pushvalue(L, 1);
  lua_pushvalue(L, -2);
  lua_rawset(L, lua_upvalueindex(1));
  return 1;
}

void lb_push_require(lb_state *L, void *resolve) {
  lua_newtable(L);
  lb_push_function(L, resolve);
  lua_pushcclosure(L, require_module, 2);
}

typedef struct {
  bool allow_io;
  int64_t seed;
} open_options;

static void remove_fields(lua_State *L, const char *library, const char *const *names) {
  lua_getglobal(L, library);
  for (; *names != NULL; names += 1) {
    lua_pushnil(L);
    lua_setfield(L, -2, *names);
  }
  lua_pop(L, 1);
}

static void replace_fields(lua_State *L, const char *library, const luaL_Reg *functions) {
  lua_getglobal(L, library);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}

/// Replaces the function on top of the table below it by one that has it as upvalue.
static void wrap_field(lua_State *L, const char *name, lua_CFunction wrapper) {
  lua_getfield(L, -1, name);
  lua_pushcclosure(L, wrapper, 1);
  lua_setfield(L, -2, name);
}

static int open_libraries(lua_State *L) {
  const open_options *options = lua_touserdata(L, 1);
  static const luaL_Reg libraries[] = {
    {LUA_GNAME, luaopen_base}, {LUA_COLIBNAME, luaopen_coroutine}, {LUA_TABLIBNAME, luaopen_table},
    {LUA_STRLIBNAME, luaopen_string}, {LUA_MATHLIBNAME, luaopen_math},
    {LUA_UTF8LIBNAME, luaopen_utf8}, {LUA_OSLIBNAME, luaopen_os}, {LUA_IOLIBNAME, luaopen_io},
  };
  size_t count = sizeof libraries / sizeof *libraries;
  for (size_t i = 0; i < count - (options->allow_io ? 0 : 1); i += 1) {
    luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
    lua_pop(L, 1);
  }
  static const luaL_Reg base_functions[] = {
    {"load", load_text}, {"print", print_line}, {"setmetatable", set_metatable}, {NULL, NULL},
  };
  static const luaL_Reg string_functions[] = {{"rep", repeat_text}, {NULL, NULL}};
  static const char *const base[] = {"dofile", "loadfile", "warn", NULL};
  static const char *const strings[] = {"dump", NULL};
  static const char *const system[] = {
    "execute", "exit", "getenv", "remove", "rename", "setlocale", "tmpname", NULL,
  };
  static const char *const process[] = {"exit", "setlocale", NULL};
  remove_fields(L, LUA_GNAME, base);
  remove_fields(L, LUA_STRLIBNAME, strings);
  // Leaving the process at once would skip the host's clean-up, so `exit` stays away in any case.
  remove_fields(L, LUA_OSLIBNAME, options->allow_io ? process : system);

  replace_fields(L, LUA_STRLIBNAME, lb_pattern_functions);
  replace_fields(L, LUA_STRLIBNAME, string_functions);
  replace_fields(L, LUA_TABLIBNAME, lb_list_functions);
  replace_fields(L, LUA_COLIBNAME, lb_coroutine_functions);
  replace_fields(L, LUA_GNAME, lb_call_functions);
  replace_fields(L, LUA_GNAME, base_functions);
  lua_getglobal(L, LUA_MATHLIBNAME);
  lua_getfield(L, -1, "randomseed");
  lua_pushinteger(L, options->seed);
  lua_call(L, 1, 0);
  wrap_field(L, "randomseed", seed_random);
  return 0;
}

bool lb_open_libraries(lb_state *L, bool allow_io, int64_t seed) {
  open_options options = {allow_io, seed};
  lua_pushcfunction(L, open_libraries);
  lua_pushlightuserdata(L, &options);
  lb_interpreter *it = interpreter(L);
  bool outer = it->in_swift;
  it->in_swift = false;
  int status = lua_pcall(L, 1, 0, 0);
  it->in_swift = outer;
  return status == LUA_OK;
}
