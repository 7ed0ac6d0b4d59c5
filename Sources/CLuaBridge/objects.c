// Userdata that hold Swift objects, and the tables that describe classes and modules.
#include "internal.h"

#include <string.h>

/// Tells our userdata from those of other libraries, together with the size.
static const uint64_t MAGIC = 0x50657269676565ull;

typedef struct {
  uint64_t magic;
  int64_t class_number;
  void *object;
} lb_slot;

static lb_slot *slot(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TUSERDATA || lua_rawlen(L, index) != sizeof(lb_slot)) return NULL;
  lb_slot *found = lua_touserdata(L, index);
  return found->magic == MAGIC ? found : NULL;
}

void *lb_object(lb_state *L, int index) {
  lb_slot *found = slot(L, index);
  return found == NULL ? NULL : found->object;
}

int lb_object_class(lb_state *L, int index) {
  lb_slot *found = slot(L, index);
  return found == NULL ? -1 : (int)found->class_number;
}

static const char classes_key;

void lb_push_object(lb_state *L, int class_number, void *object) {
  lb_slot *new = lua_newuserdatauv(L, sizeof(lb_slot), 0);
  *new = (lb_slot){MAGIC, class_number, object};
  lua_rawgetp(L, LUA_REGISTRYINDEX, &classes_key);
  lua_rawgeti(L, -1, class_number);
  lua_setmetatable(L, -3);
  lua_pop(L, 1);
}

/// `__gc` and `__close`: doing it twice is harmless, later use finds a released object.
static int release_object(lua_State *L) {
  lb_slot *found = slot(L, 1);
  if (found == NULL || found->object == NULL) return 0;
  void *object = found->object;
  found->object = NULL;
  interpreter(L)->host.release(object);
  return 0;
}

static int same_object(lua_State *L) {
  void *left = lb_object(L, 1);
  lua_pushboolean(L, left != NULL && left == lb_object(L, 2));
  return 1;
}

/// `__index`. Upvalues: methods, getters, missing, and the class's own `__index` for keys that are no names.
static int index_object(lua_State *L) {
  lua_settop(L, 2);
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL) {
      lua_pushvalue(L, 1);
      lua_call(L, 1, 1);
      return 1;
    }
    lua_settop(L, 2);
  }
  bool own = lua_type(L, 2) != LUA_TSTRING && !lua_isnil(L, lua_upvalueindex(4));
  lua_pushvalue(L, lua_upvalueindex(own ? 4 : 3));
  lua_insert(L, 1);
  lua_call(L, 2, 1);
  return 1;
}

/// `__newindex`. Upvalues: setters, unset, and the class's own `__newindex`.
static int set_object_field(lua_State *L) {
  lua_settop(L, 3);
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) {
      lua_pushvalue(L, 1);
      lua_pushvalue(L, 3);
      lua_call(L, 2, 0);
      return 0;
    }
    lua_settop(L, 3);
  }
  bool own = lua_type(L, 2) != LUA_TSTRING && !lua_isnil(L, lua_upvalueindex(3));
  lua_pushvalue(L, lua_upvalueindex(own ? 3 : 2));
  lua_insert(L, 1);
  lua_call(L, 3, 0);
  return 0;
}

static void set_field(lua_State *L, int table, const char *name) {
  lb_raw_set_field(L, table, name, strlen(name));
}

/// Pushes `table[name]` without metamethods.
static void raw_field(lua_State *L, int table, const char *name) {
  lua_pushstring(L, name);
  lua_rawget(L, table);
}

void lb_define_class(lb_state *L, int class_number, const char *name, void *missing, void *unset) {
  int meta = lua_gettop(L), setters = meta - 1, getters = meta - 2, methods = meta - 3;
  lua_pushvalue(L, methods);
  lua_pushvalue(L, getters);
  lb_push_function(L, missing);
  raw_field(L, meta, "__index");
  lua_pushcclosure(L, index_object, 4);
  set_field(L, meta, "__index");
  lua_pushvalue(L, setters);
  lb_push_function(L, unset);
  raw_field(L, meta, "__newindex");
  lua_pushcclosure(L, set_object_field, 3);
  set_field(L, meta, "__newindex");
  raw_field(L, meta, "__eq");
  if (lua_isnil(L, -1)) {
    lua_pushcfunction(L, same_object);
    set_field(L, meta, "__eq");
  }
  lua_settop(L, meta);
  lua_pushcfunction(L, release_object);
  set_field(L, meta, "__gc");
  lua_pushcfunction(L, release_object);
  set_field(L, meta, "__close");
  lua_pushstring(L, name);
  set_field(L, meta, "__name");
  lua_pushboolean(L, false);  // what getmetatable() gives to scripts
  set_field(L, meta, "__metatable");
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &classes_key) == LUA_TNIL) {
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &classes_key);
    lua_remove(L, -2);
  }
  lua_pushvalue(L, meta);
  lua_rawseti(L, -2, class_number);
  lua_settop(L, methods - 1);
}

void lb_seal_module(lb_state *L, const char *name, void *missing, void *unset, void *call) {
  lua_createtable(L, 0, 5);
  int meta = lua_gettop(L);
  lb_push_function(L, missing);
  set_field(L, meta, "__index");
  lb_push_function(L, unset);
  set_field(L, meta, "__newindex");
  if (call != NULL) {
    lb_push_function(L, call);
    set_field(L, meta, "__call");
  }
  lua_pushstring(L, name);
  set_field(L, meta, "__name");
  lua_pushboolean(L, false);
  set_field(L, meta, "__metatable");
  lua_setmetatable(L, -2);
}
